import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.serving import tiny
from tfxmodal.data.pairs import MAX_TEXT_BYTES
from tfxmodal.dev_server.server import DevServer
from tfxmodal.errors import InputError
from tfxmodal.serving.client.client import Client, ServerError
from tfxmodal.serving.model_config import model_config
from tfxmodal.serving.model_server import free_ports


class Stubborn(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Fails some requests with a code, or holds them."""

    def __init__(self, failures=0, code=grpc.StatusCode.UNAVAILABLE):
        self.failures, self.code, self.calls = failures, code, 0
        self.go = threading.Event()
        self.go.set()

    def Predict(self, request, context):  # noqa: N802
        self.calls += 1
        self.go.wait()
        if self.calls <= self.failures:
            context.abort(self.code, "not now")
        return predict_pb2.PredictResponse()


@contextmanager
def listening(service):
    server = grpc.server(ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        service.go.set()
        server.stop(0).wait()


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_retries_while_the_server_is_unavailable_or_has_no_thread(code):
    service = Stubborn(failures=2, code=grpc.StatusCode[code])
    with listening(service) as target, Client(target, "m") as client:
        assert client.predict("any") == {}
        assert service.calls == 3


@pytest.mark.parametrize("retries", [0, 1])
def test_gives_up_after_its_retries(retries):
    service = Stubborn(failures=9)
    with listening(service) as target, Client(target, "m", retries=retries) as client:
        with pytest.raises(ServerError, match="No server answers") as refusal:
            client.predict("any")
    assert refusal.value.code is grpc.StatusCode.UNAVAILABLE
    assert refusal.value.details == "not now"
    assert service.calls == retries + 1


@pytest.mark.parametrize("code", ["INTERNAL", "INVALID_ARGUMENT", "FAILED_PRECONDITION"])
@pytest.mark.parametrize("failures", [1, 9])
def test_a_refusal_may_be_for_another_request_of_the_batch(code, failures):
    service = Stubborn(failures, grpc.StatusCode[code])
    with listening(service) as target, Client(target, "m") as client:
        if failures == 1:
            assert client.predict("any") == {}
        else:
            with pytest.raises(ServerError, match=rf"refused the request \(.* any, {code}\)"):
                client.predict("any")
    assert service.calls == 2


def test_retries_nothing_else():
    service = Stubborn(failures=1, code=grpc.StatusCode.DATA_LOSS)
    with listening(service) as target, Client(target, "m") as client:
        with pytest.raises(ServerError, match=r"refused the request \(signature any, DATA_LOSS\)"):
            client.predict("any")
    assert service.calls == 1


def test_retries_large_requests_too():
    service = Stubborn(failures=1)
    with listening(service) as target, Client(target, "m") as client:
        client.predict("any", image=[b"x" * 3_000_000])
    assert service.calls == 2


def test_server_that_starts_late(base):
    (port,) = free_ports(1)
    servers = []

    def start():
        servers.append(DevServer(model_config([base]), port, log=lambda line: None))

    late = threading.Timer(0.3, start)
    with Client(f"localhost:{port}", "tiny", deadline=60, retries=4) as client:
        late.start()
        assert client.embed_texts(["red"]).shape == (1, tiny.DIM)
    late.join()
    servers[0].stop()


def test_deadline():
    service = Stubborn()
    service.go.clear()
    with listening(service) as target, Client(target, "m", deadline=0.2) as client:
        with pytest.raises(ServerError, match="did not answer within 0.2 s .* allow more time"):
            client.predict("any")


def test_says_what_is_missing_and_what_is_there(server):
    def message(**options):
        with server.client(**options) as client, pytest.raises(ServerError) as refusal:
            client.embed_texts(["red"])
        return str(refusal.value)

    at = server.target
    assert message(model="other") == (
        f"There is no model 'other' at {at}: correct the name, or serve it with export/serve.py."
    )
    for version in (0, 7):
        told = f"The model 'tiny' at {at} has no version {version}: it has 1."
        assert message(version=version) == told
    assert (
        message(label="canary")
        == f"The model 'tiny' at {at} has no version labelled 'canary': it has 1."
    )
    with server.client() as client, pytest.raises(ServerError) as refusal:
        client.predict("embed_sound", sound=[b""])
    assert "has no signature embed_sound: it has embed_image, embed_image_f" in str(refusal.value)


def test_methods_agree_with_each_other(server, tmp_path):
    red, blue = tiny.picture(), tiny.picture(tiny.COLOURS["blue"])
    path = tmp_path / "red.png"
    path.write_bytes(red)
    with server.client() as client:
        images = client.embed_images([red, blue])
        texts = client.embed_texts(["a red car", "sea"])
        assert images.dtype == np.float32
        np.testing.assert_array_equal(client.embed_images([path, str(path)]), images[[0, 0]])
        np.testing.assert_allclose(
            client.score_pairs([red, blue], ["a red car", "sea"]),
            (images * texts).sum(axis=1),
            rtol=1e-5,
        )
        ids, scores = client.search_texts([red, blue], k=2)
        true = images @ client.embed_texts(tiny.CAPTIONS).T
        order = np.argsort(-true, axis=1)[:, :2]
        assert ids.tolist() == order.astype(str).tolist()
        np.testing.assert_allclose(scores, np.take_along_axis(true, order, 1), rtol=1e-5, atol=1e-6)
        ids, scores = client.search_images(["a red car"], k=100)
        assert ids.shape == scores.shape == (1, tiny.TOP_K)
        np.testing.assert_array_equal(client.embed_texts(iter(["a red car", "sea"])), texts)
        np.testing.assert_array_equal(client.embed_images(x for x in [red, blue]), images)


def test_rows_that_cannot_be_read(server, tmp_path):
    with server.client() as client:
        cut, bad = tmp_path / "cut.png", b"no picture"
        cut.write_bytes(tiny.picture()[:50])
        with pytest.raises(InputError) as refusal:
            client.embed_images([bad, tiny.picture(), cut])
        assert str(refusal.value) == (
            f"2 of 3 rows hold no picture that can be read (of row 0, {str(cut)!r}): give JPEG, "
            "PNG, GIF, BMP or WebP files."
        )
        with pytest.raises(InputError) as refusal:
            client.search_images([" " * 99])
        assert str(refusal.value) == (
            f"The text '{' ' * 60}...' holds no word that the model knows: write other words, in "
            "the language of the captions that it was trained on."
        )
        with pytest.raises(InputError, match=r"2 of 5 rows hold no word .* \(' ', '\\n'\): write"):
            client.embed_texts(["a", " ", "b", "\n", "c"])
        with pytest.raises(InputError, match=r"1 of 1 rows hold .* \(of row 0 with ' '\): give"):
            client.score_pairs([tiny.picture()], [" "])
        with pytest.raises(InputError, match="Cannot read .*none.jpg"):
            client.embed_images([tmp_path / "none.jpg"])


def test_words_that_the_model_does_not_know(server, monkeypatch):
    texts = ["a red quux", "café", "half of a pair \udc80"]
    with server.client() as client:
        assert client.unknown_words(texts) == [[], [], []]  # An export that does not tell.
        told = {"unknown_words": np.array(["quux xyzzy quux", "cafe\u0301", ""])}
        monkeypatch.setattr(client, "predict", lambda signature, text: told)
        assert client.unknown_words(texts) == [["quux", "xyzzy"], ["café"], []]


def test_arguments_that_do_not_fit():
    with pytest.raises(InputError, match="give one"):
        Client("localhost:1", "m", version=1, label="stable")
    with pytest.raises(InputError, match="retries is 9: give 0 to 4"):
        Client("localhost:1", "m", retries=9)
    for deadline in (None, 0, -5.0, np.nan, np.inf):
        with pytest.raises(InputError, match=f"`deadline` must be above 0; received {deadline}"):
            Client("localhost:1", "m", deadline=deadline)
    with pytest.raises(InputError, match="Cannot read no.pem .* give a PEM file"):
        Client("localhost:1", "m", tls="no.pem")


def test_a_single_picture_or_text_is_no_list(server):
    with server.client() as client:
        for ask, one in (
            (client.embed_texts, "a red car"),
            (client.embed_images, tiny.picture()),
            (client.search_texts, "red.png"),
        ):
            with pytest.raises(InputError, match="give a list"):
                ask(one)
        with pytest.raises(InputError, match="top-k is 0"):
            client.search_images(["red"], 0)


class Sent(Exception):
    """A request went out."""


@pytest.fixture
def careful(server, monkeypatch):
    """A client that sends nothing, after it has learnt what the server takes."""
    with server.client() as client:
        client.embed_texts(["red"])

        def send(*_, **__):
            raise Sent

        monkeypatch.setattr(client._stub, "predict", send)
        yield client


NONE = [[], (), iter([]), np.zeros([0], object)]


@pytest.mark.parametrize("rows", NONE, ids=lambda rows: type(rows).__name__)
def test_no_rows_are_not_sent(careful, rows):
    with pytest.raises(InputError, match="`text` has no rows: give one or more"):
        careful.embed_texts(rows)
    for ask in (careful.embed_images, careful.search_texts):
        with pytest.raises(InputError, match="`image` has no rows"):
            ask(rows)
    with pytest.raises(InputError, match="`text` has no rows"):
        careful.search_images(rows)
    with pytest.raises(InputError, match="`image` has no rows"):
        careful.score_pairs(rows, [])
    with pytest.raises(InputError, match="`features` has no rows"):
        careful.predict("embed_text_features", features=np.zeros([0, 32], np.float32))


@pytest.mark.parametrize(
    ("signature", "inputs", "told"),
    [
        ("embed_text", {"text": [1.5]}, "`text` of embed_text must be of type string; .* float32"),
        ("embed_text", {"text": [["a", "b"]]}, r"must have the shape \[any\]; received \[1, 2\]"),
        ("embed_text", {"text": ["a", None]}, "`text` cannot be sent"),
        ("embed_text", {"text": [b"a", 1.5]}, "`text` cannot be sent"),
        ("embed_text", {"image": ["a"]}, "embed_text takes `text`; received `image`"),
        ("embed_text", {}, "embed_text takes `text`; received nothing"),
        ("embed_text", {"text": np.array("a")}, "`text` has no rows"),
        ("embed_text_features", {"features": tiny.rows(2, 31)}, r"\[any, 32\]; .* \[2, 31\]"),
        ("embed_text_features", {"features": tiny.rows(1, 32)[0]}, r"received \[32\]"),
        ("embed_text_features", {"features": [[1.0, 2.0], [3.0]]}, "`features` cannot be sent"),
        ("embed_text_features", {"features": ["red"]}, "must be of type float32; received string"),
        (
            "score_embedding_pairs",
            {"image_embedding": tiny.rows(2), "text_embedding": tiny.rows(3)},
            "row by row; received 2 of `image_embedding`, 3 of `text_embedding`: give as many",
        ),
    ],
)
def test_what_does_not_fit_the_signature_is_not_sent(careful, signature, inputs, told):
    with pytest.raises(InputError, match=told):
        careful.predict(signature, **inputs)


def test_what_fits_is_sent(careful):
    for text in ([b"red"], ["red"], np.array(["red", "blue"]), ["half \ud83d of a pair"]):
        with pytest.raises(Sent):
            careful.embed_texts(text)
    with pytest.raises(Sent):
        careful.predict("embed_text_features", features=(row for row in tiny.rows(2, 32)))


def test_pairs_and_rows_of_wrong_types_are_told(careful):
    with pytest.raises(InputError, match="received 1 of `image`, 2 of `text`"):
        careful.score_pairs([tiny.picture()], ["a", "b"])
    with pytest.raises(InputError, match="`text` takes strings; received 7 in row 1"):
        careful.embed_texts(["a", 7])
    with pytest.raises(InputError, match="`image` takes paths and the bytes of pictures"):
        careful.embed_images([tiny.picture(), None])


@pytest.mark.parametrize("bad", [np.nan, -np.inf, 1e300])
@pytest.mark.parametrize("row", [0, 2])
def test_embeddings_that_are_not_finite_have_no_score(careful, bad, row):
    good, rows = tiny.rows(3), tiny.rows(3).astype(float)
    rows[row, 1] = bad
    told = f"must be finite as float32; row {row} is not"
    with pytest.raises(InputError, match=f"`image_embedding` {told}"):
        careful.score_embeddings(rows, good)
    with pytest.raises(InputError, match=f"`text_embedding` {told}"):
        careful.score_embeddings(good, rows.tolist())
    with pytest.raises(Sent):
        careful.score_embeddings(good, good)


def test_a_text_that_no_model_takes_is_not_sent(careful):
    longest = "a " * (MAX_TEXT_BYTES // 2)
    with pytest.raises(Sent):
        careful.embed_texts(["red", longest])
    told = "takes up to 1,000,000 bytes a row; received 1,000,002 in row 1: shorten it"
    for text in (longest + "é", (longest + "é").encode()):
        with pytest.raises(InputError, match=told):
            careful.search_images(["red", text])


def test_a_new_version_may_take_something_else(server):
    """What a client knows of the signatures is asked for again before it refuses."""
    with server.client() as client:
        client.embed_texts(["red"])
        client._signatures["embed_text"].inputs["text"].dtype = 1  # as an older version had it
        assert client.embed_texts(["red"]).shape == (1, tiny.DIM)
