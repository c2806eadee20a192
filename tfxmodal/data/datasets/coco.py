"""MS-COCO (Lin et al., ECCV 2014) from the official files: 80 labels, five captions an image.

The folder holds `annotations/` (`captions_*.json`, `instances_*.json`) and the photos in
`train2014/`, `val2014/` (the papers' year) or `train2017/`, `val2017/`.

SCL's protocol (section IV-A): images without a category are left out, which leaves 82,081 training
images of 2014; 5,000 validation and 5,000 test pairs come from the 40,137 validation images (40,173
in the paper). The paper does not say which. As in the released code the first 5,000 are test and
the next 5,000 validation, here by ascending image id: anybody can repeat that order, and the words
of captions do not depend on it (seen on the 5,000 of val2017). Where there are fewer than 10,000
(2017: 4,952), the first half is test.

`--dataset-options splits=karpathy` takes the field's split for captions (Karpathy and Fei-Fei, CVPR
2015) from its `dataset_coco.json`, beside `annotations/`: 113,287 images to train on (with
`restval`), 5,000 for validation and 5,000 for test, of 2014, with their first five captions.
Images without a category stay, without a label. Its test pairs are also measured by COCO 1K, CxC
and ECCV Caption: see `tfxmodal.evaluation.coco_extensions`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

import numpy as np

from tfxmodal.data.json_rows import KARPATHY_SPLITS
from tfxmodal.data.pairs import Dataset, Pairs, multi_hot
from tfxmodal.errors import InputError, choose
from tfxmodal.io.download import fetch, unzip
from tfxmodal.io.locks import LOCK, locked
from tfxmodal.io.reading import (
    file_names,
    missing_files,
    path_array,
    read_json,
    require_files,
)

CAPTIONS = 5  # Of each image, those with the lowest ids; some images have six or seven.
HELD_OUT = 10_000  # Images of validation and test together.
KEPT = (  # Members of the JSON objects that are read.
    *("images", "annotations", "categories", "id"),
    *("image_id", "category_id", "file_name", "name", "caption"),
)
KARPATHY = "dataset_coco.json"
KEPT_OF_KARPATHY = ("images", "cocoid", "split", "sentences", "sentid", "raw")
PARTS = ("train", "val")
HOST = "http://images.cocodataset.org"
MD5 = {
    "2014": {
        "annotations/annotations_trainval2014.zip": "0a379cfc70b0e71301e0f377548639bd",
        "zips/train2014.zip": "0da8c0bd3d6becc4dcb32757491aca88",
        "zips/val2014.zip": "a3d79f5ed8d289b7a7554ce06a5782b3",
    },
    "2017": {
        "annotations/annotations_trainval2017.zip": "f4bbac642086de4f52a3fdda2de5fa2c",
        "zips/train2017.zip": "cced6f7f71b7629ddf16f17bbcfab6b2",
        "zips/val2017.zip": "442b8da7639aecaf257c1dceb8ba8c80",
    },
}


def load(
    data_dir: Path,
    year: str | None = None,
    splits: str = "scl",
    download: bool = False,
    require_images: bool = True,
    progress=None,
) -> Dataset:
    """Loads the pairs, downloading what is missing if asked to.

    Args:
        data_dir: The folder of the official files.
        year: `2014` or `2017`; by default the one whose annotations are there, 2014 before 2017.
        splits: `scl`, the paper's, or `karpathy`.
        download: Fetch missing annotations and photos (20.4 GB in either year) into `data_dir`;
            what is there is kept, and an interrupted download goes on.
        require_images: Whether every photo must be there; not needed once features are cached.
        progress: Wraps the steps of download and extraction, like tqdm.

    Raises:
        InputError: If files are missing or damaged, or the download fails.
    """
    data_dir = Path(data_dir)
    annotations = data_dir / "annotations"
    if year is None:
        there = [known for known in MD5 if any(annotations.glob(f"*{known}.json"))]
        year = (there or ["2014"])[0]
    choose("year", year, MD5)
    choose("splits", splits, ("scl", "karpathy"))
    if splits == "karpathy" and year != "2014":
        raise InputError(f"`splits` karpathy is of COCO 2014; received year {year}: leave it out.")

    def supply(what: str, folder: Path, needed: set[str], archive: str) -> None:
        """Sees to it that a folder holds the files needed."""
        missing = needed - file_names(folder)
        if missing and download:
            data_dir.mkdir(parents=True, exist_ok=True)
            with locked(data_dir / LOCK):  # A second process waits, and finds them there.
                if needed - file_names(folder):
                    path = fetch(f"{HOST}/{archive}", data_dir, MD5[year][archive], progress)
                    unzip(path, data_dir, progress)
                    path.unlink()
            missing = needed - file_names(folder)
        if missing:
            remedy = "give COCO's own folder, or fetch what is missing (20.4 GB) with `download`"
            raise missing_files(what, folder, sorted(missing), remedy)

    kinds = ("instances", *(["captions"] if splits == "scl" else []))
    needed = {f"{kind}_{part}{year}.json" for kind in kinds for part in PARTS}
    supply("annotations", annotations, needed, f"annotations/annotations_trainval{year}.zip")
    parts = {part: _Part.read(data_dir, f"{part}{year}") for part in PARTS}
    classes = parts["train"].classes
    if classes != parts["val"].classes:
        raise InputError(f"Training and validation in {annotations} differ in their categories.")
    of_splits = _scl(parts) if splits == "scl" else _karpathy(data_dir / KARPATHY, parts)
    if require_images:
        photos = {Path(path) for pairs in of_splits for path in pairs.images}
        for part in PARTS:
            name = f"{part}{year}"
            names = {path.name for path in photos if path.parent.name == name}
            supply("photos", data_dir / name, names, f"zips/{name}.zip")
    return Dataset("coco", *of_splits, class_names=classes)


@dataclass(frozen=True)
class _Part:
    """The images of one part, such as `train2014`.

    Attributes:
        folder: Of the annotations.
        name: Its own.
        images: By image id the photo's path.
        labels: By image id the columns of its classes; none for an image without an object.
        classes: Their names.
    """

    folder: Path
    name: str
    images: dict[int, Path]
    labels: dict[int, set[int]]
    classes: tuple[str, ...]

    @classmethod
    def read(cls, data_dir: Path, name: str) -> _Part:
        folder, labels = data_dir / "annotations", defaultdict(set)
        path = folder / f"instances_{name}.json"
        with _layout(path, "COCO's"):
            content = read_json(path, KEPT)
            columns = {item["id"]: column for column, item in enumerate(content["categories"])}
            classes = tuple(item["name"] for item in content["categories"])
            for item in content["annotations"]:
                labels[item["image_id"]].add(columns[item["category_id"]])
            images = {each["id"]: data_dir / name / each["file_name"] for each in content["images"]}
        return cls(folder, name, images, dict(labels), classes)

    def pairs(self, captions: Mapping[int, Sequence[tuple[int, str]]]) -> Pairs:
        """Pairs of images with the first of their captions, `(id, text)`, in the order given."""
        first = [of_image[:CAPTIONS] for of_image in captions.values()]
        return Pairs(
            np.array([self.images[key].stem for key in captions], np.str_),
            path_array([self.images[key] for key in captions]),
            [tuple(text for _, text in of_image) for of_image in first],
            multi_hot([self.labels.get(key, ()) for key in captions], len(self.classes)),
            caption_ids=[tuple(number for number, _ in of_image) for of_image in first],
        )


def _scl(parts: Mapping[str, _Part]) -> tuple[Pairs, Pairs, Pairs]:
    """Training, validation and test pairs that have captions and labels, by ascending image id."""
    train, val = map(_annotated, parts.values())
    rows = np.arange(min(HELD_OUT, len(val)))
    return train, val.take(rows[len(rows) // 2 :]), val.take(rows[: len(rows) // 2])


def _annotated(part: _Part) -> Pairs:
    path, captions = part.folder / f"captions_{part.name}.json", defaultdict(list)
    with _layout(path, "COCO's"):
        for item in sorted(read_json(path, KEPT)["annotations"], key=itemgetter("id")):
            if caption := " ".join(item["caption"].split()):
                captions[item["image_id"]].append((item["id"], caption))
    ids = sorted(part.labels.keys() & captions.keys() & part.images.keys())
    if not ids:
        raise InputError(
            f"instances_{part.name}.json and {path.name} in {part.folder} have no image in common: "
            "unpack them again."
        )
    return part.pairs({key: captions[key] for key in ids})


def _karpathy(path: Path, parts: Mapping[str, _Part]) -> tuple[Pairs, Pairs, Pairs]:
    """Training, validation and test pairs in the order of Karpathy's file."""
    remedy = "unpack caption_datasets.zip of cs.stanford.edu/people/karpathy/deepimagesent there"
    require_files("file", path.parent, [path.name], remedy)
    part = parts["train"]
    part = replace(
        part, images=part.images | parts["val"].images, labels=part.labels | parts["val"].labels
    )
    captions = {split: {} for split in ("train", "validation", "test")}
    with _layout(path, "Karpathy's"):
        for item in read_json(path, KEPT_OF_KARPATHY)["images"]:
            texts = [(each["sentid"], " ".join(each["raw"].split())) for each in item["sentences"]]
            captions[KARPATHY_SPLITS[item["split"]]][item["cocoid"]] = texts
    unknown = [key for split in captions.values() for key in split if key not in part.images]
    if unknown:
        raise InputError(
            f"{path} names {len(unknown):,} images that {path.parent / 'annotations'} has not, "
            f"such as {unknown[0]}: unpack both again."
        )
    return tuple(map(part.pairs, captions.values()))


@contextmanager
def _layout(path: Path, whose: str):
    """Tells of a file that is not laid out as it should be."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not in {whose} layout ({error!r}): unpack it again."
        ) from error
