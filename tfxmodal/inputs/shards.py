"""Features in shard files: a folder that grows, in which whatever is whole is found again.

A shard is `shard_00000.npy`, features `[rows, ...]`, and `shard_00000.keys.npy`, `[rows, 16]` bytes
that name the item of each row. The keys are written last: without them a shard does not count, and
one that is being extended counts as it was before.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfxmodal.io.atomic import whole_file
from tfxmodal.io.hashing import DIGEST

KEYS = ".keys.npy"


class RowsOnDisk:
    """Rows of a `.npy` file, which is open only while they are read.

    A mapped file stays open, and COCO has more shards than the 1,024 files a process may have open.

    Args:
        mapped: The rows, one after the other in their file.
    """

    def __init__(self, mapped: np.memmap):
        self._path, self._start = mapped.filename, mapped.offset
        self.shape, self.dtype = mapped.shape, mapped.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        file = os.open(self._path, os.O_RDONLY)
        try:
            for place, row in zip(found, rows.tolist(), strict=True):
                if os.preadv(file, [place], self._start + row * place.nbytes) < place.nbytes:
                    raise OSError(f"{self._path} was cut short while its features were in use.")
        finally:
            os.close(file)
        return found


@dataclass(frozen=True, eq=False)
class Shard:
    """Rows of features.

    Attributes:
        number: The number in the names of its files.
        keys: Of each row the key of its item.
        rows: `[len(keys), ...]`; of a shard that was opened they are on disk.
    """

    number: int
    keys: list[bytes]
    rows: np.ndarray | RowsOnDisk

    def __len__(self) -> int:
        return len(self.keys)

    def extended(self, keys: list[bytes], rows: np.ndarray) -> Shard:
        """This shard with more rows at its end."""
        before = self.rows[np.arange(len(self))]
        return Shard(self.number, self.keys + keys, np.concatenate([before, rows]))


class ShardedFeatures:
    """The features of a dataset's good rows, or of some of them; they stay on disk.

    Satisfies `tfxmodal.data.pairs.Features`: `features[rows]` takes what a NumPy array's first axis
    takes (a slice, integers in any order, a mask) and gives `[len(rows), ...]` float32.

    Args:
        folder: Where the shards are.
        shards: The shards, one of no rows at least.
        places: `[rows]`: of each row of the dataset its row in the shards one after the other, or
            -1 where it has no features.
        bad: Rows that have none, with the reasons.

    Attributes:
        folder: Where they are.
        kept: `[n]` numbers of the dataset's rows that these are; bad rows are left out.
        bad: Rows that have no features, with the reasons.
        shape: `(n, dim)` or `(n, locations, dim)`.
    """

    def __init__(
        self, folder: Path, shards: Sequence[Shard], places: np.ndarray, bad: dict[int, str]
    ):
        self.folder, self.bad = folder, bad
        self.kept = np.flatnonzero(places >= 0)
        self._places = places[self.kept]
        self._shards = [shard.rows for shard in shards]
        self._starts = np.cumsum([0, *map(len, self._shards)])

    @property
    def shape(self) -> tuple[int, ...]:  # noqa: D102
        return len(self.kept), *self._shards[0].shape[1:]

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, rows) -> np.ndarray:
        chosen = self._places[rows]
        places = chosen.ravel()
        shard = np.searchsorted(self._starts, places, side="right") - 1
        order = np.argsort(shard, kind="stable")
        used, starts = np.unique(shard[order], return_index=True)
        features = np.empty((places.size, *self.shape[1:]), np.float32)
        for i, those in zip(used, np.split(order, starts[1:]), strict=False):
            features[those] = self._shards[i][places[those] - self._starts[i]]
        return features.reshape(*chosen.shape, *self.shape[1:])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(dtype or np.float32, copy=False)

    def take(self, rows) -> ShardedFeatures:
        """These features restricted to `rows`, in that order, without reading them."""
        view = object.__new__(ShardedFeatures)
        view.__dict__ = self.__dict__ | {"kept": self.kept[rows], "_places": self._places[rows]}
        return view


def open_shards(folder: Path, shape: tuple[int, ...], dtype: str) -> list[Shard]:
    """The shards of a folder that are whole, by their numbers.

    Args:
        folder: Where they are.
        shape: The shape of one row.
        dtype: The dtype of the features.

    Raises:
        OSError: If a file is there and cannot be opened.
    """
    opened = (_open(path, shape, dtype) for path in sorted(folder.glob(f"shard_*{KEYS}")))
    return [shard for shard in opened if shard is not None]


def last_shard(folder: Path, shape: tuple[int, ...], dtype: str) -> Shard | None:
    """The shard of the highest number; None where there is none, or it is damaged."""
    last = max(folder.glob(f"shard_*{KEYS}"), key=_number, default=None)
    return None if last is None else _open(last, shape, dtype)


def shards_begun(folder: Path) -> int:
    """A number that grows with every shard."""
    return max((_number(path) + 1 for path in folder.glob(f"shard_*{KEYS}")), default=0)


def new_shard(folder: Path, shape: tuple[int, ...], dtype: str) -> Shard:
    """An empty shard of a new number: who still reads a damaged shard never sees others' rows."""
    return Shard(shards_begun(folder), [], np.empty((0, *shape), dtype))


def write_shard(folder: Path, shard: Shard) -> None:
    """Writes a shard, in the place of the one that it extends.

    Raises:
        OSError: If it cannot be written; then the one before still counts.
    """
    rows, keys = _paths(folder, shard.number)
    with whole_file(rows) as file:
        np.save(file, shard.rows)
    with whole_file(keys) as file:
        np.save(file, pack(shard.keys))


def pack(keys: Sequence[bytes]) -> np.ndarray:
    """Keys as an array `[n, 16]` uint8."""
    return np.frombuffer(b"".join(keys), np.uint8).reshape(-1, DIGEST)


def unpack(array: np.ndarray) -> list[bytes]:
    """Keys from an array `[n, 16]` uint8."""
    content = array.tobytes()
    return [content[i : i + DIGEST] for i in range(0, len(content), DIGEST)]


def _paths(folder: Path, number: int) -> tuple[Path, Path]:
    """The files of rows and keys."""
    return folder / f"shard_{number:05d}.npy", folder / f"shard_{number:05d}{KEYS}"


def _number(path: Path) -> int:
    return int(path.name.removeprefix("shard_").removesuffix(KEYS))


def _open(path: Path, shape: tuple[int, ...], dtype: str) -> Shard | None:
    try:
        keys = np.load(path)  # before the rows: another process may extend both meanwhile
        rows = np.load(_paths(path.parent, _number(path))[0], mmap_mode="r")
    except (FileNotFoundError, EOFError, ValueError):
        return None
    if keys.shape[1:] != (DIGEST,) or keys.dtype != np.uint8:
        return None
    if rows.shape[1:] != shape or rows.dtype != dtype or len(rows) < len(keys):
        return None
    if not rows.flags.c_contiguous:  # `RowsOnDisk` reads them one after the other.
        return None
    return Shard(_number(path), unpack(keys), RowsOnDisk(rows[: len(keys)]))
