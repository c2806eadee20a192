"""What kind of picture a file is, by its first bytes, whatever its name says."""

from __future__ import annotations

START = 64
"""Bytes that tell the kind."""

MAGIC = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "JPEG 2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "JPEG XL": (b"\0\0\0\x0cJXL ", b"\xff\x0a"),
    "Photoshop": (b"8BPS",),
    "SVG": (b"<svg",),
    "icon": (b"\0\0\1\0",),
    "PDF": (b"%PDF",),
}
BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
"""Sizes of the header of a BMP; two letters alone may begin any text."""

DECODED = ("JPEG", "PNG", "GIF", "BMP", "WebP")
"""Kinds that TensorFlow decodes, in training as on a server."""
CONVERTED = ("TIFF", "AVIF", "HEIC", "JPEG 2000")
"""Kinds that Pillow reads for it."""


def picture_kind(start: bytes) -> str | None:
    """The name of a file's kind, None where it is none of those known.

    Args:
        start: Its first `START` bytes, or more.
    """
    for kind, magic in MAGIC.items():
        if start.startswith(magic):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in BITMAP_HEADERS:
        return "BMP"
    if start[4:8] == b"ftyp":
        brands = {start[i : i + 4] for i in (8, *range(16, min(START, start[3]), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
            return "HEIC"
    return None
