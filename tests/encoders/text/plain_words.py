"""The tokenizer in plain Python, a character at a time: what the graph is compared with."""

import unicodedata

from tfxmodal.encoders.text.unicode_forms import INVISIBLE

NAMES_WITHOUT_SPACES = (
    *("CJK UNIFIED", "CJK COMPATIBILITY", "HIRAGANA", "KATAKANA", "HENTAIGANA", "BOPOMOFO", "YI "),
    *("THAI", "LAO", "KHMER", "MYANMAR", "TAI ", "NEW TAI LUE", "AHOM", "JAVANESE", "BALINESE"),
    *("TANGUT", "NUSHU", "KHITAN", "IDEOGRAPHIC", "KANGXI", "HANGZHOU", "VERTICAL", "MASU"),
    "OLD CHINESE",
)


def kind(character: str) -> str:
    return unicodedata.category(character)[0]


def without_spaces(character: str) -> bool:
    tangut = "\U00017000" <= character < "\U00018e00"  # Its characters have no names in Python.
    return tangut or unicodedata.name(character, "").startswith(NAMES_WITHOUT_SPACES)


def normal(text: str) -> str:
    """NFKD of letters, marks and numbers, without fractions and what cannot be seen."""
    parts = []
    for character in text:
        fraction = unicodedata.decomposition(character).startswith("<fraction>")
        if ord(character) in INVISIBLE:
            continue
        whole = fraction or kind(character) not in "LMN"
        parts.append(character if whole else unicodedata.normalize("NFKD", character))
    return unicodedata.normalize("NFD", "".join(parts))


def runs_of(text: str) -> list[str]:
    """The earlier rule: runs of letters, marks, numbers; no marks after others."""
    words, apart = [""], False
    for character in text.lower():
        if kind(character) in "LN" or (kind(character) == "M" and not apart):
            words[-1] += character
            apart = False
        else:
            words.append("")
            apart = True
    return [word for word in words if word]


def words_of(text: str, composed: bool = True) -> list[str]:
    """Words of a text that holds no emoji, characters and pairs of scripts without spaces."""
    words = []
    for run in runs_of(normal(text)):
        units: list[tuple[bool, str]] = []  # Whether it is one character of such a script.
        for character in run:
            alone = without_spaces(character) and kind(character) != "M"
            if kind(character) == "M" and units:
                units[-1] = units[-1][0], units[-1][1] + character
            elif alone or not units or units[-1][0]:
                units.append((alone, character))
            else:
                units[-1] = False, units[-1][1] + character
        for (alone, unit), (alone_too, after) in zip(units, [*units[1:], (False, "")], strict=True):
            words += [unit] + [unit + after] * (alone and alone_too)
    return [unicodedata.normalize("NFC", word) for word in words] if composed else words
