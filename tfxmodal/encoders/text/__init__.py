"""The text encoders by name: a bag of words, a TextCNN, or a SavedModel from TensorFlow Hub.

A new text encoder is one file with a class as `TextEncoder` says and one line in `TEXT_ENCODERS`.
The file imports TensorFlow when the encoder is made, not before (`tfxmodal.lazy`).
"""

from pathlib import Path

from tfxmodal.data.pairs import Captions
from tfxmodal.encoders.text.bag_of_words import BagOfWords
from tfxmodal.encoders.text.hub import HubText
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.encoders.text.text_encoder import TextEncoder, TrainableTextEncoder
from tfxmodal.errors import choose

TEXT_ENCODERS: dict[str, type[TextEncoder]] = {
    "hub:HANDLE": HubText,
    "text_cnn:FOLDER": TextCNN,
    "tf_idf": BagOfWords,
}
"""What a name begins with, and what follows its colon."""


def load_text_encoder(
    name: str, captions: Captions, vocabulary_size: int = 3000, progress=None
) -> TextEncoder:
    """A text encoder by its name, fitted where there is something to fit.

    Args:
        name: `tf_idf`, `hub:` and a handle or a SavedModel's folder, or `text_cnn:` and the folder
            of a trained TextCNN.
        captions: Captions of the training pairs, for the vocabulary.
        vocabulary_size: Most words in it.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the name is unknown, or the encoder cannot be had.
    """
    start, colon, rest = name.partition(":")
    known = {(each.partition(":")[:2]): encoder for each, encoder in TEXT_ENCODERS.items()}
    if (start, colon) not in known:
        choose("text encoder", name, TEXT_ENCODERS)
    return known[start, colon].from_name(rest, captions, vocabulary_size, progress)


def open_text_encoder(folder: str | Path) -> TextEncoder:
    """The text encoder that was saved in a folder.

    Raises:
        InputError: If there is none, or its SavedModel cannot be had.
    """
    return (saved_in(folder) or BagOfWords).load(folder)


def saved_in(folder: str | Path) -> type[TextEncoder] | None:
    """The kind of text encoder that was saved in a folder, if any."""
    there = (each for each in TEXT_ENCODERS.values() if (Path(folder) / each.file).exists())
    return next(there, None)


__all__ = [
    "TEXT_ENCODERS",
    "TextEncoder",
    "TrainableTextEncoder",
    "load_text_encoder",
    "open_text_encoder",
    "saved_in",
]
