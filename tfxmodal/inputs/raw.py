"""Pixels and token ids of a dataset, for towers that are trained on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from tfxmodal.data import Dataset
from tfxmodal.data.pairs import Captions, Pairs
from tfxmodal.encoders.image import ImageEncoder
from tfxmodal.encoders.text import load_text_encoder
from tfxmodal.encoders.text.bag_of_words import document
from tfxmodal.encoders.text.text_cnn import TextCNN, TokenIds
from tfxmodal.errors import InputError
from tfxmodal.inputs.cache import ShardedFeatures
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.pixels import Pixels
from tfxmodal.lazy import keras


def check_raw(source: Dataset, kinds: Sequence[str], who: str):
    """Checks that a dataset has what a tower is trained on: image files, captions.

    Raises:
        InputError: If it has features in their place.
    """
    has = {"images": source.train.has_image_files, "texts": source.train.has_captions}
    for kind in kinds:
        if not has[kind]:
            raise InputError(
                f"{who} trains a tower on the {kind} themselves, and the dataset {source.name} has "
                "ready features of them: give one with image files and captions, or train on its "
                "features without."
            )


def check_trainable(tower: ImageEncoder):
    """Checks that a tower has weights that can be trained.

    Raises:
        InputError: If it has none, as a SavedModel.
    """
    if not tower.model.trainable_variables:
        raise InputError(
            f"The image tower {tower.name} has no weights that can be trained: take vgg19, "
            "efficientnet_lite0 or a network of keras.applications."
        )


def text_cnn_to_train(config: DataConfig, captions: Captions) -> TextCNN:
    """The TextCNN that the flags name, or an untrained one in the place of the bag of words.

    Raises:
        InputError: If they name an encoder that cannot be trained, or do not go together.
    """
    if config.text_encoder.startswith("hub:"):
        raise InputError(
            f"The text encoder {config.text_encoder} cannot be trained further: leave it out, for "
            "a TextCNN."
        )
    if config.text_encoder != "tf_idf":
        return load_text_encoder(config.text_encoder, captions)
    mode = config.text_mode or ("random" if config.word_vectors == "random" else "non_static")
    keras.utils.set_random_seed(0)  # As for an image tower's random weights.
    return TextCNN.create(
        captions, config.vocabulary_size, config.word_vectors, mode, progress=tqdm
    )


def split_raw(
    config: DataConfig, split: str, pairs: Pairs, tower: ImageEncoder, encoder: TokenIds
) -> tuple[Pairs, Pairs]:
    """The pairs whose images can be read, as they came and as pixels and token ids."""
    size = tower.resize, tower.crop
    images = Pixels(
        pairs.images, size, config.on_bad_image, progress_bar(f"{split} images", "image")
    )
    pairs = without_bad(split, pairs, images)
    return pairs, pairs.with_features(images, token_ids(encoder, pairs.texts))


def token_ids(encoder: TokenIds, captions: Captions) -> np.ndarray:
    """Ids of each pair's text, `[n, words]` int32."""
    return encoder.encode([document(each) for each in captions])


def without_bad(split: str, pairs: Pairs, images: ShardedFeatures | Pixels) -> Pairs:
    """The pairs whose images could be read; the others are told.

    Raises:
        InputError: If none is left.
    """
    if not images.bad:
        return pairs
    print(f"{len(images.bad)} of {len(pairs)} {split} images are left out:")
    for reason in list(images.bad.values())[:5]:
        print(f"  {reason}")
    if not len(images):
        raise InputError(f"No image of the {split} split can be read; check --data-dir.")
    return pairs.take(images.kept)


def progress_bar(description: str, unit: str = "part"):
    """A bar that says this, whatever long work it shows."""
    return lambda items, desc=None, **options: tqdm(items, desc=description, unit=unit, **options)
