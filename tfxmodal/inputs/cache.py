"""Features cached on disk, in shards under a manifest: computed once, resumed, memory-mapped."""

import fcntl
import json
import os
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tfxmodal.encoders.image.pictures import bad_images
from tfxmodal.errors import InputError, choose
from tfxmodal.io.atomic import whole_file

MANIFEST = "manifest.json"
PIECE = 256
"""Rows computed between two steps of the progress bar."""

Compute = Callable[[int, int], tuple[np.ndarray, dict[int, str]]]


def stamp(path: str | Path) -> tuple[int, int]:
    """A file's bytes and when it was written, for a key: another in its place is seen.

    Of a missing file it is (-1, -1): who reads it will tell.
    """
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


class ShardedFeatures:
    """The good rows of a finished cache, or some of them; they stay on disk.

    Satisfies `tfxmodal.data.pairs.Features`: `features[rows]` takes what a NumPy array's first axis
    takes (a slice, integers in any order, a mask) and gives `[len(rows), dim]` float32.

    Attributes:
        folder: Where they are.
        kept: `[n]` numbers of the dataset's rows that these are; bad rows are left out.
        bad: Rows that have no features, with the reasons.
        shape: `(n, dim)`.
    """

    def __init__(self, folder: str | Path):
        """Opens a cache.

        Raises:
            InputError: If it is not finished, or a shard is missing or not whole.
        """
        self.folder = folder = Path(folder)
        manifest = _read_manifest(folder)
        if manifest is None or not manifest["finished"]:
            raise InputError(
                f"The features in {folder} are not finished; run the command that extracts them "
                "again: it continues where it stopped."
            )
        sizes = _shard_sizes(manifest)
        self._shards = [_open_shard(folder, i, size, manifest) for i, size in enumerate(sizes)]
        if any(shard is None for shard in self._shards):
            broken = _shard_path(folder, [s is None for s in self._shards].index(True))
            raise InputError(
                f"The shard {broken} is missing or cut short; run the command that extracts the "
                "features again: it computes that shard anew."
            )
        self.bad = {int(row): reason for row, reason in manifest["bad"].items()}
        self._shard_rows = manifest["shard_rows"]
        self._dim = manifest["dim"]
        self.kept = np.setdiff1d(np.arange(manifest["rows"]), list(self.bad))

    @property
    def shape(self) -> tuple[int, int]:  # noqa: D102
        return len(self.kept), self._dim

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, rows) -> np.ndarray:
        rows = self.kept[rows]
        shard, offset = np.divmod(rows.ravel(), self._shard_rows)
        order = np.argsort(shard, kind="stable")
        used, starts = np.unique(shard[order], return_index=True)
        features = np.empty((rows.size, self._dim), np.float32)
        for i, chosen in zip(used, np.split(order, starts[1:]), strict=False):
            features[chosen] = self._shards[i][offset[chosen]]
        return features.reshape(*rows.shape, self._dim)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(dtype or np.float32, copy=False)

    def take(self, rows) -> "ShardedFeatures":
        """These features restricted to `rows`, in that order, without reading them."""
        view = object.__new__(ShardedFeatures)
        view.__dict__ = {**self.__dict__, "kept": self.kept[rows]}
        return view


def cached_features(
    folder: str | Path,
    key: dict,
    n: int,
    dim: int,
    compute: Compute,
    shard_rows: int = 2048,
    on_bad: str = "refuse",
    progress=None,
) -> ShardedFeatures:
    """Features of `n` rows: from the cache, computed as far as it lacks them.

    A killed run continues at its first unfinished shard. Processes that fill one folder take turns:
    the later one waits, and finds the work done.

    Args:
        folder: The cache's own folder, made if need be.
        key: All that decides the features (tower, weights, preprocessing, dataset), for JSON.
        n: Number of rows.
        dim: Width of the features.
        compute: `compute(start, stop)` gives the features `[stop - start, dim]` of these rows and
            the reasons why some of them have none, by row number.
        shard_rows: Rows in a file.
        on_bad: What to do about rows without features: `refuse`, or `skip` to leave them out.
        progress: Wraps an iterable, as tqdm does.

    Raises:
        InputError: If the folder holds other features, a feature is not finite, the disk is full,
            or rows are bad and `on_bad` is `refuse`. Shards that are finished stay.
    """
    choose("on_bad", on_bad, ("refuse", "skip"))
    folder = Path(folder)
    wanted = {
        "key": json.loads(json.dumps(key)),
        "rows": n,
        "dim": dim,
        "dtype": "float32",
        "shard_rows": shard_rows,
    }
    with _writing(folder, wanted):
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a process that is killed gives it up
        manifest = _read_manifest(folder) or wanted | {"shards": [], "bad": {}, "finished": False}
        if any(manifest.get(name) != value for name, value in wanted.items()):
            raise InputError(
                f"{folder} holds features of another tower or dataset ({manifest.get('key')}); "
                "give another folder or remove this one."
            )
        _fill(folder, manifest, compute, on_bad, progress or (lambda items, **_: items))
    return ShardedFeatures(folder)


