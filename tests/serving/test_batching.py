from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from tests.serving import tiny
from tests.serving.conftest import eventually
from tfxmodal.dev_server.batching import Batcher, Batching
from tfxmodal.serving.client.client import ServerError

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
