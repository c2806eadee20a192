import unicodedata

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.encoders.text.plain_words import runs_of, without_spaces, words_of
from tfxmodal.encoders.text.bag_of_words import to_bytes
from tfxmodal.encoders.text.tokens import CHARACTERS, tokens

ALPHABET = st.characters(max_codepoint=0x24F) | st.sampled_from(
    "ΣσςІиßẞéÉe\u0301\u0323❤\ufe0f👩\u200d👧हिन्दी中日½２'_\x00\n\u2028\u0130"
)
MIXED = st.characters(max_codepoint=0x24F) | st.sampled_from(
    "中文手机，。々〇ラーメンｶﾞがか\u3099ひらがなไทยน้ำກຂកម្ពုမြန်ㄅ한국어\u1112\u1161ﬁｱＡ１Ⅷ½²™ạ̈e\u0323\u0302\u00ad"
)


def words(text: str, version: int = 2) -> list[str]:
    found = tokens(to_bytes([text, "a"]), version).to_list()
    assert found[1] == [b"a"]
    return [unicodedata.normalize("NFC", word.decode()) for word in found[0]]


@settings(deadline=None, max_examples=200)
@given(st.text(ALPHABET))
@example("ISTANBUL İstanbul ıI")
@example("ΟΔΟΣ ΟΔΟΣ' Σ")
@example("before\x00after")
def test_words_of_earlier_vocabularies_are_those_of_plain_python(text):
    found = [word.decode() for word in tokens(to_bytes([text]), 1).to_list()[0]]
    assert found == runs_of(text)


@settings(deadline=None, max_examples=300)
@given(st.text(MIXED))
@example("iPhone手机")
@example("\u3099が1中a文")
@example("중\u11a8 a\u0301\u0323b \u0323\u0301")
@example("中\x01文")
def test_words_are_those_of_plain_python(text):
    assert words(text) == words_of(text)


def as_before(character: str) -> bool:
    plain = unicodedata.normalize("NFKD", character) == unicodedata.normalize("NFD", character)
    return plain and not without_spaces(character) and character not in "\u30fc\u303c"


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]).filter(as_before)))
@example("İstanbul ISTANBUL ıI ẞß ΟΔΟΣ ΟΔΌΣ' Łódź ŒUVRE don't 3.5 x_y")
@example("하늘이 파랗다 हिन्दी العربية עברית བོད་སྐད་ ქართული")
def test_text_of_scripts_with_spaces_keeps_its_words(text):
    before = tokens(to_bytes([text]), 1).to_list()[0]
    assert words(text) == [unicodedata.normalize("NFC", word.decode()) for word in before]


@pytest.mark.parametrize(
    "text, expected",
    {
        "今天天气": "今 今天 天 天天 天 天气 气",
        "iPhone手机，好": "iphone 手 手机 机 好",
        "ラーメン": "ラ ラー ー ーメ メ メン ン",
        "ｶﾞｶﾞ": "ガ ガガ ガ",
        "ไทย": "ไ ไท ท ทย ย",
        "ลาว ລາວ": "ล ลา า าว ว ລ ລາ າ າວ ວ",
        "မြန်မာ": "မြ မြန် န် န်မာ မာ",
        "ខ្មែរ": "ខ្ ខ្មែ មែ មែរ រ",
        "ㄅㄆ": "ㄅ ㄅㄆ ㄆ",
        "ꦗꦮ": "ꦗ ꦗꦮ ꦮ",
        "ＡＢＣ中": "abc 中",
        "한국어 문장": "한국어 문장",
        "བོད་སྐད": "བོད སྐད",
        "一": "一",
    }.items(),
)
def test_scripts_without_spaces_give_characters_and_pairs_in_their_order(text, expected):
    assert words(text) == [unicodedata.normalize("NFC", word) for word in expected.split()]


