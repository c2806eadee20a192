import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import weakref
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)
from tensorflow_serving.apis.model_pb2 import ModelSpec

import export
from export import serve
from export.batching import Batcher, Batching
from export.client import ServerError
from export.model_config import model_config
from export.model_store import ModelStore
from export.served_model import ServedModel
from tests.export import tiny
from tests.export.conftest import REAL, eventually

Code = grpc.StatusCode
CONFIG = """model_config_list {{ config {{
  name: "tiny" base_path: "{base}" model_platform: "tensorflow" {more}
}} }}"""
ALL = "model_version_policy { all {} } "
BATCHING = """
max_batch_size { value: 64 }
batch_timeout_micros { value: 2000 }
num_batch_threads { value: 2 }
allowed_batch_sizes: 16  # the rest is padded
allowed_batch_sizes: 64
"""
only_real = pytest.mark.parametrize("serving", [REAL], indirect=True)

INPUTS = {
    "embed_image": {"image": [tiny.picture(), tiny.picture((1, 2, 3), 40)]},
    "embed_text": {"text": ["a red car", "zebra crossing"]},
    "embed_image_features": {"features": tiny.rows(2, 192)},
    "embed_text_features": {"features": tiny.rows(2, 32)},
    "score_pairs": {"image": [tiny.picture(), b"junk"], "text": ["a red car", ""]},
    "score_embedding_pairs": {"image_embedding": tiny.rows(2), "text_embedding": tiny.rows(2)},
    "search_texts": {"image": [tiny.picture((9, 90, 9)), b""]},
    "search_images": {"text": ["blue", "  "]},
    "serving_default": {"text": ["a red car"]},
}


@pytest.mark.parametrize("signature", INPUTS)
def test_answers_as_the_savedmodel_does(server, versions, signature):
    inputs = INPUTS[signature]
    tensors = {
        name: tf.constant(v) if isinstance(v, list) else tf.constant(v, tf.float32)
        for name, v in inputs.items()
    }
    expected = tf.saved_model.load(str(versions[1])).signatures[signature](**tensors)
    with server.client() as client:
        outputs = client.predict(signature, **inputs)
    assert outputs.keys() == expected.keys()
    for name, value in outputs.items():
        true = expected[name].numpy()
        if true.dtype == object:
            assert value.tolist() == np.vectorize(bytes.decode)(true).tolist()
        else:
            np.testing.assert_allclose(value, true, rtol=1e-5, atol=1e-6)


def request(signature="embed_text", model="tiny", version=None, label=None, outputs=(), **inputs):
    made = predict_pb2.PredictRequest(output_filter=outputs)
    made.model_spec.name, made.model_spec.signature_name = model, signature
    if version is not None:
        made.model_spec.version.value = version
    if label is not None:
        made.model_spec.version_label = label
    for name, value in inputs.items():
        made.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return made


