"""Landmarks for a served model whose score is no dot product, from pairs of a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfxmodal.data.items import KINDS
from tfxmodal.data.rows import read_rows
from tfxmodal.errors import InputError
from tfxmodal.search.landmarks import LandmarkSpace, oriented_score
from tfxmodal.service.served_model import ServedModel

LANDMARKS = 256
"""Items of the query's modality that an item is scored against."""

FIT = 512
"""Items of the gallery's modality on which queries are fitted: a query is scored against all."""


def spaces_of(model: ServedModel, manifest: Path) -> dict[str, dict[str, np.ndarray]]:
    """By kind of the gallery, what `search.landmarks` needs.

    Args:
        model: Embeds and scores.
        manifest: Pairs, such as those of the training; some from all over it are taken.

    Raises:
        InputError: If it cannot be read, or has no good pairs.
        ServerError: If the model server does not answer.
    """
    rows = [row for row in read_rows(manifest) if row.image and row.texts]
    rows = rows[:: max(1, len(rows) // FIT)][:FIT]
    given = {
        "images": [Path(row.image).read_bytes() for row in rows],
        "texts": [row.texts[0] for row in rows],
    }
    embeddings = {}
    for kind, contents in given.items():
        found, bad = model.embed_all(kind, contents)
        embeddings[kind] = np.delete(found, list(bad), axis=0)
        if not len(embeddings[kind]):
            raise InputError(f"`landmarks` {manifest} has no {kind} that the model can embed.")
    score, spaces = model.scorer(is_dot_product=False), {}
    for kind, other in zip(KINDS, reversed(KINDS), strict=True):
        landmarks = embeddings[other][:LANDMARKS]
        space = LandmarkSpace.fit(oriented_score(score, kind), landmarks, embeddings[kind])
        spaces[kind] = space.arrays
    return spaces
