"""Text encoders that are saved as the name of what they are made of, and its hash."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import ClassVar, Self

from tfxmodal.data.pairs import Captions
from tfxmodal.errors import InputError
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.reading import read_json


class ByReference:
    """A text encoder that is made of one name: its class is called with it.

    Attributes:
        file: See `TextEncoder`.
        fingerprint: See there.
        named_by: The attribute that holds the name, as which `file` has it.
        what: What is named, for messages.
    """

    file: ClassVar[str]
    named_by: ClassVar[str]
    what: ClassVar[str]
    fingerprint: str

    @classmethod
    def from_name(cls, rest: str, captions: Captions, vocabulary_size: int, progress=None) -> Self:
        """The encoder of a name; nothing is fitted."""
        return cls(rest)

    def save(self, folder: str | Path) -> None:
        """Writes to `file` in a folder which encoder this is."""
        reference = {self.named_by: getattr(self, self.named_by), "fingerprint": self.fingerprint}
        with whole_file(Path(folder) / self.file) as file:
            file.write(json.dumps(reference, indent=1).encode())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Loads the encoder of which `save` wrote.

        Raises:
            InputError: If it cannot be had, or is not there or another by now.
        """
        reference = read_json(Path(folder) / cls.file)
        name = reference[cls.named_by]
        if os.path.isabs(name) and not os.path.isdir(name):
            raise InputError(
                f"The {cls.what} {name} is not there: put it back, or write where it is now to "
                f"{Path(folder) / cls.file}."
            )
        encoder = cls(name)
        if encoder.fingerprint != reference["fingerprint"]:
            raise InputError(
                f"The {cls.what} {name} is not the one that {folder} was made with; put the "
                "earlier one back, or train again."
            )
        return encoder