def _fill(folder: Path, manifest: dict, compute: Compute, on_bad: str, progress) -> None:
    """Computes what shards are missing; the manifest forgets them first, and learns of each."""
    missing = _missing_shards(folder, manifest, on_bad)
    if not missing and manifest["finished"]:
        return
    sizes, step = _shard_sizes(manifest), manifest["shard_rows"]
    bad = {row: why for row, why in manifest["bad"].items() if int(row) // step not in missing}
    done = [i for i in manifest["shards"] if i not in missing]
    manifest |= {"shards": done, "bad": bad, "finished": False}
    _write_manifest(folder, manifest)
    pieces = [(i, start) for i in missing for start in range(0, sizes[i], PIECE)]
    for i, start in progress(pieces, total=len(pieces), desc="features"):
        stop = min(start + PIECE, sizes[i])
        if start == 0:
            shard, reasons = np.empty((sizes[i], manifest["dim"]), np.float32), {}
        rows = i * step + start, i * step + stop
        shard[start:stop], found = _checked(compute, *rows, manifest["dim"])
        reasons |= found
        if stop == sizes[i]:
            with _writing(folder, manifest), whole_file(_shard_path(folder, i)) as file:
                np.save(file, shard)
            bad |= reasons
            done.append(i)
            _write_manifest(folder, manifest)
    if bad and on_bad == "refuse":
        raise bad_images(bad, manifest["rows"])
    manifest["finished"] = True
    _write_manifest(folder, manifest)


def _missing_shards(folder: Path, manifest: dict, on_bad: str) -> list[int]:
    """Shards not yet done, no longer whole, or whose bad images may be repaired by now."""
    doubtful = {int(row) // manifest["shard_rows"] for row in manifest["bad"]}
    return [
        i
        for i, size in enumerate(_shard_sizes(manifest))
        if i not in manifest["shards"]
        or (on_bad == "refuse" and i in doubtful)
        or _open_shard(folder, i, size, manifest) is None
    ]


def _checked(compute: Compute, start: int, stop: int, dim: int):
    """Features of some rows, finite and of the right shape, with zeros where a row is bad."""
    features, bad = compute(start, stop)
    features = np.array(features, np.float32)
    if features.shape != (stop - start, dim):
        raise ValueError(f"`compute` gave {features.shape}, expected {(stop - start, dim)}.")
    features[[row - start for row in bad]] = 0
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        row = start + int(np.argmin(finite))
        raise InputError(
            f"The features of row {row} are not finite; check its image and the tower's weights."
        )
    return features, {str(row): reason for row, reason in bad.items()}


@contextmanager
def _writing(folder: Path, manifest: dict):
    """Tells of a full disk, and of any other trouble with writing, in one sentence."""
    try:
        yield
    except OSError as error:
        need = 4 * manifest["rows"] * manifest["dim"]
        raise InputError(
            f"Cannot write the features to {folder} ({error}): they need {need:,} bytes in all; "
            "make room or give another folder, and run the same command again: finished shards "
            "stay."
        ) from error


def _shard_sizes(manifest: dict) -> list[int]:
    rows, step = manifest["rows"], manifest["shard_rows"]
    return [min(step, rows - start) for start in range(0, rows, step)]


def _shard_path(folder: Path, index: int) -> Path:
    return folder / f"shard_{index:05d}.npy"


def _open_shard(folder: Path, index: int, rows: int, manifest: dict) -> np.ndarray | None:
    """The memory-mapped shard, or None if it is missing or not whole."""
    try:
        shard = np.load(_shard_path(folder, index), mmap_mode="r")
    except (OSError, ValueError):
        return None
    if shard.shape != (rows, manifest["dim"]) or shard.dtype != np.float32:
        return None
    return np.asarray(shard)


def _read_manifest(folder: Path) -> dict | None:
    path = folder / MANIFEST
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(f"{path} is no manifest ({error}); remove its folder.") from error


def _write_manifest(folder: Path, manifest: dict) -> None:
    with _writing(folder, manifest), whole_file(folder / MANIFEST) as file:
        file.write(json.dumps(manifest, indent=1).encode())
