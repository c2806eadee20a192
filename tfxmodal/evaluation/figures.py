"""Figures of what a model retrieves, as matplotlib `Figure` objects without global state.

They draw what they are given: the ranking and what is right are decided elsewhere.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfxmodal.encoders.image.with_pillow import as_seen
from tfxmodal.evaluation.fonts import fitted, use_fonts

if TYPE_CHECKING:  # What draws takes a second to import, and only those who draw need it.
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT, WRONG, PLAIN = "#1e8e3e", "#d93025", "#5f6368"
PHOTO = (320, 236)  # pixels, the shape of a gallery's cell
LINE, LINES = 25, 8  # columns and lines of a caption that fit into a cell
NAME = 30  # columns of a name in a legend
DOTTED, POINTS = 10, 40  # lines in a panel, and points in a line, up to which points are marked

Lines = Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]
"""For each panel's title, for each line's name, its x and y."""

CURVES = {"precision_recall": "Recall", "precision_scope": "Scope K (items retrieved)"}
"""The curves of a split (SCL, Figure 4), and what their x is."""


@dataclass(frozen=True)
class Retrieved:
    """What one query found, best first.

    An image is a path or an array `[height, width, 3]`, uint8 or floats in 0..1.

    Attributes:
        query: An image or a text.
        found: Items of the other modality.
        right: Whether each found item is relevant.
    """

    query: object
    found: Sequence
    right: Sequence[bool]


def curve_figure(curves: Lines, x_label: str, y_label: str = "Precision") -> Figure:
    """Lines in panels side by side, one panel a direction, one line a method or run."""
    from matplotlib import colormaps, cycler
    from matplotlib.figure import Figure

    most, names = max(map(len, curves.values())), list(next(iter(curves.values())))
    height = 0.22 * max(most, sum(name.count("\n") + 1 for name in _in_legend(names)))
    figure = Figure(figsize=(4.6 * len(curves), max(3.6, height)), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    styles = cycler(linestyle=["-", "--", ":", "-."]) * cycler(color=colormaps["tab10"].colors)
    for panel, (title, lines) in zip(panels, curves.items(), strict=True):
        panel.set_prop_cycle(styles)
        for name, (x, y) in lines.items():
            marker = "o" if len(x) == 1 or (most <= DOTTED and len(x) <= POINTS) else ""
            panel.plot(x, y, marker=marker, markersize=3.5, linewidth=1.8, label=name)
        panel.set_title(_title(title), fontsize=11)
        panel.set_xlabel(x_label)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(y_label)
    panels[0].set_ylim(bottom=0)  # of all panels, once all lines are drawn
    handles, names = panels[0].get_legend_handles_labels()
    _legend(figure, handles, names, "outside right center")
    return figure


def curve_figures(curves: Mapping[str, Mapping[str, Lines]]) -> dict[str, Figure]:
    """A figure of each of `CURVES`, all methods in one.

    Args:
        curves: By method what `SplitResults.curves` gives: by curve and direction x and y.
    """
    drawn = {}
    for curve, x_label in CURVES.items():
        panels: dict[str, dict] = {}
        for name, of_method in curves.items():
            for direction, line in of_method[curve].items():
                panels.setdefault(direction, {})[name] = line
        drawn[curve] = curve_figure(panels, x_label)
    return drawn


def gallery_figure(
    image_to_text: Sequence[Retrieved], text_to_image: Sequence[Retrieved]
) -> Figure:
    """Queries and what they found, one a row (SCL, Figure 8).

    Right items have a green frame and a tick, wrong ones a red frame and a cross.

    Args:
        image_to_text: Image queries and the texts they found; one of the two may be empty.
        text_to_image: Text queries and the images they found.
    """
    from matplotlib.figure import Figure

    sections = [
        ("Images find texts", image_to_text, _draw_photo, _draw_text),
        ("Texts find images", text_to_image, _draw_text, _draw_photo),
    ]
    sections = [section for section in sections if section[1]]
    columns = 1 + max(len(row.found) for _, rows, *_ in sections for row in rows)
    heights = [1.55 * len(rows) + 0.55 for _, rows, *_ in sections]
    figure = Figure(figsize=(2.05 * columns, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(sections), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (title, rows, draw_query, draw_found) in zip(parts, sections, strict=True):
        part.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        cells = part.subplots(len(rows), columns, squeeze=False)
        for cell, heading in zip(cells[0], ["query", *range(1, columns)], strict=True):
            cell.set_title(heading, fontsize=10, color=PLAIN)
        for row, (first, *others) in zip(rows, cells, strict=True):
            draw_query(first, row.query)
            _frame(first, PLAIN)
            for cell in others[len(row.found) :]:
                cell.set_axis_off()
            pairs = zip(row.found, row.right, strict=True)
            for cell, (item, right) in zip(others, pairs, strict=False):
                draw_found(cell, item)
                _frame(cell, *((RIGHT, "✓") if right else (WRONG, "✗")))
    return figure


def tsne_figure(
    image_embeddings: np.ndarray,
    text_embeddings: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str] | None = None,
    points: int = 1000,
    seed: int = 0,
) -> Figure:
    """Both modalities' embeddings in the plane by t-SNE, coloured by class (SCL, Figure 7).

    Circles are images, crosses texts. Colours go to the ten most frequent classes; an item of
    several takes the most frequent of them, an item of none of the ten is grey.

    Args:
        image_embeddings: `[n, d]`.
        text_embeddings: `[n, d]`.
        labels: Multi-hot `[n, classes]`.
        class_names: Names of the classes, for the legend.
        points: At most so many are drawn, half of them images: pairs drawn at random.
        seed: Of the draw and of t-SNE.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rows = np.random.default_rng(seed).permutation(len(labels))[: points // 2]
    both = np.concatenate([image_embeddings[rows], text_embeddings[rows]])
    start = "pca" if both.shape[1] > 1 else "random"  # One component fills no plane.
    plane = TSNE(perplexity=min(30, len(both) / 4), init=start, random_state=seed)
    with threadpool_limits(1):  # on so few points more threads only wait, ten times as long
        images, texts = np.split(plane.fit_transform(both), 2)

    drawn = labels[rows] > 0
    frequent = np.argsort(-drawn.sum(axis=0), kind="stable")[:10]
    has = drawn[:, frequent]
    place = np.where(has.any(axis=1), has.argmax(axis=1), len(frequent))
    names = [f"class {c}" if class_names is None else class_names[c] for c in frequent] + ["other"]
    colours = [*colormaps["tab10"].colors[: len(frequent)], (0.75, 0.75, 0.75)]

    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    colour = np.array(colours)[place]
    axes.scatter(*images.T, s=26, marker="o", facecolors="none", edgecolors=colour)
    axes.scatter(*texts.T, s=22, marker="x", color=colour, linewidths=1.2)
    axes.set(xticks=[], yticks=[])
    entries = [("o", "image", "black"), ("x", "text", "black")]
    entries += [("s", names[c], colours[c]) for c in np.unique(place)]
    handles = [Line2D([], [], ls="", marker=marker, color=c) for marker, _, c in entries]
    handles[0].set_fillstyle("none")
    _legend(figure, handles, [name for _, name, _ in entries], "outside right upper")
    return figure


def figure_png(figure: Figure, dpi: int = 100) -> bytes:
    """The figure as a PNG file, for TensorBoard or for disk."""
    return _saved(figure, format="png", dpi=dpi)


def figure_pdf(figure: Figure) -> bytes:
    """The figure as a PDF file, for print, without the date: it is the same file each time."""
    return _saved(figure, format="pdf", metadata={"CreationDate": None})


def _saved(figure: Figure, **options) -> bytes:
    buffer = io.BytesIO()
    use_fonts(figure)
    with warnings.catch_warnings():  # One for each glyph; `fonts.lacking` says it in a sentence.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(buffer, **options)
    return buffer.getvalue()


def _legend(figure: Figure, handles: list, names: Sequence[str], place: str) -> None:
    """A legend of names as they are: a dollar sign or an underscore is no command."""
    legend = figure.legend(handles, ["-"] * len(names), loc=place, frameon=False)
    for text, name in zip(legend.get_texts(), _in_legend(names), strict=True):
        text.set_parse_math(False)
        text.set_text(name)


def _in_legend(names: Sequence[str]) -> list[str]:
    """Names in a line each, or where those that are cut are alike, in several."""
    short = [fitted(name, NAME) for name in names]
    alike = len(set(short)) < len(set(names))
    return [fitted(name, NAME, LINES) for name in names] if alike else short


def _draw_text(cell: Axes, text: str) -> None:
    style = {"ha": "center", "va": "center", "fontsize": 8.5, "parse_math": False}
    lines = fitted(text, LINE, LINES)
    cell.text(0.5, 0.5, lines, transform=cell.transAxes, clip_on=True, **style)


def _draw_photo(cell: Axes, photo: str | os.PathLike | np.ndarray) -> None:
    from PIL import Image, ImageOps

    if isinstance(photo, np.ndarray):
        if np.issubdtype(photo.dtype, np.floating):
            photo = (255 * np.clip(photo, 0, 1)).astype(np.uint8)
        picture = Image.fromarray(photo)
    else:
        picture = as_seen(photo)
    cell.imshow(ImageOps.pad(picture.convert("RGB"), PHOTO, color="#f1f3f4"), aspect="auto")


def _frame(cell: Axes, colour: str, sign: str = "") -> None:
    cell.set(xticks=[], yticks=[])
    cell.spines[:].set(color=colour, linewidth=2.5 if sign else 1)
    if sign:
        box = {"facecolor": colour, "edgecolor": colour, "pad": 2}
        style = {"fontsize": 10, "fontweight": "bold", "color": "white", "bbox": box}
        cell.text(1, 1, sign, ha="right", va="top", transform=cell.transAxes, **style)


def _title(direction: str) -> str:
    return direction.replace("_", " ").capitalize()