TEXT = tf.constant(["a"]).numpy()
REFUSED = {
    "no model": (request(model="", text=TEXT), Code.INVALID_ARGUMENT),
    "unknown model": (request(model="other", text=TEXT), Code.NOT_FOUND),
    "unknown version": (request(version=9, text=TEXT), Code.NOT_FOUND),
    "unknown label": (request(label="canary", text=TEXT), Code.INVALID_ARGUMENT),
    "unknown signature": (request("nope", text=TEXT), Code.FAILED_PRECONDITION),
    "no input": (request(), Code.INVALID_ARGUMENT),
    "unknown input": (request(words=TEXT), Code.INVALID_ARGUMENT),
    "one more input": (request(text=TEXT, words=TEXT), Code.INVALID_ARGUMENT),
    "wrong dtype": (request(text=np.float32([1])), Code.INVALID_ARGUMENT),
    "wrong width": (request("embed_text_features", features=tiny.rows(1)), Code.INVALID_ARGUMENT),
    "unknown output": (request(outputs=["vector"], text=TEXT), Code.INVALID_ARGUMENT),
    "output twice": (request(outputs=["valid"] * 2, text=TEXT), Code.INVALID_ARGUMENT),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_the_code_of_tensorflow_serving(server, case):
    made, code = REFUSED[case]
    with server.client() as client, pytest.raises(grpc.RpcError) as refusal:
        client._predictions.Predict(made)
    assert refusal.value.code() is code


@pytest.mark.parametrize("sizes", [[-1], [2, -1], [2**40], [3, 2]])
def test_refuses_tensors_that_are_no_arrays(server, sizes):
    made = request("embed_text_features", features=np.float32([1, 2, 3, 4, 5, 6, 7]))
    shape = made.inputs["features"].tensor_shape
    del shape.dim[:]
    for size in sizes:
        shape.dim.add(size=size)
    with server.client() as client, pytest.raises(grpc.RpcError) as refusal:
        client._predictions.Predict(made)
    assert refusal.value.code() is Code.INVALID_ARGUMENT


def test_response_names_model_version_and_signature(server):
    with server.client() as client:
        response = client._predictions.Predict(request("", text=TEXT, outputs=["valid"]))
    assert response.model_spec.name == "tiny"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"
    assert list(response.outputs) == ["valid"]


def test_metadata_and_status(server):
    with server.client() as client:
        assert client.status() == {1: "AVAILABLE"}
        version, signatures = client.metadata()
        assert version == 1 and signatures.keys() == INPUTS.keys()
        assert client.signatures()["search_texts"] == {
            "inputs": {"image": "string [-1]"},
            "outputs": {
                "ids": "string [-1, 3]",
                "scores": "float32 [-1, 3]",
                "valid": "bool [-1]",
            },
        }
        spec = get_model_status_pb2.GetModelStatusRequest()
        spec.model_spec.name, spec.model_spec.version.value = "tiny", 5
        with pytest.raises(grpc.RpcError) as refusal:
            client._models.GetModelStatus(spec)
        assert refusal.value.code() is Code.NOT_FOUND


def test_messages_of_many_megabytes_pass_both_ways(server):
    features = tiny.rows(400_000, 32)
    with server.client() as client:
        assert client.predict("embed_text_features", features=features)["embedding"].nbytes > 2**22


@pytest.mark.parametrize("serving", ["development"], indirect=True)
def test_classify_is_not_there(serving, base):
    with serving(base).client() as client, pytest.raises(grpc.RpcError) as refusal:
        client._predictions.Classify(classification_pb2.ClassificationRequest())
    assert refusal.value.code() is Code.UNIMPLEMENTED


def test_new_version_takes_over_without_a_failed_request(serving, base, publish, versions):
    true = {
        n: tf.saved_model.load(str(path)).signatures["embed_text"](tf.constant(["red"]))[
            "embedding"
        ]
        for n, path in versions.items()
    }
    with serving(base).client(retries=0) as client, ThreadPoolExecutor(4) as pool:
        seen = set()

        def ask():
            while seen != {1, 2}:
                response = client._predictions.Predict(request(text=np.array([b"red"], object)))
                version = response.model_spec.version.value
                answer = tf.make_ndarray(response.outputs["embedding"])
                np.testing.assert_allclose(answer, true[version], rtol=1e-5)
                seen.add(version)

        askers = [pool.submit(ask) for _ in range(4)]
        eventually(lambda: 1 in seen)
        publish(base, 2)
        for asker in askers:
            asker.result()
        eventually(lambda: client.status() == {2: "AVAILABLE", 1: "END"})


def test_partial_version_is_reported_while_the_old_one_serves_on(serving, base, publish):
    served = serving(base)
    with served.client() as client:
        (base / ".3").mkdir()
        (base / "2").mkdir()
        (base / "2" / "signatures.json").write_text("{}")
        eventually(lambda: "2" in served.log())
        assert client.embed_texts(["red"]).shape == (1, 4)
        assert client.metadata()[0] == 1
        assert client.status()[1] == "AVAILABLE" and client.status()[2] != "AVAILABLE"
        publish(base, 2, "3")
        eventually(lambda: client.status().get(3) == "AVAILABLE")


def test_version_that_is_unloaded_leaves_memory(base, publish):
    store = ModelStore(ServedModel, log=lambda line: None)
    store.configure(model_config([base]))
    first = weakref.ref(store.find(ModelSpec(name="tiny"))[1])
    publish(base, 2)
    store.poll()
    assert store.find(ModelSpec(name="tiny"))[0] == 2
    assert first() is None


@pytest.mark.parametrize("serving", ["development"], indirect=True)
def test_version_that_was_partial_is_tried_again(serving, base, versions):
    """TensorFlow Serving does so, too, but a minute later."""
    with serving(base).client() as client:
        (base / "2").mkdir()
        eventually(lambda: "does not load" in client.status().get(2, ""))
        for path in versions[2].iterdir():
            (base / "2" / path.name).symlink_to(path)
        eventually(lambda: client.status() == {2: "AVAILABLE", 1: "END"})


def reload(client, text):
    made = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, made.config)
    return client._models.HandleReloadConfigRequest(made)


