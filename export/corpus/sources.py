"""The items of a source, as an Arrow table: what is to be embedded, and what travels along."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from corpus import InputError
from corpus.containers import CONTAINERS, FILE, ROW, holds, rows_of
from corpus.places import files_in, folders_in, joined, located, read, stamps

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp"),
    *(".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2"),  # The model reads none: they are bad.
)
TABLES = {".csv": ",", ".tsv": "\t"}
PATH = "path"
"""Column of where the picture of an item is, if it is a file of its own."""

COLUMNS_STAMP = "columns_stamp"
"""Column of what changes with an item's further columns; empty where it has none."""

TRIED = 20
"""Images by which the folder of all is found, as in training."""

BLOCK = 100_000
"""Rows that are held as Python's objects at a time."""

NUMBER = re.compile(r"[-+]?(0|[1-9]\d{0,14})(\.\d+)?([eE][-+]?\d{1,2})?")
BOOLEANS = {"true": True, "false": False}
"""What texts of a table are read as, as in training (`tfxmodal.data.metadata`); 007 is a text."""


@dataclass(frozen=True)
class Columns:
    """Names of a source's columns."""

    id: str = "id"
    image: str = "image"
    text: str = "text"


def read_source(source: str, gallery: str, columns: Columns) -> pa.Table:
    """The items of a source, in its order.

    Args:
        source: A folder of pictures, a manifest of pairs (.jsonl, .csv, .tsv), or a file or folder
            of Parquet or TFRecords.
        gallery: `images` or `texts`.
        columns: Names of the source's columns.

    Returns:
        `id`, unique strings; `stamp`, which changes with the content; where the content is
        (`path`; `_file` and `_row`; or `text`); all other columns of the source, as strings those
        without any value; and `columns_stamp`, which changes with these.

    Raises:
        InputError: If the source cannot be read, holds no item, or gives an id twice.
    """
    try:
        items = _items(source, gallery, columns)
    except FileNotFoundError:
        raise InputError(f"There is no --source {source}: correct its path.") from None
    except (OSError, OverflowError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).split("\n")[0]
        raise InputError(f"--source {source} cannot be read ({reason}): correct it.") from error
    if not len(items):
        raise InputError(f"--source {source} holds no {gallery}: give another.")
    _refuse_twice(items["id"], source)
    # Not all that reads Parquet knows columns of no type.
    kinds = [pa.string() if pa.types.is_null(each) else each for each in items.schema.types]
    items = items.cast(pa.schema([*zip(items.column_names, kinds, strict=True)]))
    own = {"id", "stamp", FILE, ROW, "text" if gallery == "texts" else PATH}
    further = items.select([name for name in sorted(items.column_names) if name not in own])
    return items.append_column(COLUMNS_STAMP, _columns_stamps(further))


def _columns_stamps(rows: pa.Table) -> pa.Array:
    """A short hash of each row; a column in which a row has no value makes no difference."""
    if not rows.num_columns:
        return pa.array([""] * len(rows), pa.string())
    marks = []
    for batch in rows.to_batches(BLOCK):
        for row in batch.to_pylist():
            told = {name: value for name, value in row.items() if value is not None}
            marks.append(_hash(json.dumps(told, default=str)) if told else "")
    return pa.array(marks, pa.string())


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _is_of_programs(name: str) -> bool:
    """Whether a file is one that programs which write Parquet keep for themselves."""
    return "/_" in f"/{name}"


def _is_container(name: str) -> bool:
    return _suffix(name) in CONTAINERS and "/." not in f"/{name}" and not _is_of_programs(name)


def _items(source: str, gallery: str, columns: Columns) -> pa.Table:
    suffix = _suffix(source)
    system, path = located(source)
    if system.get_file_info(path).is_file:
        if suffix == ".jsonl":
            return _of_rows(_json_lines(source, columns), source, gallery, columns)
        if suffix in TABLES:
            return _of_rows(_table(source), source, gallery, columns)
        if suffix in CONTAINERS:
            return _of_rows(rows_of([source], columns.image), source, gallery, columns)
        kinds = ", ".join((".jsonl", *TABLES, *CONTAINERS))
        raise InputError(f"--source {source} is no folder and none of {kinds}: give one of these.")
    files = files_in(source)
    containers = any(_is_container(name) for name in files)
    held: dict[str, list[str]] = {}
    passed: Counter[str] = Counter()
    for name in files:
        kind = _suffix(name)
        if "/." in f"/{name}":
            passed["hidden"] += 1
        elif kind in PICTURES and containers and _is_of_programs(name):
            passed["pictures of programs"] += 1
        elif kind in PICTURES:
            held.setdefault("pictures", []).append(name)
        elif _is_container(name):
            held.setdefault(kind, []).append(name)
        else:
            passed[kind or "without suffix"] += 1
    if len(held) != 1:
        found = ", ".join(f"{len(names)} {kind}" for kind, names in held.items())
        raise InputError(
            f"--source {source} holds {found or 'no pictures, Parquet or TFRecords'}: give a "
            "folder with files of one kind."
        )
    ((kind, names),) = held.items()
    if passed:
        told = ", ".join(f"{count:,} {suffix}" for suffix, count in passed.most_common())
        print(f"{source}: {len(names):,} {kind}; passed over: {told}", flush=True)
    if kind != "pictures":
        rows = rows_of([joined(source, name) for name in names], columns.image)
        return _of_rows(rows, f"{source}/", gallery, columns)
    if gallery == "texts":
        raise InputError(f"--source {source} is a folder of pictures: give texts in a manifest.")
    paths, marks = [joined(source, name) for name in names], [files[name] for name in names]
    return pa.table({"id": names, "stamp": marks, PATH: paths})


