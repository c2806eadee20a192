"""From flags to features: the dataset, its image tower, its text encoder, and the cache."""

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from tfxmodal.data import DATASETS, Dataset, load_dataset
from tfxmodal.data.cache import ShardedFeatures, cached_features
from tfxmodal.data.images import BadImage, load_images
from tfxmodal.data.pairs import Pairs, fingerprint
from tfxmodal.data.text import encode_pairs
from tfxmodal.errors import InputError, choose
from tfxmodal.towers import ImageTower, extract, load_image_tower
from tfxmodal.towers.text_encoders import TextEncoder, load_text_encoder
from tfxmodal.training.trained_run import TrainedRun


@dataclass(frozen=True)
class DataConfig:
    """Which pairs, and how they become features."""

    dataset: str = "emoji_scenes"
    """emoji_scenes (drawn here, no download), coco, wikipedia, pascal_sentences, flickr8k,
    nus_wide_10k, xmedianet, mirflickr, features (a folder of ready features) or pairs (your own
    images and texts)."""

    data_dir: Path | None = None
    """Folder of the dataset, or the manifest of `pairs`; by default data/DATASET."""

    dataset_options: tuple[str, ...] = ()
    """Options of the dataset itself, as in `--dataset-options size=10000 seed=1`; a wrong name
    lists those there are."""

    download: bool = False
    """Fetch COCO from its official host into the folder (20.4 GB), or go on with it."""

    image_tower: str = "vgg19"
    """Network that turns images into features: vgg19 (fc7, both papers), efficientnet_lite0 (for
    laptops; its weights come by pip), any network of keras.applications, or hub:HANDLE."""

    image_weights: str = "imagenet"
    """The tower's weights: imagenet, random, or a file."""

    text_encoder: str = "tf_idf"
    """What turns texts into features: tf_idf (bag of words, SCL paper), or hub:HANDLE."""

    vocabulary_size: int = 3000
    """Words of the bag, the most frequent of the training split (SCL paper: 5,000 for Wikipedia,
    1,000 for NUS-WIDE-10K, 3,000 for COCO)."""

    on_bad_image: Literal["refuse", "skip"] = "refuse"
    """What to do when images cannot be read: end with a list, or leave their pairs out."""

    cache_dir: Path = Path("cache")
    """Where features are kept, so that they are computed once."""

    @classmethod
    def for_dataset(cls, name: str) -> "DataConfig":
        """The defaults of a dataset."""
        own = {
            "emoji_scenes": {"image_tower": "efficientnet_lite0"},
            "wikipedia": {"vocabulary_size": 5000},
        }
        return replace(cls(dataset=name), **own.get(name, {}))


@dataclass(frozen=True)
class Prepared:
    """A dataset ready to train on.

    Attributes:
        features: The dataset, both modalities as features.
        source: The same pairs as they came: image files and captions where it has them.
        tower: What made the image features, or None where they came ready.
        encoder: What made the text features, or None where they came ready.
    """

    features: Dataset
    source: Dataset
    tower: ImageTower | None
    encoder: TextEncoder | None

    def description(self) -> dict:
        """What evaluation and export need to know of the data: widths, classes, towers."""
        train = self.features.train
        return {
            "image_dim": train.images.shape[1],
            "text_dim": train.texts.shape[1],
            "class_names": self.features.class_names,
            "pairs": {name: len(pairs) for name, pairs in self.features.splits()},
            "image_tower": self.tower and self.tower.fingerprint,
            "text_encoder": self.encoder and self.encoder.fingerprint,
        }


