"""Parquet and TFRecords: the rows of files, and the pictures that they hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus import InputError
from corpus.places import check_tensorflow_reads, located

CONTAINERS = (".parquet", ".tfrecord", ".tfrecords")
FILE, ROW = "_file", "_row"
"""Where an item is: a row of a file."""
BUFFER, BATCH = 2**23, 64
"""Bytes and pictures of a Parquet file that are read at a time."""


def rows_of(files: list[str], image: str) -> pa.Table:
    """All rows of files, with `_file` and `_row`, and without columns of bytes.

    Args:
        files: Their places.
        image: Name of the column of pictures, which is left out where they are bytes.
    """
    tables = []
    for file in files:
        rows = _parquet_rows(file) if _is_parquet(file) else _record_rows(file, image)
        rows = rows.append_column(FILE, pa.repeat(file, len(rows)))
        tables.append(rows.append_column(ROW, pa.array(range(len(rows)), pa.int64())))
    return pa.concat_tables(tables, promote_options="permissive")


def holds(file: str, image: str) -> bool:
    """Whether a file has a column of pictures as bytes."""
    if _is_parquet(file):
        system, path = located(file)
        schema = pq.read_schema(path, filesystem=system)
        return image in schema.names and _is_bytes(schema.field(image).type)
    return any(image in _features(record) for record in islice(_records(file), 1))


def pictures_of(rows: pa.Table, image: str) -> Iterator[bytes]:
    """The bytes of pictures at rows of `_file` and `_row`, in that order; empty where none is.

    Args:
        rows: Of each file in ascending order.
        image: Name of the column.
    """
    files = pc.unique(rows[FILE]).to_pylist()
    for file in files:
        wanted = rows.filter(pc.equal(rows[FILE], file))[ROW].to_pylist()
        found = _parquet_pictures if _is_parquet(file) else _record_pictures
        count = 0
        for picture in found(file, wanted, image):
            count += 1
            yield picture
        if count < len(wanted):
            raise OSError(f"{file} has fewer rows than when the run began: give the command again.")


def _is_parquet(file: str) -> bool:
    return file.lower().endswith(".parquet")


def _parquet_rows(file: str) -> pa.Table:
    system, path = located(file)
    with system.open_input_file(path) as opened:
        parquet = pq.ParquetFile(opened)
        told = [field.name for field in parquet.schema_arrow if not _is_bytes(field.type)]
        return parquet.read(columns=told)


def _is_bytes(kind: pa.DataType) -> bool:
    """Whether a column holds bytes, also as the `{bytes, path}` of Hugging Face's data sets."""
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _parquet_pictures(file: str, wanted: list[int], image: str) -> Iterator[bytes]:
    system, path = located(file)
    with system.open_input_file(path) as opened:
        # A row group may hold a million pictures: it is read in parts, up to the last one wanted.
        parquet = pq.ParquetFile(opened, buffer_size=BUFFER, pre_buffer=False)
        wanted, end = iter(wanted), 0
        row = next(wanted, math.inf)
        for group in range(parquet.num_row_groups):
            start, end = end, end + parquet.metadata.row_group(group).num_rows
            batches = parquet.iter_batches(BATCH, [group], [image])
            while row < end:
                column = next(batches)[image]
                if pa.types.is_struct(column.type):
                    column = pc.struct_field(column, "bytes")
                while row < start + len(column):
                    yield column[row - start].as_py() or b""
                    row = next(wanted, math.inf)
                start += len(column)


def _record_rows(file: str, image: str) -> pa.Table:
    rows = []
    for record in _records(file):
        features = _features(record)
        features.pop(image, None)
        rows.append({name: _told(values) for name, values in features.items()})
    names = dict.fromkeys(n for row in rows for n, value in row.items() if value is not None)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def _record_pictures(file: str, wanted: list[int], image: str) -> Iterator[bytes]:
    places = set(wanted)
    for row, record in enumerate(_records(file)):
        if row in places:
            values = _features(record).get(image) or [b""]
            yield values[0]
        if row == wanted[-1]:
            return


def _records(file: str) -> Iterable[bytes]:
    import tensorflow as tf

    check_tensorflow_reads("--source", file)
    options = tf.data.Options()
    options.autotune.enabled = False  # Its thread may keep the end of a file waiting.
    try:
        yield from tf.data.TFRecordDataset(file).with_options(options).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise InputError(f"{file} is no whole TFRecord file ({error.message}).") from None


def _features(record: bytes) -> dict[str, list]:
    import tensorflow as tf

    features = tf.train.Example.FromString(record).features.feature
    kinds = {name: feature.WhichOneof("kind") for name, feature in features.items()}
    return {name: list(getattr(features[name], kind).value) for name, kind in kinds.items() if kind}


def _told(values: list) -> object:
    """One value or a list, bytes as texts; nothing where they are none."""
    try:
        values = [each.decode() if isinstance(each, bytes) else each for each in values]
    except UnicodeDecodeError:
        return None
    return values[0] if len(values) == 1 else values or None
