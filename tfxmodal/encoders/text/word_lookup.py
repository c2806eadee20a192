"""Finding the words of a vocabulary among those of a file, however their letters are written."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from typing import Any


class Lookup:
    """Keeps, of the words of a file, what belongs to a vocabulary.

    A word is found as it is written, else with its letters and accents composed (NFC). Of several
    alike the first counts. Words that are not UTF-8 are read as Latin-1.

    Args:
        words: The vocabulary, without repetitions.
    """

    def __init__(self, words: Sequence[str]):
        self._rows = {word.encode(): row for row, word in enumerate(words)}
        self._composed: dict[str, list[int]] = defaultdict(list)
        for word, row in self._rows.items():
            self._composed[_composed(word)].append(row)
        self._found: dict[int, Any] = {}
        self._alike: dict[int, Any] = {}

    def meet(self, word: bytes, value) -> None:
        """Keeps the value of a word that is looked for."""
        if (row := self._rows.get(word)) is not None:
            self._found.setdefault(row, value)
        if not word.isascii():
            for row in self._composed.get(_composed(word), ()):
                self._alike.setdefault(row, value)

    @property
    def found(self) -> dict[int, Any]:
        """Values by the row of the word."""
        return self._alike | self._found


def _composed(word: bytes) -> str:
    """A word in NFC."""
    try:
        return unicodedata.normalize("NFC", word.decode())
    except UnicodeDecodeError:
        return word.decode("cp1252", "replace")  # Latin-1 as Windows writes it
