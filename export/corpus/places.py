"""Files on a disk or in an object store (gs://, s3://, hdfs://), by the file systems of Arrow."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable

from pyarrow import fs

from corpus import InputError


def located(place: str) -> tuple[fs.FileSystem, str]:
    """The file system of a place, and the place's path in it."""
    if "://" in place:
        return fs.FileSystem.from_uri(place)
    return fs.LocalFileSystem(), whole(place)


def whole(place: str) -> str:
    """A place by which it is known from every folder."""
    return place.rstrip("/") if "://" in place else os.path.abspath(place)


def joined(folder: str, name: str) -> str:
    """A place in a folder; one that is absolute stays as it is."""
    return name if "://" in name else posixpath.join(folder, name)


def check_tensorflow_reads(flag: str, place: str):
    """Checks that TensorFlow reads a place: of object stores it knows Google's alone.

    Raises:
        InputError: If it does not; it names `flag`.
    """
    scheme, is_uri, _ = place.partition("://")
    if is_uri and scheme not in ("gs", "file"):
        raise InputError(
            f"{flag} {place} is for TensorFlow, which cannot read {scheme}://: copy it to a disk "
            "or to gs://."
        )


def read(place: str) -> bytes:
    """The content of a file.

    Raises:
        OSError: If it cannot be read.
    """
    system, path = located(place)
    with system.open_input_stream(path) as file:
        return file.read()


def files_in(folder: str) -> dict[str, str]:
    """The files in a folder and the folders in it: from their paths, sorted, to their stamps."""
    system, root = located(folder)
    found = system.get_file_info(fs.FileSelector(root, recursive=True))
    files = {
        posixpath.relpath(each.path, root): stamp(each)
        for each in found
        if each.type is not fs.FileType.Directory
    }
    return dict(sorted(files.items()))


def folders_in(folder: str) -> list[str]:
    """The names of the folders in a folder, sorted."""
    system, root = located(folder)
    found = system.get_file_info(fs.FileSelector(root))
    return sorted(each.base_name for each in found if each.type is fs.FileType.Directory)


def stamps(places: Iterable[str]) -> list[str]:
    """The stamps of files, empty where there is none: each folder is listed once."""
    files = [posixpath.split(place) for place in places]
    found: dict[tuple[str, str], str] = {}
    for folder in {folder for folder, _ in files}:
        system, root = located(folder)
        selected = fs.FileSelector(root, allow_not_found=True)
        for each in system.get_file_info(selected):
            found[folder, each.base_name] = stamp(each)
    return [found.get(file, "") for file in files]


def stamp(info: fs.FileInfo) -> str:
    """What tells that a file has changed: its size in bytes and its time in nanoseconds."""
    return f"{info.size}-{info.mtime_ns}"
