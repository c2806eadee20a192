"""TF-IDF bags of words, by one graph of core TensorFlow ops for training and for serving."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import numpy as np

from tfxmodal.data.pairs import MAX_TEXT_BYTES, Captions
from tfxmodal.encoders.text.tokens import VERSION, Version, tokens
from tfxmodal.encoders.text.unicode_forms import composed
from tfxmodal.encoders.text.word_table import WordTable, saved_version
from tfxmodal.errors import InputError
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.hashing import fingerprint
from tfxmodal.lazy import keras, tf

BATCH = 1024


def document(captions: Sequence[str]) -> str:
    """The text of a pair: its captions, a line each."""
    return "\n".join(captions)


@dataclass(frozen=True)
class Vocabulary:
    """The words that occur most often in texts, the alphabet deciding ties.

    Attributes:
        words: The words, the most frequent first, their letters composed.
        texts_with: `[words]`: in how many texts each of them is.
        texts: How many texts there are.
        longest: Words of the longest text.
    """

    words: tuple[str, ...]
    texts_with: np.ndarray
    texts: int
    longest: int

    @classmethod
    def learn(
        cls,
        captions: Iterable[Sequence[str]],
        size: int,
        progress=None,
        version: Version = VERSION,
    ) -> Vocabulary:
        """Counts the words of texts: those of the training split alone.

        Args:
            captions: Captions of each pair, read once.
            size: Most words to keep.
            progress: Wraps an iterable, as tqdm does.
            version: What a word is, see `tokens`.

        Raises:
            InputError: If the size is not positive or the captions hold no word.
        """
        if size < 1:
            raise InputError(f"`vocabulary_size` must be at least 1; received {size}.")
        counts, texts_with = Counter(), Counter()
        n = longest = 0
        documents = map(
            document, captions if progress is None else progress(captions, desc="words")
        )
        while batch := list(islice(documents, BATCH)):
            n += len(batch)
            for words in tokens(to_bytes(batch), version).to_list():
                counts.update(words)
                texts_with.update(set(words))
                longest = max(longest, len(words))
        if not counts:
            raise InputError(f"The {n} training texts hold no word: check the captions.")
        written = {word: composed(word.decode()) for word in counts}
        ranked = sorted(counts, key=lambda word: (-counts[word], written[word].encode()))[:size]
        rows = np.array([texts_with[word] for word in ranked])
        return cls(tuple(written[word] for word in ranked), rows, n, longest)


class BagOfWords:
    """TF-IDF weighted bag of words (SCL, Section IV-A), over a fixed vocabulary.

    A word's weight is its count in the text times `idf = ln((1 + n) / (1 + df)) + 1`, for a word
    found in df of n training texts (scikit-learn's smooth form; the paper gives none). The vector
    then has unit length, so that a text of five captions and one of a hundred sentences weigh the
    same; a text without known words is the zero vector. Unknown words have no weight: their one
    column would be among the heaviest and say nothing of the content.

    Attributes:
        words: The vocabulary, in the columns' order.
        idf: `[vocabulary]` float64.
        version: See `tokens`.
        model: Keras functional model from strings `[batch]` to vectors `[batch, vocabulary]`.
    """

    file = "vocabulary.json"
    uses_tensorflow_text = False
    license = "that of the training texts, whose words it counts"
    space = None
    served = True
    limits = MappingProxyType({})

    def __init__(self, words: Sequence[str], idf: Sequence[float], version: int = VERSION):
        self.words, self.version = tuple(words), version
        self.idf = np.asarray(idf, np.float64)
        self.table = WordTable(words, version)
        texts = keras.Input((), dtype="string", name="text")
        count = keras.layers.TextVectorization(
            standardize=None,
            split=self.table.tokens,
            output_mode="tf_idf",
            vocabulary=self.table.keys,
            idf_weights=self.idf,
            name="bag_of_words",
        )
        self.resources = [count, self.table.layer]
        known = count(texts)[:, 1:]  # column 0 is Keras' own, for unknown words
        unit = keras.layers.UnitNormalization(dtype="float32", name="unit_length")(known)
        self.model = keras.Model(texts, unit, name="text_encoder")

    @classmethod
    def fit(cls, captions: Iterable[Sequence[str]], vocabulary_size: int, progress=None):
        """Learns the vocabulary and its weights: from the training split alone.

        Args:
            captions: Captions of each pair, read once.
            vocabulary_size: Most words to keep (paper: 5,000 on Wikipedia, 1,000 on NUS-WIDE-10K,
                3,000 on MS-COCO).
            progress: Wraps an iterable, as tqdm does.

        Raises:
            InputError: If the size is not positive or the captions hold no word.
        """
        vocabulary = Vocabulary.learn(captions, vocabulary_size, progress)
        idf = np.log((1 + vocabulary.texts) / (1 + vocabulary.texts_with)) + 1
        return cls(vocabulary.words, idf)

    @classmethod
    def from_name(
        cls, rest: str, captions: Captions, vocabulary_size: int, progress=None
    ) -> BagOfWords:
        """A bag of the training texts' words; nothing follows its name."""
        return cls.fit(captions, vocabulary_size, progress)

    @property
    def dim(self) -> int:
        """Width of the vectors: the vocabulary's size."""
        return len(self.words)

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the vector of a text."""
        return fingerprint(self.table.rule, self.words, self.idf)

    def look_up(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Words of texts, and which of them are in the vocabulary."""
        return self.table(texts)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts: `[n, vocabulary]` float32."""
        return encode_texts(self.model, texts, BATCH)

    def save(self, folder: str | Path) -> None:
        """Writes the vocabulary, each word with its idf, to `vocabulary.json` in a folder."""
        weights = dict(zip(self.words, self.idf.tolist(), strict=True))
        with whole_file(Path(folder) / self.file) as file:
            saved = {"tokenizer": self.version, "idf": weights}
            file.write(json.dumps(saved, indent=1, ensure_ascii=False).encode())

    @classmethod
    def load(cls, folder: str | Path) -> BagOfWords:
        """Reads what `save` wrote.

        Raises:
            InputError: If the file is missing or not such a file.
        """
        path = Path(folder) / cls.file
        try:
            saved = json.loads(path.read_text("utf-8"))
            weights = saved["idf"]
            return cls(list(weights), list(weights.values()), saved_version(path, saved))
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is no vocabulary of a bag of words ({error!r}).") from error


def encode_texts(model: keras.Model, texts: Sequence[str], batch_size: int) -> np.ndarray:
    """Vectors of texts by a model from strings `[batch]`, some at a time: `[n, dim]` float32."""
    vectors = np.empty((len(texts), model.output_shape[-1]), np.float32)
    for i in range(0, len(texts), batch_size):
        vectors[i : i + batch_size] = model(to_bytes(texts[i : i + batch_size]))
    return vectors


class EncodedTexts:
    """Single texts as `Features`: encoded when their rows are asked for, not kept."""

    def __init__(self, encoder, texts: Sequence[str]):
        self._encoder, self._texts = encoder, texts
        self.shape = (len(texts), encoder.dim)

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self._encoder.encode(self._texts[rows])


def to_bytes(texts: Sequence[str]) -> tf.Tensor:
    """Texts for the graph; half of a surrogate pair, which UTF-8 cannot hold, becomes `?`.

    Raises:
        InputError: If one is longer than a served model takes it.
    """
    encoded = [text.encode("utf-8", "replace") for text in texts]
    longest = max(encoded, key=len, default=b"")
    if len(longest) > MAX_TEXT_BYTES:
        raise InputError(
            f"A text holds {len(longest):,} bytes, and a model takes {MAX_TEXT_BYTES:,} "
            f"({longest[:40].decode('utf-8', 'replace')!r} ...): shorten it, or leave it out."
        )
    return tf.constant(encoded, tf.string)
