"""Pictures in a folder and texts in a file, with the ids that name them."""

from pathlib import Path

from tfxmodal.errors import InputError
from tfxmodal.io.reading import read_lines

PICTURES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"}


def pictures_in(folder: Path) -> tuple[list[str], list[str]]:
    """Ids and paths of the pictures in a folder and the folders in it; ids are paths from there.

    Raises:
        InputError: If there is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    if not paths:
        raise InputError(
            f"{folder} is no folder with pictures: give one with any of "
            f"{', '.join(sorted(PICTURES))}."
        )
    return [path.relative_to(folder).as_posix() for path in paths], [str(path) for path in paths]


def texts_in(path: Path) -> tuple[list[str], list[str]]:
    """Ids and texts of a UTF-8 file, one a line: ID<TAB>TEXT, or TEXT, which then is its own id.

    Raises:
        InputError: If it cannot be read, or holds none.
    """
    rows = [line.partition("\t") for _, line in read_lines(path)]
    if not rows:
        raise InputError(f"{path} holds no text: write one a line.")
    return [name for name, _, _ in rows], [text or name for name, _, text in rows]
