"""Names of files and folders."""

import re
from collections.abc import Iterable


def plain_name(text: str) -> str:
    """A text as a name for any file system: letters, digits, `_`, `.`, and `-` for all else."""
    return re.sub(r"[^\w.-]+", "-", text)


def plain_names(texts: Iterable[str]) -> list[str]:
    """A plain name of each text, no two alike, even where upper and lower case are the same."""
    found: dict[str, str] = {}
    for text in texts:
        name, number = plain_name(text), 1
        while name.casefold() in found:
            number += 1
            name = f"{plain_name(text)}-{number}"
        found[name.casefold()] = name
    return list(found.values())
