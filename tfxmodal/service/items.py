"""What goes into a gallery, what is asked of it, and what comes out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tfxmodal.errors import InputError
from tfxmodal.search.stores.store import Value
from tfxmodal.service.pictures import name_of

CAPTION, PICTURE = OWN = ("caption", "picture")
"""Columns of the service itself: what is shown of an item, and its name among `Pictures`."""

MAX_COLUMNS = 64
"""Columns of an item."""

MOST_COLUMNS = 256
"""Columns of a gallery: each write takes longer by every one, and none can be removed."""

MAX_ID = 200


@dataclass(frozen=True)
class NewItem:
    """What is put into a gallery: a picture, or a text.

    Attributes:
        id: The user's name for it.
        picture: The bytes of a file, in any format that `encoders.image` reads; or None.
        text: The text, where it is one; of a picture, its caption, which is shown and not searched.
        metadata: By column a string, a number or a boolean.

    Raises:
        InputError: If the id, the content or a column is none.
    """

    id: str
    picture: bytes | None = None
    text: str = ""
    metadata: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self):
        parts = self.id.split("/")
        if len(self.id) > MAX_ID or not self.id.isprintable() or {"", ".", ".."} & {*parts}:
            raise InputError(
                f"`id` must be 1 to {MAX_ID} printable characters, of which no part between "
                f"slashes is empty, `.` or `..`; received {self.id[:MAX_ID]!r}: give another one."
            )
        if self.picture is None and not self.text:
            raise InputError("Neither `image` nor `text` is given: give one of them.")
        if len(self.metadata) > MAX_COLUMNS:
            raise InputError(
                f"`metadata` has at most {MAX_COLUMNS} columns; received {len(self.metadata)}: "
                "leave some out."
            )
        for name, value in self.metadata.items():
            if name in OWN:
                raise InputError(
                    f"`metadata` names the column {name!r}, which the service fills itself: give "
                    "it another name."
                )
            _check_value(name, value)

    @property
    def kind(self) -> str:
        """One of `data.items.KINDS`."""
        return "texts" if self.picture is None else "images"

    @property
    def content(self) -> bytes | str:
        """What is embedded."""
        return self.text if self.picture is None else self.picture

    def is_as(self, there: Item | None) -> bool:
        """Whether an item is there as this one."""
        return there is not None and (there.kind, there.columns) == (self.kind, self.columns)

    @cached_property
    def columns(self) -> dict[str, Value]:
        """All that a store keeps beside the embedding."""
        picture = None if self.picture is None else name_of(self.picture)
        own = {CAPTION: self.text or None, PICTURE: picture}
        return {n: value for n, value in {**self.metadata, **own}.items() if value is not None}


@dataclass
class Told:
    """What became of items that were put in.

    Attributes:
        written: How many were added or replaced.
        unchanged: How many are there as they were given.
        deleted: How many were taken out, as they are no longer where the others come from.
        bad: Why others were left out, by id.
    """

    written: int = 0
    unchanged: int = 0
    deleted: int = 0
    bad: dict[str, str] = field(default_factory=dict)

    def add(self, other: Told):
        """Adds what became of others."""
        self.written += other.written
        self.unchanged += other.unchanged
        self.deleted += other.deleted
        self.bad |= other.bad


@dataclass(frozen=True)
class Query:
    """What is looked for: by a text, a picture, an item, or several of these.

    Attributes:
        text: Words.
        picture: The bytes of a file.
        like: The id of an item; others of its kind are found.
        find: One of `data.items.KINDS`; by default that of `like`, or images where there are any.
        where: A condition on metadata, see `search.stores.where`.
        k: Most items.
        minimum: Least score, where one is wanted.
        probability: Least probability that the query and an item belong together, likewise.
    """

    text: str = ""
    picture: bytes | None = None
    like: str = ""
    find: str | None = None
    where: str = ""
    k: int = 12
    minimum: float | None = None
    probability: float | None = None


@dataclass(frozen=True)
class Item:
    """An item of a gallery.

    Attributes:
        id: The user's name.
        kind: One of `data.items.KINDS`.
        columns: What the store keeps of it, without columns for which it has no value.
        score: With the query, where it was found by one.
        probability: That it belongs to the query, where the model's scores are calibrated.
    """

    id: str
    kind: str
    columns: dict[str, Value]
    score: float | None = None
    probability: float | None = None

    @property
    def caption(self) -> str:
        """The text, or a picture's caption."""
        return self.columns.get(CAPTION, "")

    @property
    def picture(self) -> str | None:
        """The name of an image among `Pictures`."""
        return self.columns.get(PICTURE)

    @property
    def metadata(self) -> dict[str, Value]:
        """The columns without the service's own."""
        return {name: value for name, value in self.columns.items() if name not in OWN}


@dataclass(frozen=True)
class Found:
    """What a query found.

    Attributes:
        items: Best first.
        kind: One of `data.items.KINDS`.
        unknown_words: Words of the query that the model does not know.
    """

    items: list[Item]
    kind: str
    unknown_words: list[str]


def check_columns(there: Collection[str], items: Iterable[NewItem]) -> None:
    """Checks that items bring no more columns than a gallery may have.

    Raises:
        InputError: If they do.
    """
    given = {n for item in items for n, value in item.metadata.items() if value is not None}
    if (new := given - {*there}) and len(there) + len(new) > MOST_COLUMNS:
        raise InputError(
            f"`metadata` brings {len(new)} new columns to the {len(there)} that are there, and a "
            f"gallery has at most {MOST_COLUMNS}: put names that vary into one column, as its "
            "values."
        )


def _check_value(name: str, value) -> None:
    """Checks what JSON allows and a store does not."""
    if isinstance(value, str):
        right = value == value.encode("utf-8", "replace").decode()
    else:
        right = value is None or isinstance(value, bool | int | float)
    if not right:
        raise InputError(
            f"`metadata` holds {str(value)[:MAX_ID]!r} in {name!r}: give a text, a number, true, "
            "false or null."
        )
