import numpy as np
import pytest
import tensorflow as tf

from tfxmodal.losses.pair_batch import PairBatch
from tfxmodal.training.replicas import Replicas

RNG = np.random.default_rng(0)
IMAGES, TEXTS, LABELS = (tf.constant(RNG.normal(size=(6, dim))) for dim in (4, 4, 3))


def test_without_replicas_the_anchors_are_the_batch():
    batch = PairBatch.gathered(IMAGES, TEXTS, LABELS)
    assert batch.images is batch.image_anchors is IMAGES
    assert batch.texts is batch.text_anchors is TEXTS
    assert batch.labels is batch.anchor_labels is LABELS
    assert batch.offset == 0


@pytest.mark.parametrize("labelled", [True, False])
def test_each_replica_has_its_anchors_and_the_whole_batch(two_replicas, labelled):
    @tf.function
    def gather():
        def replica():
            first = 3 * tf.distribute.get_replica_context().replica_id_in_sync_group
            own = [rows[first : first + 3] for rows in (IMAGES, TEXTS, LABELS)]
            labels = own.pop()
            batch = PairBatch.gathered(*own, labels if labelled else None, Replicas())
            assert (batch.labels is None) == (batch.anchor_labels is None) == (not labelled)
            # A function can return only what there is on every replica.
            return {name: value for name, value in vars(batch).items() if value is not None}

        return two_replicas.run(replica)

    found = {name: two_replicas.experimental_local_results(v) for name, v in gather().items()}
    for replica in range(2):
        own = slice(3 * replica, 3 * replica + 3)
        assert found["offset"][replica] == 3 * replica
        np.testing.assert_array_equal(found["image_anchors"][replica], IMAGES[own])
        np.testing.assert_array_equal(found["text_anchors"][replica], TEXTS[own])
        np.testing.assert_array_equal(found["images"][replica], IMAGES)
        np.testing.assert_array_equal(found["texts"][replica], TEXTS)
        if labelled:
            np.testing.assert_array_equal(found["anchor_labels"][replica], LABELS[own])
            np.testing.assert_array_equal(found["labels"][replica], LABELS)
