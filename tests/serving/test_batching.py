from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf

from tests.serving import tiny
from tests.waiting import PATIENCE, eventually
from tfxmodal.dev_server.batching import Batcher, Batching
from tfxmodal.errors import InputError
from tfxmodal.serving.client.refusals import BY_OTHERS, ServerError
from tfxmodal.serving.client.tensors import to_array

BATCHING = """
max_batch_size { value: 64 }
batch_timeout_micros { value: 2000 }
num_batch_threads { value: 2 }
allowed_batch_sizes: 16  # the rest is padded
allowed_batch_sizes: 64
"""


def test_rows_of_concurrent_callers_do_not_mix(serving, base):
    served = serving(base, batching=BATCHING)
    with served.client() as client, ThreadPoolExecutor(8) as pool:

        def ask(size):
            texts = [f"{i} {size}" for i in range(size)]
            return client.embed_texts(texts), client.embed_images([tiny.picture()] * size)

        sizes = [1, 2, 3, 5, 8, 13, 16, 17] * 4
        together = list(pool.map(ask, sizes))
        for found, alone in zip(together, map(ask, sizes), strict=True):
            np.testing.assert_allclose(found[0], alone[0], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found[1], alone[1], rtol=1e-5, atol=1e-6)
        unequal = tiny.request(
            "score_embedding_pairs", image_embedding=tiny.rows(2), text_embedding=tiny.rows(3)
        )
        with pytest.raises(grpc.RpcError, match="equal 0th-dimension size"):
            client._stub.predict(unequal)


WAITING = """
max_batch_size { value: 64 }
batch_timeout_micros { value: 1000000 }
num_batch_threads { value: 2 }
"""


def test_a_request_of_no_rows_is_never_answered(serving, base):
    """Why the client does not send it: the server waits for ever, and its thread with it."""
    served = serving(base, batching=BATCHING)
    with served.client() as client:
        empty = tiny.request(text=tf.constant([], tf.string))
        client.embed_texts(["red"])  # Connected, and its first run done.
        held = client._stub.predict.future(empty, timeout=3)
        assert client.embed_texts(["red"]).shape == (1, tiny.DIM)
        assert not held.done()
        assert held.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
        with pytest.raises(InputError, match="`text` has no rows"):
            client.embed_texts([])
        some = tiny.request(text=tf.constant([], tf.string), outputs=["embedding"])
        assert len(client._stub.predict(some, timeout=PATIENCE).outputs) == 1  # in no batch


def test_more_rows_than_a_batch_holds_are_refused(serving, base):
    with serving(base, batching=BATCHING).client() as client:
        told = "Task size 65 is larger than maximum input batch size .*: send fewer rows at once"
        with pytest.raises(ServerError, match=told):
            client.embed_texts(["red"] * 65)


def test_a_request_of_no_rows_is_answered_without_batching(server):
    with server.client() as client:
        empty = tiny.request(text=tf.constant([], tf.string))
        outputs = client._stub.predict(empty, timeout=PATIENCE).outputs
        assert to_array(outputs["embedding"]).shape == (0, tiny.DIM)


WRONG = tiny.request(text=[["two", "columns"]])


def test_a_wrong_request_fails_those_of_its_batch_but_not_the_clients(serving, base):
    served = serving(base, batching=WAITING)
    with served.client() as client, ThreadPoolExecutor(8) as pool:
        right = client.embed_texts(["red"])

        def beside_a_wrong_one(ask):
            wrong = client._stub.predict.future(WRONG, timeout=PATIENCE)
            answers = [pool.submit(ask) for _ in range(3)]
            assert wrong.exception() is not None
            return answers

        plain = tiny.request(text=["red"])
        raw = beside_a_wrong_one(lambda: client._stub.predict(plain, timeout=PATIENCE))
        assert {answer.exception().code() for answer in raw} <= BY_OTHERS  # all of them fail
        for answer in beside_a_wrong_one(lambda: client.embed_texts(["red"])):
            np.testing.assert_allclose(answer.result(), right, rtol=1e-5, atol=1e-6)


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
