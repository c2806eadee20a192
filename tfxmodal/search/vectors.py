"""Vectors that `export/embed_corpus.py` made, as a source of an index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tfxmodal.data.columns import metadata_name
from tfxmodal.errors import InputError, first_line
from tfxmodal.io.reading import DAMAGE
from tfxmodal.search.galleries import Embedded

if TYPE_CHECKING:
    import pyarrow as pa

ABOUT = b"tfxmodal"
"""Of a file's schema: JSON of the model's fingerprint and of the gallery."""

WORK = "_work"
"""Is there while `embed_corpus.py` runs, or after it was killed."""

OWN = {"id", "vector", "stamp", "columns_stamp"}

BATCH = 100_000
"""Items that are read at a time, at least."""


def is_vectors(source: str | Path) -> bool:
    """Whether a source is a folder of Parquet files alone, as `embed_corpus.py` writes them."""
    return Path(source).is_dir() and any(Path(source).glob("part-*.parquet"))


def read_vectors(folder: str | Path, fingerprint: str, gallery: str) -> Iterator[Embedded]:
    """The items of a folder, many at a time.

    Args:
        folder: What `embed_corpus.py` wrote.
        fingerprint: Names the model that must have made them, with weights of float32.
        gallery: `images` or `texts`, which they must be.

    Raises:
        InputError: If they are others, a file is damaged, a run has not ended, or PyArrow is not
            installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(f"Vectors in {folder} need PyArrow: pip install pyarrow.") from None
    folder = Path(folder)
    if (folder / WORK).exists():
        raise InputError(
            f"{folder} is not finished: wait until export/embed_corpus.py has ended, or give its "
            "command again where it was killed."
        )
    tables, held = [], 0
    for path in sorted(folder.glob("part-*.parquet")):
        try:
            rows = pq.read_table(path)
            about = json.loads(rows.schema.metadata[ABOUT])
        except DAMAGE as error:
            raise InputError(
                f"{path} holds no whole vectors ({first_line(error)}): remove it, and run "
                "export/embed_corpus.py again."
            ) from error
        # Those of a run are not rounded, and its fingerprint is of them.
        needs = {"gallery": gallery, "fingerprint": fingerprint, "weights": "float32"}
        for name, wanted in needs.items():
            if (found := about.get(name)) != wanted:
                raise InputError(
                    f"{folder} holds vectors of {name} {found}; the index is of {wanted}: embed "
                    "the corpus with an export of this run, as such a gallery."
                )
        # A column without any value fits one of any type in another file.
        columns = [pa.nulls(len(c)) if c.null_count == len(c) else c for c in rows.columns]
        tables.append(pa.table(columns, rows.column_names))
        held += len(rows)
        if held >= BATCH:
            yield _embedded(tables, folder)
            tables, held = [], 0
    if tables:
        yield _embedded(tables, folder)


def _embedded(tables: list[pa.Table], folder: Path) -> Embedded:
    """The items of tables; of their columns those are metadata that hold single values.

    Names are made fit as those of a manifest are, and dates and times are texts, as in a CSV file.
    """
    import pyarrow as pa

    try:
        rows = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise InputError(
            f"{folder} has columns of other types in other files ({first_line(error)}): make it "
            "anew from one source."
        ) from None
    vectors = rows["vector"].combine_chunks()
    vectors = vectors.flatten().to_numpy().reshape(len(rows), -1)
    metadata: dict[str, list] = {}
    for number, field in enumerate(rows.schema, 1):
        if field.name in OWN or field.type.num_fields or "binary" in str(field.type):
            continue
        values = rows[field.name].to_pylist()
        if pa.types.is_temporal(field.type):
            values = [None if value is None else str(value) for value in values]
        elif pa.types.is_decimal(field.type):
            number = float if field.type.scale > 0 else int  # Large ones are then refused.
            values = [None if value is None else number(value) for value in values]
        metadata[metadata_name(field.name, number, metadata)] = values
    ids = rows["id"].to_pylist()
    return Embedded(ids, vectors, ids, metadata)
