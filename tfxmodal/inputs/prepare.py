"""From flags to features: the dataset, its image tower, its text encoder, and the cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfxmodal.data import Dataset
from tfxmodal.data.pairs import Captions, Pairs, fingerprint
from tfxmodal.encoders.image import ImageEncoder, extract, load_image_encoder
from tfxmodal.encoders.image.pictures import BadImage, load_images
from tfxmodal.encoders.text import TextEncoder, load_text_encoder
from tfxmodal.encoders.text.bag_of_words import encode_pairs
from tfxmodal.encoders.text.text_cnn import TokenIds
from tfxmodal.inputs.cache import cached_features, stamp
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.inputs.raw import (
    check_raw,
    check_trainable,
    progress_bar,
    split_raw,
    text_cnn_to_train,
    without_bad,
)
from tfxmodal.training.trained_run import TrainedRun


@dataclass(frozen=True)
class Prepared:
    """A dataset ready to train on.

    Attributes:
        features: The dataset, both modalities as features.
        source: The same pairs as they came: image files and captions where it has them.
        tower: What made the image features, or None where they came ready.
        encoder: What made the text features, or None where they came ready.
        end_to_end: Whether the features are raw: pixels `[n, crop, crop, 3]` and token ids
            `[n, words]`, for a method that trains the towers too.
    """

    features: Dataset
    source: Dataset
    tower: ImageEncoder | None
    encoder: TextEncoder | TokenIds | None
    end_to_end: bool = False

    def towers(self) -> dict:
        """The argument `towers` of a method that trains them; else nothing."""
        if not self.end_to_end:
            return {}
        return {"towers": {"image": self.tower.model, "text": self.encoder.network}}

    def description(self) -> dict:
        """What evaluation and export need to know of the data: widths, classes, towers.

        The width of raw features is a picture's side, and the words of a text.
        """
        train = self.features.train
        return {
            "image_dim": train.images.shape[1],
            "text_dim": train.texts.shape[1],
            "class_names": self.features.class_names,
            "pairs": {name: len(pairs) for name, pairs in self.features.splits()},
            "image_encoder": self.tower and self.tower.fingerprint,
            "text_encoder": self.encoder and self.encoder.fingerprint,
        }


def prepare(
    config: DataConfig,
    run: TrainedRun | None = None,
    splits: Sequence[str] = ("train", "validation", "test"),
    end_to_end: bool = False,
) -> Prepared:
    """Loads a dataset and turns its images and texts into cached features, or leaves them raw.

    Args:
        config: What to load and how.
        run: A trained run, whose image tower and text encoder are taken; by default the tower that
            `config` names and an encoder made from the training split.
        splits: Those that get features; the others stay as they came.
        end_to_end: Whether to leave them raw (see `Prepared`); of a run, what it was trained on
            counts.

    Raises:
        InputError: If anything the user gave is wrong; see the datasets and the towers.
    """
    source = load(config)
    end_to_end = run.end_to_end if run else end_to_end
    if end_to_end:
        check_raw(source, ("images", "texts"), "--end-to-end")
    tower = encoder = None
    if source.train.has_image_files and run:
        tower = run.load_tower(config.image_weights)
    elif source.train.has_image_files:
        tower = load_image_encoder(config.image_encoder, config.image_weights)
    if source.train.has_captions and run:
        encoder = run.load_encoder()
    elif source.train.has_captions:
        load_encoder = text_cnn_to_train if end_to_end else _text_encoder
        encoder = load_encoder(config, source.train.texts)
    to_features = split_features
    if end_to_end:
        check_trainable(tower)
        to_features, encoder = split_raw, TokenIds(encoder)
    features = source
    for name in splits:
        pairs, encoded = to_features(config, name, getattr(source, name), tower, encoder)
        if run:
            run.check_widths(encoded)
        source = source.replace_splits(**{name: pairs})
        features = features.replace_splits(**{name: encoded})
    return Prepared(features, source, tower, encoder, end_to_end)


def image_cache(config: DataConfig, split: str, pairs: Pairs, tower: ImageEncoder) -> dict:
    """Where the features of a split's images are cached and under which key."""
    files = [(Path(path).name, *stamp(path)) for path in pairs.images]
    key = {
        "dataset": config.dataset,
        "split": split,
        "files": fingerprint(pairs.ids, files),
        "tower": tower.name,
        "preprocessing": f"resize {tower.resize}, crop {tower.crop}, {tower.preprocessing}",
        "weights": tower.weights_hash,
    }
    return _place(config, key, "images", len(pairs), tower.dim)


def text_cache(config: DataConfig, split: str, pairs: Pairs, encoder: TextEncoder) -> dict:
    """Where the features of a split's texts are cached and under which key."""
    key = {
        "dataset": config.dataset,
        "split": split,
        "texts": fingerprint(pairs.ids, list(pairs.texts)),
        "encoder": encoder.fingerprint,
    }
    return _place(config, key, "texts", len(pairs), encoder.dim)


def _text_encoder(config: DataConfig, captions: Captions) -> TextEncoder:
    return load_text_encoder(config.text_encoder, captions, config.vocabulary_size, tqdm)


def _place(config: DataConfig, key: dict, kind: str, n: int, dim: int) -> dict:
    name = f"{key['dataset']}-{key['split']}-{kind}-{fingerprint(sorted(key.items()))}"
    return {"folder": Path(config.cache_dir) / name, "key": key, "n": n, "dim": dim}


def split_features(config, split: str, pairs: Pairs, tower, encoder) -> tuple[Pairs, Pairs]:
    """The pairs that have features, as they came and as features.

    Args:
        config: How bad images are treated, and where the cache is.
        split: The name under which they are cached.
        pairs: Image files, captions or ready features.
        tower: What makes features of the image files, or None.
        encoder: What makes features of the captions, or None.
    """
    images = texts = None
    if tower:
        images = cached_features(
            **image_cache(config, split, pairs, tower),
            compute=lambda start, stop: _extract(tower, pairs.images[start:stop], start),
            on_bad=config.on_bad_image,
            progress=progress_bar(f"{split} images"),
        )
        pairs = without_bad(split, pairs, images)
    if encoder:
        texts = cached_features(
            **text_cache(config, split, pairs, encoder),
            compute=lambda start, stop: (encode_pairs(encoder, pairs.texts[start:stop]), {}),
            progress=progress_bar(f"{split} texts"),
        )
    return pairs, pairs.with_features(images, texts)


def _extract(tower: ImageEncoder, paths: np.ndarray, start: int):
    """Features of some image files, and the reasons of those that cannot be read."""
    images = np.zeros((len(paths), tower.crop, tower.crop, 3), np.float32)
    bad = {}
    for row, image in load_images(paths, (tower.resize, tower.crop)):
        if isinstance(image, BadImage):
            bad[start + row] = f"{paths[row]}: {image.reason}"
        else:
            images[row] = image
    return extract(tower, images), bad
