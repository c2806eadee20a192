"""Pixels and token ids of a dataset, for methods that train the encoders' networks too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxmodal.data import Dataset
from tfxmodal.data.pairs import Captions, Pairs
from tfxmodal.encoders.image import ImageEncoder
from tfxmodal.encoders.image.pictures import list_bad
from tfxmodal.encoders.text import (
    TextEncoder,
    encoder_class,
    gives_words,
    load_text_encoder,
)
from tfxmodal.encoders.text.bag_of_words import document
from tfxmodal.encoders.text.known_words import KnownWords, cut_texts, told_cut
from tfxmodal.encoders.text.text_cnn import TextCNN, TokenIds
from tfxmodal.encoders.text.tokens import CHARACTERS, VERSION
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.pixels import Pixels
from tfxmodal.inputs.shards import ShardedFeatures
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.lazy import keras, tf


def check_raw(source: Dataset, kinds: Sequence[str], who: str):
    """Checks that a dataset has what an encoder is trained on: image files, captions.

    Raises:
        InputError: If it has features in their place.
    """
    has = {"images": source.train.has_image_files, "texts": source.train.has_captions}
    for kind in kinds:
        if not has[kind]:
            raise InputError(
                f"{who} needs the {kind} themselves, and the dataset {source.name} has ready "
                "features of them: give one with image files and captions, or train on its "
                "features."
            )


def check_one_text(config: DataConfig):
    """Checks that each row has one text, on which an encoder can be trained.

    Raises:
        InputError: If it has the mean of several texts' features.
    """
    if config.captions == "averaged":
        raise InputError(
            "`captions` averaged is the mean of several texts' features, and an encoder is "
            "trained on texts: give joined or each."
        )


def check_trainable(encoder: ImageEncoder):
    """Checks that an encoder has weights that can be trained.

    Raises:
        InputError: If it has none, as a SavedModel.
    """
    if not encoder.model.trainable_variables:
        raise InputError(
            f"The image encoder {encoder.name} has no weights that can be trained: take vgg19, "
            "efficientnet_lite0 or a network of keras.applications."
        )


def synchronize(model: keras.Model):
    """Lets batch normalisation take its statistics from the global batch, where replicas share it.

    Args:
        model: What is trained, made in the scope of the strategy in force.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return  # Keras sums otherwise there, and rounds otherwise.
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def text_cnn_to_train(
    config: DataConfig, captions: Captions, seed: int = 0, reporter: Reporter = SILENT
) -> TextCNN:
    """The TextCNN that a config names, or an untrained one in the place of the bag of words.

    Raises:
        InputError: If it names an encoder that cannot be trained, or its fields do not go together.
    """
    if not gives_words(config.text_encoder):
        raise InputError(
            f"The text encoder {config.text_encoder} cannot be trained further: leave it out, for "
            "a TextCNN."
        )
    if encoder_class(config.text_encoder) is TextCNN:
        for name in ("text_tokens", "word_vectors", "text_mode"):
            if (value := getattr(config, name)) != getattr(DataConfig, name):
                raise InputError(
                    f"`{name}` {value} is of a new TextCNN, and `text_encoder` names the trained "
                    f"{config.text_encoder}: leave one of them out."
                )
        return load_text_encoder(config.text_encoder, captions)
    mode = config.text_mode or ("random" if config.word_vectors == "random" else "non_static")
    encoder = TextCNN.create(
        captions,
        config.vocabulary_size,
        config.word_vectors,
        mode,
        seed=seed,
        progress=reporter.bar,
        version=CHARACTERS if config.text_tokens == "characters" else VERSION,
    )
    if encoder.coverage:
        reporter.say(encoder.coverage)
    return encoder


def token_ids(encoder: TokenIds, captions: Captions) -> np.ndarray:
    """Ids of each pair's text, `[n, words]` int32."""
    return encoder.encode([document(each) for each in captions])


def known_words(
    split: str,
    pairs: Pairs,
    encoder: TextEncoder | TokenIds,
    averaged: bool = False,
    reporter: Reporter = SILENT,
) -> dict:
    """How many words of a split's captions an encoder knows; texts without any are told.

    They stay: what is measured without them could not be compared with what others measure. Texts
    of which the encoder reads the beginning alone are told, too.

    Args:
        split: Its name.
        pairs: Its captions.
        encoder: What reads them.
        averaged: Whether each caption of a pair is read by itself.
        reporter: Is told.
    """
    ids = pairs.ids if pairs.paired else [f"text-{row}" for row in range(len(pairs.texts))]
    texts = [document(captions) for captions in pairs.texts]
    counts = KnownWords.count(encoder, texts)
    if told := counts.told(ids, encoder.words is not None):
        reporter.say(f"{split}: {told}")
    read = [caption for each in pairs.texts for caption in each] if averaged else texts
    cut = cut_texts(encoder, read)
    for told in told_cut(cut, len(read)):
        reporter.say(f"{split}: {told}")
    without = [str(ids[row]) for row in counts.without]
    found = {"words": counts.words, "known": counts.known, "texts_without": without}
    return found | ({"texts_cut": cut} if cut else {})


def without_bad(
    split: str,
    pairs: Pairs,
    images: ShardedFeatures | Pixels,
    cache_dir: Path,
    reporter: Reporter = SILENT,
) -> Pairs:
    """The pairs whose images could be read; the others are told, and listed if they are many.

    Raises:
        InputError: If none is left.
    """
    if not images.bad:
        return pairs
    told = list_bad(images.bad, pairs.images, cache_dir, f"bad_images_{split}")
    reporter.say(f"{len(images.bad)} of {len(pairs)} {split} images are left out: {told}")
    if not len(images):
        raise InputError(f"No image of the {split} split can be read; check `data_dir`.")
    return pairs.take(images.kept)
