"""Versions that a server must not have, and one that it may."""

import json
import shutil
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests.retrieval.codes import GivenCodes
from tests.serving import tiny
from tfxmodal.commands import cli, verify_savedmodel
from tfxmodal.errors import InputError
from tfxmodal.serving.export import examples
from tfxmodal.serving.export.examples import write_examples
from tfxmodal.serving.export.inputs import finite, zeros_where_bad
from tfxmodal.serving.export.signatures import Signature
from tfxmodal.serving.export.writing import write_savedmodel
from tfxmodal.serving.model_config import WARM_UP
from tfxmodal.serving.verification import served_checks
from tfxmodal.serving.verification.examined import Fault
from tfxmodal.serving.verification.verify import verify, verify_afresh

DIM = 3
ROWS = np.random.default_rng(0).standard_normal((3, DIM)).astype(np.float32)
BATCH = {"features": tf.TensorSpec([None, DIM], name="features")}


def sound(features, network):
    """As an endpoint should be."""
    valid = finite(features)
    embedding = network(zeros_where_bad(features, valid))
    valid &= finite(embedding)
    return {"embedding": zeros_where_bad(embedding, valid), "valid": valid}


@pytest.fixture
def network() -> keras.Model:
    features = keras.Input([DIM])
    return keras.Model(features, keras.layers.Dense(2)(features))


@pytest.fixture
def version(tmp_path, network):
    """`version(function)`: the folder of a version with one signature, `embed`."""

    def make(function=sound, inputs=BATCH, rows=None, save=write_savedmodel, **about):
        def endpoint(*args):
            return function(*args, network)

        outputs = save(tmp_path, {"embed": Signature(endpoint, inputs)}, [network])
        rows = rows or {"features": ROWS}
        answers = {
            key: np.asarray(each)
            for key, each in endpoint(*map(tf.constant, rows.values())).items()
        }
        answers.pop("valid", None)
        write_examples(tmp_path, "m", {"embed": (rows, answers)})
        sides = {
            side: {key: {"dtype": each.dtype.name, "shape": [*each.shape]} for key, each in specs}
            for side, specs in (("inputs", inputs.items()), ("outputs", outputs["embed"].items()))
        }
        description = {"batchable": True, "on_bad_input": "flag", "tensorflow_text": False}
        description |= {"signatures": {"embed": sides}} | about
        (tmp_path / "signatures.json").write_text(json.dumps(description))
        (tmp_path / "README.md").write_text("A test.")
        return tmp_path

    return make


def faults(folder) -> str:
    """What the checks that failed have seen."""
    return "; ".join(result.seen for result in verify(folder).results if not result.passed)


def save_by_tensorflow(folder, signatures, models):
    """As one would without knowing Keras' archive: the model inside a module."""
    ((name, signature),) = signatures.items()
    module = tf.Module()
    (module.model,) = models
    module.endpoint = tf.function(signature.function, input_signature=[*signature.inputs.values()])
    concrete = module.endpoint.get_concrete_function()
    tf.saved_model.save(module, str(folder), {name: concrete, "serving_default": concrete})
    return {name: concrete.structured_outputs}


def test_a_sound_version_passes(version):
    report = verify(version())
    seen = {result.check: result.seen for result in report.results}
    assert report.passed and seen["loading"] == "1 warm-up records"


def test_a_fresh_process_reports_the_same(version, monkeypatch, tmp_path_factory):
    folder = version()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "json.py").write_text("raise ImportError('not the library of Python')")
    monkeypatch.chdir(elsewhere)
    here, (afresh,) = verify(folder), verify_afresh([folder])
    assert afresh.folder == here.folder and afresh.passed
    assert [result.check for result in afresh.results] == [result.check for result in here.results]


def test_a_fresh_process_that_ends_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(InputError, match="no-model ended with status 1 and no report"):
        verify_afresh([tmp_path / "no-model"])


def compiled(features, network):
    @tf.function(jit_compile=True)
    def double(rows):
        return rows * 2

    return {"embedding": double(network(features))}


def in_python(features, network):
    rows = tf.numpy_function(lambda rows: rows * 2, [network(features)], tf.float32)
    return {"embedding": tf.ensure_shape(rows, [None, 2])}


