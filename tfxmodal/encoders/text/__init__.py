"""The text encoders by name: bag of words, TextCNN, networks of KerasHub and TensorFlow Hub.

A new text encoder is one file with a class as `TextEncoder` says and one line in `TEXT_ENCODERS`.
The file imports TensorFlow when the encoder is made, not before (`tfxmodal.lazy`).
"""

from pathlib import Path

from tfxmodal.data.pairs import Captions
from tfxmodal.encoders.text.bag_of_words import BagOfWords
from tfxmodal.encoders.text.hub import HubText
from tfxmodal.encoders.text.joined import JoinedText
from tfxmodal.encoders.text.keras_hub import KerasHubText
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.encoders.text.text_encoder import TextEncoder, TrainableTextEncoder
from tfxmodal.errors import choose

TEXT_ENCODERS: dict[str, type[TextEncoder]] = {
    "A+B": JoinedText,
    "hub:HANDLE": HubText,
    "keras_hub:PRESET_OR_FOLDER": KerasHubText,
    "minilm:FOLDER": KerasHubText,
    "text_cnn:FOLDER": TextCNN,
    "tf_idf": BagOfWords,
}
"""What a name begins with, and what follows its colon."""


def load_text_encoder(
    name: str, captions: Captions, vocabulary_size: int = 3000, progress=None
) -> TextEncoder:
    """A text encoder by its name, fitted where there is something to fit.

    Args:
        name: `tf_idf`; `hub:` and a handle or a SavedModel's folder; `text_cnn:` and the folder of
            a trained TextCNN; `keras_hub:` and a preset or its folder; `minilm:` and the folder of
            a sentence encoder; or several of them with a `+` between.
        captions: Captions of the training pairs, for the vocabulary.
        vocabulary_size: Most words in it.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the name is unknown, or the encoder cannot be had.
    """
    encoder = encoder_class(name)
    rest = name if encoder is JoinedText else name.partition(":")[2]
    return encoder.from_name(rest, captions, vocabulary_size, progress)


def encoder_class(name: str) -> type[TextEncoder]:
    """The kind of the encoder that a name asks for; nothing is loaded.

    Raises:
        InputError: If the name is unknown.
    """
    if len(names_of_parts(name)) > 1:
        return JoinedText
    encoder = _named(name)
    if encoder is None:
        choose("text encoder", name, [*_single(), "several of these with + between"])
    return encoder


def gives_words(name: str) -> bool:
    """Whether methods can read the words of an encoder, and train its network: of a TextCNN.

    A new one takes the place of a bag of words.

    Raises:
        InputError: If the name is unknown.
    """
    return encoder_class(name) in (BagOfWords, TextCNN)


def names_of_parts(name: str) -> list[str]:
    """The names of encoders in one with a `+` between them; a folder's name may have one, too."""
    parts = []
    for piece in name.split("+"):
        if parts and _named(piece) is None:
            parts[-1] += f"+{piece}"
        else:
            parts.append(piece)
    return parts


def _named(name: str) -> type[TextEncoder] | None:
    """The kind of a single encoder, if there is one of that name."""
    kinds = {key.partition(":")[:2]: encoder for key, encoder in _single().items()}
    return kinds.get(name.partition(":")[:2])


def _single() -> dict[str, type[TextEncoder]]:
    return {key: encoder for key, encoder in TEXT_ENCODERS.items() if encoder is not JoinedText}


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
    "encoder_class",
    "gives_words",
    "load_text_encoder",
    "names_of_parts",
    "open_text_encoder",
    "saved_in",
]
