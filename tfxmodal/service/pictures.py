"""Pictures on disk under the hash of their content, each with a small copy to be shown in lists."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from contextlib import suppress
from pathlib import Path

from tfxmodal.encoders.image.with_pillow import as_seen
from tfxmodal.io.atomic import sync, whole_file
from tfxmodal.io.picture_kinds import picture_kind

SMALL = 480
"""Pixels of a small copy's longer side."""

AGE = 3600.0
"""Seconds after which nobody is still writing a picture."""

AT_ONCE = 2
DECODED_AT_ONCE = threading.Semaphore(AT_ONCE)
"""Held while a picture is decoded: that may take 0.8 GB, and each request has a thread."""

MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "WebP": "image/webp",
}
"""By the kind of a picture that browsers show."""


def small_copy(contents: bytes) -> bytes:
    """A picture made small, as JPEG.

    Raises:
        UnreadPicture: If it is none.
    """
    buffer = io.BytesIO()
    with DECODED_AT_ONCE:
        as_seen(contents, SMALL).save(buffer, "JPEG")
    return buffer.getvalue()


def name_of(contents: bytes) -> str:
    """The name under which a picture is kept."""
    return hashlib.sha256(contents).hexdigest()


class Pictures:
    """A folder of pictures, which several services share; they write one at a time.

    Args:
        folder: It is made if need be.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def __contains__(self, name: str) -> bool:
        return self._path(name).exists()

    def names(self) -> set[str]:
        """Names of the pictures that are there, and of those that a killed write left half.

        Those that were written a short time ago are not among them.
        """
        end, found = time.time() - AGE, set()
        for path in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):  # Another one removed it.
                if path.stat().st_mtime < end:
                    found.add(path.name.partition(".")[0])
        return found

    def put(self, contents: bytes, small: bytes):
        """Writes a picture and its small copy, on the disk when this returns.

        Raises:
            OSError: If it cannot be written.
        """
        path = self._path(name_of(contents))
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path.with_suffix(".jpg")) as file:
            file.write(small)
        with whole_file(path) as file:
            file.write(contents)
        sync(self._folder)

    def read(self, name: str, small: bool = False) -> tuple[bytes, str]:
        """A picture, or its small copy, and its media type.

        Raises:
            FileNotFoundError: If it is not there.
        """
        path = self._path(name)
        contents = (path.with_suffix(".jpg") if small else path).read_bytes()
        return contents, MEDIA_TYPES.get(picture_kind(contents) or "", "application/octet-stream")

    def remove(self, name: str):
        """Removes a picture and its small copy, whole or half."""
        path = self._path(name)
        for each in (path, path.with_suffix(".jpg")):
            each.unlink(missing_ok=True)
            each.with_name(f"{each.name}.partial").unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name
