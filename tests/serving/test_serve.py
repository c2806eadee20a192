import json
import re
import urllib.error
import urllib.request
from base64 import b64encode

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_status_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving import tiny
from tests.serving.conftest import REAL
from tests.waiting import PATIENCE
from tfxmodal.serving.client.client import ServerError

Code = grpc.StatusCode
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


def test_an_unknown_rank_counts_for_nothing_beside_dimensions(server):
    """As TensorFlow reads a shape."""
    request = tiny.request(text=["a red car"])
    with server.client() as client:
        known = client._stub.predict(request, timeout=PATIENCE)
        request.inputs["text"].tensor_shape.unknown_rank = True
        assert client._stub.predict(request, timeout=PATIENCE) == known


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


TEXT = tf.constant(["a"]).numpy()


FEATURES = tiny.rows(1)
REFUSED = {
    "no model": (tiny.request(model="", text=TEXT), Code.INVALID_ARGUMENT),
    "unknown model": (tiny.request(model="other", text=TEXT), Code.NOT_FOUND),
    "unknown version": (tiny.request(version=9, text=TEXT), Code.NOT_FOUND),
    "unknown label": (tiny.request(label="canary", text=TEXT), Code.INVALID_ARGUMENT),
    "unknown signature": (tiny.request("nope", text=TEXT), Code.FAILED_PRECONDITION),
    "no input": (tiny.request(), Code.INVALID_ARGUMENT),
    "unknown input": (tiny.request(words=TEXT), Code.INVALID_ARGUMENT),
    "one more input": (tiny.request(text=TEXT, words=TEXT), Code.INVALID_ARGUMENT),
    "wrong dtype": (tiny.request(text=np.float32([1])), Code.INVALID_ARGUMENT),
    "wrong width": (
        tiny.request("embed_text_features", features=tiny.rows(1)),
        Code.INVALID_ARGUMENT,
    ),
    "unknown output": (tiny.request(outputs=["vector"], text=TEXT), Code.INVALID_ARGUMENT),
    "output twice": (tiny.request(outputs=["valid"] * 2, text=TEXT), Code.INVALID_ARGUMENT),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_the_code_of_tensorflow_serving(server, case):
    made, code = REFUSED[case]
    with server.client() as client, pytest.raises(grpc.RpcError) as refusal:
        client._stub.predict(made)
    assert refusal.value.code() is code


@pytest.mark.parametrize("sizes", [[-1], [2, -1], [2**40], [3, 2]])
def test_refuses_tensors_that_are_no_arrays(server, sizes):
    made = tiny.request("embed_text_features", features=np.float32([1, 2, 3, 4, 5, 6, 7]))
    shape = made.inputs["features"].tensor_shape
    del shape.dim[:]
    for size in sizes:
        shape.dim.add(size=size)
    with server.client() as client, pytest.raises(grpc.RpcError) as refusal:
        client._stub.predict(made)
    assert refusal.value.code() is Code.INVALID_ARGUMENT


def test_response_names_model_version_and_signature(server):
    with server.client() as client:
        response = client._stub.predict(tiny.request("", text=TEXT, outputs=["valid"]))
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
            client._stub.status(spec)
        assert refusal.value.code() is Code.NOT_FOUND


def test_status_does_not_look_at_a_label(server):
    spec = get_model_status_pb2.GetModelStatusRequest()
    spec.model_spec.name, spec.model_spec.version_label = "tiny", "nope"
    with server.client() as client:
        (status,) = client._stub.status(spec).model_version_status
    assert status.version == 1


def test_messages_of_many_megabytes_pass_both_ways(server):
    features = tiny.rows(400_000, 32)
    with server.client() as client:
        assert client.predict("embed_text_features", features=features)["embedding"].nbytes > 2**22


@pytest.mark.parametrize("serving", ["development"], indirect=True)
def test_classify_is_not_there(serving, base):
    with grpc.insecure_channel(serving(base).target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refusal:
            stub.Classify(classification_pb2.ClassificationRequest())
    assert refusal.value.code() is Code.UNIMPLEMENTED


def test_tls(serving, base, certificate):
    served = serving(base, tls=certificate)
    with served.client(tls=certificate[1]) as client:
        assert client.embed_texts(["red"]).shape == (1, 4)
    for tls in (False, True):  # no encryption; an authority that the system does not know
        with served.client(tls=tls, retries=0) as client:
            with pytest.raises(ServerError, match="No server answers .* `tls`"):
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
