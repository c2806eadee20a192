"""Items and conditions as Qdrant takes them: points and filters."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import numpy as np

from tfxmodal.search.stores.store import StoredItems
from tfxmodal.search.stores.where import And, Compare, In, Missing, Not, Or, Where

INDEXED = {"number": "float", "text": "keyword", "boolean": "bool"}
"""Of a column's type that of Qdrant's index of it."""

BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


def point_of(name: str) -> str:
    """The number of an item: Qdrant takes no texts as ids."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def filter_of(where: Where | None):
    """A condition as Qdrant's filter."""
    from qdrant_client import models

    match where:
        case None:
            return None
        case And(parts):
            return models.Filter(must=[filter_of(part) for part in parts])
        case Or(parts):
            return models.Filter(should=[filter_of(part) for part in parts])
        case Not(part):
            return models.Filter(must_not=[filter_of(part)])
        case Missing(column):
            empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=column))
            return models.Filter(must=[empty])
        case In(column, values):
            return filter_of(Or(tuple(Compare(column, "=", value) for value in values)))
        case Compare(column, "!=", value):
            equal = filter_of(Compare(column, "=", value))
            return models.Filter(must_not=[filter_of(Missing(column)), equal])
        case Compare(column, operator, value):
            if isinstance(value, float):
                bounds = {BOUNDS[operator]: value} if operator in BOUNDS else {}
                bounds = bounds or {"gte": value, "lte": value}
                field = models.FieldCondition(key=column, range=models.Range(**bounds))
            else:
                field = models.FieldCondition(key=column, match=models.MatchValue(value=value))
            return models.Filter(must=[field])


def points_of(items: StoredItems, rows: Iterable[int]) -> list:
    """Some items as points."""
    from qdrant_client.models import PointStruct

    points = []
    for row in rows:
        values = {name: of[row] for name, of in items.metadata.items()}
        payload = {name: value for name, value in values.items() if value is not None}
        vectors = {"vector": items.vectors[row].tolist()}
        if items.embeddings is not None:
            vectors["embedding"] = items.embeddings[row].tolist()
        payload["id"] = items.ids[row]
        points.append(PointStruct(id=point_of(items.ids[row]), vector=vectors, payload=payload))
    return points


def items_of(
    points: list, dim: int | None, embedding_dim: int | None, columns: Iterable[str]
) -> StoredItems:
    """The items of points."""

    def rows(name: str, width: int) -> np.ndarray:
        vectors = [point.vector[name] for point in points]
        return np.array(vectors, np.float32).reshape(len(points), width)

    return StoredItems(
        [point.payload["id"] for point in points],
        rows("vector", dim or 0),
        rows("embedding", embedding_dim) if embedding_dim else None,
        {name: [point.payload.get(name) for point in points] for name in columns},
    )
