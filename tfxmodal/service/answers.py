"""What the service answers, as JSON."""

from typing import Literal

from pydantic import BaseModel

Kind = Literal["images", "texts"]


class Item(BaseModel):
    """An item of the gallery; `score` where a search found it.

    `probability` is that an image and a text belong together, where the model tells it.
    """

    id: str
    kind: Kind
    caption: str
    metadata: dict[str, str | float | bool]
    score: float | None = None
    probability: float | None = None


class Items(BaseModel):
    """Some items of the gallery."""

    items: list[Item]


class Found(BaseModel):
    """What a search found, best first, and the words of it that the model does not know."""

    items: list[Item]
    kind: Kind
    unknown_words: list[str]


class About(BaseModel):
    """What is searched, by which model, and what the caller may do."""

    model: str
    version: int
    gallery: str
    items: dict[Kind, int]
    columns: dict[str, str]
    may_write: bool
    max_upload: float


class Put(BaseModel):
    """An item that is in the gallery; `changed` is false where it was there like that."""

    id: str
    kind: Kind
    changed: bool


class Wrong(BaseModel):
    """What is wrong, in one sentence."""

    error: str
