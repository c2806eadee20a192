"""DRSL from pixels and token ids, with towers of a few units."""

import keras
import numpy as np
import pytest

from tests.encoders.image.tiny import tiny_encoder
from tests.training.tiny import method_of
from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.text.text_cnn import TextCNN
from tfxmodal.errors import InputError
from tfxmodal.inputs.raw import synchronize
from tfxmodal.methods.gradient.drsl import DRSL, DRSLConfig, inputs_of
from tfxmodal.training.config import TrainingConfig
from tfxmodal.training.loop import Trainer
from tfxmodal.training.replicas import make_strategy

WORDS = ("red", "green", "blue", "thing")
SIZES = {"hidden_units": (8,), "feature_dim": 4, "relation_units": 16}


def raw_pairs(n: int = 48) -> Pairs:
    """Pictures of one colour under noise, and texts that name it among other words."""
    rng = np.random.default_rng(0)
    colour = np.arange(n) % 3
    pixels = rng.integers(0, 120, (n, 16, 16, 3), np.uint8)
    pixels[np.arange(n), :, :, colour] += 120
    ids = np.full((n, 7), 5, np.int32)  # "thing"
    ids[np.arange(n), rng.integers(0, 5, n)] = colour + 2
    ids[:, 5:] = 0
    labels = np.eye(3, dtype=np.uint8)[colour]
    return Pairs(np.array([f"pair {row}" for row in range(n)]), pixels, ids, labels)


def make_towers(normalised: bool = False) -> dict[str, keras.Model]:
    keras.utils.set_random_seed(0)
    encoder = TextCNN(WORDS, 6, "random", 7)
    table = encoder.network.get_layer("vectors")
    table.set_weights([np.random.default_rng(0).normal(size=(6, 6))])
    image = tiny_encoder(normalised=normalised).model
    synchronize(image)
    return {"image": image, "text": encoder.network}


def make(train=None, normalised=False, **config) -> DRSL:
    towers = make_towers(normalised)
    config = DRSLConfig(end_to_end=True, **SIZES | config)
    train = train or raw_pairs()
    return method_of(DRSL, train, config, kinds=inputs_of(config), networks=towers)


def make_trainer(
    folder, strategy=None, images_at_once=0, normalised=False, **training
) -> tuple[DRSL, Trainer]:
    strategy, train = strategy or make_strategy("CPU:0"), raw_pairs()
    config = TrainingConfig(**{"batch_size": 16, "learning_rate": 0.01} | training)
    with strategy.scope():
        method = make(train, normalised, images_at_once=images_at_once)
        return method, Trainer(method, train, config, strategy, folder)


@pytest.mark.parametrize("scaling", ["none", "standard"])
def test_it_scores_as_drsl_on_the_towers_features(scaling):
    raw, towers = raw_pairs(), make_towers()
    features = raw.with_features(
        towers["image"](raw.images.astype(np.float32)).numpy(), towers["text"](raw.texts).numpy()
    )
    config = {"image_scaling": scaling, "text_scaling": scaling}
    keras.utils.set_random_seed(1)
    plain = method_of(DRSL, features, DRSLConfig(**SIZES | config))
    method = make(raw, **config)
    for name, network in plain.networks.items():
        heads = method.networks[name].weights[-len(network.weights) :]
        for ours, theirs in zip(heads, network.weights, strict=True):
            assert ours.shape == theirs.shape
            if "mean" in theirs.path or "scale" in theirs.path:
                expected = theirs.numpy()
                if "scale" in theirs.path:  # Constant features may vary later.
                    expected[expected == 0] = 1 / np.mean(1 / expected[expected != 0])
                np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
            ours.assign(theirs)
    scores = [
        scorer.score(scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts))
        for scorer, pairs in ((plain.scorer(), features), (method.scorer(), raw))
    ]
    assert np.ptp(scores[0]) > 1e-3
    np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-5)


def test_the_loss_reaches_the_first_layers_of_both_towers(tmp_path):
    method, trainer = make_trainer(tmp_path, epochs=12, feed="stream")
    first = [
        next(w for w in method.trainable_variables() if name in w.path)
        for name in ("convolution/kernel", "vectors/embeddings")
    ]
    before = [weight.numpy() for weight in first]
    losses = [each.losses["total"] for each in trainer.epochs(lambda: (0.0, {}))]
    assert losses[-1] < 0.85 * losses[0]
    for weight, start in zip(first, before, strict=True):
        assert np.abs(weight.numpy() - start).max() > 1e-3


def test_images_in_parts_need_networks_that_treat_them_alone():
    with pytest.raises(InputError, match="`images_at_once` goes with .*such as vgg19; received 4"):
        make(images_at_once=4, encoder_batch_norm=True)
    with pytest.raises(InputError, match="`images_at_once` must be at least 0; received -1"):
        make(images_at_once=-1)


def weights(method: DRSL) -> list[np.ndarray]:
    return [variable.numpy() for variable in method.trainable_variables()]


@pytest.mark.parametrize(("at_once", "normalised"), [(3, False), (0, True)])
def test_two_replicas_train_as_one(at_once, normalised, two_replicas, tmp_path):
    """Each of two replicas takes its 8 images, in parts or at once; the one takes all 16."""
    ends = []
    for strategy, images_at_once in ((None, 0), (two_replicas, at_once)):
        # Small steps: Adam's large ones would blow rounding up where a gradient is near 0.
        options = {"epochs": 1, "learning_rate": 1e-4, "images_at_once": images_at_once}
        options["normalised"] = normalised
        method, trainer = make_trainer(tmp_path / str(len(ends)), strategy, **options)
        start = weights(method)
        (report,) = trainer.epochs(lambda: (0.0, {}))
        ends.append((report.losses["total"], weights(method)))
    (loss, one), (other_loss, other) = ends
    assert other_loss == pytest.approx(loss, rel=1e-5)
    moved, apart = (
        sum(np.linalg.norm(a - b) for a, b in zip(one, others, strict=True))
        for others in (start, other)
    )
    assert apart < 0.01 * moved
