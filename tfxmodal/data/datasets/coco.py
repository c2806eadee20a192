"""MS-COCO (Lin et al., ECCV 2014) from the official files: 80 labels, five captions an image.

The folder holds `annotations/` (`captions_*.json`, `instances_*.json`) and the photos in
`train2014/`, `val2014/` (the papers' year) or `train2017/`, `val2017/`.

SCL's protocol (section IV-A): images without a category are left out, which leaves 82,081 training
images of 2014; 5,000 validation and 5,000 test pairs come from the 40,137 validation images (40,173
in the paper). The paper does not say which. As in the released code the first 5,000 are test and
the next 5,000 validation, here by ascending image id: anybody can repeat that order, and the words
of captions do not depend on it (seen on the 5,000 of val2017). Where there are fewer than 10,000
(2017: 4,952), the first half is test.
"""

from collections import defaultdict
from operator import itemgetter
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Dataset, Pairs, multi_hot
from tfxmodal.errors import InputError, choose
from tfxmodal.io.download import fetch, unzip
from tfxmodal.io.locks import LOCK, locked
from tfxmodal.io.reading import file_names, missing_files, path_array, read_json

CAPTIONS = 5  # Of each image, those with the lowest ids; some images have six or seven.
HELD_OUT = 10_000  # Images of validation and test together.
KEPT = (  # Members of the JSON objects that are read.
    *("images", "annotations", "categories", "id"),
    *("image_id", "category_id", "file_name", "name", "caption"),
)
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
    download: bool = False,
    require_images: bool = True,
    progress=None,
) -> Dataset:
    """Loads the pairs, downloading what is missing if asked to.

    Args:
        data_dir: The folder of the official files.
        year: `2014` or `2017`; by default the one whose annotations are there, 2014 before 2017.
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

    kinds = ("captions", "instances")
    needed = {f"{kind}_{part}{year}.json" for kind in kinds for part in ("train", "val")}
    supply("annotations", annotations, needed, f"annotations/annotations_trainval{year}.zip")
    train, classes = _read(data_dir, f"train{year}")
    val, val_classes = _read(data_dir, f"val{year}")
    if classes != val_classes:
        raise InputError(f"Training and validation in {annotations} differ in their categories.")
    rows = np.arange(min(HELD_OUT, len(val)))
    test, validation = val.take(rows[: len(rows) // 2]), val.take(rows[len(rows) // 2 :])
    if require_images:
        for part, splits in (("train", [train]), ("val", [validation, test])):
            names = {Path(path).name for pairs in splits for path in pairs.images}
            supply("photos", data_dir / f"{part}{year}", names, f"zips/{part}{year}.zip")
    return Dataset("coco", train, validation, test, class_names=classes)


def _read(data_dir: Path, part: str) -> tuple[Pairs, tuple[str, ...]]:
    """Pairs of one part (`train2014`) that have captions and labels, by ascending image id."""
    paths = [data_dir / "annotations" / f"{kind}_{part}.json" for kind in ("instances", "captions")]
    labels, captions = defaultdict(set), defaultdict(list)
    try:
        content = read_json(paths[0], KEPT)
        columns = {item["id"]: column for column, item in enumerate(content["categories"])}
        classes = tuple(item["name"] for item in content["categories"])
        for item in content["annotations"]:
            labels[item["image_id"]].add(columns[item["category_id"]])
        content = read_json(paths[1], KEPT)
        for item in sorted(content["annotations"], key=itemgetter("id")):
            if caption := " ".join(item["caption"].split()):
                captions[item["image_id"]].append(caption)
        files = {item["id"]: item["file_name"] for item in content["images"]}
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{paths[0]} or {paths[1].name} is not in COCO's layout ({error!r}): unpack it again."
        ) from error
    ids = sorted(labels.keys() & captions.keys() & files.keys())
    if not ids:
        raise InputError(
            f"{paths[0]} and {paths[1].name} have no image in common: unpack them again."
        )
    pairs = Pairs(
        np.array([Path(files[key]).stem for key in ids]),
        path_array([data_dir / part / files[key] for key in ids]),
        [tuple(captions[key][:CAPTIONS]) for key in ids],
        multi_hot([labels[key] for key in ids], len(classes)),
    )
    return pairs, classes
