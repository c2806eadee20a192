"""What people say of a dataset, beside what its rows tell: licence, source, language."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from tfxmodal.errors import InputError, choose, first_line

FILE = "card.yaml"


@dataclass(frozen=True)
class DatasetCard:
    """What `card.yaml` beside the data says; model cards and Croissant files repeat it.

    Attributes:
        name: The dataset's name.
        description: What it shows.
        license: Under which licence it may be used, best by its name at spdx.org, as "CC-BY-4.0".
        source: Where it comes from, best its address.
        creator: Who made it.
        date_published: The day, as 2026-01-31.
        version: Its version.
        citation: How it is cited.
        language: The languages of its texts, by their codes, as "en".
        model_license: Under which licence models that learn from it are given away.
    """

    name: str = ""
    description: str = ""
    license: str = ""
    source: str = ""
    creator: str = ""
    date_published: str = ""
    version: str = ""
    citation: str = ""
    language: tuple[str, ...] = ()
    model_license: str = ""


def read_card(folder: Path) -> DatasetCard | None:
    """The card in a dataset's folder; None where there is none.

    Raises:
        InputError: If it cannot be read, or holds other than `DatasetCard`'s fields.
    """
    import yaml

    path = folder / FILE
    if not path.is_file():
        return None
    try:
        # The base loader leaves all as it is written: a version 1.10, the language "no".
        found = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read ({first_line(error)}): correct it.") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no fields: write them as `license: CC-BY-4.0`, one a line.")
    values = {}
    for name, value in found.items():
        choose(f"field of {path}", name, [field.name for field in fields(DatasetCard)])
        several = name == "language" and isinstance(value, list)
        texts = value if several else [value]
        if not all(isinstance(text, str) for text in texts):
            raise InputError(f"`{name}` in {path} must be a text; received {value}: write one.")
        texts = tuple(text.strip() for text in texts if text.strip())
        values[name] = texts if name == "language" else "".join(texts)
    return DatasetCard(**values)
