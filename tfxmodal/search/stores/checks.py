"""What every store checks of items before it takes them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tfxmodal.errors import InputError, some_of
from tfxmodal.search.stores.store import StoredItems, Value
from tfxmodal.search.stores.where import LARGEST, TYPES, is_utf8


def check_vectors(vectors: np.ndarray, argument: str, dim: int | None) -> np.ndarray:
    """Vectors as contiguous float32 `[n, dim]`, finite.

    Raises:
        InputError: If they are not.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.ndim != 2 or (dim and vectors.shape[1] != dim):
        raise InputError(
            f"`{argument}` must be [n, {dim or 'd'}], as wide as this model's; received shape "
            f"{vectors.shape}: make them with the model that the index was made with."
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise InputError(
            f"`{argument}` must be finite; row {np.argmin(finite)} is not: look for NaN in the "
            "features or weights."
        )
    return vectors


def check_ids(ids: Sequence[str]) -> None:
    """Checks that each item has an id of its own.

    Raises:
        InputError: If one is given twice, is empty or is no text that can be written as UTF-8.
    """
    ((name, times),) = Counter(ids).most_common(1) or [("", 0)]
    if times > 1:
        raise InputError(f"The id {name!r} is given {times} times: give each item its own.")
    for name in ids:
        if not is_id(name):
            raise InputError(
                f"`ids` must be texts in UTF-8; received {name!r}: give another id, or the "
                "file another name."
            )


def is_id(name) -> bool:
    """Whether something can be an id: a text that is not empty and can be written as UTF-8."""
    return isinstance(name, str) and bool(name) and is_utf8(name)


def check_new(there: Sequence[str]) -> None:
    """Checks that none of the ids that are to be added is there.

    Raises:
        InputError: If some are.
    """
    if there:
        raise InputError(
            f"{len(there)} items are there already ({some_of([repr(name) for name in there])}), "
            "and nothing was added: replace them by `upsert`, or give them other ids."
        )


def checked(
    items: StoredItems, dim: int | None, embedding_dim: int | None, columns: Mapping[str, str]
) -> tuple[StoredItems, dict[str, str]]:
    """Items that a store can take, and its columns with those that they bring.

    Args:
        items: The items.
        dim: Width of the vectors that are there; None where there are none yet.
        embedding_dim: Likewise of the embeddings; 0 where the vectors are the embeddings.
        columns: The columns that are there, with their types.

    Raises:
        InputError: If they do not fit; see `Store.add`.
    """
    check_ids(items.ids)
    vectors = check_vectors(items.vectors, "vectors", dim)
    embeddings = items.embeddings
    if embedding_dim is not None and (embeddings is None) != (embedding_dim == 0):
        raise InputError(
            "`embeddings` are kept beside the vectors of all items or of none; received "
            f"{'none' if embeddings is None else 'some'}: give them as for the first items."
        )
    if embeddings is not None:
        embeddings = check_vectors(embeddings, "embeddings", embedding_dim)
    for name, values in {
        "vectors": vectors,
        "embeddings": vectors if embeddings is None else embeddings,
        **items.metadata,
    }.items():
        if len(values) != len(items):
            raise InputError(
                f"`{name}` must hold a value of each item; received {len(values)} for "
                f"{len(items)} ids."
            )
    found = dict(columns)
    metadata = {}
    for name, values in items.metadata.items():
        metadata[name], kind = _typed(name, values, columns.get(name))
        if kind is not None:
            found[name] = kind
    metadata = {name: values for name, values in metadata.items() if name in found}
    return replace(items, vectors=vectors, embeddings=embeddings, metadata=metadata), found


def _typed(
    column: str, values: Sequence[Value], kind: str | None
) -> tuple[list[Value], str | None]:
    """A column's values, numbers as floats, and its type; None where it has no value yet."""
    if not column.isidentifier() or column in RESERVED or column.startswith("_"):
        raise InputError(
            f"A metadata column is named {column!r}: give it a name of letters, digits and _, and "
            f"none of {', '.join(RESERVED)}."
        )
    typed: list[Value] = []
    for value in values:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) > LARGEST:
                raise InputError(
                    f"The metadata column {column} holds {value}, and numbers are kept to "
                    f"{LARGEST}: give it as a text."
                )
            value = float(value)
        if value is None or value != value:  # NaN is no value.
            typed.append(None)
            continue
        if isinstance(value, float) and math.isinf(value):
            raise InputError(
                f"The metadata column {column} holds {value}, which is no number: leave it out."
            )
        if TYPES.get(type(value)) not in ((kind,) if kind else TYPES.values()):
            wanted = f"{kind} values" if kind else "texts, numbers and booleans"
            raise InputError(
                f"The metadata column {column} holds {wanted}; received {value!r}: give values of "
                "one type, or another column."
            )
        kind = TYPES[type(value)]
        if isinstance(value, str):  # Half of a surrogate pair becomes `?`, as in training.
            value = value.encode("utf-8", "replace").decode()
        typed.append(value)
    return typed, kind


RESERVED = ("id", "vector", "embedding")
"""Names that stores need for themselves."""
