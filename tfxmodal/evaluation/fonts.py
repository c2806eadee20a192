"""Fonts for the scripts in a figure, and text cut to the room that it has there."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

CJK = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH"}
"""First words of Unicode names that one family of fonts draws."""
UNFIT = ("Last Resort", "Color")
"""Words in the names of fonts that have a box or a bitmap for everything."""
MOST = 2000
"""Characters of a text that are looked at."""


def fitted(text: str, columns: int, lines: int = 1) -> str:
    """A text in at most so many lines, with an ellipsis where it was longer.

    Lines break at spaces, and within words that are longer than a line, as in scripts without
    spaces. A wide letter of East Asia takes two columns.
    """
    from rich.console import Console
    from rich.text import Text

    text = " ".join(text[:MOST].split())
    rows = Text(text).wrap(Console(width=columns), columns, overflow="fold")
    shown = [row.plain.rstrip() for row in rows]
    if len(shown) > lines:
        last = Text(shown[lines - 1])
        last.truncate(columns - 2)
        shown[lines - 1 :] = [f"{last.plain.rstrip()} …"]
    return "\n".join(shown)


def use_fonts(figure: Figure) -> None:
    """Gives the texts of a figure, after their own font, others that have what it lacks."""
    texts = _texts([figure])
    if families := _fonts_for(_characters(texts))[0]:
        for text in texts:
            text.set_fontfamily([*text.get_fontfamily(), *families])


def lacking(figures: Iterable[Figure]) -> str | None:
    """A sentence on the scripts that no installed font has; None where none is missing."""
    missing = _fonts_for(_characters(_texts(figures)))[1]
    scripts: dict[str, list[str]] = {}
    for character in sorted(missing):
        scripts.setdefault(_script(character), []).append(character)
    if not scripts:
        return None
    shown = ", ".join(f"{name} ({' '.join(few[:3])})" for name, few in scripts.items())
    remedy = ", ".join(f"Noto {'' if name == 'Emoji' else 'Sans '}{name}" for name in scripts)
    return (
        f"No installed font has {shown}: figures show boxes in their place; install {remedy} or "
        "another font that has them, and evaluate again."
    )


def _texts(figures: Iterable[Figure]) -> list[Text]:
    from matplotlib.text import Text

    return [text for figure in figures for text in figure.findobj(Text)]


def _characters(texts: Iterable[Text]) -> frozenset[str]:
    """What is to be seen of texts: no spaces, controls, or marks of how to draw another."""
    found = frozenset().union(*(text.get_text() for text in texts))
    return frozenset(
        character
        for character in found
        if unicodedata.category(character)[0] not in "ZC"
        and not unicodedata.name(character, "").startswith("VARIATION SELECTOR")
    )


@lru_cache(maxsize=64)
def _fonts_for(characters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Families that have what Matplotlib's own font lacks, and what none of those there has."""
    from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager

    missing = characters - _covered(findfont(FontProperties()), 0, characters)
    if not missing:
        return [], missing
    known = {entry.fname for entry in fontManager.ttflist}
    for path in findSystemFonts():  # Matplotlib remembers those of its first use.
        if path not in known:
            with suppress(Exception):  # Whatever a damaged font raises, it is none.
                fontManager.addfont(path)
    fonts: dict[str, frozenset[str]] = {}
    for entry in sorted(fontManager.ttflist, key=lambda font: (abs(font.weight - 400), font.style)):
        if entry.name not in fonts and not any(word in entry.name for word in UNFIT):
            fonts[entry.name] = _covered(entry.fname, entry.index, missing)
    families: list[str] = []
    while missing:
        best = max(sorted(fonts), key=lambda name: len(fonts[name] & missing))
        if not fonts[best] & missing:
            break
        families.append(best)
        missing -= fonts[best]
    return families, missing


def _covered(path: str, index: int, characters: frozenset[str]) -> frozenset[str]:
    """Those of the characters that a font has."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path, face_index=index)
    except (OSError, RuntimeError):
        return frozenset()
    if not font.scalable:
        return frozenset()
    return frozenset(c for c in characters if font.get_char_index(ord(c)))


def _script(character: str) -> str:
    """The script of a character, as fonts are called."""
    word = unicodedata.name(character, "UNKNOWN").partition(" ")[0]
    if word in CJK:
        return "CJK"
    if unicodedata.category(character)[0] in "LMN":
        return word.title()
    return "Emoji" if character >= "\U0001f000" else "Symbols"
