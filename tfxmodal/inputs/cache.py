"""Features cached on disk by the content of their items: computed once, resumed, read from disk.

A cache's folder holds the features of one space: all that decides the features of an item, such as
the encoder and its weights, is alike. An item is known by a hash of its content, so that it is
found again under another path, in another split or dataset, and one more item costs only itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.inputs.claims import claim, claimed, wait
from tfxmodal.inputs.shards import (
    Shard,
    ShardedFeatures,
    last_shard,
    new_shard,
    open_shards,
    shards_begun,
    write_shard,
)
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.locks import locked
from tfxmodal.io.reading import read_json

SPACE = "space.json"
BAD = "bad.json"
SHARD_ROWS = 256
"""Rows of a shard: the most that a killed extraction computes again."""

Compute = Callable[[np.ndarray], tuple[np.ndarray, dict[int, str]]]
"""From row numbers `[m]` to features `[m, ...]`, and the reasons why some of the rows have none."""


@dataclass(frozen=True)
class Space:
    """What the features of a cache have in common.

    Attributes:
        key: All that decides the features of an item (encoder, weights, preprocessing), for JSON.
        shape: The shape of an item's features: `(dim,)` or `(locations, dim)`.
        dtype: How they are kept: `float32`, or `float16`, which takes half of the disk.
    """

    key: dict
    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def item_bytes(self) -> int:
        """What an item's features take on disk."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


