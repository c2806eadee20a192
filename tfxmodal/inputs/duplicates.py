"""Equal images and texts, in a split, in two splits, in a gallery: they are told."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import some_of
from tfxmodal.inputs.contents import content_keys
from tfxmodal.io.hashing import hash_rows, hash_text
from tfxmodal.io.reporter import SILENT, Reporter

SHOWN = 3
"""Examples of each kind that are named."""


def image_keys(images, cache_dir: Path) -> list[bytes]:
    """Hashes of the contents of picture files, or of rows of features, `[n]`."""
    if len(getattr(images, "shape", (0,))) == 1:
        return content_keys(images, Path(cache_dir) / "files.npy")
    return hash_rows(images)


def text_key(text: str) -> bytes:
    """The hash of a text; the same for another case, spacing or composition of its letters."""
    return hash_text(" ".join(unicodedata.normalize("NFKC", text).casefold().split()))


def shared(keys: Sequence[bytes], owners: Sequence) -> dict[int, int]:
    """Of each row whose key another owner has, too, the first row of another owner with it."""
    first: dict[bytes, list[int]] = {}  # Of each key its first row, and the first of another owner.
    for row, (key, owner) in enumerate(zip(keys, owners, strict=True)):
        rows = first.setdefault(key, [])
        if not rows or (len(rows) == 1 and owner != owners[rows[0]]):
            rows.append(row)
    return {
        row: rows[0] if owner != owners[rows[0]] else rows[1]
        for row, (rows, owner) in enumerate(zip(map(first.get, keys), owners, strict=True))
        if len(rows) > 1
    }


def told_equal(names: Sequence[str], keys: Sequence[bytes], owners: Sequence, kind: str) -> str:
    """How many items are equal to one of another owner, as the beginning of a sentence, or nothing.

    Args:
        names: `[n]`, of the items.
        keys: `[n]`, equal for equal items.
        owners: `[n]`, the pair of each: equal texts of one pair are no trouble.
        kind: `images` or `texts`.
    """
    found = shared(keys, owners)
    pairs = [f"{names[row]} = {names[other]}" for row, other in found.items() if other < row]
    what = f"{len(found):,} of {len(keys):,} {kind} are equal to another one"
    return f"{what} ({_examples(pairs)})" if found else ""


def tell_duplicates(splits: Mapping[str, Pairs], cache_dir: Path, reporter: Reporter = SILENT):
    """Tells of repeated images, of duplicates in splits that are measured, and between splits.

    Picture files are compared by their contents, features by their values, captions by their words.

    Args:
        splits: By name, as they came.
        cache_dir: Where the contents of files are remembered.
        reporter: Is told.
    """
    images = {}

    def tell(split: str, equal: str):
        if equal:
            reporter.say(f"{split}: {equal}: they tie, and ties count against the scorer.")

    for name, pairs in splits.items():
        rows, keys = pairs.once(slice(None)), image_keys(pairs.images, cache_dir)
        if len(rows) < len(pairs):
            _tell_repeated(name, pairs, len(rows), reporter)
        ids = pairs.ids.tolist()
        images[name] = {keys[row]: ids[row] for row in pairs.once(pairs.sides[0])}
        if name == "train":
            continue
        tell(name, told_equal([ids[r] for r in rows], [keys[r] for r in rows], rows, "images"))
        if pairs.has_captions:
            owners = np.repeat(pairs.owners, [len(each) for each in pairs.texts])
            texts = [text for each in pairs.texts for text in each]
            names, text_keys = [repr(text) for text in texts], [text_key(text) for text in texts]
        else:
            owners, names, text_keys = pairs.owners, ids, hash_rows(pairs.texts)
        tell(name, told_equal(names, text_keys, owners.tolist(), "texts"))
    for (first, ours), (second, theirs) in combinations(images.items(), 2):
        if both := [f"{theirs[key]} = {ours[key]}" for key in theirs if key in ours]:
            reporter.say(
                f"{len(both):,} of {len(theirs):,} images of {second} are in {first}, too "
                f"({_examples(both)}): results on them do not tell how the model does on new "
                "images; take them out of one of the two."
            )


def _tell_repeated(name: str, pairs: Pairs, images: int, reporter: Reporter):
    _, counts = np.unique(pairs.owners, return_counts=True)
    low, high = counts.min(), counts.max()
    number = f"{high}" if low == high else f"{low} to {high}"
    said = f"{name}: {len(pairs):,} rows are {images:,} images with {number} captions each"
    protocol = (
        f"; evaluated by the {number}-caption protocol: an image is ranked once, and found at the "
        "best of its captions"
    )
    reporter.say(f"{said}{'' if name == 'train' else protocol}.")


def _examples(found: list[str]) -> str:
    return some_of([each if len(each) <= 120 else f"{each[:119]}…" for each in found], SHOWN)