def test_labels_move_in_two_steps(serving, base, publish):
    publish(base, 2)

    def labels(stable, canary):
        stable, canary = (
            f'version_labels {{ key: "{name}" value: {number} }} '
            for name, number in (("stable", stable), ("canary", canary))
        )
        return CONFIG.format(base=base, more=ALL + stable + canary)

    served = serving(config=labels(1, 2))

    def answering(label):
        with served.client(label=label) as client:
            return client.metadata()[0]

    with served.client() as client:
        eventually(lambda: list(client.status().values()) == ["AVAILABLE"] * 2)
        assert (answering("stable"), answering("canary")) == (1, 2)
        with pytest.raises(grpc.RpcError) as refusal:
            reload(client, labels(3, 2))
        assert refusal.value.code() is Code.FAILED_PRECONDITION
        assert (answering("stable"), answering("canary")) == (1, 2)
        reload(client, labels(2, 2))
        assert (answering("stable"), answering("canary")) == (2, 2)


def test_specific_versions_and_removed_models(serving, base, publish, tmp_path):
    publish(base, 2)
    other = tmp_path / "other"
    other.mkdir()
    publish(other, 2)
    served = serving(
        other,
        config=CONFIG.format(base=base, more="model_version_policy { specific { versions: 1 } }"),
    )
    with served.client() as client, served.client("other") as second:
        assert client.metadata()[0] == 1
        assert second.metadata()[0] == 2
        reload(client, CONFIG.format(base=base, more=""))
        eventually(lambda: client.metadata()[0] == 2)
        eventually(lambda: "AVAILABLE" not in second.status().values())
        with pytest.raises(ServerError, match="'other' .* has no version the latest: it has none"):
            second.metadata()


def test_rows_of_concurrent_callers_do_not_mix(serving, base):
    served = serving(base, batching=BATCHING)
    with served.client() as client, ThreadPoolExecutor(8) as pool:

        def ask(size):
            u, v = tiny.rows(size, seed=size), tiny.rows(size, seed=100 + size)
            score = client.predict("score_embedding_pairs", image_embedding=u, text_embedding=v)
            np.testing.assert_allclose(score["score"], (u * v).sum(axis=1), rtol=1e-4, atol=1e-5)
            texts = [f"{i} {size}" for i in range(size)]
            alone = client.predict("embed_text_features", features=tiny.rows(size, 32))
            assert len(client.embed_texts(texts)) == len(alone["embedding"]) == size

        list(pool.map(ask, [1, 2, 3, 5, 8, 13, 16, 17] * 4))
        with pytest.raises(ServerError, match="INVALID_ARGUMENT"):
            client.predict(
                "score_embedding_pairs", image_embedding=tiny.rows(2), text_embedding=tiny.rows(3)
            )


def test_batching_mixes_the_rows_of_a_matrix():
    """Why score_matrix is a model of its own: what TensorFlow Serving was seen to do."""
    batcher = Batcher(lambda feeds: [feeds[0] @ feeds[1].T], Batching())
    waiting = [(n, [tiny.rows(n), tiny.rows(n)]) for n in (2, 3)]
    batcher._turn.acquire()
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(batcher, feeds) for _, feeds in waiting]
        eventually(lambda: len(batcher._waiting) == 2)
        batcher._turn.release()
        assert sorted(answer.result()[0].shape for answer in answers) == [(2, 5), (3, 5)]


