"""Every dataset on a few dozen real photos, and quick runs on them: for commands of all kinds."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tfxmodal.commands import train
from tfxmodal.encoders.image import IMAGE_ENCODERS, load_image_encoder
from tfxmodal.inputs import prepare
from tfxmodal.training import trained_run

PHOTOS = 40
COMMON = (
    "--image-tower efficientnet_lite0 --vocabulary-size 200 --epochs 2 --batch-size 16 "
    "--hidden-units 16 --preset paper"
)
QUICK = f"{COMMON} --alpha 0 --embedding-dim 8 --learning-rate 0.01".split()
FITTED = "--image-tower efficientnet_lite0 --vocabulary-size 200".split()
CODES = [*QUICK, "--binary", "16"]
DRSL = f"{COMMON} --feature-dim 8 --relation-units 32".split()


@pytest.fixture(scope="session")
def quick():
    """Each tower is built once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        of_maker = cache(lambda maker, *given: load_image_encoder(*given))

        def load_once(name, *given):
            return of_maker(IMAGE_ENCODERS.get(name), name, *given)  # Tests make some of their own.

        for module in (prepare, trained_run):
            patch.setattr(module, "load_image_encoder", load_once)
        yield


@pytest.fixture(scope="session")
def small(quick, shared_data, tmp_path_factory):
    """`small(dataset)`: the flags that load it."""

    @cache
    def flags(dataset: str) -> tuple[str, ...]:
        folder = tmp_path_factory.mktemp(dataset)
        source = shared_data / ("pascal_sentences" if dataset == "pairs" else dataset)
        given = MAKERS[dataset](source, folder) or folder
        return "--dataset", dataset, "--data-dir", str(given)

    return flags


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory) -> Path:
    """One cache of features for all runs."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def trained(small, cache_dir, tmp_path_factory):
    """`trained(dataset, method)`: the folder of a finished run, of SCL by default.

    The method `codes` is SCL with binary codes.
    """

    @cache
    def run(dataset: str, method: str = "scl") -> Path:
        folder = tmp_path_factory.mktemp("runs") / dataset
        where = "--cache-dir", str(cache_dir), "--run-dir", str(folder)
        flags = {"scl": QUICK, "codes": CODES, "drsl": DRSL}.get(method, FITTED)
        flags = flags[len(FITTED) :] if dataset in ("features", "wikipedia") else flags
        train.main(["scl" if method == "codes" else method, *small(dataset), *flags, *where])
        return folder

    return run


def _pascal(source: Path, folder: Path):
    """Eight photos of each of five classes."""
    table = json.loads((source / "pascal_sentences.json").read_text())
    kept = {}
    for category in ("cat", "cow", "dog", "horse", "sheep"):
        photos = [name for name, item in table.items() if item["category"] == category]
        kept |= {name: table[name] for name in photos[: PHOTOS // 5]}
    (folder / "pascal_sentences.json").write_text(json.dumps(kept))
    _link(source / "images", folder / "images", kept)


def _flickr8k(source: Path, folder: Path):
    names = sorted(path.name for path in (source / "images").iterdir())[:PHOTOS]
    for file in source.glob("Flickr*.txt"):
        (folder / file.name).symlink_to(file)
    _link(source / "images", folder / "images", names)


def _coco(source: Path, folder: Path):
    (folder / "annotations").mkdir()
    for part in ("train2017", "val2017"):
        for kind in ("instances", "captions"):
            content = json.loads((source / f"annotations/{kind}_{part}.json").read_text())
            kept = sorted(content["images"], key=lambda image: image["id"])[: PHOTOS // 2]
            ids = {image["id"] for image in kept}
            content["annotations"] = [a for a in content["annotations"] if a["image_id"] in ids]
            path = folder / f"annotations/{kind}_{part}.json"
            path.write_text(json.dumps(content | {"images": kept}))
        _link(source / part, folder / part, [image["file_name"] for image in kept])


def _pairs(source: Path, folder: Path) -> Path:
    """The user's own manifest, of photos elsewhere on the disk."""
    _pascal(source, folder)
    table = json.loads((folder / "pascal_sentences.json").read_text())
    splits = ["train"] * 6 + ["validation", "test"]
    rows = [
        {
            "image": f"images/{name}",
            "texts": item["captions"],
            "labels": [item["category"]],
            "split": splits[row % 8],
        }
        for row, (name, item) in enumerate(table.items())
    ]
    manifest = folder / "mine.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    return manifest


def _features(source: Path, folder: Path):
    rng = np.random.default_rng(0)
    for split, n in (("train", 40), ("validation", 12), ("test", 12)):
        labels = np.arange(n) % 4
        for kind, dim in (("img", 7), ("txt", 5)):
            features = np.eye(4, dim)[labels] + 0.3 * rng.standard_normal((n, dim))
            np.save(folder / f"{split}_{kind}.npy", features.astype(np.float32))
        np.save(folder / f"{split}_lab.npy", labels)


def _link(source: Path, target: Path, names):
    target.mkdir()
    for name in names:
        (target / name).symlink_to(source / name)


MAKERS = {
    "pascal_sentences": _pascal,
    "flickr8k": _flickr8k,
    "coco": _coco,
    "pairs": _pairs,
    "features": _features,
    "wikipedia": lambda source, folder: source,
}