def _of_rows(rows: pa.Table, source: str, gallery: str, columns: Columns) -> pa.Table:
    """Items of a source's rows; those of a table that name one image are one pair."""
    if not len(rows):
        return pa.table({"id": pa.array([], pa.string())})
    own = {"id", "vector", "stamp", COLUMNS_STAMP, *([PATH] * (gallery == "images"))}
    own -= {columns.id, columns.image}
    if reserved := own & {*rows.column_names}:
        raise InputError(f"{source} has a column {reserved.pop()!r}, as the output has: rename it.")
    if twice := [name for name, times in Counter(rows.column_names).items() if times > 1]:
        raise InputError(f"{source} has the column {twice[0]!r} more than once: rename one.")
    if FILE not in rows.column_names:
        rows = _with_ids(rows, columns)
    ids = _strings(rows, columns.id, source)
    rows = rows.drop_columns([columns.id]).add_column(0, "id", ids)
    merged = _suffix(source) in TABLES
    if merged:
        rows = _of_pairs(rows, columns)
    else:
        _refuse_twice(ids, source)
    return (_texts if gallery == "texts" else _images)(rows, source, columns, merged)


def _with_ids(rows: pa.Table, columns: Columns) -> pa.Table:
    """Rows of a manifest, where an image's path is the id of a row that has none."""
    if columns.image not in rows.column_names:
        return rows
    paths = rows[columns.image].cast(pa.string())
    if columns.id not in rows.column_names:
        return rows.append_column(columns.id, paths)
    ids = rows[columns.id].cast(pa.string())
    named = pc.coalesce(pc.if_else(pc.equal(ids, ""), None, ids), paths)
    return rows.set_column(rows.column_names.index(columns.id), columns.id, named)


def _of_pairs(rows: pa.Table, columns: Columns) -> pa.Table:
    """A table's rows with the metadata of their pair: those of its first row, as in training."""
    codes = _codes(rows["id"])
    first = np.unique(codes, return_index=True)[1]
    own = {"id", columns.image, columns.text, f"{columns.text}s"}
    metadata = {name: _typed(rows[name].take(first)) for name in {*rows.column_names} - own}
    told = [metadata[n].take(codes) if n in metadata else rows[n] for n in rows.column_names]
    return pa.table(told, rows.column_names)


