"""Checks that settings that were given are read: else the results would be of other settings."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from tfxmodal.data import DATASETS, Dataset
from tfxmodal.encoders.text import names_of_parts
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.spec import RAW

IN_ENCODERS = {"image_encoder", "image_weights", "text_encoder"}
"""Fields whose places `encoders` takes."""
OF_IMAGES = ("encoders", "image_encoder", "image_weights", "on_bad_image")
"""Fields for image files."""
OF_NEW_TEXT_CNN = ("word_vectors", "text_mode")
"""Fields for a TextCNN that is trained with a method."""
OF_VOCABULARY = ("vocabulary_size", *OF_NEW_TEXT_CNN)
"""Fields for a text encoder that is made from the training split."""
OF_TEXTS = ("encoders", "text_encoder", "captions", *OF_VOCABULARY)
"""Fields for captions."""


def check_given(
    source: Dataset, config: DataConfig, kinds: Mapping[str, str], alone: bool = True
) -> None:
    """Checks, before any work, that each field that is not at its default is read.

    Args:
        source: The dataset.
        config: The fields.
        kinds: The kind of input of `image` and of `text`, see `inputs.spec`.
        alone: Whether no other method is trained by the same fields, which may read more of them.

    Raises:
        InputError: If one is not.
    """
    files, captions = source.train.has_image_files, source.train.has_captions
    for modality, raw, other, fields in (
        ("image", files, captions, OF_IMAGES),
        ("text", captions, files, OF_TEXTS),
    ):
        if not raw and kinds[modality] not in RAW:  # Those `prepare` refuses.
            fields = fields[1:] if other else fields  # The other one reads its `encoders`.
            why = f"the dataset {source.name} has ready features of its {modality}s"
            _check(config, fields, why, _raw(config, modality))
    if not captions or kinds["text"] == "words":
        return
    if all(":" in part for part in names_of_parts(config.text_encoder)):
        _check(config, OF_VOCABULARY, f"the text encoder {config.text_encoder} is trained already")
    elif alone:
        why = "features of texts are read, and no TextCNN is trained"
        _check(config, OF_NEW_TEXT_CNN, why, ", or train end to end")


def _raw(config: DataConfig, modality: str) -> str:
    """How to have the images or the texts themselves."""
    option = f"{modality}_features"
    loader = DATASETS.get(config.dataset)
    if loader and option in inspect.signature(loader).parameters:
        return f", or read them raw by `dataset_options` {option}=raw"
    return ", or give a dataset with image files and captions"


def _check(config: DataConfig, fields: tuple[str, ...], why: str, remedy: str = ""):
    defaults = DataConfig(), DataConfig.for_dataset(config.dataset)
    given = [
        f"`{name}` {getattr(config, name)}"
        for name in fields
        if all(getattr(config, name) != getattr(each, name) for each in defaults)
        and not (config.encoders and name in IN_ENCODERS)
    ]
    if given:
        raise InputError(
            f"{', '.join(given)} would have no effect, since {why}: leave "
            f"{'it' if len(given) == 1 else 'them'} out{remedy}."
        )
