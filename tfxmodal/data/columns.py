"""What the columns of a table, or the keys of a JSON object, mean by their names."""

import re
from collections.abc import Container, Sequence

EXACT = {
    "image": "image",
    "text": "text",
    "texts": "text",
    "labels": "labels",
    "id": "id",
    "split": "split",
}
"""The documented names, and what each of them means."""
VARIANTS = EXACT | {"images": "image", "label": "labels", "ids": "id", "splits": "split"}
"""The same in singular and plural, by `bare_name`."""
SYNONYMS = {
    "image": "img imagename imagepath imagefile imagefilename filename filepath file path photo "
    "picture",
    "text": "caption comment sentence raw description",
    "labels": "class classes category categories",
    "split": "set subset fold partition",
}
SYNONYM = {word: meaning for meaning, words in SYNONYMS.items() for word in words.split()}
SYNONYM |= {f"{word}s": "text" for word in SYNONYMS["text"].split()}
REQUIRED = ("image", "text")
"""Without a column of one of these names, a synonym is read."""
SEVERAL = ("text", "labels")
"""Several columns may mean these."""


class Columns:
    """Where the values of a row are, by what they mean.

    Args:
        names: The names of the columns, in their order.

    Attributes:
        names: The same.
        remarks: What is to be told: columns that are read for their likely meaning, and others,
            which are metadata: an index keeps them and can be filtered by them.

    Raises:
        ValueError: If two columns may be the image, the id or the split.
    """

    def __init__(self, names: Sequence[str]):
        self.names = tuple(names)
        self.remarks: list[str] = []
        self._places: dict[str, list[int]] = {}
        bare = [bare_name(name) for name in self.names]
        for meaning in ("image", "text", "labels", "id", "split"):
            exact = [i for i, name in enumerate(self.names) if EXACT.get(name) == meaning]
            found = [i for i, name in enumerate(bare) if VARIANTS.get(name) == meaning]
            if exact and meaning not in SEVERAL:
                found = exact
            if not found and meaning in REQUIRED:
                found = [i for i, name in enumerate(bare) if SYNONYM.get(name) == meaning]
            if len(found) > 1 and meaning not in SEVERAL:
                both = " and ".join(repr(self.names[i]) for i in found)
                raise ValueError(f"has the columns {both}, which may both be `{meaning}`")
            self._places[meaning] = found
            self.remarks += [
                f"the column {self.names[i]!r} is read as `{meaning}`"
                for i in found
                if i not in exact
            ]
        read = {i for places in self._places.values() for i in places}
        self._metadata: dict[str, int] = {}
        for i, name in enumerate(self.names):
            if i not in read:
                meaning = VARIANTS.get(bare[i]) or SYNONYM.get(bare[i])
                likely = f" (name it `{meaning}` if it is that)" if meaning else ""
                self.remarks.append(f"the column {name!r} is metadata{likely}")
                self._metadata[metadata_name(name, i + 1, self._metadata)] = i

    def has(self, meaning: str) -> bool:
        """Whether a column means this."""
        return bool(self._places[meaning])

    def of(self, meaning: str, values: Sequence) -> list:
        """The values of a row that mean this; a row may be shorter than the header."""
        return [values[i] for i in self._places[meaning] if i < len(values)]

    def metadata(self, values: Sequence) -> dict:
        """The values of a row without such a meaning, by names of letters, digits and _."""
        return {name: values[i] for name, i in self._metadata.items() if i < len(values)}


def metadata_name(name: str, number: int, taken: Container[str]) -> str:
    """A name of letters, digits and _ for a column that is metadata.

    Args:
        name: As the table has it.
        number: Of the column, from 1.
        taken: Names that other columns have.
    """
    word = re.sub(r"\W+", "_", name).strip("_")
    word = word if word.isidentifier() else f"column_{word or number}"
    return f"{word}_{number}" if word in taken else word


def bare_name(name: str) -> str:
    """A column's name without case, spaces, signs and a number at its end."""
    return re.sub(r"[\W_]+|[\W_\d]+$", "", name.casefold())


def is_known(name: str) -> bool:
    """Whether a column's name has a meaning, or a likely one."""
    return bare_name(name) in VARIANTS or bare_name(name) in SYNONYM
