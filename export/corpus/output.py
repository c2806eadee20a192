"""The folder of vectors: Parquet files that are whole or not there, and what is new since."""

from __future__ import annotations

import fcntl
import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from corpus import InputError
from corpus.containers import FILE, ROW
from corpus.places import joined, located
from corpus.sources import COLUMNS_STAMP

ABOUT = b"tfxmodal"
"""Of a file's schema: JSON of the gallery, the source, and the model with its fingerprint."""

KNOWN = ("id", "stamp", COLUMNS_STAMP)
"""Columns that tell what an item was when its row was written."""

WORK = "_work"
"""Of what is not finished. Readers of Parquet pass over what begins with an underscore."""

BAD = "bad"
"""Of the list of items without a vector, JSON lines of `id` and `reason`."""


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        todo: Items whose vector is missing, or of other content: rows of the source.
        changed: How many of them have a vector of other content.
        retold: By file: items whose vectors are there with other columns; rows of the source.
        stale: By file: the ids whose vectors are of other content, or have other columns.
    """

    todo: pa.Table
    changed: int
    retold: dict[str, pa.Table]
    stale: dict[str, list[str]]


def plan(items: pa.Table, earlier: pa.Table) -> Plan:
    """Compares a source with what is there.

    Args:
        items: `id`, unique, `stamp` and `columns_stamp`; other columns as they are.
        earlier: These three, and `file`, of vectors that are there, of this source or others.
    """
    row = pc.index_in(earlier["id"], value_set=items["id"])
    earlier = earlier.append_column("row", row).filter(pc.is_valid(row))
    content, columns = (
        pc.equal(earlier[name], items[name].take(earlier["row"])).to_numpy() for name in KNOWN[1:]
    )
    rows = earlier["row"].to_numpy()
    embedded, there = np.zeros(len(items), bool), np.zeros(len(items), bool)
    embedded[rows[content]] = True
    there[rows[content & columns]] = True
    other = np.flatnonzero(~(content & columns))
    files, ids = (earlier[name].take(other).to_pylist() for name in ("file", "id"))
    stale: dict[str, list[str]] = {}
    retold: dict[str, list[int]] = {}
    for file, name, row, is_same in zip(files, ids, rows[other], content[other], strict=True):
        stale.setdefault(file, []).append(name)
        if is_same and not there[row]:
            retold.setdefault(file, []).append(row)
            there[row] = True
    known = {name for names in stale.values() for name in names}
    todo = items.filter(pa.array(~embedded))
    changed = sum(name in known for name in todo["id"].to_pylist())
    return Plan(todo, changed, {file: items.take(each) for file, each in retold.items()}, stale)


def shard_name(items: pa.Table) -> str:
    """The name of the file for items: always the same, so that it can be written twice."""
    digest = hashlib.blake2b(digest_size=10)
    for name in KNOWN:
        digest.update("\0".join(items[name].to_pylist()).encode() + b"\n")
    return f"part-{digest.hexdigest()}.parquet"


def with_vectors(items: pa.Table, vectors: pa.Array, about: str) -> pa.Table:
    """The rows of a file: items of a source with their vectors, `about` them for `ABOUT`."""
    rows = items.add_column(1, "vector", vectors)
    rows = rows.drop_columns([*({FILE, ROW} & {*rows.column_names})])
    return rows.replace_schema_metadata({ABOUT: about})


class Output:
    """A folder of vectors, here or in an object store.

    Args:
        place: The folder, which need not be there.
    """

    def __init__(self, place: str):
        self.place = place

    def parts(self) -> list[str]:
        """The names of the files of vectors."""
        system, root = located(self.place)
        found = system.get_file_info(fs.FileSelector(root, allow_not_found=True))
        return sorted(each.base_name for each in found if each.base_name.endswith(".parquet"))

    def check(self, about: dict):
        """Checks that vectors that are there are of this model and gallery.

        Raises:
            InputError: If they are not, or the folder holds something else.
        """
        for name in self.parts()[:1]:
            system, root = located(self.place)
            with system.open_input_file(f"{root}/{name}") as file:
                found = (pq.read_schema(file).metadata or {}).get(ABOUT)
            if found is None:
                raise InputError(f"--to {self.place} holds other Parquet files: give a new folder.")
            found = json.loads(found)
            for key in ("fingerprint", "gallery", "weights"):
                if found[key] != about[key]:
                    raise InputError(
                        f"--to {self.place} holds vectors of {key} {found[key]}, and these are of "
                        f"{about[key]}: give another folder."
                    )

    def earlier(self) -> pa.Table:
        """`id`, `stamp`, `columns_stamp` and `file` of all vectors."""
        system, root = located(self.place)
        tables = [pa.table({name: pa.array([], pa.string()) for name in (*KNOWN, "file")})]
        for name in self.parts():
            with system.open_input_file(f"{root}/{name}") as opened:
                rows = pq.ParquetFile(opened).read(columns=[*KNOWN])
            if COLUMNS_STAMP not in rows.column_names:  # An earlier version wrote it.
                rows = rows.append_column(COLUMNS_STAMP, pa.repeat("", len(rows)))
            tables.append(rows.append_column("file", pa.repeat(name, len(rows))))
        return pa.concat_tables([table.replace_schema_metadata() for table in tables])

    def check_sources(self, stale: dict[str, list[str]], source: str):
        """Checks that vectors that are to be replaced are of this source.

        Args:
            stale: By file their ids.
            source: The `source` of the rows that take their place.

        Raises:
            InputError: If they are of another one. Files of earlier versions do not tell theirs.
        """
        system, root = located(self.place)
        for name, ids in stale.items():
            with system.open_input_file(f"{root}/{name}") as file:
                about = json.loads(pq.read_schema(file).metadata[ABOUT])
            if about.get("source", source) != source:
                raise InputError(
                    f"--to {self.place} holds {len(ids):,} ids of --source {source} with other "
                    f"content, such as {ids[0]!r}, from {about['source']}: give another folder, or "
                    "--replace where the source has moved."
                )

    def write(self, name: str, rows: pa.Table, row_group: int | None = None):
        """Writes a file of rows, whole or not at all."""
        with self._whole(name) as file:
            pq.write_table(rows, file, row_group_size=row_group)

    @contextmanager
    def _whole(self, name: str) -> Iterator[pa.NativeFile]:
        """A file to write into, which takes its name when it is whole."""
        system, root = located(self.place)
        system.create_dir(f"{root}/{WORK}")
        partial = f"{root}/{WORK}/{uuid.uuid4().hex}"
        with system.open_output_stream(partial) as file:
            yield file
        system.move(partial, f"{root}/{name}")

    def retell(self, plan: Plan, source: str):
        """Writes rows whose columns alone have changed, with the vectors that are there.

        Args:
            plan: What the run does.
            source: The `source` of these rows.
        """
        system, root = located(self.place)
        for name, items in plan.retold.items():
            rows = pq.read_table(f"{root}/{name}", filesystem=system)
            at = pc.index_in(items["id"], value_set=rows["id"])
            vectors = rows["vector"].combine_chunks().take(at.combine_chunks())
            about = json.loads(rows.schema.metadata[ABOUT]) | {"source": source}
            self.write(shard_name(items), with_vectors(items, vectors, json.dumps(about)))

    def drop(self, name: str, ids: list[str]):
        """Removes the rows of ids from a file, and the file where none is left."""
        system, root = located(self.place)
        rows = pq.read_table(f"{root}/{name}", filesystem=system)
        kept = rows.filter(pc.invert(pc.is_in(rows["id"], value_set=pa.array(ids))))
        if len(kept):
            self.write(name, kept)
        else:
            system.delete_file(f"{root}/{name}")

    def work(self, name: str) -> str:
        """The place of a file that is needed until the run has ended."""
        return joined(self.place, f"{WORK}/{name}")

    def finish(self, plan: Plan) -> int:
        """Removes what is stale and the work, writes `bad.jsonl`; returns how many it lists."""
        for name, ids in plan.stale.items():
            self.drop(name, ids)
        system, root = located(self.place)
        selected = fs.FileSelector(f"{root}/{WORK}", allow_not_found=True)
        found = sorted(each.path for each in system.get_file_info(selected) if each.is_file)
        bad = b""
        for path in found:
            if path.rpartition("/")[2].startswith(BAD):
                with system.open_input_stream(path) as file:
                    bad += file.read()
        with self._whole(f"{BAD}.jsonl") as file:
            file.write(bad)
        self.clear()
        return bad.count(b"\n")

    def clear(self):
        """Removes what a killed run left."""
        system, root = located(self.place)
        if system.get_file_info(f"{root}/{WORK}").type is fs.FileType.Directory:
            system.delete_dir(f"{root}/{WORK}")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other runs away from a folder on a disk; an object store has no locks.

        Raises:
            InputError: If another run writes to the folder.
        """
        system, root = located(self.place)
        system.create_dir(root)
        if not isinstance(system, fs.LocalFileSystem):
            yield
            return
        with open(f"{root}/.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"Another run writes to --to {self.place}: wait until it has ended."
                ) from None
            yield
