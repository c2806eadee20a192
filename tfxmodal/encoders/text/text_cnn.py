"""TextCNN: a sentence CNN over word vectors, the text encoder of DRSL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Captions
from tfxmodal.encoders.text.bag_of_words import Vocabulary, encode_texts, to_bytes
from tfxmodal.encoders.text.tokens import CHARACTERS, VERSION, Version
from tfxmodal.encoders.text.word_table import WordTable, saved_version
from tfxmodal.encoders.text.word_vectors import RANDOM_DIM, load_word_vectors
from tfxmodal.encoders.weights import DAMAGED, hash_weights, initial_weights, save_weights
from tfxmodal.errors import InputError, choose, first_line
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.hashing import fingerprint
from tfxmodal.lazy import keras, tf

MODES = ("random", "static", "non_static", "multichannel")
WIDTHS = (3, 4, 5)
WIDEST = max(WIDTHS)
FIRST_ID = 2  # of a word; Keras' lookup keeps 0 for padding and 1 for unknown words
FILTERS = 100
MAX_WORDS = {VERSION: 400, CHARACTERS: 448}
"""Most words, or characters, of a text that a new network reads."""
DIM = {VERSION: RANDOM_DIM, CHARACTERS: 16}
"""Width of their vectors, where these start random (FGCrossNet's released code: 16)."""
BATCH = 64
WEIGHTS = "text_cnn.weights.h5"


class TextCNN:
    """Convolutions over a text's word vectors and their maximum over time, 300 features.

    Kim, "Convolutional neural networks for sentence classification", EMNLP 2014, as DRSL takes it
    (sec. 3.2.1): filters of 3, 4 and 5 words, 100 of each, ReLU. The modes are Kim's: vectors that
    start random, pretrained ones that stay (`static`) or are trained on (`non_static`), and
    `multichannel`, a trained copy beside one that stays. There each filter is applied to both and
    the results are added, which is the filter applied to the sum of both.

    Padding and words out of the vocabulary are zero columns (DRSL, sec. 3.2.1). A text shorter
    than the widest filter is padded to its width; beyond that no window reaches into padding, so
    that the features of a text do not depend on the batch it is in.

    Of `CHARACTERS` a text's words are its characters, and all that is said of words here is said of
    these.

    Attributes:
        words: The vocabulary; their ids count from 2, after 0 for padding and 1 for unknown words.
        mode: One of `MODES`.
        max_words: Words of a text that are read; the rest is cut off.
        coverage: What the pretrained vectors knew of the vocabulary, a sentence; empty without any.
        version: See `tokens`.
        tokenizer: Keras functional model from strings `[batch]` to ids `[batch, words]` int32, as
            wide as the batch's longest text.
        network: Keras functional model from ids `[batch, words]`, of any width, to features
            `[batch, 300]`: what is trained.
        model: Both: from strings `[batch]` to features `[batch, 300]`.
    """

    file = "text_cnn.json"
    uses_tensorflow_text = False
    space = None
    served = True
    dim = FILTERS * len(WIDTHS)

    def __init__(
        self,
        words: Sequence[str],
        dim: int,
        mode: str,
        max_words: int,
        version: Version = VERSION,
    ):
        self.words, self.mode, self.max_words = tuple(words), mode, max_words
        self.coverage = ""
        self.version, self.table = version, WordTable(words, version, max_words)
        what = "characters" if version == CHARACTERS else "words"
        self.limits = {f"{max_words} {what} of TextCNN": self.table.are_longer}
        self.tokenizer = _tokenizer(self.table)
        self.resources = [self.tokenizer.get_layer("word_ids"), self.table.layer]
        self.network = _network(len(self.words), dim, mode)
        texts = keras.Input((), dtype="string", name="text")
        self.model = keras.Model(texts, self.network(self.tokenizer(texts)), name="text_encoder")

    @classmethod
    def create(
        cls,
        captions: Captions,
        vocabulary_size: int,
        word_vectors: str = "random",
        mode: str = "random",
        max_words: int | None = None,
        seed: int = 0,
        progress=None,
        version: Version = VERSION,
    ) -> TextCNN:
        """An untrained network for the texts of a training split.

        Words of the vocabulary that have no pretrained vector start with random ones of the same
        variance (Kim, sec. 3.2); without pretrained vectors it is that of U(-.25, .25), as in
        Kim's code.

        Args:
            captions: Captions of each training pair, for the vocabulary.
            vocabulary_size: Most words in it, the most frequent.
            word_vectors: Pretrained vectors, see `word_vectors.py`; they decide the width of
                the columns (`random`: `DIM`).
            mode: One of `MODES`.
            max_words: Most words of a text to read (an article of Wikipedia has thousands), by
                default `MAX_WORDS`, and never more than the longest training text has.
            seed: Seed of the initial weights; the process' own random numbers go on as they were.
            progress: Wraps an iterable, as tqdm does.
            version: What a word is, see `tokens`.

        Raises:
            InputError: If the mode is unknown or does not go with the vectors, the captions hold
                no word, or the vectors cannot be read.
        """
        choose("mode", mode, MODES)
        if max_words is None:
            max_words = MAX_WORDS[version]
        if max_words < 1:
            raise InputError(f"`max_words` must be at least 1; received {max_words}.")
        if (mode == "random") != (word_vectors == "random"):
            raise InputError(
                f"The mode {mode!r} does not go with the word vectors {word_vectors!r}: random "
                "goes with random, and the other modes with pretrained vectors."
            )
        vocabulary = Vocabulary.learn(captions, vocabulary_size, progress, version)
        pretrained = load_word_vectors(word_vectors, vocabulary.words, progress, DIM[version])
        vectors, known = pretrained.vectors, pretrained.known
        limit = np.sqrt(3 * vectors[known].var()) if known.any() else 0.25
        longest = min(max_words, vocabulary.longest)
        with initial_weights(seed):
            generator = keras.random.SeedGenerator()
            start = keras.random.uniform(vectors.shape, -limit, limit, seed=generator)
            encoder = cls(vocabulary.words, vectors.shape[1], mode, longest, version)
        if known.any():
            encoder.coverage = pretrained.coverage(word_vectors, vocabulary.words)
        rows = np.where(known[:, None], vectors, start)
        for layer in encoder.network.layers:
            if isinstance(layer, keras.layers.Embedding):
                layer.set_weights([np.pad(rows, [[FIRST_ID, 0], [0, 0]])])
        return encoder

    @classmethod
    def from_name(
        cls, rest: str, captions: Captions, vocabulary_size: int, progress=None
    ) -> TextCNN:
        """The trained network of a folder."""
        return cls.load(rest)

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the features of a text, as trained so far."""
        return fingerprint(self.table.rule, self.words, self.max_words, hash_weights(self.network))

    def token_ids(self, texts: Sequence[str]) -> np.ndarray:
        """Ids of texts for `network`: `[n, max_words]` int32, 0 after a text's end."""
        ids = np.zeros((len(texts), self.max_words), np.int32)
        for i in range(0, len(texts), BATCH):
            batch = self.tokenizer(to_bytes(texts[i : i + BATCH]))
            ids[i : i + BATCH, : batch.shape[1]] = batch
        return ids

    def look_up(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Words of texts that are read, and which of them are in the vocabulary."""
        return self.table(texts)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Features of texts: `[n, 300]` float32."""
        return encode_texts(self.model, texts, BATCH)

    def save(self, folder: str | Path) -> None:
        """Writes `text_cnn.json` and `text_cnn.weights.h5` to a folder.

        The first holds the fingerprint, by which `load` knows that both are of one network.
        """
        folder = Path(folder)
        description = {
            "mode": self.mode,
            "dim": self.network.get_layer("vectors").output_dim,
            "max_words": self.max_words,
            "coverage": self.coverage,
            "tokenizer": self.version,
            "fingerprint": self.fingerprint,
            "words": self.words,
        }
        save_weights(self.network, folder / WEIGHTS)
        with whole_file(folder / self.file) as file:
            file.write(json.dumps(description, indent=1, ensure_ascii=False).encode())

    @classmethod
    def load(cls, folder: str | Path) -> TextCNN:
        """Reads what `save` wrote.

        Raises:
            InputError: If a file is missing, damaged, or not of the same network as the other.
        """
        folder = Path(folder)
        try:
            saved = json.loads((folder / cls.file).read_text("utf-8"))
            version = saved_version(folder / cls.file, saved)
            encoder = cls(saved["words"], saved["dim"], saved["mode"], saved["max_words"], version)
            encoder.coverage = saved.get("coverage", "")  # Encoders of before have none.
            encoder.network.load_weights(folder / WEIGHTS)
            if encoder.fingerprint != saved["fingerprint"]:
                raise ValueError(f"{WEIGHTS} is not what {cls.file} was written with")
        except InputError:
            raise
        except (*DAMAGED, TypeError) as error:
            raise InputError(
                f"{folder} holds no trained TextCNN ({first_line(error)}): train one, or give its "
                "folder."
            ) from error
        return encoder


class TokenIds:
    """A TextCNN's texts as its network takes them, where the network is trained with a method.

    An encoder whose "features" are token ids: `encode` gives `[n, max_words]` int32, and `tokens`
    the strings that have these.
    """

    def __init__(self, encoder: TextCNN):
        self.network = encoder.network
        self.dim = encoder.max_words
        self.words, self.look_up, self.limits = encoder.words, encoder.look_up, encoder.limits
        self.tokens = encoder.table.tokens
        self.encode = encoder.token_ids
        self.fingerprint = encoder.fingerprint
        self.save = encoder.save


def word_vectors(network: keras.Model) -> keras.Model:
    """The part of a TextCNN's network from ids `[batch, words]` to vectors `[batch, words, dim]`.

    Those of padding and of words out of the vocabulary are zeros; there are at least `WIDEST`.
    """
    return keras.Model(network.inputs, network.get_layer(f"windows_{WIDEST}").input)


def _tokenizer(table: WordTable) -> keras.Model:
    """Strings `[batch]` to ids, by core TensorFlow ops."""
    texts = keras.Input((), dtype="string", name="text")
    ids = keras.layers.TextVectorization(
        standardize=None,
        split=table.tokens,
        vocabulary=table.keys,
        name="word_ids",
    )(texts)
    return keras.Model(texts, keras.ops.cast(ids, "int32"), name="tokenizer")


def _network(words: int, dim: int, mode: str) -> keras.Model:
    """Ids `[batch, words]` to features; all word vectors are zero until they are set."""
    from tfxmodal.encoders.text.pad_words import PadWords  # a layer, which needs TensorFlow

    layers, ops = keras.layers, keras.ops

    def look_up(ids, name, trainable):
        table = layers.Embedding(words + FIRST_ID, dim, "zeros", trainable=trainable, name=name)
        return table(ids)

    ids = keras.Input([None], dtype="int32", name="ids")
    padded = PadWords(WIDEST, name="pad")(ids)
    columns = look_up(padded, "vectors", trainable=mode != "static")
    if mode == "multichannel":
        columns += look_up(padded, "static_vectors", trainable=False)
    columns *= ops.cast(padded >= FIRST_ID, columns.dtype)[..., None]
    # A window counts if its last word does: one of the text's, or of the first five.
    counts = ops.concatenate([ops.ones_like(padded[:, :WIDEST]), ops.sign(padded[:, WIDEST:])], 1)
    counts = ops.cast(counts, columns.dtype)[..., None]
    features = []
    for width in WIDTHS:
        windows = layers.Conv1D(FILTERS, width, activation="relu", name=f"windows_{width}")(columns)
        # Other windows become zeros, which never exceed what ReLU gives.
        features.append(ops.max(windows * counts[:, width - 1 :], axis=1))
    features = layers.Concatenate(dtype="float32", name="features")(features)
    return keras.Model(ids, features, name="text_cnn")
