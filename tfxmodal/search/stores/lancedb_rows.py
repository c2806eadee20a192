"""Items and conditions as LanceDB takes them: Arrow tables and SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from tfxmodal.search.stores.store import StoredItems
from tfxmodal.search.stores.where import And, Compare, In, Missing, Not, Or, Where

GIVEN = {"number": "double", "text": "string", "boolean": "bool"}
"""Of a column's type that of Arrow."""

NEGATED = {"=": "!=", "!=": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
"""Of a comparison its contrary."""


def sql(where: Where, holds: bool = True) -> str:
    """A condition, or its contrary, in SQL.

    Only comparisons are negated, so that the parentheses, of which LanceDB reads some twenty within
    each other, are no deeper than those of the condition.
    """
    match where:
        case Not(part):
            return sql(part, not holds)
        case And(parts) | Or(parts):
            told = [sql(part, holds) for part in parts]
            if isinstance(where, Or) == holds:
                return " OR ".join(told)
            return " AND ".join(f"({part})" for part in told)
        case Missing(column):
            return f"`{column}` IS NULL" if holds else f"`{column}` IS NOT NULL"
        case In(column, values):
            one, other = _in(f"`{column}`", values), _in(f"`{column}` NOT", values)
        case Compare(column, operator, value):
            one, other = (
                f"`{column}` {sign} {_literal(value)}" for sign in (operator, NEGATED[operator])
            )
    return one if holds else f"`{column}` IS NULL OR {other}"


def ids_in(ids: Iterable[str]) -> str:
    """The condition of having one of these ids, in SQL."""
    return _in("id", ids)


def _in(column: str, values: Iterable[str | float | bool]) -> str:
    return f"{column} IN ({', '.join(map(_literal, values))})"


def _literal(value: str | float | bool) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def schema_of(dim: int, embedding_dim: int):
    """The schema of items without metadata."""
    import pyarrow as pa

    fields = [pa.field("id", pa.string(), False), _vectors("vector", dim)]
    if embedding_dim:
        fields.append(_vectors("embedding", embedding_dim))
    return pa.schema(fields)


def _vectors(name: str, dim: int):
    import pyarrow as pa

    return pa.field(name, pa.list_(pa.float32(), dim), False)


def new_fields(columns: Mapping[str, str]) -> list:
    """The fields of metadata columns."""
    import pyarrow as pa

    return [pa.field(name, pa.type_for_alias(GIVEN[kind])) for name, kind in columns.items()]


def columns_of(schema) -> dict[str, str]:
    """The metadata columns of a schema, with their types."""
    kinds = {alias: kind for kind, alias in GIVEN.items()}
    metadata = (field for field in schema if field.name not in ("id", "vector", "embedding"))
    return {field.name: kinds[str(field.type)] for field in metadata}


def widths(schema) -> tuple[int, int]:
    """Widths of vectors and embeddings; 0 where there are none."""
    kinds = {field.name: field.type for field in schema}
    return kinds["vector"].list_size, getattr(kinds.get("embedding"), "list_size", 0)


def table_of(items: StoredItems, schema):
    """Items as an Arrow table of a schema, whose other columns are null."""
    import pyarrow as pa

    def rows(vectors: np.ndarray):
        return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])

    given = {"id": pa.array(items.ids), "vector": rows(items.vectors)} | items.metadata
    if items.embeddings is not None:
        given["embedding"] = rows(items.embeddings)
    nothing = [None] * len(items)
    arrays = [pa.array(given.get(field.name, nothing), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def items_of(table) -> StoredItems:
    """The items of an Arrow table, or of a batch of its rows."""
    names = table.schema.names
    return StoredItems(
        table["id"].to_pylist(),
        vectors_of(table),
        vectors_of(table, "embedding") if "embedding" in names else None,
        {name: table[name].to_pylist() for name in columns_of(table.schema)},
    )


def vectors_of(table, name: str = "vector") -> np.ndarray:
    """The vectors of an Arrow table, or of a batch of its rows."""
    column = table[name]
    chunks = getattr(column, "chunks", [column])
    width = column.type.list_size
    parts = [each.flatten().to_numpy().reshape(-1, width) for each in chunks]
    return np.concatenate([np.empty((0, width), np.float32), *parts])
