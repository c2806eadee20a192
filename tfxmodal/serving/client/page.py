"""A page that shows what a query found, whole in one HTML file."""

import base64
import io
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from tfxmodal.encoders.image.with_pillow import UnreadPicture, as_seen
from tfxmodal.io.atomic import whole_file

THUMBNAIL = 320
"""Pixels of a picture's longer side on the page."""

STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; color: #222;
       overflow-wrap: anywhere }
ol { display: grid; gap: 1rem; padding: 0; list-style: none }
ol.images { grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)) }
img { max-width: 100%; border-radius: 6px }
p { white-space: pre-line }
small { color: #666 }
"""


TEXT = 'dir="auto" lang=""'
"""Of an element whose text is the user's, in whatever language."""


def write_page(
    path: Path, query: str | Path, kind: str, found: Sequence[tuple[str, float, str]]
) -> None:
    """Writes the page.

    Args:
        path: The HTML file.
        query: The text, or the picture's path.
        kind: What was found: `texts` or `images`.
        found: Id, score and what to show (a text; a picture's path), best first. Where there is
            nothing to show, the id is shown.
    """
    asked = _picture(query) if isinstance(query, Path) else f"<h1 {TEXT}>{escape(query)}</h1>"
    items = "\n".join(_item(kind, *item) for item in found)
    page = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>{escape(str(query))}</title>\n<style>{STYLE}</style>\n"
        f'{asked}\n<ol class="{kind}">\n{items}\n</ol>\n</html>\n'
    )
    with whole_file(path) as file:
        file.write(page.encode())


def _item(kind: str, name: str, score: float, show: str) -> str:
    picture = kind == "images" and show
    body = _picture(Path(show)) if picture else f"<p {TEXT}>{escape(show or name)}</p>"
    return f"<li>{body}\n<small>{score:.4f} {escape(name)}</small></li>"


def _picture(path: Path) -> str:
    """The picture made small, within the page; its path where it cannot be read."""
    try:
        small = as_seen(path, THUMBNAIL)
    except UnreadPicture:
        return f"<p>{escape(os.fspath(path))}</p>"
    buffer = io.BytesIO()
    small.save(buffer, "JPEG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(path.name)}" src="data:image/jpeg;base64,{data}">'
