"""Flickr8k (Hodosh et al., JAIR 2013): 8,092 photos with five captions each and no labels.

The folder holds `Flickr8k.token.txt` (`photo#number<TAB>caption` a line; copies of the file have a
space for some tabs), the split lists `Flickr_8k.trainImages.txt`, `Flickr_8k.devImages.txt` and
`Flickr_8k.testImages.txt` (6,000 / 1,000 / 1,000; a photo a line, with or without `.jpg`), and the
photos in `Flicker8k_Dataset/`, as the distribution spells it, or `images/`. Photos that are absent
are left out.

Where the dev or test list is absent, its split are the photos that are in no list. Where both are,
these are halved in sorted order: the first half is validation, the second test.
"""

from pathlib import Path, PurePosixPath

import numpy as np

from tfxmodal.data.pairs import Dataset, Pairs
from tfxmodal.errors import InputError
from tfxmodal.io.reading import file_names, path_array, read_lines

SPLITS = ("train", "dev", "test")
LIST = "Flickr_8k.{}Images.txt"


def load(data_dir: Path) -> Dataset:
    """Loads the pairs whose photo is there.

    Raises:
        InputError: If the captions or the training list are missing or damaged, a list names none
            of the photos, two name the same, no photo is there, or none is left for a split that
            has no list.
    """
    data_dir = Path(data_dir)
    captions = _read_captions(data_dir / "Flickr8k.token.txt")
    folder = next(
        (path for name in ("Flicker8k_Dataset", "images") if (path := data_dir / name).is_dir()),
        data_dir / "images",
    )
    present = sorted(name for name in file_names(folder) if captions.get(name))
    if not present:
        raise InputError(
            f"{folder} holds none of the photos that Flickr8k.token.txt names: put them there."
        )
    splits = _split(data_dir, present)
    return Dataset("flickr8k", *(_pairs(names, folder, captions) for names in splits))


def _read_captions(path: Path) -> dict[str, list[str]]:
    captions = {}
    for number, line in read_lines(path):
        key, tab, caption = line.partition("\t")
        if not tab:
            key, _, caption = line.partition(" ")
        name, mark, _ = key.rpartition("#")
        if not mark:
            raise InputError(
                f"Line {number} of {path} must be `photo#number<TAB>caption`; received {line!r}: "
                "download the file again."
            )
        captions.setdefault(name, []).extend(filter(None, [caption.strip()]))
    return captions


def _split(data_dir: Path, present: list[str]) -> list[list[str]]:
    lists: dict[str, list[str]] = {}
    list_of: dict[str, str] = {}
    for split in SPLITS:
        path = data_dir / LIST.format(split)
        if path.exists() or split == "train":
            stems = {_stem(line) for _, line in read_lines(path)}
            lists[split] = [name for name in present if _stem(name) in stems]
            if not lists[split]:
                raise InputError(
                    f"{path} names none of the {len(present):,} photos that are there: write one "
                    "a line, as Flickr8k.token.txt names them."
                )
            for name in lists[split]:
                if other := list_of.get(name):
                    raise InputError(f"{path} and {other} both name {name}: take it out of one.")
                list_of[name] = path.name
    missing = [split for split in SPLITS if split not in lists]
    rest = [name for name in present if name not in list_of]
    if len(rest) < len(missing):
        raise InputError(
            f"{data_dir} lacks {LIST.format(missing[0])}, and its other lists leave "
            f"{len(rest)} photos: add the list, or photos that are in none."
        )
    half = len(rest) // len(missing) if missing else 0
    parts = dict(zip(missing, (rest[:half], rest[half:]), strict=False))
    return [(lists | parts)[split] for split in SPLITS]


def _stem(name: str) -> str:
    """A photo's name without folders and suffix."""
    return PurePosixPath(name.strip().replace("\\", "/")).name.removesuffix(".jpg")


def _pairs(names: list[str], folder: Path, captions: dict[str, list[str]]) -> Pairs:
    return Pairs(
        np.array([Path(name).stem for name in names], dtype=np.str_),
        path_array([folder / name for name in names]),
        [tuple(captions[name]) for name in names],
    )
