"""From raw pairs to what a method reads, by the encoders that a config names, through the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tfxmodal.data import Dataset
from tfxmodal.data.pairs import Features, Pairs
from tfxmodal.data.repeated import one_row_a_caption
from tfxmodal.encoders.image import ImageEncoder, check_kind, load_image_encoder
from tfxmodal.encoders.text import TextEncoder, load_text_encoder
from tfxmodal.encoders.text.text_cnn import TokenIds
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.features import caption_features, check_files, image_features, text_features
from tfxmodal.inputs.pixels import Pixels
from tfxmodal.inputs.raw import (
    check_one_text,
    check_raw,
    check_trainable,
    known_words,
    synchronize,
    text_cnn_to_train,
    token_ids,
    without_bad,
)
from tfxmodal.inputs.shared_space import check_shared_space
from tfxmodal.inputs.spec import RAW, MethodInputs
from tfxmodal.io.reporter import SILENT, Reporter

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Prepared:
    """A dataset as a method reads it.

    Attributes:
        features: The dataset, both modalities as the named inputs.
        source: The same pairs as they came: image files and captions where it has them.
        image_encoder: What made the images' features, or None where they came ready.
        text_encoder: What made the texts' features, or None where they came ready.
        inputs: What the training rows are.
        known_words: By split, how many words of its captions the text encoder knows.
    """

    features: Dataset
    source: Dataset
    image_encoder: ImageEncoder | None
    text_encoder: TextEncoder | TokenIds | None
    inputs: MethodInputs
    known_words: dict[str, dict]

    def single_captions(
        self, split: str, cache_dir: Path, reporter: Reporter = SILENT
    ) -> Features | None:
        """Each caption of a split by itself, as the method reads texts, one after the other.

        None where each pair has one, where texts came as features, and where some pairs ask and the
        others are searched: then the texts are the pairs'.

        Raises:
            InputError: See `text_features`.
        """
        pairs = getattr(self.source, split)
        if self.text_encoder is None or pairs.queries is not None:
            return None
        if all(len(captions) == 1 for captions in pairs.texts):
            return None
        single = [caption for captions in pairs.texts for caption in captions]
        if self.inputs.kinds["text"] == "words":
            return self.text_encoder.encode(single)
        bar = reporter.named(f"{split} captions")
        return text_features(self.text_encoder, single, cache_dir, bar)

    def description(self) -> dict:
        """What evaluation and export need to know of the data: inputs, classes, encoders."""
        encoders = {"image_encoder": self.image_encoder, "text_encoder": self.text_encoder}
        licenses = {name: getattr(encoder, "license", None) for name, encoder in encoders.items()}
        return {
            "dataset": asdict(self.source.card),
            "licenses": licenses,
            "inputs": self.inputs.to_json(),
            "class_names": self.features.class_names,
            "pairs": {name: len(pairs) for name, pairs in self.features.splits()},
            "known_words": self.known_words,
        } | {name: encoder and encoder.fingerprint for name, encoder in encoders.items()}


def prepare(
    source: Dataset,
    config: DataConfig,
    kinds: Mapping[str, str],
    image_encoder: Callable[[], ImageEncoder] | None = None,
    text_encoder: Callable[[], TextEncoder] | None = None,
    splits: Sequence[str] = SPLITS,
    seed: int = 0,
    reporter: Reporter = SILENT,
    shared_space: bool = False,
) -> Prepared:
    """Turns the images and texts of a dataset into what a method reads.

    Args:
        source: The dataset.
        config: How.
        kinds: The kind of input of `image` and of `text`, see `inputs.spec`.
        image_encoder: Gives the image encoder, where the images need one; by default the one that
            `config` names.
        text_encoder: Gives the text encoder, likewise; by default one made from the training split.
        splits: Those that are turned; the others stay as they came.
        seed: Of encoders that start with random weights.
        reporter: Is told of the progress.
        shared_space: Whether the method compares features of images and texts as they are.

    Raises:
        InputError: If anything the user gave is wrong; see the encoders.
    """
    _check_kinds(source, config, kinds)
    if kinds["text"] == "words" and text_encoder is None:  # Else it is trained already.
        check_one_text(config)
    images = texts = None
    if source.train.has_image_files:
        images = (image_encoder or (lambda: named_image_encoder(config, seed)))()
    if source.train.has_captions:
        made = partial(_text_encoder, config, source, kinds["text"], seed, reporter)
        texts = (text_encoder or made)()
    if shared_space:
        check_shared_space(source.train, images, texts, reporter)
    networks = {}
    if kinds["image"] == "pixels":
        check_trainable(images)
        synchronize(images.model)
        networks["image"] = images.model
    if kinds["text"] == "words":
        networks["text"], texts = texts.network, TokenIds(texts)
    if images:
        check_images(config, [getattr(source, name) for name in splits], kinds, images, reporter)
    features, known = source, {}
    for name in splits:
        pairs = getattr(source, name)
        pairs, rows = split_rows(config, name, pairs, kinds, images, texts, reporter)
        if texts:
            known[name] = known_words(name, pairs, texts, config.captions == "averaged", reporter)
        source = source.replace_splits(**{name: pairs})
        features = features.replace_splits(**{name: rows})
    inputs = MethodInputs.of(getattr(features, splits[0]), kinds, networks)
    return Prepared(features, source, images, texts, inputs, known)


def _check_kinds(source: Dataset, config: DataConfig, kinds: Mapping[str, str]):
    """Checks, before any network is built, that a dataset can be read as a method reads it."""
    raw = [f"{modality}s" for modality in ("image", "text") if kinds[modality] in RAW]
    check_raw(source, raw, "Training end to end")
    if config.text_tokens == "characters" and kinds["text"] != "words":
        raise InputError(
            "`text_tokens` characters is of a TextCNN that is trained, and the method reads "
            "features of texts: train end to end, or leave it out."
        )
    if source.train.has_image_files and kinds["image"] not in RAW:
        check_kind(config.image_encoder, kinds["image"])
    elif kinds["image"] == "map":
        raise InputError(
            f"The method reads maps of images, and the dataset {source.name} has ready features of "
            "them, one vector each: give one with image files."
        )


def named_image_encoder(config: DataConfig, seed: int = 0) -> ImageEncoder:
    """The image encoder that a config names."""
    return load_image_encoder(config.image_encoder, config.image_weights, seed)


def _text_encoder(
    config: DataConfig, source: Dataset, kind: str, seed: int, reporter: Reporter
) -> TextEncoder:
    train = one_row_a_caption(source.train) if config.captions == "each" else source.train
    captions = train.texts
    if kind == "words":
        return text_cnn_to_train(config, captions, seed, reporter)
    return load_text_encoder(config.text_encoder, captions, config.vocabulary_size, reporter.bar)


def check_images(
    config: DataConfig,
    splits: Sequence[Pairs],
    kinds: Mapping[str, str],
    encoder: ImageEncoder,
    reporter: Reporter = SILENT,
):
    """Looks at all image files that are to be encoded, where bad ones are refused.

    Args:
        config: Whether they are, and where the cache is.
        splits: Pairs with image files.
        kinds: The kind of input of `image` and of `text`.
        encoder: What is to encode them.
        reporter: Is told of the progress.

    Raises:
        InputError: If files are bad; it tells of all.
    """
    if config.on_bad_image == "refuse" and kinds["image"] != "pixels":
        paths = np.concatenate([pairs.images for pairs in splits])
        bar = reporter.named("images")
        check_files(encoder, paths, config.cache_dir, kinds["image"], bar)


def split_rows(
    config: DataConfig,
    split: str,
    pairs: Pairs,
    kinds: Mapping[str, str],
    image_encoder: ImageEncoder | None,
    text_encoder: TextEncoder | TokenIds | None,
    reporter: Reporter = SILENT,
) -> tuple[Pairs, Pairs]:
    """The pairs whose images can be read, as they came and as a method reads them.

    Args:
        config: How bad images are treated, and where the cache is.
        split: Its name, for the progress.
        pairs: Image files, captions or ready features.
        kinds: The kind of input of `image` and of `text`.
        image_encoder: What makes features of the image files, or None where they stay as they are.
        text_encoder: What makes features, or token ids, of the captions, or None likewise.
        reporter: Is told of the progress.
    """
    images = texts = None
    if image_encoder and kinds["image"] == "pixels":
        bar = reporter.named(f"{split} images", "image")
        images = Pixels(
            pairs.images, image_encoder.preprocessing, config.cache_dir, config.on_bad_image, bar
        )
    elif image_encoder:
        images = image_features(
            image_encoder,
            pairs.images,
            config.cache_dir,
            kinds["image"],
            config.on_bad_image,
            reporter.named(f"{split} images"),
            config.engine,
            reporter.say,
        )
    if images is not None:
        pairs = without_bad(split, pairs, images, config.cache_dir, reporter)
    read = pairs.with_features(images)
    if text_encoder and config.captions == "each":
        pairs, read = one_row_a_caption(pairs), one_row_a_caption(read)
    if text_encoder and kinds["text"] == "words":
        texts = token_ids(text_encoder, pairs.texts)
    elif text_encoder:
        bar = reporter.named(f"{split} texts")
        texts = caption_features(text_encoder, pairs.texts, config.cache_dir, config.captions, bar)
    return pairs, read.with_features(texts=texts)