@pytest.mark.parametrize("text", ["Café Việt ậ", "한국어 텍스트", "ガラス", "\u09dc", "Ά ή"])
def test_composed_and_decomposed_letters_are_the_same_words(text):
    forms = [text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))]
    assert len(set(forms)) > 1
    found = tokens(to_bytes(forms)).to_list()
    assert found == [found[0]] * 3


@pytest.mark.parametrize(
    "odd, plain",
    [
        *[("ｆｕｌｌ　ＷＩＤＴＨ１２", "full width12"), ("ﬁne ﬂat eﬀort", "fine flat effort")],
        *[("ê\u0323 a\u0301\u0323", "ệ ạ\u0301"), ("Straßen\u00adbahn", "Straßenbahn")],
        *[("𝓯𝓪𝓷𝓬𝔂 ℌ CO₂ m²", "fancy h CO2 m2"), ("K Å", "k å"), ("ﻣﺮﺣﺒﺎ", "مرحبا")],
        *[("葛\U000e0100", "葛"), ("5™ №7", "5 7"), ("ǆ ĳ", "dž ij")],
    ],
)
def test_other_forms_of_letters_are_the_same_words(odd, plain):
    assert words(odd) == words(plain) and words(odd)


def test_a_fraction_stays_one_word():
    assert words("1½ cups") == ["1½", "cups"]


@pytest.mark.parametrize(
    "text, expected",
    {
        "I ❤ it, I ❤️ it": "i ❤ it i ❤ it",
        "go🙂go": "go 🙂 go",
        "🙂🙂🎉": "🙂 🙂 🎉",
        "👩‍🚀 👨‍👩‍👧x": "👩‍🚀 👨‍👩‍👧 x",
        "👍🏽👍": "👍🏽 👍",
        "🇩🇪🇫🇷": "🇩🇪 🇫🇷",
        "1️⃣#️⃣*⃣": "1⃣ #⃣ *⃣",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿🏴": "🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏴",
        "☀️✈️⚽🥰🫠": "☀ ✈ ⚽ 🥰 🫠",
        "手🙂机": "手 🙂 机",
        "❤\u0301!": "❤",
        "a\u200db \u200d \ufe0f # * 🇩 © ® ™ ★ → + $ € ° ♪ “”": "a b",
    }.items(),
)
def test_emoji_are_words_and_other_symbols_are_not(text, expected):
    assert words(text) == expected.split()


def test_bytes_that_are_no_utf8_separate_words():
    raw = tf.constant([b"a\xffb", b"\xe4\xb8\x01", b"caf\xc3\xa9\x00x", b""])
    found = tokens(raw).to_list()
    assert found == [[b"a", b"b"], [], ["cafe\u0301".encode(), b"x"], []]


def test_rows_of_a_batch_do_not_meet():
    """A mark at the start of a text stays there, though another text ends with a letter."""
    texts = ["中", "文", "e\u0323", "\u0301a", "", "é"]
    alone = [tokens(to_bytes([text])).to_list()[0] for text in texts]
    assert tokens(to_bytes(texts)).to_list() == alone


@settings(deadline=None, max_examples=100)
@given(st.text(ALPHABET.filter(lambda character: not without_spaces(character))))
@example(" A  red,\ncar 👩\u200d👧❤\ufe0f!")
def test_characters_are_those_of_the_words_with_a_space_between(text):
    (words,), (found,) = (tokens(to_bytes([text]), rule).to_list() for rule in (2, CHARACTERS))
    assert b"".join(found) == b" ".join(words)
    assert all(len(each.decode()) == 1 for each in found)


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("É 7", "e\u0301 7"),
        ("手机 x!", "手机 x"),
        ("?!", ""),
        ("a😀b", "a 😀 b"),
        ("a\x00b", "a b"),
    ],
)
def test_the_characters_of(text, characters):
    found = tokens(to_bytes([text, ""]), CHARACTERS).to_list()
    assert [each.decode() for each in found[0]] == list(characters) and found[1] == []