def prepare(
    config: DataConfig,
    run: TrainedRun | None = None,
    splits: Sequence[str] = ("train", "validation", "test"),
) -> Prepared:
    """Loads a dataset and turns its images and texts into cached features.

    Args:
        config: What to load and how.
        run: A trained run, whose image tower and text encoder are taken; by default the tower that
            `config` names and an encoder made from the training split.
        splits: Those that get features; the others stay as they came.

    Raises:
        InputError: If anything the user gave is wrong; see the datasets and the towers.
    """
    source = load(config)
    tower = encoder = None
    if source.train.has_image_files and run:
        tower = run.load_tower(config.image_weights)
    elif source.train.has_image_files:
        tower = load_image_tower(config.image_tower, config.image_weights)
    if source.train.has_captions and run:
        encoder = run.load_encoder()
    elif source.train.has_captions:
        captions = source.train.texts
        encoder = load_text_encoder(config.text_encoder, captions, config.vocabulary_size, tqdm)
    features = source
    for name in splits:
        pairs, encoded = _split_features(config, name, getattr(source, name), tower, encoder)
        if run:
            run.check_widths(encoded)
        source = source.replace_splits(**{name: pairs})
        features = features.replace_splits(**{name: encoded})
    return Prepared(features, source, tower, encoder)


def load(config: DataConfig) -> Dataset:
    """Loads the dataset that the flags name."""
    choose("dataset", config.dataset, DATASETS)
    parameters = inspect.signature(DATASETS[config.dataset]).parameters
    options = dict(_option(option, parameters) for option in config.dataset_options)
    if config.download:
        options["download"] = True
    return load_dataset(config.dataset, config.data_dir, progress=tqdm, **options)


def image_cache(config: DataConfig, split: str, pairs: Pairs, tower: ImageTower) -> dict:
    """Where the features of a split's images are cached and under which key."""
    files = [(Path(path).name, _size(path)) for path in pairs.images]
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


def _place(config: DataConfig, key: dict, kind: str, n: int, dim: int) -> dict:
    name = f"{key['dataset']}-{key['split']}-{kind}-{fingerprint(sorted(key.items()))}"
    return {"folder": Path(config.cache_dir) / name, "key": key, "n": n, "dim": dim}


def _split_features(config, split: str, pairs: Pairs, tower, encoder) -> tuple[Pairs, Pairs]:
    """The pairs that have features, as they came and as features."""
    images = texts = None
    if tower:
        images = cached_features(
            **image_cache(config, split, pairs, tower),
            compute=lambda start, stop: _extract(tower, pairs.images[start:stop], start),
            on_bad=config.on_bad_image,
            progress=_bar(f"{split} images"),
        )
        pairs = _without_bad(split, pairs, images)
    if encoder:
        texts = cached_features(
            **text_cache(config, split, pairs, encoder),
            compute=lambda start, stop: (encode_pairs(encoder, pairs.texts[start:stop]), {}),
            progress=_bar(f"{split} texts"),
        )
    return pairs, pairs.with_features(images, texts)


def _extract(tower: ImageTower, paths: np.ndarray, start: int):
    """Features of some image files, and the reasons of those that cannot be read."""
    images = np.zeros((len(paths), tower.crop, tower.crop, 3), np.float32)
    bad = {}
    for row, image in load_images(paths, (tower.resize, tower.crop)):
        if isinstance(image, BadImage):
            bad[start + row] = f"{paths[row]}: {image.reason}"
        else:
            images[row] = image
    return extract(tower, images), bad


def _without_bad(split: str, pairs: Pairs, images: ShardedFeatures) -> Pairs:
    if not images.bad:
        return pairs
    print(f"{len(images.bad)} of {len(pairs)} {split} images are left out:")
    for reason in list(images.bad.values())[:5]:
        print(f"  {reason}")
    if not len(images):
        raise InputError(f"No image of the {split} split can be read; check --data-dir.")
    return pairs.take(images.kept)


def _bar(description: str):
    return lambda items, desc=None, **options: tqdm(items, desc=description, unit="part", **options)


def _size(path) -> int:
    """Bytes of a file; -1 where it is missing, which extraction reports if it comes to it."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _option(text: str, parameters) -> tuple[str, bool | int | str]:
    """An option of a dataset in the type that its `load` gives the parameter of that name."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--dataset-options takes NAME=VALUE; received {text!r}.")
    kind = parameters[name].annotation if name in parameters else str
    try:
        if kind is bool:
            return name, {"true": True, "false": False}[value.lower()]
        return name, int(value) if kind is int else value
    except (KeyError, ValueError):
        what = "true or false" if kind is bool else "a whole number"
        raise InputError(f"--dataset-options {name} takes {what}; received {value!r}.") from None
