"""The words, or characters, of texts, by one graph of core TensorFlow ops, as it is served."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from tfxmodal.encoders.text.unicode_forms import decomposed
from tfxmodal.lazy import tf

SEPARATOR = r"[^\p{L}\p{M}\p{N}]\p{M}*"
"""What stands between words: all but letters, their marks and numbers."""

SCRIPTS = (
    *("Han", "Hiragana", "Katakana", "Bopomofo", "Yi", "Tangut", "Nushu", "Khitan_Small_Script"),
    *("Thai", "Lao", "Khmer", "Myanmar", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Ahom"),
    *("Javanese", "Balinese"),
)
"""The scripts that put no spaces between words: lines may be broken between their letters (Unicode
Standard Annex 14). Korean has spaces, and Tibetan a sign after each syllable."""

LETTERS = "|".join(rf"[^\P{{{script}}}\p{{M}}]" for script in SCRIPTS)
WITHOUT_SPACES = rf"(?:{LETTERS}|[\x{{3006}}\x{{3031}}-\x{{3035}}\x{{303C}}\x{{30FC}}])\p{{M}}*"
"""A character of these scripts, or a sign that several of them share, with its marks."""

PICTOGRAPH = (
    r"[\x{2194}-\x{2199}\x{21A9}\x{21AA}\x{231A}\x{231B}\x{2328}\x{23CF}\x{23E9}-\x{23F3}"
    r"\x{23F8}-\x{23FA}\x{24C2}\x{25AA}\x{25AB}\x{25B6}\x{25C0}\x{25FB}-\x{25FE}\x{2600}-\x{2604}"
    r"\x{260E}\x{2611}\x{2614}\x{2615}\x{2618}\x{261D}\x{2620}\x{2622}\x{2623}\x{2626}\x{262A}"
    r"\x{262E}\x{262F}\x{2638}-\x{263A}\x{2640}\x{2642}\x{2648}-\x{2653}\x{265F}\x{2660}\x{2663}"
    r"\x{2665}\x{2666}\x{2668}\x{267B}\x{267E}\x{267F}\x{2692}-\x{2697}\x{2699}\x{269B}\x{269C}"
    r"\x{26A0}\x{26A1}\x{26A7}\x{26AA}\x{26AB}\x{26B0}\x{26B1}\x{26BD}\x{26BE}\x{26C4}\x{26C5}"
    r"\x{26C8}\x{26CE}\x{26CF}\x{26D1}\x{26D3}\x{26D4}\x{26E9}\x{26EA}\x{26F0}-\x{26F5}"
    r"\x{26F7}-\x{26FA}\x{26FD}\x{2702}\x{2705}\x{2708}-\x{270D}\x{270F}\x{2712}\x{2714}\x{2716}"
    r"\x{271D}\x{2721}\x{2728}\x{2733}\x{2734}\x{2744}\x{2747}\x{274C}\x{274E}\x{2753}-\x{2755}"
    r"\x{2757}\x{2763}\x{2764}\x{2795}-\x{2797}\x{27A1}\x{27B0}\x{27BF}\x{2934}\x{2935}"
    r"\x{2B05}-\x{2B07}\x{2B1B}\x{2B1C}\x{2B50}\x{2B55}\x{3297}\x{3299}\x{1F004}\x{1F0CF}"
    r"\x{1F170}\x{1F171}\x{1F17E}\x{1F17F}\x{1F18E}\x{1F191}-\x{1F19A}\x{1F201}\x{1F202}\x{1F21A}"
    r"\x{1F22F}\x{1F232}-\x{1F23A}\x{1F250}\x{1F251}\x{1F300}-\x{1F64F}\x{1F680}-\x{1F6FF}"
    r"\x{1F7E0}-\x{1F7F0}\x{1F90C}-\x{1F9FF}\x{1FA70}-\x{1FAFF}]"
    r"[\x{1F3FB}-\x{1F3FF}]?[\x{E0020}-\x{E007F}]*"
)
"""A symbol with Unicode's property Emoji, with what colours it; not ©, ® and punctuation."""

EMOJI = (
    rf"(?:{PICTOGRAPH}(?:\x{{200D}}{PICTOGRAPH})*|[\x{{1F1E6}}-\x{{1F1FF}}]{{2}}|[#*]\x{{20E3}})"
)
"""An emoji: joined pictographs, the two letters of a flag, or a key (of a digit it is a word)."""


NOT_ASCII = r"[^\x00-\x7f\x{FFFD}]"
"""What has another form; the replacement character, as of a line break, has none."""

