"""What a query finds in a gallery."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tfxmodal.data.items import KINDS
from tfxmodal.errors import InputError
from tfxmodal.service.gallery import Gallery, items_of
from tfxmodal.service.items import Found, Query


@dataclass(frozen=True)
class Asked:
    """A query as it is searched.

    Attributes:
        kind: One of `KINDS`: of what is asked, of several parts that of the item, or the text.
        embedding: Its embedding `[d]`, of several parts their mean direction.
        joined: Whether it has several parts.
        unknown_words: Words of its text that the model does not know.
    """

    kind: str
    embedding: np.ndarray
    joined: bool
    unknown_words: list[str]


def embed(gallery: Gallery, query: Query) -> Asked:
    """Embeds what a query asks.

    Raises:
        InputError: If it asks nothing, or the model can make nothing of it.
        ServerError: If the model server does not answer.
    """
    parts = [_stored(gallery, query.like)] if query.like else []
    unknown: list[str] = []
    with gallery.asking():
        if query.text:
            embedding, unknown = gallery.model.embed_text(query.text)
            parts.append(("texts", embedding))
        if query.picture is not None:
            parts.append(("images", gallery.model.embed_image(query.picture)))
    if not parts:
        raise InputError("Nothing is asked: give `text`, `image` or `like`.")
    kind, embedding = parts[0]
    if len(parts) > 1:
        if not gallery.probe.is_dot_product:
            raise InputError(
                f"{gallery.model.name!r} scores pairs of an image and a text, and cannot join "
                "several queries: give one of `text`, `image` and `like`."
            )
        embedding = _unit(sum(_unit(each) for _, each in parts))
    return Asked(kind, embedding, len(parts) > 1, unknown)


def search(gallery: Gallery, asked: Asked, query: Query) -> Found:
    """What is found; see `Query`.

    Raises:
        InputError: If the condition does not fit the metadata, or no probability is known.
        ServerError: If the model server does not answer.
    """
    some_images = len(gallery.indexes["images"]) > 0
    find = query.find or (asked.kind if query.like else KINDS[not some_images])
    index = gallery.indexes[find]
    alike = find == asked.kind
    look = index.similar if alike else index.search
    calibration = None if alike or asked.joined else gallery.calibration
    k, least = query.k + bool(query.like), -np.inf if query.minimum is None else query.minimum
    if query.probability is not None:
        if calibration is None:
            raise InputError(_no_probability(gallery, alike or asked.joined))
        least = max(least, calibration.score(query.probability))
    with gallery.asking():
        names, scores = look(asked.embedding[None], k, query.where or None, least)
    scored = dict(zip(names[0].tolist(), scores[0].tolist(), strict=True))
    scored.pop(query.like, None)
    items = items_of(find, index.store.get([name for name in scored if name]))
    found = [
        replace(
            item,
            score=scored[item.id],
            probability=calibration and float(calibration.probability(scored[item.id])),
        )
        for item in items
    ]
    return Found(found[: query.k], find, asked.unknown_words)


def _no_probability(gallery: Gallery, of_query: bool) -> str:
    """Why `min_probability` cannot be had, and what to do."""
    if of_query:
        return (
            "`min_probability` is of one text with images, or one image with texts: ask by one of "
            "them, and find the other kind, or give `min_score`."
        )
    return (
        f"`min_probability` needs calibrated scores, and the gallery {gallery.name!r} has none: "
        "give `min_score`, or export a run that was evaluated on its validation split, and go over "
        "to that version by export/search_service.py reembed."
    )


def _stored(gallery: Gallery, name: str) -> tuple[str, np.ndarray]:
    """Kind and embedding of an item."""
    for kind, index in gallery.indexes.items():
        for embedding in index.store.get([name]).scored:
            return kind, embedding
    raise InputError(f"`like` names {name!r}, which is not in the gallery: give another id.")


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / (np.linalg.norm(vector) or 1)
