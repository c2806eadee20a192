"""Pictures in a folder and texts in a file, with the ids that name them."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tfxmodal.errors import InputError
from tfxmodal.io.picture_kinds import CONVERTED, DECODED, START, picture_kind
from tfxmodal.io.reading import read_lines
from tfxmodal.io.reporter import SILENT, Reporter

PICTURES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp"),
    *(".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2"),
}
"""Suffixes of pictures; those of other names are known by their first bytes."""

BY_BYTES = {*DECODED, *CONVERTED} - {"TIFF"}
"""Kinds known by their bytes. A camera's raw file begins as a TIFF, and holds a small picture."""


def pictures_in(folder: Path, reporter: Reporter = SILENT) -> tuple[list[str], list[str]]:
    """Ids and paths of the pictures in a folder and the folders in it; ids are paths from there.

    Links are followed; a folder that is reached twice is listed once. Hidden files and folders are
    passed over.

    Args:
        folder: The folder.
        reporter: Is told what is passed over, by suffix.

    Raises:
        InputError: If there is none, or a folder cannot be read.
    """
    found, passed = [], Counter()
    for path in _files(folder):
        if path.name.startswith("."):
            passed["hidden"] += 1
        elif path.suffix.lower() in PICTURES or _is_picture(path):
            found.append(path)
        else:
            passed[path.suffix.lower() or "without suffix"] += 1
    by_number = sorted(passed.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{count} {suffix}" for suffix, count in by_number)
    if not found:
        beside = f" (it holds {told})" if told else ""
        raise InputError(
            f"{folder} is no folder with pictures{beside}: give one with any of "
            f"{', '.join(sorted(PICTURES))}."
        )
    if told:
        reporter.say(f"{folder}: {len(found)} pictures; passed over: {told}")
    found.sort()
    return [path.relative_to(folder).as_posix() for path in found], [str(path) for path in found]


def _files(folder: Path) -> Iterator[Path]:
    """All files, and hidden folders by their names alone; linked folders come after all others."""
    waiting, linked, seen = [folder], [], set()
    while waiting or linked:
        current = waiting.pop() if waiting else linked.pop(0)
        try:
            status = os.stat(current)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise InputError(
                f"Cannot read the folder {current} ({error.strerror}): allow it, or move it away."
            ) from None
        for entry in entries:
            path = current / entry.name
            if entry.name.startswith(".") or not entry.is_dir():
                yield path
            else:
                (linked if entry.is_symlink() else waiting).append(path)


def _is_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return picture_kind(file.read(START)) in BY_BYTES
    except OSError:
        return False


def texts_in(path: Path) -> tuple[list[str], list[str]]:
    """Ids and texts of a UTF-8 file, one a line: ID<TAB>TEXT, or TEXT, which then is its own id.

    Raises:
        InputError: If it cannot be read or holds none, or a line has an id or a text alone.
    """
    rows = []
    for number, line in read_lines(path):
        name, tab, text = row = line.partition("\t")
        if tab and not (name.strip() and text.strip()):
            lacks = "text after" if name.strip() else "id before"
            raise InputError(
                f"Line {number} of {path} has no {lacks} its tab: write ID<TAB>TEXT, or the text "
                "alone."
            )
        rows.append(row)
    if not rows:
        raise InputError(f"{path} holds no text: write one a line.")
    return [name for name, _, _ in rows], [text or name for name, _, text in rows]