VERSION = 2
CHARACTERS = "characters"
VERSIONS = (1, VERSION, CHARACTERS)
"""The rule that new vocabularies of words are made with, that of characters, and all there are."""

Version = int | str


def tokens(texts: tf.Tensor, version: Version = VERSION) -> tf.RaggedTensor:
    """Words of texts, in lower case and decomposed (see `unicode_forms`).

    A word is a run of letters and numbers, or an emoji. In scripts without spaces each character is
    a word, and so are each two neighbours: `ab` of them gives `a`, `ab`, `b`.

    Args:
        texts: Strings `[batch]`; bytes that are no UTF-8 and control characters separate words.
        version: 1 for the rule of earlier vocabularies: runs of letters and numbers, as written.
            `characters` for the characters of words and emoji, each a code point, and a space
            between two of these.

    Returns:
        Strings `[batch, (words)]`.
    """
    return _graph(version)(texts)


@cache
def _graph(version: Version) -> Callable[[tf.Tensor], tf.RaggedTensor]:
    """A rule as a function of a graph, which an export holds once, whoever calls it."""
    rule = {1: _runs, 2: _words, CHARACTERS: _characters}[version]
    return tf.function(rule, [tf.TensorSpec([None], tf.string)], autograph=False)


def _runs(texts: tf.Tensor) -> tf.RaggedTensor:
    return tf.strings.split(_without_separators(_lower(_valid(texts))))


def _words(texts: tf.Tensor) -> tf.RaggedTensor:
    texts = _with_spaces(texts)
    return tf.strings.split(_where(WITHOUT_SPACES, texts, _characters_and_pairs, texts))


def _characters(texts: tf.Tensor) -> tf.RaggedTensor:
    texts = tf.strings.regex_replace(tf.strings.strip(_with_spaces(texts)), " +", " ")
    return tf.strings.unicode_split(texts, "UTF-8")


def _with_spaces(texts: tf.Tensor) -> tf.Tensor:
    """Texts in lower case and decomposed, with spaces alone between words and emoji."""
    texts = _valid(texts)
    texts = _lower(_where(NOT_ASCII, texts, decomposed, texts))
    return _where(EMOJI, texts, _around_emoji, _without_separators(texts))


def _where(
    pattern: str, texts: tf.Tensor, change: Callable[[tf.Tensor], tf.Tensor], others: tf.Tensor
) -> tf.Tensor:
    """Texts `[batch]` changed where they hold a pattern, and `others [batch]` where they do not."""
    rows = tf.where(tf.strings.regex_full_match(texts, f"(?s:.*{pattern}.*)"))
    return tf.cond(  # Where there are none, most often, the change costs nothing.
        tf.size(rows) > 0,
        lambda: tf.tensor_scatter_nd_update(others, rows, change(tf.gather_nd(texts, rows))),
        lambda: others,
    )


def _valid(texts: tf.Tensor) -> tf.Tensor:
    """UTF-8 without control characters: `tf.strings.lower` would end a text at a NUL byte."""
    return tf.strings.unicode_transcode(
        texts, "UTF-8", "UTF-8", errors="replace", replace_control_characters=True
    )


def _lower(texts: tf.Tensor) -> tf.Tensor:
    """Lower case, of ASCII first.

    The Unicode rules depend on the process' locale: in a Turkish one, `I` gives a dotless `ı`.
    """
    return tf.strings.lower(tf.strings.lower(texts), encoding="utf-8")


def _without_separators(texts: tf.Tensor) -> tf.Tensor:
    return tf.strings.regex_replace(texts, SEPARATOR, " ")


def _around_emoji(texts: tf.Tensor) -> tf.Tensor:
    """Emoji with spaces around, and spaces for all else that stands between words."""
    return tf.strings.regex_replace(texts, rf"({EMOJI})\p{{M}}*|{SEPARATOR}", r" \1 ")


def _characters_and_pairs(texts: tf.Tensor) -> tf.Tensor:
    """Characters of scripts without spaces, and each two neighbours in a run, with spaces between.

    Of three copies of a character one is for itself, and the outer ones meet its neighbours'. A
    control character, which no text holds by now, marks where they meet.
    """
    one = WITHOUT_SPACES
    texts = tf.strings.regex_replace(texts, f"({one})", "\\1\x01 \\1 \x01\\1")
    texts = tf.strings.regex_replace(texts, f"\x01({one}{one})\x01", r"\1")
    return tf.strings.regex_replace(texts, f"\x01{one}|{one}\x01", " ")