def test_batching_refuses_what_has_no_rows():
    with pytest.raises(tf.errors.InvalidArgumentError, match="equal 0th-dimension"):
        Batcher(lambda feeds: feeds, Batching())([tiny.rows(2), tiny.rows(3)])
    with pytest.raises(tf.errors.FailedPreconditionError, match="0th dimension"):
        Batcher(lambda feeds: [np.float32(1)], Batching())([tiny.rows(2)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="larger than maximum"):
        Batcher(lambda feeds: feeds, Batching(max_batch_size=2))([tiny.rows(3)])


def test_warm_up_that_fails_keeps_a_version_from_loading(serving, base, publish):
    served = serving(base)
    with served.client() as client:
        tiny.warm_up(publish(base, 2), request(text=TEXT), request("nope", text=TEXT))
        eventually(lambda: "nope" in served.log())
        assert client.metadata()[0] == 1
        tiny.warm_up(publish(base, 2, ".4"), request(text=TEXT))
        (base / ".4").rename(base / "4")
        eventually(lambda: client.status().get(4) == "AVAILABLE")


def test_tls(serving, base, certificate):
    served = serving(base, tls=certificate)
    with served.client(tls=certificate[1]) as client:
        assert client.embed_texts(["red"]).shape == (1, 4)
    for tls in (False, True):  # no encryption; an authority that the system does not know
        with served.client(tls=tls, retries=0) as client:
            with pytest.raises(ServerError, match="No server answers .* --tls"):
                client.status()


@only_real
def test_rest(serving, base):
    served = serving(base)

    def ask(verb, **inputs):
        body = json.dumps({"signature_name": verb, "inputs": inputs}).encode()
        url = f"{served.rest}/v1/models/tiny:predict"
        return json.load(urllib.request.urlopen(urllib.request.Request(url, body)))["outputs"]

    image = {"b64": b64encode(tiny.picture()).decode()}
    with served.client() as client:
        by_rest = ask("embed_image", image=[image])
        np.testing.assert_allclose(
            by_rest["embedding"], client.embed_images([tiny.picture()]), rtol=1e-5
        )
        ids, _ = client.search_images(["blue"], 3)
        assert ask("search_images", text=["blue"])["ids"] == ids.tolist()
    state = json.load(urllib.request.urlopen(f"{served.rest}/v1/models/tiny"))
    assert state["model_version_status"][0]["state"] == "AVAILABLE"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{served.rest}/v1/models/other")


@only_real
def test_metrics(serving, base):
    served = serving(base)
    with served.client() as client:
        client.embed_texts(["red"])
    page = urllib.request.urlopen(f"{served.rest}/monitoring/prometheus/metrics").read().decode()
    assert re.search(r':tensorflow:serving:request_count\{.*model_name="tiny".*\} [1-9]', page)


def run_serve(*flags, **environment):
    root = Path(export.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, root / "export/serve.py", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
    )


def test_command_says_what_it_is_and_stops_at_a_signal(base, monkeypatch):
    monkeypatch.delenv("TF_MODEL_SERVER", raising=False)
    with run_serve("--model", str(base), "--port", "0", "--development") as process:
        said = ""
        while "Ready" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "development server, for trying and testing, not for production" in said
    assert re.search(r"Ready: tiny at localhost:\d+", said)


def test_command_becomes_tensorflow_serving(base, tmp_path, certificate, monkeypatch, capfd):
    binary = tmp_path / "server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("TF_MODEL_SERVER", str(binary))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    became = []
    monkeypatch.setattr(os, "execv", lambda path, command: became.append(command))
    batching = tmp_path / "batching"
    batching.write_text(BATCHING)
    tls = ["--tls-key", str(certificate[0]), "--tls-cert", str(certificate[1])]
    serve.main(["--model", str(base), "--port", "7", "--batching", str(batching), *tls])
    ((program, *flags),) = became
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    assert program == str(binary)
    assert given["port"] == "7" and given["rest_api_port"] == "8501"
    assert given["enable_batching"] == "true"
    assert given["batching_parameters_file"] == str(batching)
    assert f'base_path: "{base}"' in Path(given["model_config_file"]).read_text()
    ssl = Path(given["ssl_config_file"])
    assert "BEGIN PRIVATE KEY" in ssl.read_text() and ssl.stat().st_mode & 0o077 == 0


def test_what_cannot_be_served(complaint, base, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_MODEL_SERVER", raising=False)
    served = ("--model", str(base))
    assert "no model to serve" in complaint(serve.main)
    assert "holds no version" in complaint(serve.main, "--model", str(base / "1"))
    assert "named 'tiny'" in complaint(serve.main, *served, *served)
    assert "go together" in complaint(serve.main, *served, "--tls-key", "key.pem")
    config = tmp_path / "models.config"
    config.write_text("model_config_list { ")
    assert "is no models.config" in complaint(serve.main, "--config", str(config))
    batching = tmp_path / "batching"
    batching.write_text("max_batch_size { value: 8 } allowed_batch_sizes: 4")
    wrong = complaint(serve.main, *served, "--development", "--batching", str(batching))
    assert "make them equal" in wrong
    (base / "1" / "signatures.json").write_text('{"batchable": false}')
    assert "must not be batched" in complaint(serve.main, *served, "--batching", str(batching))
    (base / "1" / "saved_model.pb").unlink()
    assert "did not become available" in complaint(serve.main, *served, "--development")
    monkeypatch.setenv("TF_MODEL_SERVER", "/nowhere")
    assert "no program" in complaint(serve.main, *served)
