"""A hash of a split, by which two runs are known to have learned from the same pairs."""

from __future__ import annotations

from pathlib import Path

from tfxmodal.data.pairs import Dataset, Pairs
from tfxmodal.inputs.duplicates import image_keys
from tfxmodal.io.hashing import fingerprint, hash_rows


def data_hashes(dataset: Dataset, cache_dir: Path) -> dict[str, str]:
    """The hash of each split, by its name; see `data_hash`."""
    return {name: data_hash(pairs, cache_dir) for name, pairs in dataset.splits()}


def data_hash(pairs: Pairs, cache_dir: Path) -> str:
    """A hash of the images' contents, the texts and the labels, in their order.

    Args:
        pairs: A split, as files and captions or as features.
        cache_dir: Where the contents of files are remembered.

    Returns:
        16 hexadecimal digits.
    """
    if pairs.has_captions:
        texts = repr([tuple(each) for each in pairs.texts]).encode()
    else:
        texts = b"".join(hash_rows(pairs.texts))
    images = b"".join(image_keys(pairs.images, cache_dir))
    return fingerprint(images, texts, pairs.labels, pairs.text_labels, pairs.queries)
