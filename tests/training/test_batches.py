from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.tiny import make_pairs
from tfxmodal.errors import InputError
from tfxmodal.training.batches import MemoryFeed, StreamFeed, epoch_rows, memory_bytes
from tfxmodal.training.replicas import make_strategy

SIZES = {
    "first": st.integers(4, 60),
    "second": st.integers(4, 60),
    "batch": st.integers(4, 20),
    "replicas": st.integers(1, 4),
    "epoch": st.integers(0, 1000),
}


def streams(first, second):
    return {"unlabelled": np.arange(first), "labelled": 100 + np.arange(second)}


@given(**SIZES)
def test_an_epoch_covers_the_first_stream_once_without_remainder(
    first, second, batch, replicas, epoch
):
    plan = epoch_rows(streams(first, second), batch, replicas, 0, epoch)["unlabelled"]
    size = min(batch, first) // replicas * replicas
    assert plan.shape == (first // size, replicas, size // replicas)
    assert plan.dtype == np.int32
    assert len(set(plan.ravel())) == plan.size  # None twice.
    assert set(plan.ravel()) <= set(range(first))


@given(**SIZES)
def test_the_second_stream_repeats_itself_evenly(first, second, batch, replicas, epoch):
    plan = epoch_rows(streams(first, second), batch, replicas, 0, epoch)
    steps, rows = len(plan["unlabelled"]), plan["labelled"]
    assert rows.shape[:2] == (steps, replicas)
    assert rows[0].size == min(batch, second) // replicas * replicas
    counts = np.bincount(rows.ravel() - 100, minlength=second)
    assert counts.max() - counts.min() <= 1


@given(**SIZES)
def test_rows_are_a_function_of_seed_and_epoch_alone(first, second, batch, replicas, epoch):
    given_streams = streams(first, second)
    plan = epoch_rows(given_streams, batch, replicas, 5, epoch)
    np.random.seed(1)  # A global seed must not matter.
    again = epoch_rows(streams(first, second), batch, replicas, 5, epoch)
    for name in plan:
        np.testing.assert_array_equal(plan[name], again[name])
        np.testing.assert_array_equal(given_streams[name], streams(first, second)[name])


def test_epochs_seeds_and_streams_are_shuffled_differently():
    same = {"one": np.arange(50), "two": np.arange(50)}
    plan = epoch_rows(same, 10, 1, 0, 1)
    orders = [plan["one"], plan["two"]]
    orders += [epoch_rows(same, 10, 1, 0, 2)["one"], epoch_rows(same, 10, 1, 1, 1)["one"]]
    assert len({order.tobytes() for order in orders}) == 4
    assert all(sorted(order.ravel()) == list(range(50)) for order in orders)


def test_the_global_batch_does_not_depend_on_the_number_of_replicas():
    plans = [epoch_rows(streams(50, 20), 12, replicas, 0, 1) for replicas in (1, 2)]
    for name in plans[0]:
        one, two = (plan[name].reshape(len(plan[name]), -1) for plan in plans)
        np.testing.assert_array_equal(one, two)


def test_a_stream_smaller_than_the_batch_gives_its_own_size():
    plan = epoch_rows(streams(40, 6), 16, 2, 0, 0)
    assert plan["unlabelled"].shape == (2, 2, 8)
    assert plan["labelled"].shape == (2, 2, 3)
    assert epoch_rows({"unlabelled": np.arange(5)}, 16, 2, 0, 0)["unlabelled"].shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("sizes", "batch", "replicas", "message"),
    [
        ((9, 9), 1, 2, "2 replica.*`batch_size` 1 and 9 unlabelled rows"),
        ((9, 0), 4, 1, "`batch_size` 4 and 0 labelled rows"),
        ((0, 9), 4, 1, "`batch_size` 4 and 0 unlabelled rows"),
        ((9, 1), 4, 2, "2 replica.*1 labelled rows"),
    ],
)
def test_a_batch_without_a_row_for_each_replica_is_refused(sizes, batch, replicas, message):
    with pytest.raises(InputError, match=message):
        epoch_rows(streams(*sizes), batch, replicas, 0, 0)


def replicas_of(strategy, value):
    return [np.asarray(each) for each in strategy.experimental_local_results(value)]


@pytest.fixture(params=[1, 2])
def strategy(request, two_replicas):
    return two_replicas if request.param == 2 else make_strategy("CPU:0")


