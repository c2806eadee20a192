"""Features of images and texts, by an encoder, from a cache."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Captions, Features
from tfxmodal.encoders.image import Extractor, ImageEncoder
from tfxmodal.encoders.image.pictures import (
    AHEAD,
    DECODING,
    BadImage,
    bad_images,
    check_images,
    load_images,
)
from tfxmodal.encoders.places import without_place
from tfxmodal.encoders.text import TextEncoder
from tfxmodal.encoders.text.bag_of_words import document
from tfxmodal.errors import choose
from tfxmodal.inputs.cache import FeatureCache, Space
from tfxmodal.inputs.contents import content_keys
from tfxmodal.inputs.shards import ShardedFeatures
from tfxmodal.io.hashing import fingerprint, hash_text

KEPT_AS = {"global": "float32", "map": "float16"}
"""How features of each kind are kept."""


def image_features(
    encoder: ImageEncoder,
    paths: Sequence[str | Path],
    cache_dir: Path,
    kind: str = "global",
    on_bad: str = "refuse",
    progress=None,
    engine: str = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> ShardedFeatures:
    """Features of picture files.

    Pictures that were deleted since their features were computed are still found by their paths.
    The engine is no part of what the cache knows features by: as between two processors, they
    differ by rounding, which is checked wherever an engine starts.

    Args:
        encoder: What makes them.
        paths: The files, `[n]`.
        cache_dir: The folder of all caches.
        kind: `global` for `[n, dim]`, or `map` for `[n, locations, channels]`.
        on_bad: What to do about files that cannot be read: `refuse`, or `skip` to leave them out.
        progress: Wraps an iterable, as tqdm does.
        engine: What runs the encoder, see `Extractor`.
        say: Is told where another engine runs it.

    Raises:
        InputError: If the encoder has no features of that kind, files are bad and `on_bad` is
            `refuse`, the engine cannot be had, or the features cannot be computed or written
            (`FeatureCache.features`).
    """
    choose("on_bad", on_bad, ("refuse", "skip"))
    cache = _image_cache(encoder, kind, cache_dir)
    space, how = cache.space, encoder.preprocessing
    extract = Extractor(encoder, kind, engine, say)

    def compute(rows: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        features, bad = np.zeros((len(rows), *space.shape), np.float32), {}
        pictures = load_images((paths[row] for row in rows), how)
        while batch := dict(islice(pictures, AHEAD)):  # Meanwhile the next ones are decoded.
            unread = {i: each.reason for i, each in batch.items() if isinstance(each, BadImage)}
            bad |= {int(rows[i]): reason for i, reason in unread.items()}
            if good := [i for i in batch if i not in unread]:
                features[good] = extract(np.stack([batch[i] for i in good]))
            cache.alive()
        return features, bad

    keys = _file_keys(paths, cache_dir, progress)
    features = cache.features(keys, compute, progress)
    features.bad = {row: f"{paths[row]}: {reason}" for row, reason in features.bad.items()}
    if features.bad and on_bad == "refuse":
        raise bad_images(features.bad, paths, cache_dir)
    return features


def check_files(
    encoder: ImageEncoder,
    paths: Sequence[str | Path],
    cache_dir: Path,
    kind: str = "global",
    progress=None,
) -> None:
    """Looks at the picture files that are still to be encoded: hours before a bad one's turn.

    Args:
        encoder: See `image_features`, as the others.
        paths: The files.
        cache_dir: The folder of all caches.
        kind: `global` or `map`.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If files are bad; it tells of all.
    """
    keys = _file_keys(paths, cache_dir, progress)
    rows = _image_cache(encoder, kind, cache_dir).missing(keys)
    checked = check_images(paths[row] for row in rows)
    if progress and rows:
        checked = progress(checked, total=len(rows), desc="checking")
    faults = {keys[rows[i]]: fault.reason for i, fault in checked if fault}
    if faults:
        bad = {row: f"{paths[row]}: {faults[key]}" for row, key in enumerate(keys) if key in faults}
        raise bad_images(bad, paths, cache_dir)


def _image_cache(encoder: ImageEncoder, kind: str, cache_dir: Path) -> FeatureCache:
    how = encoder.preprocessing
    key = {
        "encoder": without_place(encoder.name),
        "resize": how.resize,
        "crop": how.crop,
        "normalisation": how.normalisation,
        "weights": encoder.weights_hash,
        "kind": kind,
        "decoding": DECODING,
    }
    space = Space(key, encoder.model_of(kind).output_shape[1:], KEPT_AS[kind])
    return FeatureCache(_folder(cache_dir, f"{key['encoder']}-{kind}", space), space)


def _file_keys(paths: Sequence[str | Path], cache_dir: Path, progress=None) -> list[bytes]:
    return content_keys(paths, Path(cache_dir) / "files.npy", progress)


def text_features(
    encoder: TextEncoder, texts: Sequence[str], cache_dir: Path, progress=None
) -> ShardedFeatures:
    """Features of texts, `[n, dim]`.

    Args:
        encoder: What makes them.
        texts: The texts, `[n]`.
        cache_dir: The folder of all caches.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If they cannot be computed or written (`FeatureCache.features`).
    """
    space = Space({"encoder": encoder.fingerprint}, (encoder.dim,))
    cache = FeatureCache(_folder(cache_dir, "texts", space), space)

    def compute(rows: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        return encoder.encode([texts[row] for row in rows]), {}

    return cache.features([hash_text(text) for text in texts], compute, progress)


def caption_features(
    encoder: TextEncoder, captions: Captions, cache_dir: Path, how: str, progress=None
) -> Features:
    """Features of pairs by their captions, `[n, dim]`.

    Args:
        encoder: What makes them.
        captions: Those of each pair.
        cache_dir: The folder of all caches.
        how: `joined`, where a pair's captions are one text; `averaged`, where each is a text by
            itself and the pair has the mean of their features, which is kept in memory; `each`,
            where every pair has one.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: See `text_features`.
    """
    if how != "averaged":
        return text_features(encoder, [document(each) for each in captions], cache_dir, progress)
    single = [caption for each in captions for caption in each]
    rows = text_features(encoder, single, cache_dir, progress)
    ends = np.cumsum([len(each) for each in captions])
    means = np.empty((len(captions), encoder.dim), np.float32)
    for row, (end, each) in enumerate(zip(ends, captions, strict=True)):
        means[row] = rows[end - len(each) : end].mean(axis=0) if each else 0
    return means


def _folder(cache_dir: Path, name: str, space: Space) -> Path:
    """The folder of a space, which its key names."""
    name = re.sub(r"[^\w.-]+", "_", name)[:60]
    parts = sorted(space.key.items()), space.shape, space.dtype
    return Path(cache_dir) / f"{name}-{fingerprint(*parts)}"