def _typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as numbers or booleans, where all can be read so."""
    texts = [None if text is None else text.strip() for text in column.to_pylist()]
    there = {text for text in texts if text is not None}
    if there and all(map(NUMBER.fullmatch, there)):
        values, kind = {text: float(text) for text in there}, pa.float64()
    elif there and all(text.lower() in BOOLEANS for text in there):
        values, kind = {text: BOOLEANS[text.lower()] for text in there}, pa.bool_()
    else:
        return column
    return pa.chunked_array([pa.array(map(values.get, texts), kind)])


def _images(rows: pa.Table, source: str, columns: Columns, merged: bool) -> pa.Table:
    if FILE in rows.column_names and columns.image not in rows.column_names:
        files = pc.dictionary_encode(rows[FILE]).combine_chunks()
        names = files.dictionary.to_pylist()
        for file in names:
            if not holds(file, columns.image):
                _column(rows, columns.image, file)
        marks = pa.array(stamps(names), pa.string())
        return rows.append_column("stamp", marks.take(files.indices))
    images = _strings(rows, columns.image, source)
    if merged:
        pairs = pc.binary_join_element_wise(rows["id"], images, "\n")
        first = np.unique(_codes(pairs), return_index=True)[1]
        rows, images = rows.take(first), images.take(first)
    names = images.to_pylist()
    folder = _image_folder(posixpath.dirname(source), list(dict.fromkeys(names))[:TRIED])
    paths = [joined(folder, name) for name in names]
    marks = stamps(paths)
    if not any(marks):
        raise InputError(
            f"No picture that {source} names is there, such as {paths[0]}: correct it."
        )
    rows = rows.drop_columns([columns.image]).append_column(PATH, pa.array(paths))
    return rows.append_column("stamp", pa.array(marks))


def _image_folder(folder: str, images: list[str]) -> str:
    """Where the paths of images start: at the source, or in the one folder there that holds them.

    As in training (`tfxmodal.data.rows`).
    """

    def holds(place: str) -> bool:
        return any(stamps([joined(place, name) for name in images]))

    if holds(folder):
        return folder
    inside = [joined(folder, name) for name in folders_in(folder)]
    holding = [place for place in inside if holds(place)]
    return holding[0] if len(holding) == 1 else folder


def _texts(rows: pa.Table, source: str, columns: Columns, merged: bool) -> pa.Table:
    """Each text as an item of its own, with its row's id or, of several, ID#0, ID#1 and so on."""
    if merged:
        rows = rows.take(np.argsort(_codes(rows["id"]), kind="stable"))
    names = [name for name in (columns.text, f"{columns.text}s") if name in rows.column_names]
    cells = [_column(rows, name, source).to_pylist() for name in names or [columns.text]]
    lists = [[text for cell in row for text in _as_texts(cell)] for row in zip(*cells, strict=True)]
    ids = rows["id"].to_pylist()
    of_id: dict[str, list[str]] = {}
    for item, texts in zip(ids, lists, strict=True):
        of_id.setdefault(item, []).extend(texts)
    numbered = [
        item if len(texts) == 1 else f"{item}#{number}"
        for item, texts in of_id.items()
        for number in range(len(texts))
    ]
    dropped = {*names, "text", FILE, ROW} & {*rows.column_names}
    taken = rows.drop_columns([*dropped]).take(np.repeat(np.arange(len(rows)), [*map(len, lists)]))
    texts = [text for each in lists for text in each]
    marks = [_hash(text) for text in texts]
    return (
        taken.set_column(0, "id", pa.array(numbered, pa.string()))
        .append_column("text", pa.array(texts, pa.string()))
        .append_column("stamp", pa.array(marks, pa.string()))
    )


def _as_texts(cell: object) -> list[str]:
    """The texts of a cell that holds one, a list of several, or none."""
    cells = cell if isinstance(cell, list) else [cell]
    return [each for each in cells if isinstance(each, str) and each.strip()]


def _json_lines(source: str, columns: Columns) -> pa.Table:
    blocks, block = [], []
    for number, line in enumerate(io.BytesIO(read(source)), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("it is no object")
        except ValueError as error:
            raise InputError(f"Line {number} of {source} is no JSON object ({error}).") from None
        ids = {
            name: str(row[name])
            for name in (columns.id, columns.image)
            if row.get(name) is not None
        }
        block.append(row | ids)
        if len(block) == BLOCK:
            blocks.append(_of_dicts(block))
            block = []
    return pa.concat_tables([*blocks, _of_dicts(block)], promote_options="permissive")


def _of_dicts(rows: list[dict]) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)
    try:
        return pa.table({name: [row.get(name) for row in rows] for name in names})
    except UnicodeEncodeError:  # Half of a surrogate pair becomes `?`, as in training.
        whole = json.dumps(rows, ensure_ascii=False).encode("utf-8", "replace")
        return _of_dicts(json.loads(whole))


def _table(source: str) -> pa.Table:
    """The rows of a table, all as texts; what is empty is no value."""
    return pyarrow.csv.read_csv(
        io.BytesIO(read(source)),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=TABLES[_suffix(source)], newlines_in_values=True
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            default_column_type=pa.string(), null_values=[""], strings_can_be_null=True
        ),
    )


def _column(rows: pa.Table, name: str, source: str) -> pa.ChunkedArray:
    if name not in rows.column_names:
        there = ", ".join(each for each in rows.column_names if not each.startswith("_"))
        raise InputError(
            f"{source} has no column {name!r}, but {there}: "
            "name it by --id-column, --image-column or --text-column."
        )
    return rows[name]


def _strings(rows: pa.Table, name: str, source: str) -> pa.ChunkedArray:
    values = _column(rows, name, source).cast(pa.string())
    if values.null_count:
        raise InputError(f"{values.null_count:,} rows of {source} have no {name!r}: add it.")
    return values


def _codes(values: pa.ChunkedArray) -> np.ndarray:
    """Numbers of values by their first appearance, `[n]`."""
    return pc.dictionary_encode(values).combine_chunks().indices.to_numpy()


def _refuse_twice(ids: pa.ChunkedArray, source: str):
    counts = pc.value_counts(ids)
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise InputError(
            f"--source {source} gives {len(twice):,} ids more than once, such as "
            f"{twice[0].as_py()!r}: give each item its own."
        )
