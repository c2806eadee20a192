"""A figure of what a model attends to: locations of an image, words of a text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfxmodal.evaluation.fonts import fitted
from tfxmodal.inputs.prepare import Prepared
from tfxmodal.lazy import keras

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAIRS = 4
"""Pairs that are drawn."""

COLUMNS, LINES = 6, 10
"""Words in a line, and lines of a text."""


@dataclass(frozen=True)
class Attended:
    """A pair, with the weights that its parts have.

    Attributes:
        picture: `[side, side, 3]`, floats in 0..1.
        locations: Weights of the squares of the picture, line by line, `[n * n]`; or None.
        words: The text's, in their order.
        of_words: A weight for each; or None.
    """

    picture: np.ndarray
    locations: np.ndarray | None
    words: Sequence[str]
    of_words: np.ndarray | None


def attended(data: Prepared, models: Mapping[str, keras.Model], together: int) -> list[Attended]:
    """What models attend to in a few test pairs; none where the pictures are gone.

    Args:
        data: Test pairs with files and captions, and the encoders that read them.
        models: Of `image`, of `text` or of both, from what is read to weights `[batch, steps]`.
        together: Words that are a step together.
    """
    from tfxmodal.encoders.image.pictures import BadImage, load_images
    from tfxmodal.encoders.text.bag_of_words import document, to_bytes

    source, read = data.source.test, data.features.test
    if not os.path.isfile(source.images[0]):
        return []
    rows = np.linspace(0, len(source) - 1, min(PAIRS, len(source))).astype(int)
    inputs = {"image": read.images[rows], "text": read.texts[rows]}
    weights = {kind: np.asarray(model(inputs[kind])) for kind, model in models.items()}
    words = data.text_encoder.tokens(to_bytes([document(source.texts[row]) for row in rows]))
    words = [[word.decode() for word in each] for each in words.to_list()]
    pictures = load_images(source.images[rows], data.image_encoder.preprocessing)
    return [
        Attended(
            picture / 255,
            weights["image"][row] if "image" in weights else None,
            words[row],
            np.repeat(weights["text"][row], together) if "text" in weights else None,
        )
        for row, picture in pictures
        if not isinstance(picture, BadImage)
    ]


def attention_figure(pairs: Sequence[Attended]) -> Figure:
    """Pairs, one a row: the picture under its weights, and the text whose words are shaded."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 2.9 * len(pairs)), layout="constrained")
    rows = figure.subplots(len(pairs), 2, squeeze=False, width_ratios=(1, 2.4))
    for (left, right), pair in zip(rows, pairs, strict=True):
        _draw_locations(left, pair)
        _draw_words(right, pair)
    return figure


def _draw_locations(cell: Axes, pair: Attended) -> None:
    height, width, _ = pair.picture.shape
    cell.imshow(pair.picture)
    if pair.locations is not None:
        side = round(len(pair.locations) ** 0.5)
        heat, place = pair.locations.reshape(side, side), (0, width, height, 0)
        cell.imshow(heat, cmap="inferno", alpha=0.6, extent=place, interpolation="bilinear")
    cell.set_axis_off()


def _draw_words(cell: Axes, pair: Attended) -> None:
    words = pair.words[: COLUMNS * LINES]
    weights = np.zeros(len(words)) if pair.of_words is None else pair.of_words[: len(words)]
    shades = weights / max(weights.max(initial=0), 1e-12)
    for place, (word, shade) in enumerate(zip(words, shades, strict=True)):
        line, column = divmod(place, COLUMNS)
        box = {"facecolor": (0.93, 0.45, 0.13, float(shade)), "edgecolor": "none", "pad": 2}
        where = (column + 0.5) / COLUMNS, 1 - (line + 0.5) / LINES
        style = {"ha": "center", "va": "center", "fontsize": 8.5, "parse_math": False}
        cell.text(*where, fitted(word, 14), bbox=box, **style)
    cell.set_axis_off()
