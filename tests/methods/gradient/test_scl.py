import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.training.tiny import OneReplica, batch_of, make_pairs, method_of
from tfxmodal.data import DATASETS
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.losses.class_contrastive import class_contrastive
from tfxmodal.losses.contrastive import contrastive
from tfxmodal.losses.label_prediction import label_prediction
from tfxmodal.losses.modality_invariant import modality_invariant
from tfxmodal.losses.mutual_information import mutual_information
from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.methods.few_labels import labelled_rows
from tfxmodal.methods.gradient.scl import SCL
from tfxmodal.methods.gradient.scl_config import SCLConfig, decided
from tfxmodal.training.settings import Settings


def small(train=None, **config) -> SCL:
    keras.utils.set_random_seed(0)
    sizes = {"hidden_units": 8, "embedding_dim": 4}
    return method_of(SCL, train or make_pairs(), SCLConfig(**sizes | config))


U, X = (batch_of(make_pairs(), slice(*rows))["pairs"] for rows in ((0, 12), (20, 28)))


# --- weights and terms --------------------------------------------------------------------


def test_unsupervised_weights_are_those_of_equation_8():
    weights = small(alpha=0.2, beta=3.0).weights
    assert list(weights.items()) == [
        ("modality_invariant", 1.0),
        ("mutual_information", 0.2),
        ("contrastive", 3.0),
    ]


def test_semi_supervised_weights_are_those_of_equation_15():
    weights = small(
        alpha=0.2, beta=3.0, gamma=7.0, unsupervised_weight=0.5, labelled_fraction=0.1
    ).weights
    assert weights == {
        "modality_invariant": 0.5,
        "mutual_information": 0.1,
        "contrastive": 1.5,
        "label_prediction": 1.0,
        "class_contrastive": 7.0,
    }


def test_defaults_are_the_papers():
    config = SCLConfig()
    assert (config.hidden_units, config.embedding_dim, config.dropout) == (1024, 512, 0)
    assert (config.alpha, config.beta, config.temperature) == (0.01, 1, 0.5)
    assert config.share_last_layer and not config.positive_in_denominator
    assert config.mi_negatives == 0
    assert (config.labelled_fraction, config.output_activation) == (0, "relu")
    assert config.image_scaling == config.text_scaling == "none"


MI_NETWORKS = {"image_input_branch", "text_input_branch", "discriminator"}


@pytest.mark.parametrize(
    ("config", "gone"),
    [
        ({"alpha": 0}, {"mutual_information"}),
        ({"beta": 0}, {"contrastive"}),
        ({"gamma": 0, "labelled_fraction": 0.5}, {"class_contrastive"}),
        (
            {"unsupervised_weight": 0, "labelled_fraction": 0.5},
            {"modality_invariant", "mutual_information", "contrastive"},
        ),
        ({}, set()),
        ({"labelled_fraction": 0.5}, set()),
    ],
)
def test_terms_of_weight_zero_are_not_computed(config, gone):
    method = small(**config)
    terms = method.loss_terms({"unlabelled": U, "labelled": X}, OneReplica())
    assert terms.keys() == method.weights.keys()
    assert not terms.keys() & gone
    assert len(terms) + len(gone) == (5 if "labelled_fraction" in config else 3)
    networks = {"image_encoder", "text_encoder"}
    networks |= set() if "mutual_information" in gone else MI_NETWORKS
    networks |= {"classifier"} if "labelled_fraction" in config else set()
    assert method.networks.keys() == networks


@pytest.mark.parametrize("norm", ["rows", "frobenius"])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("negatives", [0, 3])
def test_terms_are_the_losses_of_the_embeddings(norm, positive, negatives):
    method = small(
        invariance_norm=norm,
        positive_in_denominator=positive,
        mi_negatives=negatives,
        temperature=0.3,
        labelled_fraction=0.5,
        image_scaling="standard",
    )
    terms = method.loss_terms({"unlabelled": U, "labelled": X}, OneReplica())
    networks = method.networks

    def embed(rows):
        return networks["image_encoder"](rows["images"]), networks["text_encoder"](rows["texts"])

    z_v, z_t = embed(U)
    x_v, x_t = embed(X)
    inputs = networks["image_input_branch"](U["images"]), networks["text_input_branch"](U["texts"])
    discriminate, classify = networks["discriminator"], networks["classifier"]
    # Candidates of pair i are the inputs of i, i + 1, ..., cyclically: equations (2) to (6).
    scores = [
        [[discriminate(tf.roll(h, -shift, axis=0), z) for z in (z_v, z_t)] for h in inputs]
        for shift in range(negatives + 1 if negatives else 12)
    ]
    expected = {
        "modality_invariant": modality_invariant(z_v, z_t, norm),
        "mutual_information": tf.reduce_mean(
            mutual_information(tf.transpose(tf.convert_to_tensor(scores), [0, 3, 1, 2]))
        ),
        "contrastive": contrastive(PairBatch.gathered(z_v, z_t), 0.3, positive),
        "label_prediction": label_prediction(classify(x_v), classify(x_t), X["labels"]),
        "class_contrastive": class_contrastive(PairBatch.gathered(x_v, x_t, X["labels"]), 0.3),
    }
    assert terms.keys() == expected.keys()
    for name, term in terms.items():
        assert float(term) == pytest.approx(float(expected[name]), rel=1e-5), name


# --- networks -----------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False])
def test_the_last_layer_is_shared_or_not(shared):
    method = small(share_last_layer=shared, alpha=0)
    image, text = (method.networks[f"{kind}_encoder"] for kind in ("image", "text"))
    assert (image.trainable_variables[2] is text.trainable_variables[2]) == shared
    assert len(method.trainable_variables()) == (6 if shared else 8)
    assert image.trainable_variables[0].shape == (6, 8)
    assert text.trainable_variables[0].shape == (5, 8)


