"""Pictures read by Pillow: to be shown, or because TensorFlow does not decode their kind."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfxmodal.errors import first_line
from tfxmodal.io.picture_kinds import CONVERTED, DECODED, picture_kind

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 100_000_000
"""Larger pictures are refused: decoded, they would take 0.3 GB and more in each thread."""

PILLOW_NAMES = {"HEIC": "HEIF", "JPEG 2000": "JPEG2000", "WebP": "WEBP"}
PLAIN_BITMAPS = {8, 24, 32}
"""Bits a pixel of the BMP files that TensorFlow decodes."""

BITS_PER_SAMPLE = 258
"""The tag of TIFF."""

PHOTOS = ("L", "RGB", "CMYK")
"""Modes in which a picture can be made small as it is."""


class UnreadPicture(Exception):
    """Why a file cannot be read as a picture, in a few words."""


def as_decoded(contents: bytes) -> bytes:
    """A file that TensorFlow decodes: the same, or made a PNG where it is of another kind.

    Nothing is lost by that: the pixels with their alpha, turned as the file tells.

    Args:
        contents: The bytes of a file.

    Raises:
        UnreadPicture: If it is a picture of a kind that is not read here, damaged or too large.
    """
    kind = picture_kind(contents)
    if kind in CONVERTED or (kind == "BMP" and not _is_plain(contents)):
        buffer = io.BytesIO()
        _storable(_opened(contents, kind)).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    if kind is not None and kind not in DECODED:
        raise UnreadPicture(f"{kind} pictures are not read: convert it to PNG or JPEG")
    return contents


def as_seen(picture: str | Path | bytes, longest: int | None = None) -> Image.Image:
    """A picture as a person sees it, and as a model does: turned, transparent parts over white.

    Args:
        picture: Its path, or the bytes of its file.
        longest: Pixels of the longer side at most, for a small copy; a JPEG is then not decoded at
            its full size.

    Raises:
        UnreadPicture: If it cannot be read.
    """
    from PIL import Image

    try:
        contents = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
    except OSError as error:
        raise UnreadPicture(error.strerror or first_line(error)) from None
    kind = picture_kind(contents)
    if kind not in (*DECODED, *CONVERTED):
        raise UnreadPicture("the file is no picture of a known format")
    seen = _opened(contents, kind, longest)
    seen = _storable(_upper_bytes(seen) if seen.mode.startswith("I;16") else seen)
    if seen.mode != "RGBA":
        seen = seen.convert("RGB")  # Of others, such as black and white, a small copy is rough.
    if longest:
        seen.thumbnail((longest, longest))
    if seen.mode == "RGBA":
        seen = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return seen.convert("RGB")


def _opened(contents: bytes, kind: str, longest: int | None = None) -> Image.Image:
    """The picture, the first of several, turned; made small, where that is possible by now."""
    from PIL import Image, ImageOps

    if kind == "HEIC":
        try:
            import pillow_heif
        except ImportError:
            raise UnreadPicture(
                "HEIC pictures need the package pillow-heif: pip install pillow-heif"
            ) from None
        pillow_heif.register_heif_opener()
    try:
        picture = Image.open(io.BytesIO(contents), formats=[PILLOW_NAMES.get(kind, kind)])
        pixels = picture.width * picture.height
        if pixels > MAX_PIXELS:
            raise UnreadPicture(f"{pixels} pixels are more than {MAX_PIXELS:,}")
        if longest and picture.mode in PHOTOS and not picture.has_transparency_data:
            picture.thumbnail((longest, longest))  # Before anything is copied at its full size.
        turned = ImageOps.exif_transpose(picture)
        bits = getattr(picture, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))[0]
        if turned.mode.startswith("I;16") and bits < 16:  # Pillow's white is then 2^bits - 1.
            turned = Image.fromarray(np.asarray(turned) << (16 - bits))
        return turned
    except UnreadPicture:
        raise
    except Exception as error:  # A damaged file may fail in any way.
        raise UnreadPicture(f"Invalid {kind} data: {first_line(error)}") from None


def _upper_bytes(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits in 8, as a model sees it; Pillow's `convert` makes all above 255 white."""
    from PIL import Image

    samples = np.asarray(picture)
    grey = Image.fromarray((samples >> 8).astype(np.uint8))
    if "transparency" in picture.info:  # One grey, which the upper byte alone does not tell.
        opaque = samples != picture.info["transparency"]
        grey.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return grey


def _storable(picture: Image.Image) -> Image.Image:
    """The picture in a mode of PNG."""
    if picture.mode in ("I", "F"):
        raise UnreadPicture(
            "samples of 32 bits have no known white: convert it to 8 or 16 bits a channel"
        )
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    grey = picture.mode in ("1", "L", "I;16", "I;16B", "I;16L")
    return picture if grey else picture.convert("RGB")


def _is_plain(contents: bytes) -> bool:
    """Whether TensorFlow decodes this BMP rightly; see `formats.bmp`."""
    start = contents[:70].ljust(70, b"\0")
    (size,), (bits, compression) = (
        struct.unpack_from("<I", start, 14),
        struct.unpack_from("<HI", start, 28),
    )
    masked = bits == 32 and start[54:66] == b"\0\0\xff\0\0\xff\0\0\xff\0\0\0"
    known = (compression == 0 and bits in PLAIN_BITMAPS) or (compression == 3 and masked)
    return size >= 40 and known