def test_both_feeds_give_the_planned_rows_to_each_replica(strategy):
    train = make_pairs()
    plan = epoch_rows(
        {"unlabelled": np.arange(64), "labelled": np.arange(10)},
        16,
        strategy.num_replicas_in_sync,
        seed=3,
        epoch=1,
    )
    in_memory = MemoryFeed(train, strategy).data
    batches = list(StreamFeed(train, strategy).batches(plan))
    assert len(batches) == 4
    for step, batch in enumerate(batches):
        for name, rows in plan.items():
            for column in ("images", "texts", "labels"):
                streamed = replicas_of(strategy, batch[name][column])
                whole = replicas_of(strategy, in_memory[column])
                assert len(streamed) == len(whole) == strategy.num_replicas_in_sync
                for replica, part in enumerate(streamed):
                    expected = getattr(train, column)[rows[step, replica]]
                    np.testing.assert_array_equal(part, expected)
                    np.testing.assert_array_equal(whole[replica][rows[step, replica]], expected)
                    assert part.dtype == whole[replica].dtype == np.float32


def test_each_replica_has_its_rows_on_its_own_device(two_replicas, two_devices):
    train, rows = make_pairs(), {"unlabelled": np.arange(8).reshape(1, 2, 4)}
    batch = next(StreamFeed(train, two_replicas).batches(rows))
    for value in (MemoryFeed(train, two_replicas).data["images"], batch["unlabelled"]["images"]):
        found = [each.device for each in two_replicas.experimental_local_results(value)]
        assert [device.split("/")[-1] for device in found] == [
            device.split("/")[-1] for device in two_devices
        ]


def test_feeds_without_labels_have_none():
    train, strategy = make_pairs(), make_strategy("CPU:0")
    train = type(train)(train.ids, train.images, train.texts)
    assert MemoryFeed(train, strategy).data.keys() == {"images", "texts"}
    batch = next(StreamFeed(train, strategy).batches({"unlabelled": np.zeros((1, 1, 2), int)}))
    assert batch["unlabelled"].keys() == {"images", "texts"}


def test_feeds_carry_the_numbers_of_images(strategy):
    train = replace(make_pairs(), labels=None, image_ids=np.arange(64) // 2)
    rows = np.arange(8).reshape(1, strategy.num_replicas_in_sync, -1)
    batch = next(StreamFeed(train, strategy).batches({"pairs": rows}))
    whole = replicas_of(strategy, MemoryFeed(train, strategy).data["image_ids"])
    for replica, part in enumerate(replicas_of(strategy, batch["pairs"]["image_ids"])):
        np.testing.assert_array_equal(part, rows[0, replica] // 2)
        np.testing.assert_array_equal(whole[replica][rows[0, replica]], part)
        assert part.dtype == whole[replica].dtype == train.image_ids.dtype


def test_feeds_follow_the_float_type_of_keras():
    train, strategy = make_pairs(), make_strategy("CPU:0")
    keras.config.set_floatx("float64")
    try:
        whole = MemoryFeed(train, strategy).data["labels"]
        feed = StreamFeed(train, strategy)
        batch = next(feed.batches({"unlabelled": np.zeros((1, 1, 2), int)}))
    finally:
        keras.config.set_floatx("float32")
    for value in (whole, batch["unlabelled"]["images"]):
        assert replicas_of(strategy, value)[0].dtype == np.float64


def test_memory_needed_counts_every_column():
    assert memory_bytes(make_pairs(64)) == 4 * 64 * (6 + 5 + 3)


@given(
    captions=st.lists(st.integers(1, 5), min_size=2, max_size=30),
    batch=st.integers(2, 8),
    epoch=st.integers(0, 1000),
)
def test_rows_that_repeat_an_image_go_in_rounds(captions, batch, epoch):
    image = np.random.default_rng(0).permutation(np.repeat(np.arange(len(captions)), captions))
    _, first, place = np.unique(image, return_index=True, return_inverse=True)
    streams = {"all": np.arange(len(image))}
    rows = epoch_rows(streams, batch, 1, 0, epoch, first[place])["all"].ravel()
    assert len(set(rows)) == len(rows)
    ends = np.cumsum([np.sum(np.array(captions) > number) for number in range(max(captions))])
    for piece in np.split(image[rows], ends[ends < len(rows)]):
        assert len(set(piece)) == len(piece)
    # Where no image is repeated, the order is as it ever was.
    alone = epoch_rows(streams, batch, 1, 0, epoch, np.arange(len(image)))["all"]
    np.testing.assert_array_equal(alone, epoch_rows(streams, batch, 1, 0, epoch)["all"])
