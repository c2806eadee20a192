"""Tiny networks of KerasHub with random weights, saved as the real ones are: no download."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

SPECIAL = "[PAD] [UNK] [CLS] [SEP] [MASK]"
WORDS = f"{SPECIAL} a red car on the road green field cafe nai ##ve 1 ##0 . ,".split()
TEXTS = ["a red car on the road", "the green field", "blue sea and sky", "a grey wall, 10 cats"]
SIDE, LENGTH, DIM = 32, 16, 16
LAYERS = {"hidden_dim": DIM, "num_layers": 1, "num_heads": 2, "intermediate_dim": 32}


@pytest.fixture(scope="session")
def keras_hub():
    return pytest.importorskip("keras_hub", reason="needs the extra hub")


@pytest.fixture(scope="session")
def siglip(keras_hub, tmp_path_factory) -> Path:
    """A SigLIP whose tokenizer knows the letters of `TEXTS`."""
    models = keras_hub.models
    tokenizer = models.SigLIPTokenizer(_sentence_piece())
    vision = models.SigLIPVisionEncoder(8, image_shape=(SIDE, SIDE, 3), **LAYERS)
    text = models.SigLIPTextEncoder(
        tokenizer.vocabulary_size(), DIM, max_sequence_length=LENGTH, projection_dim=DIM, **LAYERS
    )
    converter = keras_hub.layers.SigLIPImageConverter((SIDE, SIDE), scale=1 / 127.5, offset=-1)
    return _saved(
        tmp_path_factory.mktemp("siglip"),
        models.SigLIPBackbone(vision, text),
        models.SigLIPPreprocessor(tokenizer, converter, LENGTH),
    )


@pytest.fixture(scope="session")
def clip(keras_hub, tmp_path_factory) -> Path:
    """A CLIP whose tokenizer has letters, digits and the word car."""
    models = keras_hub.models
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789,."]
    words = [*letters, *(f"{each}</w>" for each in letters), "ca", "car</w>"]
    words += ["<|startoftext|>", "<|endoftext|>"]
    ids = {word: number for number, word in enumerate(words)}
    tokenizer = models.CLIPTokenizer(ids, ["c a", "ca r</w>"])
    vision = models.CLIPVisionEncoder(8, image_shape=(SIDE, SIDE, 3), **LAYERS)
    text = models.CLIPTextEncoder(len(words), DIM, max_sequence_length=LENGTH, **LAYERS)
    converter = keras_hub.layers.CLIPImageConverter(
        (SIDE, SIDE), scale=[0.01, 0.02, 0.03], offset=[-1.0, -2.0, -3.0]
    )
    return _saved(
        tmp_path_factory.mktemp("clip"),
        models.CLIPBackbone(vision, text, projection_dim=8),
        models.CLIPPreprocessor(tokenizer, converter, LENGTH),
    )


@pytest.fixture(scope="session")
def dinov2(keras_hub, tmp_path_factory) -> Path:
    """A DINOv2, which has no texts."""
    backbone = keras_hub.models.DINOV2Backbone(
        8, 1, DIM, 2, 32, image_shape=(SIDE, SIDE, 3), position_embedding_shape=(SIDE, SIDE)
    )
    converter = keras_hub.layers.DINOV2ImageConverter((SIDE, SIDE), scale=1 / 255)
    return _saved(tmp_path_factory.mktemp("dinov2"), backbone, converter)


@pytest.fixture(scope="session")
def sentence_encoder(keras_hub, tmp_path_factory) -> Path:
    """A BERT in the layout of Hugging Face, as sentence-transformers writes it."""
    numpy = pytest.importorskip("safetensors.numpy", reason="needs the extra hub")
    folder = tmp_path_factory.mktemp("sentences")
    rng = np.random.default_rng(0)

    def weights(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": weights(len(WORDS), DIM),
        "embeddings.position_embeddings.weight": weights(64, DIM),
        "embeddings.token_type_embeddings.weight": weights(2, DIM),
        "embeddings.LayerNorm.weight": weights(DIM),
        "embeddings.LayerNorm.bias": weights(DIM),
        "pooler.dense.weight": weights(DIM, DIM),
        "pooler.dense.bias": weights(DIM),
    }
    layers = {
        "attention.self.query": (DIM, DIM),
        "attention.self.key": (DIM, DIM),
        "attention.self.value": (DIM, DIM),
        "attention.output.dense": (DIM, DIM),
        "intermediate.dense": (32, DIM),
        "output.dense": (DIM, 32),
    }
    for name, shape in layers.items():
        tensors[f"encoder.layer.0.{name}.weight"] = weights(*shape)
        tensors[f"encoder.layer.0.{name}.bias"] = weights(shape[0])
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        tensors[f"encoder.layer.0.{name}.weight"] = weights(DIM)
        tensors[f"encoder.layer.0.{name}.bias"] = weights(DIM)
    numpy.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    files = {
        "config.json": {
            "model_type": "bert",
            "architectures": ["BertModel"],
            "vocab_size": len(WORDS),
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "hidden_size": DIM,
            "intermediate_size": 32,
            "hidden_dropout_prob": 0.1,
            "max_position_embeddings": 64,
            "type_vocab_size": 2,
        },
        "tokenizer_config.json": {"do_lower_case": True, "strip_accents": None},
        "sentence_bert_config.json": {"max_seq_length": 12},
        "modules.json": [{"type": "sentence_transformers.models.Normalize"}],
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


def _saved(folder: Path, *parts) -> Path:
    for part in parts:
        part.save_to_preset(str(folder))
    return folder


def _sentence_piece() -> bytes:
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 3),
        model_writer=written,
        vocab_size=40,
        hard_vocab_limit=False,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        minloglevel=2,
    )
    return written.getvalue()
