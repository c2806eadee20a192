"""The text encoders by name: a bag of words, a TextCNN, or a SavedModel from TensorFlow Hub."""

from pathlib import Path

from tfxmodal.data.pairs import Captions
from tfxmodal.encoders.text.bag_of_words import BagOfWords
from tfxmodal.encoders.text.hub import REFERENCE, HubText
from tfxmodal.encoders.text.text_cnn import DESCRIPTION, TextCNN
from tfxmodal.errors import choose

TextEncoder = BagOfWords | HubText | TextCNN
"""`dim`, `fingerprint`, `model` (strings `[batch]` to `[batch, dim]`), `knows`, `encode`, `save`,
`load`."""


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
    if name.startswith("hub:"):
        return HubText(name.removeprefix("hub:"))
    if name.startswith("text_cnn:"):
        return TextCNN.load(name.removeprefix("text_cnn:"))
    choose("text encoder", name, ["tf_idf", "hub:HANDLE", "text_cnn:FOLDER"])
    return BagOfWords.fit(captions, vocabulary_size, progress)


def open_text_encoder(folder: str | Path) -> TextEncoder:
    """The text encoder that was saved in a folder.

    Raises:
        InputError: If there is none, or its SavedModel cannot be had.
    """
    for file, encoder in ((REFERENCE, HubText), (DESCRIPTION, TextCNN)):
        if (Path(folder) / file).exists():
            return encoder.load(folder)
    return BagOfWords.load(folder)
