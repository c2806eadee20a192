"""The recipes of CONTRIBUTING, each tried: what a file and a line add is used by the commands."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.tiny import make_pairs
from tfxmodal.commands import evaluate, export_savedmodel, train
from tfxmodal.data import DATASETS, Dataset, load_dataset
from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.image import (
    IMAGE_ENCODERS,
    ImageEncoder,
    Preprocessing,
    load_image_encoder,
)
from tfxmodal.encoders.text import TEXT_ENCODERS
from tfxmodal.encoders.weights import hash_weights
from tfxmodal.errors import check_ranges
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.methods import METHODS
from tfxmodal.methods.learner import Method, Update
from tfxmodal.methods.spec import Fitted, MethodSpec
from tfxmodal.retrieval.cosine import CosineScorer
from tfxmodal.search.index import Index
from tfxmodal.search.new_index import build_index
from tfxmodal.search.stores import STORES, FaissStore, Hits
from tfxmodal.serving.export import export
from tfxmodal.training.trained_run import load_run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch, quick):
    """Runs go to a folder of the test."""
    monkeypatch.chdir(tmp_path)


# === A dataset ===================================================================================


def load_blobs(data_dir, size: int = 60) -> Dataset:
    """Ready features of three classes; `size` pairs are for training."""
    train, validation, test = (make_pairs(n, seed) for seed, n in enumerate((size, 20, 20)))
    return Dataset("blobs", train, validation, test, class_names=("a", "b", "c"))


@pytest.fixture
def blobs(monkeypatch):
    """The line of the recipe."""
    monkeypatch.setitem(DATASETS, "blobs", load_blobs)


def test_a_dataset_is_trained_on_by_its_name(blobs, tmp_path):
    train.main("pls --dataset blobs --dataset-options size=40 --run-dir run".split())
    assert json.loads((tmp_path / "run/config.json").read_text())["data"]["dataset"] == "blobs"
    assert len(load_dataset("blobs", size=40).train) == 40


# === An image encoder ============================================================================


def load_colours(weights: str) -> ImageEncoder:
    """The mean colour of each quarter of a picture."""
    pixels = keras.Input([32, 32, 3])
    quarters = keras.layers.AveragePooling2D(16)(keras.layers.Rescaling(1 / 255)(pixels))
    model = keras.Model(pixels, keras.layers.Flatten()(quarters))
    how = Preprocessing(32, 32, "divided by 255")
    return ImageEncoder("colours", model, how, hash_weights(model))


def test_an_image_encoder_makes_the_features_of_a_run_by_its_name(monkeypatch, small, tmp_path):
    monkeypatch.setitem(IMAGE_ENCODERS, "colours", load_colours)
    assert load_image_encoder("colours").dim == 12
    flags = ["--image-encoder", "colours", "--run-dir", "run"]
    train.main(["pls", *small("pascal_sentences"), *flags])
    assert json.loads((tmp_path / "run/model.json").read_text())["inputs"]["image"]["shape"] == [12]


# === A text encoder ===============================================================================


class Letters:
    """How often bytes are in a text, in 32 buckets."""

    file, uses_tensorflow_text, dim, fingerprint = "letters.txt", False, 32, "letters"
    words, space, served, resources, limits = None, None, True, (), {}

    def __init__(self):
        texts = keras.Input((), dtype="string")

        def count(texts):
            buckets = tf.strings.to_hash_bucket_fast(tf.strings.bytes_split(texts), self.dim)
            return tf.reduce_sum(tf.one_hot(buckets.to_tensor(-1), self.dim), axis=1)

        counts = keras.layers.Lambda(count, output_shape=(self.dim,))(texts)
        self.model = keras.Model(texts, counts)

    @classmethod
    def from_name(cls, rest, captions, vocabulary_size, progress=None):
        """Always the same."""
        return cls()

    def look_up(self, texts):
        """All words are known."""
        words = tf.strings.split(texts)
        return words, words.with_flat_values(tf.ones_like(words.flat_values, tf.bool))

    def encode(self, texts):
        """The counts."""
        return self.model(tf.constant(list(texts))).numpy()

    def save(self, folder):
        """A mark."""
        (folder / self.file).write_text("letters")

    @classmethod
    def load(cls, folder):
        """Always the same."""
        return cls()


def test_a_text_encoder_makes_the_features_of_a_run_by_its_name(monkeypatch, small, tmp_path):
    monkeypatch.setitem(TEXT_ENCODERS, "letters", Letters)
    flags = ["--image-encoder", "efficientnet_lite0", "--text-encoder", "letters"]
    train.main(["pls", *small("pascal_sentences"), *flags, "--run-dir", "run"])
    run = load_run(tmp_path / "run")
    assert run.inputs.text.shape == (32,) and isinstance(run.load_text_encoder(), Letters)
    assert run.embed_texts(["a dog"]).shape[0] == 1


# === A method in closed form =====================================================================


@dataclass(frozen=True)
class ClassMeansConfig:
    """Class means."""

    sharpness: float = 1.0
    """How fast a probability falls with the distance to a mean."""

    def __post_init__(self):
        check_ranges(self, sharpness="(0, inf)")


def fit(train: Pairs, validation: Pairs, config, select_by="auto", seed=0, progress=None) -> Fitted:
    """Describes an item by its nearness to the mean of each class."""

    def network(features):
        means = np.stack([features[column > 0].mean(axis=0) for column in train.labels.T])
        inputs = keras.Input([features.shape[1]])
        near = keras.layers.Dense(len(means), "softmax")
        outputs = keras.layers.UnitNormalization()(near(inputs))
        near.set_weights([config.sharpness * means.T, -config.sharpness / 2 * (means**2).sum(1)])
        return keras.Model(inputs, outputs)

    networks = {"image_encoder": network(train.images), "text_encoder": network(train.texts)}
    return Fitted(networks, {"sharpness": config.sharpness})


CLASS_MEANS = MethodSpec(
    name="class_means",
    title="Nearest class means",
    source="this test",
    setting="supervised",
    config=ClassMeansConfig,
    fit=fit,
    needs_labels=True,
)

# === A method that is trained by gradients =======================================================


@dataclass(frozen=True)
class PullConfig:
    """Pulls pairs together."""

    embedding_dim: int = 8
    """Dimensions of the common space."""


class Pull(Method):
    """Two linear maps, trained so that a pair's cosine is high."""

    def __init__(self, inputs: MethodInputs, config: PullConfig):
        self.weights = {"distance": 1.0}
        self.networks = {}
        for name in ("image", "text"):
            features = keras.Input(inputs.modality(name).shape)
            projected = keras.layers.Dense(config.embedding_dim)(features)
            unit = keras.layers.UnitNormalization()(projected)
            self.networks[f"{name}_encoder"] = keras.Model(features, unit)

    def streams(self, train, seed):
        """All rows."""
        return {"pairs": np.arange(len(train))}

    def loss_terms(self, batch, replicas):
        """The mean squared distance of pairs."""
        images = self.networks["image_encoder"](batch["pairs"]["images"])
        texts = self.networks["text_encoder"](batch["pairs"]["texts"])
        return {"distance": tf.reduce_mean(tf.math.squared_difference(images, texts))}

    def scorer(self):
        """The cosine."""
        return CosineScorer(self.networks["image_encoder"], self.networks["text_encoder"])