PAIR = {
    "images": tf.TensorSpec([None, DIM], name="images"),
    "texts": tf.TensorSpec([None, DIM], name="texts"),
}


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"function": compiled}, "must be compiled by XLA, which servers have disabled"),
        ({"function": in_python}, "runs Python, which no server does"),
        (
            {
                "function": lambda images, texts, _: {"scores": images @ tf.transpose(texts)},
                "inputs": PAIR,
                "rows": {"images": ROWS, "texts": ROWS},
            },
            "embed's scores is (None, None): only the first dimension may vary",
        ),
        (
            {"function": lambda features, _: {"total": tf.reduce_sum(features)}},
            "embed's total is (); it must begin with a dimension of any number of rows",
        ),
        (
            {"function": lambda features, _: {"embedding": tf.cast(features, tf.float64)}},
            "embed's embedding is float64; a server's clients take float32, int64, string, bool",
        ),
        (
            {"function": lambda features, _: {"embedding": features - tf.reduce_mean(features, 0)}},
            "that is",  # off the eager model's
        ),
        (
            {"function": lambda features, _: {"embedding": features[:2]}},
            "gives embedding [1, 3] in place of [0, 3]",
        ),
        (
            {"function": lambda features, _: {"embedding": features / tf.norm(features)}},
            "that is",
        ),
        (
            {"function": lambda features, _: {"embedding": features * 2}},
            "gives numbers in embedding that are not finite",
        ),
        ({"signatures": {}}, "it has ['embed'] and describes []"),
        ({"on_bad_input": "refuse"}, "is answered, not refused"),
    ],
)
def test_a_broken_version_is_refused_with_the_reason(version, options, reason):
    assert reason in faults(version(**options))


def test_a_keras_model_in_a_plain_module_is_refused(version):
    folder = version(save=save_by_tensorflow)
    assert tf.saved_model.load(str(folder))  # Python's loader sees nothing.
    told = faults(folder)
    assert "a server cannot load and warm it up" in told and "Could not find variable" in told


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"save": save_by_tensorflow}, "embed fails: FAILED_PRECONDITION: Could not find variable"),
        ({"function": compiled}, "must be compiled by XLA"),
        ({}, "there is no warm-up record of embed"),
    ],
)
def test_a_savedmodel_of_others_is_told_the_reason_too(version, options, reason):
    folder = version(**options)
    for name in ("signatures.json", "README.md", "assets.extra/tf_serving_warmup_requests"):
        (folder / name).unlink()
    told = faults(folder)
    assert "there is no README.md" in told and reason in told


@pytest.mark.parametrize("lost", ["saved_model.pb", "signatures.json", "README.md"])
def test_a_partial_version_is_refused(version, lost):
    folder = version()
    (folder / lost).unlink()
    assert f"there is no {lost}" in faults(folder)


@pytest.mark.parametrize("gap, swaps", [(1e-4, True), (1e-2, False)])
def test_what_is_found_may_swap_where_scores_are_as_good_as_equal(gap, swaps):
    """Scores of a relation network have no bound: what is near is relative to them."""
    scores = np.array([[60.0, 60.0 - gap, 1.0]], np.float32)
    wanted = {"ids": np.array([[b"a", b"b", b"c"]], object), "scores": scores}
    found = {"ids": np.array([[b"b", b"a", b"c"]], object), "scores": scores}
    if swaps:
        assert served_checks._compare("search", found, wanted) == 0
    else:
        with pytest.raises(Fault, match="finds other ids"):
            served_checks._compare("search", found, wanted)


def test_unknown_words_are_compared_word_for_word():
    wanted = {"scores": np.zeros([2, 1]), "unknown_words": np.array([b"a b", b""], object)}
    assert served_checks._compare("search", wanted, wanted) == 0
    other = wanted | {"unknown_words": np.array([b"a", b""], object)}
    with pytest.raises(Fault, match="finds other unknown_words"):
        served_checks._compare("search", other, wanted)


def test_a_number_that_is_nan_is_far_off():
    wanted = {"score": np.zeros(2, np.float32)}
    with pytest.raises(Fault, match="score that is nan off the eager model's"):
        served_checks._compare("score_pairs", {"score": np.float32([0, np.nan])}, wanted)