class FeatureCache:
    """A folder of features of one space; it grows by what is asked for and not there yet.

    Args:
        folder: The folder, made when features are computed.
        space: What features it holds.
    """

    def __init__(self, folder: str | Path, space: Space):
        self.folder, self.space = Path(folder), space
        self._alive: Callable[[], None] = lambda: None

    def alive(self) -> None:
        """Tells processes that wait that this one gets on; for a `Compute` of many seconds."""
        self._alive()

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """Of each item that `features` would compute the first row; see there."""
        there = self._open()
        return there.missing(keys, there.bad.keys())

    def features(
        self,
        keys: Sequence[bytes],
        compute: Compute,
        progress=None,
    ) -> ShardedFeatures:
        """Features of a dataset's rows, computed as far as the folder lacks them.

        A killed computation continues at its first unfinished shard. Processes that compute for one
        folder, on one machine or several, share the work, and each waits until all is done: what a
        killed one had claimed is computed by another. Items that had no features before are tried
        again: a reason may have passed, as a library that was missing.

        Args:
            keys: Of each row the key of its item, 16 bytes (`tfxmodal.io.hashing`).
            compute: What computes features of rows.
            progress: Wraps an iterable, as tqdm does.

        Raises:
            InputError: If the folder holds features of another space, a feature is not finite or
                too large for the space's dtype, the disk is full, or another process gets on with
                nothing. Shards that are finished stay.
        """
        there = self._open()
        again = there.bad.keys()  # Not what another process finds bad from now on.
        if missing := there.missing(keys, again):
            with self._writing(len(missing)):
                self.folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as claims:
                pieces = self._pieces(keys, len(missing), again, claims)
                if progress:
                    shards = -(-len(missing) // SHARD_ROWS)
                    pieces = progress(pieces, total=shards, desc="features")
                for rows in pieces:
                    self._keep(keys, rows, *self._checked(compute, rows))
            there = self._open()
        places = np.array([there.places.get(key, -1) for key in keys], np.int64)
        bad = {row: there.bad[keys[row].hex()] for row in np.flatnonzero(places < 0).tolist()}
        return ShardedFeatures(self.folder, there.shards or [self._new_shard()], places, bad)

    def _open(self) -> _Contents:
        if (self.folder / SPACE).exists():
            space = read_json(self.folder / SPACE)
            if space != json.loads(json.dumps(asdict(self.space))):
                raise InputError(
                    f"{self.folder} holds features of another kind ({space}): give another folder "
                    "or remove this one."
                )
        shards = open_shards(self.folder, self.space.shape, self.space.dtype)
        return _Contents(shards, self._bad())

    def _bad(self) -> dict[str, str]:
        return read_json(self.folder / BAD) if (self.folder / BAD).exists() else {}

    def _new_shard(self) -> Shard:
        return new_shard(self.folder, self.space.shape, self.space.dtype)

    def _pieces(
        self, keys: Sequence[bytes], missing: int, again: Collection[str], claims: ExitStack
    ) -> Iterator[np.ndarray]:
        """Rows to compute, a shard at a time, until none are missing; `claims` holds what is taken.

        Of what nobody has claimed a sixteenth is claimed at once, so that the folder is read a few
        dozen times, and processes end at about the same time.
        """
        tried: set[bytes] = set()
        while True:
            with self._writing(missing), locked(self.folder / ".lock"):
                self._write_json(SPACE, asdict(self.space))
                others = claimed(self.folder)  # First: what is no claim any more is in a shard.
                rows = [row for row in self._open().missing(keys, again) if keys[row] not in tried]
                free = [row for row in rows if keys[row] not in others]
                mine = free[: SHARD_ROWS * max(1, len(free) // SHARD_ROWS // 16)]
                if mine:
                    self._alive = claims.enter_context(
                        claim(self.folder, [keys[row] for row in mine])
                    )
            if not rows:
                return
            for first in range(0, len(mine), SHARD_ROWS):
                yield np.array(mine[first : first + SHARD_ROWS])
            claims.close()
            tried |= {keys[row] for row in mine}
            if not free:
                wait(others[keys[rows[0]]], partial(shards_begun, self.folder))

    def _keep(self, keys: Sequence[bytes], rows: np.ndarray, features: np.ndarray, bad: dict):
        """Writes features, into the last shard where they fit, and the reasons of bad rows."""
        good = [row not in bad for row in rows.tolist()]
        with self._writing(len(keys)), locked(self.folder / ".lock"):
            if any(good):
                shard = last_shard(self.folder, self.space.shape, self.space.dtype)
                if shard is None or len(shard) + sum(good) > SHARD_ROWS:
                    shard = self._new_shard()
                names = [keys[row] for row in rows[good]]
                write_shard(self.folder, shard.extended(names, features[good]))
            before = self._bad()
            now_good = {keys[row].hex() for row in rows[good]}
            told = {name: reason for name, reason in before.items() if name not in now_good}
            told |= {keys[row].hex(): reason for row, reason in bad.items()}
            if told != before:
                self._write_json(BAD, told)

    def _checked(self, compute: Compute, rows: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
        """Features of rows in the space's dtype, and the reasons why some of them are bad."""
        features, bad = compute(rows)
        features = np.array(features, np.float32)
        if features.shape != (len(rows), *self.space.shape):
            raise ValueError(
                f"`compute` gave {features.shape}, expected {(len(rows), *self.space.shape)}."
            )
        features[np.isin(rows, list(bad))] = 0
        largest = np.abs(features).reshape(len(rows), -1).max(axis=1, initial=0)
        limit = np.finfo(self.space.dtype).max
        wrong = np.flatnonzero(~(largest <= limit))
        if len(wrong):
            row, value = rows[wrong[0]], largest[wrong[0]]
            fault = f"reach {value:,.0f}, and {self.space.dtype} ends at {limit:,.0f}"
            fault = fault if np.isfinite(value) else "are not finite"
            raise InputError(
                f"The features of row {row} {fault}: check that item and the encoder's weights."
            )
        return features.astype(self.space.dtype), bad

    def _write_json(self, name: str, content: dict) -> None:
        with whole_file(self.folder / name) as file:
            file.write(json.dumps(content, indent=1).encode())

    @contextmanager
    def _writing(self, rows: int):
        """Tells of a full disk, and of any other trouble with writing, in one sentence."""
        try:
            yield
        except OSError as error:
            raise InputError(
                f"Cannot write the features to {self.folder} ({error}): they need "
                f"{rows * self.space.item_bytes:,} bytes in all; make room or give another folder, "
                "and run the same command again: finished shards stay."
            ) from error


@dataclass(frozen=True, eq=False)
class _Contents:
    """What a folder holds: its whole shards, and the reasons of bad items by key in hexadecimal."""

    shards: list[Shard]
    bad: dict[str, str]

    @cached_property
    def places(self) -> dict[bytes, int]:
        """Of each item its row in the shards one after the other."""
        keys = (key for shard in self.shards for key in shard.keys)
        return {key: place for place, key in enumerate(keys)}

    def missing(self, keys: Sequence[bytes], again: Collection[str]) -> list[int]:
        """The first row of each item that is to be computed, bad ones of `again` among them."""
        rows = {}
        for row, key in enumerate(keys):
            name = key.hex()
            if key not in self.places and (name in again or name not in self.bad):
                rows.setdefault(key, row)
        return list(rows.values())
