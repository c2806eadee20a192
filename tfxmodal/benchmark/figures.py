"""Figures of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from tfxmodal.benchmark.results import SETTINGS, Row, Table
from tfxmodal.evaluation.figures import curve_figure, curve_figures

if TYPE_CHECKING:  # What draws takes a second to import, and only those who draw need it.
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = dict(zip(SETTINGS, ("#1a73e8", "#e37400", "#1e8e3e"), strict=True))
QUICKEST = 0.01
"""Seconds at the left end of a logarithmic axis."""


def figures_of(table: Table) -> dict[str, Figure]:
    """All figures of a table, by name.

    They are scores, scores against seconds and convergence; curves, where there are labels; and the
    surface of a method's score over two settings, where its rows are a grid of them.
    """
    drawn = {"scores": _scores(table), "seconds": _seconds(table)}
    logged = {row.title: row.results[0].convergence for row in table.rows}
    if lines := {name: _line(scores) for name, scores in logged.items() if scores}:
        drawn["convergence"] = _convergence(lines, table)
    for method, rows in groupby(table.rows, key=lambda row: row.method):
        if len(scores := _over_two_settings(list(rows))) > 1:
            drawn[f"surface_{method}"] = _surface(method, scores, table)
    if all(row.results[0].curves for row in table.rows):
        drawn |= curve_figures({row.title: _mean_curves(row) for row in table.rows})
    return drawn


def _scores(table: Table) -> Figure:
    """A bar a row, with the deviation over seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.9 + 0.28 * len(table.rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(table.rows):
        deviation = None if row.deviations is None else row.deviations[-1]
        axes.barh(place, row.means[-1], xerr=deviation, color=COLOURS[row.setting], capsize=2)
        axes.text(0, place, f" {row.means[-1]:.3f}", va="center", color="white", fontsize=8)
    names = [row.title for row in table.rows]
    axes.set_yticks(range(len(names)), names, fontsize=9, parse_math=False)
    axes.invert_yaxis()
    _finish(axes, table)
    return figure


def _seconds(table: Table) -> Figure:
    """The average score against the seconds of the training, a point a row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, max(4.0, 0.22 * len(table.rows))), layout="constrained")
    axes = figure.subplots()
    rows = sorted(table.rows, key=lambda row: row.means[-1])
    heights = np.linspace(0, 1, len(rows) + 1)[1:]  # Of the names, a column right of the points.
    for row, height in zip(rows, heights, strict=True):
        place = max(row.mean_of("seconds"), QUICKEST), row.means[-1]
        axes.scatter(*place, color=COLOURS[row.setting], s=28)
        style = {"fontsize": 8, "parse_math": False, "va": "center", "annotation_clip": False}
        line = {"arrowstyle": "-", "linewidth": 0.4, "color": "#999"}
        axes.annotate(
            row.title, place, (1.03, height), textcoords="axes fraction", arrowprops=line, **style
        )
    axes.set_xscale("log")
    axes.set_ylabel(f"average {table.measure}")
    _finish(axes, table)
    axes.set_xlabel("seconds of training")
    return figure


def _convergence(lines: Mapping[str, tuple[np.ndarray, np.ndarray]], table: Table) -> Figure:
    """The validation score of each epoch, a line a row."""
    figure = curve_figure({"validation": lines}, "Epoch", f"{table.measure}, first seed")
    (axes,) = figure.axes
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=min(x[0] for x, _ in lines.values()) - 0.1)  # 0 of what starts trained.
    return figure


def _line(scores: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(list(scores)), np.array(list(scores.values()))


def _over_two_settings(rows: Sequence[Row]) -> dict[tuple, Row]:
    """Rows that differ in two numbers alone, by these; none where they do not."""
    varied = [tuple(row.variant.values()) for row in rows]
    if not all(
        len(each) == 2 and all(isinstance(v, (int, float)) for v in each) for each in varied
    ):
        return {}
    return dict(zip(varied, rows, strict=True))


def _surface(method: str, rows: Mapping[tuple, Row], table: Table) -> Figure:
    """The average score of a method over two of its settings (SCL, Figures 5 and 6)."""
    from matplotlib.figure import Figure

    one, other = (sorted(set(values)) for values in zip(*rows, strict=True))
    scores = np.full([len(other), len(one)], np.nan)
    for (x, y), row in rows.items():
        scores[other.index(y), one.index(x)] = row.means[-1]
    figure = Figure(figsize=(1.5 + 0.7 * len(one), 1 + 0.5 * len(other)), layout="constrained")
    axes = figure.subplots()
    figure.colorbar(axes.imshow(scores, aspect="auto", origin="lower"), label=table.measure)
    for y, x in np.argwhere(~np.isnan(scores)):
        style = {"ha": "center", "va": "center", "fontsize": 8, "color": "white"}
        axes.text(x, y, f"{scores[y, x]:.3f}", **style)
    axes.set_xticks(range(len(one)), one)
    axes.set_yticks(range(len(other)), other)
    names = [name.replace("_", " ") for name in next(iter(rows.values())).variant]
    axes.set(title=method, xlabel=names[0], ylabel=names[1])
    return figure


def _finish(axes: Axes, table: Table) -> None:
    """What both have: a quiet frame, and a legend of the settings."""
    from matplotlib.patches import Patch

    axes.set_xlabel(f"average {table.measure}")
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    there = dict.fromkeys(row.setting for row in table.rows)
    handles = [Patch(color=COLOURS[setting], label=setting) for setting in there]
    axes.figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False)


def _mean_curves(row: Row) -> dict[str, dict]:
    """The curves of a row, mean over its seeds."""
    first, *_ = curves = [each.curves for each in row.results]
    return {
        name: {
            way: (x, np.mean([each[name][way][1] for each in curves], axis=0))
            for way, (x, _) in of_way.items()
        }
        for name, of_way in first.items()
    }
