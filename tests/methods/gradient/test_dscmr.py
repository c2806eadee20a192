import keras
import numpy as np
import pytest

from tests.losses.test_pairwise_likelihood import oracle as likelihood
from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of
from tfxmodal.methods.gradient.dscmr import DSCMR, DSCMRConfig
from tfxmodal.training.settings import Settings


def small(train=None, **config) -> DSCMR:
    keras.utils.set_random_seed(0)
    sizes = {"hidden_units": 8, "embedding_dim": 4}
    return method_of(DSCMR, train or make_pairs(), DSCMRConfig(**sizes | config))


def test_defaults_are_the_released_codes():
    config = DSCMRConfig()
    assert (config.hidden_units, config.embedding_dim) == (2048, 1024)
    assert (config.alpha, config.beta, config.as_released) == (1e-3, 0.1, False)
    training = Settings("dscmr").training
    assert (training.learning_rate, training.batch_size, training.epochs) == (1e-4, 100, 500)
    (update,) = small().updates()
    assert update.optimizer(1e-4).get_config()["beta_1"] == 0.5


@pytest.mark.parametrize("as_released", [False, True])
def test_the_terms_are_the_objective(as_released):
    """J1, J2 and J3, row by row, of pairs of one and of several classes."""
    method, pairs = small(as_released=as_released), make_pairs(12)
    terms = method.loss_terms(batch_of(pairs), OneReplica())

    weight = {name: network.get_weights() for name, network in method.networks.items()}
    g, g_0 = weight["classifier"]
    u, v = (
        np.maximum(x @ w + b, 0) @ last + last_b
        for x, (w, b, last, last_b) in (
            (pairs.images, weight["image_encoder"]),
            (pairs.texts, weight["text_encoder"]),
        )
    )
    y = pairs.labels.astype(float)
    shared = y @ y.T
    assert shared.max() > 1  # Some pairs share two classes.
    j1 = j3 = 0.0
    for i in range(12):
        for z in (u, v):
            j1 += np.linalg.norm(z[i] @ g + g_0 - y[i]) / 12
        j3 += np.linalg.norm(u[i] - v[i]) / 12
    expected = {
        "label_distance": j1,
        "pairwise_likelihood": likelihood(u, v, shared if as_released else shared > 0),
        "modality_invariant": j3,
    }
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    assert list(method.weights.values()) == [1, 1e-3, 0.1]


def test_the_last_layer_is_shared():
    networks = small().networks
    shapes = [[w.shape for w in networks[f"{kind}_encoder"].weights] for kind in ("image", "text")]
    assert shapes == [[(6, 8), (8,), (8, 4), (4,)], [(5, 8), (8,), (8, 4), (4,)]]
    image, text = (networks[f"{kind}_encoder"].weights for kind in ("image", "text"))
    assert image[2] is text[2] and image[0] is not text[0]
