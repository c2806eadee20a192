"""Writes a made-up MS-COCO of any size in the official 2014 layout, without photos.

python -m tests.data.synthetic_coco FOLDER --train 82783 --val 40504

At that (true) size it has the true counts: 82,081 and 40,137 images with a category, five captions
each, about seven objects of two categories an image.
"""

import json
from pathlib import Path

import numpy as np
import tyro

CATEGORIES = """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,
fire hydrant,stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,
backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,
baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,
banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,
dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,
refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush""".replace("\n", "").split(
    ","
)
GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # The official ids run from 1 to 90.
CATEGORY_IDS = [number for number in range(1, 91) if number not in GAPS]
UNCATEGORISED = {"train": 702 / 82783, "val": 367 / 40504}
QUALITIES = "small large red old shiny wooden quiet busy bright dark striped broken".split()
ACTIONS = "standing lying waiting moving resting shown placed seen left parked".split()
PLACES = "street kitchen field beach room park table road garden station shop snow".split()


def write(
    folder: tyro.conf.Positional[Path],
    train: int = 200,
    val: int = 120,
    outline: int = 0,
    seed: int = 0,
) -> None:
    """Writes the four annotation files.

    Args:
        folder: Where to; `annotations/` is made in it.
        train: Training images, with and without categories.
        val: Validation images, likewise.
        outline: Points of each object's outline; 30 give files as large as the official ones.
        seed: Another seed, another dataset.
    """
    rng = np.random.default_rng(seed)
    ids = rng.permutation(600_000)[: train + val].tolist()  # The official files are unsorted too.
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for part, part_ids in (("train", ids[:train]), ("val", ids[train:])):
        images = [
            {"id": key, "file_name": f"COCO_{part}2014_{key:012d}.jpg", "height": 480, "width": 640}
            for key in part_ids
        ]
        bare = round(len(part_ids) * UNCATEGORISED[part])
        objects = [
            [] if row < bare else draw_objects(rng) for row in rng.permutation(len(part_ids))
        ]
        instances = [
            {"image_id": key, "category_id": CATEGORY_IDS[category]}
            for key, categories in zip(part_ids, objects, strict=True)
            for category in categories
        ]
        polygon = [np.linspace(1.11, 599.99, 2 * outline).round(2).tolist()] if outline else []
        instances = [
            {"segmentation": polygon, "iscrowd": 0, **item, "id": number}
            for number, item in enumerate(instances)
        ]
        captions = [
            {"image_id": key, "caption": make_caption(rng, categories)}
            for key, categories in zip(part_ids, objects, strict=True)
            for _ in range(5)
        ]
        captions = [{**captions[row], "id": row} for row in rng.permutation(len(captions)).tolist()]
        categories = [
            {"supercategory": "thing", "id": number, "name": name}
            for number, name in zip(CATEGORY_IDS, CATEGORIES, strict=True)
        ]
        dump(folder, f"instances_{part}", images, instances, categories=categories)
        dump(folder, f"captions_{part}", images, captions)


def draw_objects(rng: np.random.Generator) -> list[int]:
    """Categories of an image's objects: a few kinds, common ones first, with repetitions."""
    kinds = rng.integers(0, rng.integers(1, 81), size=rng.integers(1, 5))
    return rng.choice(kinds, size=rng.integers(1, 14)).tolist()


def make_caption(rng: np.random.Generator, categories: list[int]) -> str:
    """A caption that names one of the objects; its last words are as rare as real ones."""
    quality, action, place = (rng.integers(len(words)) for words in (QUALITIES, ACTIONS, PLACES))
    thing = CATEGORIES[categories[rng.integers(len(categories))]] if categories else "scene"
    rare = " ".join(f"word{number % 20_000}" for number in rng.zipf(1.3, size=3))
    return f"A {QUALITIES[quality]} {thing} {ACTIONS[action]} in the {PLACES[place]}, {rare}. \n"


def dump(folder: Path, name: str, images: list, annotations: list, **members) -> None:
    """Writes one file of the official layout."""
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, **members}
    (folder / "annotations" / f"{name}2014.json").write_text(json.dumps(content))


if __name__ == "__main__":
    tyro.cli(write)