def test_every_variable_is_trained_once_in_a_fixed_order():
    method = small(labelled_fraction=0.5)
    variables = method.trainable_variables()
    assert len(variables) == len({id(variable) for variable in variables})
    for network in method.networks.values():
        for variable in network.trainable_variables:
            assert any(variable is each for each in variables)
    again = small(labelled_fraction=0.5).trainable_variables()
    assert [each.shape for each in again] == [each.shape for each in variables]


def test_the_scorer_is_the_cosine_of_the_encoders():
    method, train = small(text_scaling="standard"), make_pairs()
    scorer = method.scorer()
    images, texts = scorer.embed_images(train.images), scorer.embed_texts(train.texts)
    np.testing.assert_allclose(images, method.networks["image_encoder"](train.images), rtol=1e-5)
    np.testing.assert_allclose(scorer.score(images, texts), images @ texts.T, rtol=1e-5)


# --- labels -------------------------------------------------------------------------------


def test_streams():
    train = make_pairs()
    assert small(alpha=0).streams(train, 0).keys() == {"unlabelled"}
    streams = small(alpha=0, labelled_fraction=0.25).streams(train, 3)
    np.testing.assert_array_equal(streams["unlabelled"], np.arange(64))
    expected = labelled_rows(train.labels, 0.25, "stratified", 3)
    np.testing.assert_array_equal(streams["labelled"], expected)


def test_labels_are_needed():
    train = make_pairs()
    with pytest.raises(InputError, match="`labelled_fraction` 0.1 needs labels"):
        decided(
            SCLConfig(labelled_fraction=0.1),
            Pairs(train.ids, train.images, train.texts),
            DataConfig(),
        )


@pytest.mark.parametrize("fraction", [-0.1, 1.01])
def test_a_fraction_is_between_0_and_1(fraction):
    with pytest.raises(InputError, match=f"`labelled_fraction` must be .* received {fraction}"):
        small(labelled_fraction=fraction).streams(make_pairs(), 0)


def test_first_rows():
    labels = np.eye(2)[[0] * 30 + [1] * 10]
    np.testing.assert_array_equal(labelled_rows(labels, 0.1, "first", 5), [0, 1, 2, 3])
    np.testing.assert_array_equal(labelled_rows(labels, 0.001, "first", 5), [0])


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5).filter(any),
    st.floats(0.01, 1),
    st.integers(0, 9),
)
def test_stratified_rows_have_each_class_in_its_share(sizes, fraction, seed):
    classes = np.repeat(np.arange(len(sizes)), sizes)
    rows = labelled_rows(np.eye(len(sizes))[classes], fraction, "stratified", seed)
    assert (np.diff(rows) > 0).all()
    counts = np.bincount(classes[rows], minlength=len(sizes))
    for size, count in zip(sizes, counts, strict=True):
        assert count == min(size, max(1, round(fraction * size)))


def test_stratified_rows_depend_on_the_seed_and_skip_unlabelled_pairs():
    labels = np.zeros((90, 3), np.uint8)
    labels[:60, 1] = labels[:30, 0] = 1  # 30 of classes 0 and 1, 30 of class 1, 30 of none.
    rows = labelled_rows(labels, 0.2, "stratified", 0)
    assert [np.sum(rows < 30), np.sum((rows >= 30) & (rows < 60)), len(rows)] == [6, 6, 12]
    np.testing.assert_array_equal(rows, labelled_rows(labels, 0.2, "stratified", 0))
    assert (rows != labelled_rows(labels, 0.2, "stratified", 1)).any()


@pytest.mark.parametrize("how", ["first", "stratified"])
def test_labelled_rows_are_of_those_with_labels(how):
    labels = np.eye(2)[[0, 1] * 20]
    labels[:30] = 0
    rows = labelled_rows(labels, 0.4, how, 0)
    assert len(rows) == 4 and rows.min() >= 30
    with pytest.raises(InputError, match="`labelled_fraction` 0.4 needs labels, and no training"):
        labelled_rows(np.zeros([40, 2]), 0.4, how, 0)


@pytest.mark.parametrize("dataset", DATASETS)
def test_benchmarks_keep_the_papers_negatives_and_own_data_leaves_them_open(dataset):
    given = {"emoji_scenes": 8, "pairs": "auto", "features": "auto"}.get(dataset, 0)
    assert Settings.for_dataset("scl", dataset).config.mi_negatives == given


@pytest.mark.parametrize(
    ("gpus", "rows", "negatives", "told"),
    [
        (0, 64, 0, "takes all others of the batch as negatives (paper)"),
        (0, 65, 8, "takes 8 negatives a pair, because there is no GPU"),
        (1, 65, 0, "takes all others of the batch as negatives (paper)"),
    ],
)
def test_negatives_that_are_left_open_are_decided_by_device_and_size_and_told(
    gpus, rows, negatives, told, monkeypatch
):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["one"] * gpus)
    config, sentence = decided(SCLConfig(mi_negatives="auto"), make_pairs(rows), DataConfig())
    assert config == SCLConfig(mi_negatives=negatives) and told in sentence
    for chosen in (0, 3):
        fixed = SCLConfig(mi_negatives=chosen)
        assert decided(fixed, make_pairs(rows), DataConfig()) == (fixed, None)
    config, sentence = decided(
        SCLConfig(mi_negatives="auto", alpha=0), make_pairs(rows), DataConfig()
    )
    assert config.mi_negatives == negatives and sentence is None  # There is no such term.
