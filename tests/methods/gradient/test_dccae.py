import keras
import numpy as np
import pytest

from tests.losses.test_canonical_correlation import oracle
from tests.methods.gradient.test_dcca import minimised, outputs, whole
from tests.training.tiny import OneReplica, make_pairs, method_of, with_sgd
from tfxmodal.methods.gradient.dcca import DCCA, DCCAConfig
from tfxmodal.methods.gradient.dccae import DCCAE, DCCAEConfig

SIZES = {"hidden_units": (8, 7), "embedding_dim": 3}


def test_the_terms_are_the_objective():
    keras.utils.set_random_seed(0)
    pairs = make_pairs()
    method = method_of(DCCAE, pairs, DCCAEConfig(**SIZES, image_scaling="unit"))
    terms = method.loss_terms(whole(pairs), OneReplica())
    u, v = outputs(method, pairs)
    expected = 0.0
    for kind, x, h in (
        ("image", pairs.images / np.sqrt(np.mean(pairs.images**2)), u),
        ("text", pairs.texts, v),
    ):
        decoder = method.networks[f"{kind}_autoencoder"].trainable_variables[-6:]
        for number in range(3):
            h = h @ decoder[2 * number].numpy() + decoder[2 * number + 1].numpy()
            h = 1 / (1 + np.exp(-h)) if number < 2 else h
        expected += np.mean((h - x) ** 2)
    assert float(terms["reconstruction"]) == pytest.approx(expected, rel=1e-5)
    assert float(terms["canonical_correlation"]) == pytest.approx(oracle(u, v, 1e-4), rel=1e-5)
    assert method.weights == {"canonical_correlation": 1, "reconstruction": 1e-3}


def test_linear_networks_reconstruct_what_principal_components_do():
    """The error is the mean of the variances, 0 beyond the first k principal components."""
    keras.utils.set_random_seed(0)
    pairs, k = make_pairs(), 2
    method = method_of(DCCAE, pairs, DCCAEConfig(hidden_units=(), embedding_dim=k))
    least = 0.0
    for rows in (pairs.images, pairs.texts):
        variances = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False) ** 2 / len(rows)
        least += variances[k:].sum() / rows.shape[1]
    first, last = minimised(method, pairs, "reconstruction", 1, 600)
    assert first > 2 * least
    assert least - 1e-5 < last < 1.01 * least


def test_without_reconstruction_it_is_dcca_bit_for_bit(tmp_path):
    def trained(learner, config) -> bytes:
        method, trainer = with_sgd(learner, config, tmp_path)
        trainer._steps.run(trainer.plan(1), 0, 4)
        networks = (method.networks[f"{kind}_network"] for kind in ("image", "text"))
        return b"".join(w.tobytes() for network in networks for w in network.get_weights())

    dcca = trained(DCCA, DCCAConfig(**SIZES))
    assert trained(DCCAE, DCCAEConfig(**SIZES, reconstruction_weight=0.0)) == dcca
    assert trained(DCCAE, DCCAEConfig(**SIZES, reconstruction_weight=0.1)) != dcca