PULL = MethodSpec(
    name="pull",
    title="Pull pairs together",
    source="this test",
    setting="unsupervised",
    config=PullConfig,
    learner=Pull,
)


# === A method with an adversary ==================================================================


class Fool(Pull):
    """Pulls pairs together, and hides from an adversary which modality a vector is of."""

    def __init__(self, inputs: MethodInputs, config: PullConfig):
        super().__init__(inputs, config)
        self.weights = {"distance": 1.0, "confusion": 0.1}
        codes = keras.Input([config.embedding_dim])
        self.networks["adversary"] = keras.Model(codes, keras.layers.Dense(1)(codes))

    def updates(self):
        """The encoders', and then the adversary's."""
        encoders = self.trainable_variables("image_encoder", "text_encoder")
        adversary = self.trainable_variables("adversary")
        return [
            Update("encoders", self.loss_terms, self.weights, encoders),
            Update("adversary", self.adversary_terms, {"adversary": 1.0}, adversary),
        ]

    def loss_terms(self, batch, replicas):
        """The distance of pairs, and how well the adversary tells the modalities, negated."""
        told = self.adversary_terms(batch, replicas)["adversary"]
        return super().loss_terms(batch, replicas) | {"confusion": -told}

    def adversary_terms(self, batch, replicas):
        """The cross-entropy of the adversary's guess."""
        losses = []
        for name, target in (("image", 1.0), ("text", 0.0)):
            codes = self.networks[f"{name}_encoder"](batch["pairs"][f"{name}s"])
            logits = self.networks["adversary"](codes)[:, 0]
            targets = tf.fill(tf.shape(logits), target)
            losses.append(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
        return {"adversary": tf.reduce_mean(tf.concat(losses, 0))}


FOOL = replace(PULL, name="fool", title="Pull pairs together, against an adversary", learner=Fool)

QUICK = "--embedding-dim 4 --epochs 2 --batch-size 16"


@pytest.mark.parametrize(
    "spec, flags",
    [(CLASS_MEANS, "--sharpness 2"), (PULL, QUICK), (FOOL, QUICK)],
    ids=["closed form", "gradient", "adversary"],
)
def test_a_method_is_trained_measured_and_exported(spec, flags, blobs, monkeypatch, tmp_path):
    monkeypatch.setitem(METHODS, spec.name, spec)
    train.main([spec.name, "--dataset", "blobs", "--run-dir", "run", *flags.split()])
    assert json.loads((tmp_path / "run/config.json").read_text())["method"] == spec.name
    evaluate.main("--run run".split())
    measured = json.loads((tmp_path / "run/evaluation/blobs-test/metrics.json").read_text())
    assert spec.name in measured["methods"]
    monkeypatch.setattr(export, "check", lambda *_: None)  # which runs in a fresh process
    export_savedmodel.main("--run run --to model".split())
    assert (tmp_path / "model/1/saved_model.pb").exists()


def test_a_method_that_needs_labels_is_refused_without_them(blobs, monkeypatch, complaint):
    monkeypatch.setitem(METHODS, "class_means", CLASS_MEANS)
    without = load_blobs(None)
    without = without.replace_splits(train=replace(without.train, labels=None))
    monkeypatch.setitem(DATASETS, "blobs", lambda data_dir: without)
    told = complaint(train.main, *"class_means --dataset blobs --run-dir run".split())
    assert "class_means learns from labels" in told


# === A store ======================================================================================


class Product(FaissStore):
    """All dot products, by NumPy."""

    name = "product"

    def search(self, queries, k, where=None, minimum=-np.inf):
        """The largest products."""
        (items,) = self.items(where)
        products = queries @ items.vectors.T
        best = np.argsort(-products, axis=1)[:, :k]
        return [
            Hits([items.ids[row] for row in rows], scores[rows])
            for rows, scores in zip(best, products, strict=True)
        ]


def test_a_store_searches_an_index_that_is_saved_and_opened(monkeypatch, tmp_path):
    monkeypatch.setitem(STORES, "product", Product)
    pairs = make_pairs(400)
    scorer = METHODS["pls"].fit(pairs, pairs, METHODS["pls"].config(3)).scorer()
    images, texts = scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts)
    found = []
    for store in ("product", "faiss"):
        index = build_index(scorer, "a model", "texts", store=store, folder=tmp_path / store)
        index.add([f"text {row}" for row in range(400)], texts)
        opened = Index.load(tmp_path / store, scorer, "a model")
        assert opened.store.name == store
        found.append(opened.search(images[:9], 5))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)