@pytest.mark.parametrize(
    ("rounding", "told"), [(1e-6, "off the eager"), (2e-4, ""), (2e-3, "larger")]
)
def test_answers_may_be_off_as_far_as_the_models_own_rounding_makes_them(
    version, network, rounding, told
):
    folder = version(rounding=rounding)
    network.layers[-1].bias.assign([1e-3, 0])
    write_examples(folder, "m", {"embed": ({"features": ROWS}, {"embedding": network(ROWS)})})
    found = faults(folder)
    assert told in found and bool(found) == bool(told)


def test_rounding_is_what_a_row_alone_is_off(monkeypatch):
    class Eager:
        def __init__(self, served):
            pass

        def embed(self, features):
            return {"embedding": features + 1e-4 * (len(features) == 1), "valid": features > 0}

        def search(self, features):
            return {"ids": features.astype(object), "scores": np.nan * features}

    monkeypatch.setattr(examples, "EagerModel", Eager)
    given = {"features": ROWS / 10}
    found = {name: (given, getattr(Eager(None), name)(**given)) for name in ("embed", "search")}
    assert examples.rounding(None, found) == pytest.approx(1e-4, rel=1e-3)


def test_examples_tell_codes_whose_bits_are_packed_in_another_order(monkeypatch):
    class Served:
        scorer = GivenCodes()

    specs = {f"{kind}_embedding": tf.TensorSpec([None, 16]) for kind in ("image", "text")}
    found = examples.examples(Served, {"score_matrix": Signature(None, specs)})
    ((inputs, wanted),) = found.values()

    def compared():
        scores = Served.scorer.graph_score(*map(tf.constant, inputs.values())).numpy()
        return served_checks._compare("score_matrix", {"scores": scores}, wanted)

    assert compared() < 1e-6
    monkeypatch.setattr(
        Served.scorer, "graph_texts", lambda texts: Served.scorer.graph_images(texts[:, ::-1])
    )
    with pytest.raises(Fault, match="score_matrix gives scores that is .* off the eager model's"):
        compared()


def test_other_weights_than_the_examples_came_from(version, network):
    folder = version()
    network.layers[-1].bias.assign([1e-3, 0])
    write_examples(folder, "m", {"embed": ({"features": ROWS}, {"embedding": network(ROWS)})})
    assert "off the eager" in faults(folder)


def test_variables_that_are_cut_short(version):
    folder = version()
    (variables,) = (folder / "variables").glob("*.data-*")
    variables.write_bytes(variables.read_bytes()[:10])
    assert "cannot load and warm it up: Read less bytes than requested" in faults(folder)


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("saved_model.pb", b"\xff no graph", "saved_model.pb cannot be read (DecodeError"),
        ("saved_model.pb", b"", "saved_model.pb holds no graph with the tag `serve`"),
        ("signatures.json", b"{", "signatures.json cannot be read"),
        (WARM_UP, b"no records" * 9, "corrupted record at 0"),
    ],
)
def test_files_that_are_damaged(version, name, content, reason):
    folder = version()
    (folder / name).write_bytes(content)
    assert reason in faults(folder)


def test_an_expected_answer_that_is_no_array(version):
    folder = version()
    log = prediction_log_pb2.PredictLog(request=tiny.request("embed", features=ROWS))
    log.response.outputs["embedding"].dtype = 99
    record = prediction_log_pb2.PredictionLog(predict_log=log)
    with tf.io.TFRecordWriter(str(folder / WARM_UP)) as writer:
        writer.write(record.SerializeToString())
    assert "the warm-up records cannot be read (TypeError" in faults(folder)


def test_a_folder_that_is_not_there(tmp_path, complaint):
    assert "no-model is no folder" in complaint(verify_savedmodel.main, str(tmp_path / "no-model"))


def test_weights_of_no_run_are_told(tmp_path, complaint):
    told = complaint(verify_savedmodel.main, str(tmp_path), "--image-weights", "w.h5")
    assert "--image-weights are of a run: give --run as well" in told


def test_the_command_ends_with_status_1(version, capsys):
    folder = version(function=compiled)
    with pytest.raises(SystemExit) as end:
        cli.run(lambda: verify_savedmodel.main([str(folder)]))
    assert end.value.code == 1 and "FAILED" in capsys.readouterr().out
