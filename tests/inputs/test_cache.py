import errno
import json
import os
import resource
import subprocess
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.waiting import PATIENCE, eventually
from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.inputs import cache, claims
from tfxmodal.inputs.cache import FeatureCache, Space
from tfxmodal.io.hashing import hash_text

N, DIM, SHARD = 23, 3, 5
TRUTH = np.random.default_rng(0).standard_normal((N, DIM)).astype(np.float32)
KEYS = [hash_text(str(row)) for row in range(N)]
SPACE = Space({"encoder": "e"}, (DIM,))


@pytest.fixture(autouse=True, scope="module")
def small_shards():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "SHARD_ROWS", SHARD)
        yield


class Encoder:
    """Stands for an extraction: remembers what was asked of it, and fails where it is told to."""

    def __init__(self, bad=(), fail_at=None, truth=TRUTH, items=range(N)):
        self.bad, self.fail_at, self.truth, self.items = bad, fail_at, truth, list(items)
        self.asked = []

    def __call__(self, rows):
        items = [self.items[row] for row in rows]
        if self.fail_at in items:
            raise KeyboardInterrupt
        self.asked.append(items)
        bad = {row: "cut short" for row in rows.tolist() if self.items[row] in self.bad}
        return self.truth[items], bad


def fill(folder, encoder, space=SPACE, **options):
    keys = [KEYS[item] for item in encoder.items]
    return FeatureCache(folder, space).features(keys, encoder, **options)


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("cache"), Encoder())


# === Reading ====================================================================================


@settings(deadline=None)
@given(st.lists(st.integers(-N, N - 1)))
def test_gathers_rows_in_any_order_as_numpy_does(features, rows):
    rows = np.array(rows, np.int64)
    np.testing.assert_array_equal(features[rows], TRUTH[rows])


@settings(deadline=None)
@given(st.slices(N), st.lists(st.integers(0, 4)))
def test_views_are_numpy_views(features, part, rows):
    view = features.take(part)
    assert view.shape == TRUTH[part].shape
    rows = np.array([row for row in rows if row < len(view)], np.int64)
    np.testing.assert_array_equal(view[rows], TRUTH[part][rows])
    np.testing.assert_array_equal(view.take(rows)[:], TRUTH[part][rows])


def test_indexes_like_an_array(features):
    assert (features.shape, len(features), features[:0].dtype) == ((N, DIM), N, np.float32)
    mask = TRUTH[:, 0] > 0
    np.testing.assert_array_equal(features[mask], TRUTH[mask])
    np.testing.assert_array_equal(features[-1], TRUTH[-1])
    np.testing.assert_array_equal(np.asarray(features), TRUTH)
    with pytest.raises(IndexError):
        features[[N]]


def test_pairs_take_features(features):
    pairs = Pairs(np.arange(N).astype(str), features, [("a",)] * N)
    assert not pairs.has_image_files
    np.testing.assert_array_equal(pairs.take(np.array([7, 2])).images, TRUTH[[7, 2]])


def test_more_shards_than_a_process_may_have_open_files(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SHARD_ROWS", 1)
    keys = [hash_text(str(row)) for row in range(120)]
    folder, rows = FeatureCache(tmp_path, Space({}, (1,))), np.arange(120.0)[:, None]
    folder.features(keys, lambda these: (rows[these], {}))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))

    def held_open() -> list[str]:
        links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        return [file for file in map(os.path.realpath, links) if file.startswith(str(tmp_path))]

    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 30, limits[1]))
    try:
        splits = [folder.features(keys[part::3], lambda these: ([], {})) for part in range(3)]
        assert folder.missing(keys) == []
        for part, split in enumerate(splits):
            np.testing.assert_array_equal(split[:], rows[part::3])
        assert held_open() == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_shard_that_cannot_be_opened_is_not_taken_for_a_damaged_one(tmp_path):
    fill(tmp_path, Encoder())
    (tmp_path / "shard_00001.npy").unlink()
    (tmp_path / "shard_00001.npy").mkdir()
    with pytest.raises(IsADirectoryError):
        FeatureCache(tmp_path, SPACE).missing(KEYS)


def test_a_shard_that_is_cut_while_it_is_in_use_is_told(tmp_path):
    features = fill(tmp_path, Encoder())
    os.truncate(tmp_path / "shard_00001.npy", 140)
    with pytest.raises(OSError, match="shard_00001.npy was cut short"):
        features[:]


# === Growing ====================================================================================


def test_a_finished_cache_is_not_computed_again(tmp_path):
    encoder = Encoder()
    fill(tmp_path, encoder)
    assert [len(items) for items in encoder.asked] == [5, 5, 5, 5, 3]
    again = Encoder(items=reversed(range(N)))
    np.testing.assert_array_equal(fill(tmp_path, again)[:], TRUTH[::-1])
    assert again.asked == []


def test_one_item_more_computes_one(tmp_path):
    fill(tmp_path, Encoder(items=range(12)))
    encoder = Encoder(items=[3, 20, *range(12)])
    np.testing.assert_array_equal(fill(tmp_path, encoder)[:], TRUTH[encoder.items])
    assert encoder.asked == [[20]]


def test_items_that_come_one_by_one_share_shards(tmp_path):
    for item in range(12):
        fill(tmp_path, Encoder(items=[item]))
    assert len(list(tmp_path.glob("shard_*.keys.npy"))) == 3
    encoder = Encoder(items=range(12))
    np.testing.assert_array_equal(fill(tmp_path, encoder)[:], TRUTH[:12])
    assert encoder.asked == []


def test_an_item_that_is_there_twice_is_computed_once(tmp_path):
    encoder = Encoder(items=[4, 1, 4, 4])
    np.testing.assert_array_equal(fill(tmp_path, encoder)[:], TRUTH[[4, 1, 4, 4]])
    assert encoder.asked == [[4, 1]]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, N - 1), max_size=9), st.sets(st.integers(0, N - 1))),
        max_size=6,
    )
)
def test_any_sets_in_any_order_are_what_a_dict_would_hold(tmp_path_factory, sets):
    folder, oracle = tmp_path_factory.mktemp("grows"), {}
    for items, damaged in sets:
        encoder = Encoder(items=items, bad=damaged)
        features = fill(folder, encoder)
        new = list(dict.fromkeys(i for i in items if i not in oracle))
        assert [i for asked in encoder.asked for i in asked] == new
        oracle |= {i: TRUTH[i] for i in new if i not in damaged}
        good = [row for row, item in enumerate(items) if item in oracle]
        expected = np.array([oracle[items[row]] for row in good]).reshape(-1, DIM)
        np.testing.assert_array_equal(features[:], expected)
        assert list(features.kept) == good
        assert set(features.bad) == set(range(len(items))) - set(good)


def test_the_progress_bar_counts_shards(tmp_path):
    encoder, seen = Encoder(bad=[3]), []

    def progress(items, total, desc):
        for item in items:
            seen.append(total)
            yield item

    features = fill(tmp_path, encoder, progress=progress)
    assert seen == [len(encoder.asked)] * len(encoder.asked) == [5] * 5
    np.testing.assert_array_equal(features[:], np.delete(TRUTH, 3, axis=0))


def test_maps_are_kept_in_half_of_the_space(tmp_path):
    maps = TRUTH[:, None, :] * np.arange(1, 5, dtype=np.float32)[:, None]
    space = Space({}, (4, DIM), "float16")
    features = fill(tmp_path, Encoder(truth=maps), space)
    assert features.shape == (N, 4, DIM) and features[:2].dtype == np.float32
    np.testing.assert_array_equal(features[[7, 2]], maps[[7, 2]].astype(np.float16))
    assert features.take([5, 6])[0].shape == (4, DIM)
    assert np.load(tmp_path / "shard_00000.npy").dtype == np.float16


def test_what_float16_cannot_hold_is_refused(tmp_path):
    truth = TRUTH.copy()
    truth[11, 1] = -70_000
    message = "row 11 reach 70,000, and float16 ends at 65,504"
    with pytest.raises(InputError, match=message):
        fill(tmp_path, Encoder(truth=truth), Space({}, (DIM,), "float16"))
    fill(tmp_path / "other", Encoder(truth=truth))


# === Stopped, damaged, at once ==================================================================


def test_a_killed_run_continues_at_its_shard(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, Encoder(fail_at=12))
    (tmp_path / "shard_00002.npy.partial").write_bytes(b"half of a shard")
    np.save(tmp_path / "shard_00002.npy", TRUTH[:5])  # killed before its keys were written
    encoder = Encoder()
    np.testing.assert_array_equal(fill(tmp_path, encoder)[:], TRUTH)
    assert [items[0] for items in encoder.asked] == [10, 15, 20]
    assert not list(tmp_path.glob("*.partial"))


def test_a_kill_while_a_shard_is_extended_loses_none_of_its_rows(tmp_path):
    fill(tmp_path, Encoder(items=range(3)))
    np.save(tmp_path / "shard_00000.npy", TRUTH[:5])  # killed before its keys were written
    encoder = Encoder(items=range(5))
    np.testing.assert_array_equal(fill(tmp_path, encoder)[:], TRUTH[:5])
    assert encoder.asked == [[3, 4]]


def test_a_run_killed_by_the_system_continues(tmp_path):
    code = f"""
        import os, signal
        import numpy as np
        from tfxmodal.inputs import cache

        def compute(rows):
            if 2 in rows:
                os.kill(os.getpid(), signal.SIGKILL)
            return np.full((len(rows), 1), rows[0], np.float32), {{}}

        cache.SHARD_ROWS = 1
        keys = [bytes([i] * 16) for i in range(4)]
        cache.FeatureCache({str(tmp_path)!r}, cache.Space({{}}, (1,))).features(keys, compute)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert process.returncode < 0
    asked = []

    def compute(rows):
        asked.extend(rows)
        return rows[:, None].astype(np.float32), {}

    keys = [bytes([i] * 16) for i in range(4)]
    features = FeatureCache(tmp_path, Space({}, (1,))).features(keys, compute)
    assert asked == [2, 3]
    np.testing.assert_array_equal(features[:].ravel(), [0, 1, 2, 3])


def test_processes_at_one_folder_share_the_work(tmp_path):
    """The second does all that the first has not begun, and waits for that."""
    second, found, asked = Encoder(bad=[21]), [], []
    other = threading.Thread(target=lambda: found.append(fill(tmp_path, second)))

    def first(rows):
        asked.extend(rows)
        if 5 in rows:
            other.start()
            eventually(lambda: len(second.asked) == 3)
            other.join(0.1)
            assert other.is_alive() and len(second.asked) == 3
        return TRUTH[rows], {}

    features = FeatureCache(tmp_path, SPACE).features(KEYS, first)
    other.join()
    assert asked == [*range(10)] and sum(second.asked, []) == [*range(10, N)]
    for each in (features, *found):
        assert each.bad == {21: "cut short"}
        np.testing.assert_array_equal(each[:], np.delete(TRUTH, 21, axis=0))
    assert not list(tmp_path.glob("*.claim"))


def test_what_a_killed_process_has_claimed_is_computed_by_who_waits_for_it(tmp_path):
    code = f"""
        import time
        from tfxmodal.inputs import cache

        def compute(rows):
            print("begun", flush=True)
            time.sleep(600)

        keys = [bytes([i] * 16) for i in range(4)]
        cache.FeatureCache({str(tmp_path)!r}, cache.Space({{}}, (1,))).features(keys, compute)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    threading.Timer(0.3, process.kill).start()
    keys = [bytes([i] * 16) for i in range(4)]
    features = FeatureCache(tmp_path, Space({}, (1,))).features(keys, lambda r: (r[:, None], {}))
    process.communicate()
    np.testing.assert_array_equal(features[:].ravel(), [0, 1, 2, 3])
    assert not list(tmp_path.glob("*.claim"))


def test_who_waits_for_a_process_that_does_nothing_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "PATIENCE", 0.2)
    with claims.claim(tmp_path, KEYS[:5]):
        message = rf"{tmp_path} waits for .* process {os.getpid()} on .* end that process"
        with pytest.raises(InputError, match=message):
            fill(tmp_path, encoder := Encoder(items=range(8)))
    assert encoder.asked == [[5, 6, 7]]


def test_who_waits_for_a_slow_process_goes_on_waiting_as_long_as_it_gets_on(tmp_path, monkeypatch):
    cache, found, looks, done = FeatureCache(tmp_path, SPACE), [], [], threading.Event()
    other = threading.Thread(target=lambda: found.append(fill(tmp_path, Encoder(items=range(5)))))

    def sleep(seconds):
        """Between two looks of the one that waits, time goes by and the slow one gets on."""
        time.sleep(0.02)  # The times of files are not exact.
        if len(looks) == 10:
            done.set()
        else:
            cache.alive()
            looks.append(seconds)

    def monotonic() -> float:
        return 0.6 * claims.PATIENCE * len(looks)

    def compute(rows):
        other.start()
        done.wait(PATIENCE)
        return TRUTH[rows], {}

    monkeypatch.setattr(claims, "time", SimpleNamespace(sleep=sleep, monotonic=monotonic))

    cache.features(KEYS[:5], compute)
    other.join()
    assert len(looks) == 10
    np.testing.assert_array_equal(found[0][:], TRUTH[:5])


def test_two_processes_at_once_compute_each_item_once(tmp_path):
    code = f"""
        import sys, time
        import numpy as np
        from tfxmodal.inputs import cache

        def compute(rows):
            time.sleep(0.01)
            print(*(items[row] for row in rows))
            return np.array([[items[row]] for row in rows], np.float32), {{}}

        cache.SHARD_ROWS = 2
        items = [int(word) for word in sys.argv[1:]]
        keys = [bytes([i] * 16) for i in items]
        features = cache.FeatureCache({str(tmp_path)!r}, cache.Space({{}}, (1,)))
        assert features.features(keys, compute)[:].ravel().tolist() == items
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    sets = [range(0, 24), range(23, 3, -1)]
    running = [
        subprocess.Popen([*command, *map(str, items)], stdout=subprocess.PIPE, text=True)
        for items in sets
    ]
    told = [process.communicate()[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sorted(int(item) for items in told for item in items) == list(range(24))


def test_what_is_there_is_read_while_another_process_computes(tmp_path):
    fill(tmp_path, Encoder(items=range(5)))
    read = []

    def compute(rows):
        read.append(fill(tmp_path, Encoder(items=range(5)))[:])
        return TRUTH[rows], {}

    FeatureCache(tmp_path, SPACE).features(KEYS[:9], compute)
    np.testing.assert_array_equal(read[0], TRUTH[:5])


@pytest.mark.parametrize("damage", ["rows cut", "rows missing", "keys cut", "other shape"])
def test_a_damaged_shard_is_computed_anew(tmp_path, damage):
    fill(tmp_path, Encoder())
    rows, keys = (tmp_path / f"shard_00001{end}.npy" for end in ("", ".keys"))
    if damage == "rows missing":
        rows.unlink()
    elif damage == "other shape":
        np.save(rows, TRUTH[:5, :2])
    else:
        path = rows if damage == "rows cut" else keys
        os.truncate(path, path.stat().st_size - 1)
    encoder = Encoder()
    np.testing.assert_array_equal(fill(tmp_path, encoder)[:], TRUTH)
    assert sorted(item for items in encoder.asked for item in items) == [5, 6, 7, 8, 9]
    np.testing.assert_array_equal(fill(tmp_path, again := Encoder())[:], TRUTH)
    assert again.asked == []


def test_a_full_disk_leaves_whole_shards_alone(tmp_path, monkeypatch):
    whole_save, writes = np.save, []

    def save(file, rows):
        writes.append(1)
        if len(writes) == 5:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        whole_save(file, rows)

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(InputError, match=rf"{tmp_path} .*No space left.* need 276 bytes") as error:
        fill(tmp_path, Encoder())
    assert isinstance(error.value.__cause__, OSError)
    monkeypatch.setattr(np, "save", whole_save)
    encoder = Encoder()
    np.testing.assert_array_equal(fill(tmp_path, encoder)[:], TRUTH)
    assert encoder.asked[0] == [10, 11, 12, 13, 14]


def test_trouble_inside_the_encoder_is_not_taken_for_a_full_disk(tmp_path):
    def compute(rows):
        raise OSError("camera unplugged")

    with pytest.raises(OSError, match="camera unplugged"):
        FeatureCache(tmp_path, SPACE).features(KEYS, compute)


# === Bad items ==================================================================================


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(tmp_path, value):
    broken = TRUTH.copy()
    broken[[11, 13], 1] = value
    with pytest.raises(InputError, match="row 11 are not finite"):
        fill(tmp_path, Encoder(truth=broken))


def test_bad_items_are_left_out_and_listed(tmp_path):
    broken = TRUTH.copy()
    broken[6] = np.nan  # what stands in a bad row is of no account
    features = fill(tmp_path, Encoder(bad=[6, 21], truth=broken))
    kept = np.delete(np.arange(N), [6, 21])
    np.testing.assert_array_equal(features.kept, kept)
    np.testing.assert_array_equal(features[:], TRUTH[kept])
    np.testing.assert_array_equal(features.take([6, 0]).kept, [7, 0])
    assert features.bad == {6: "cut short", 21: "cut short"}


def test_bad_items_are_tried_again_by_their_content(tmp_path):
    fill(tmp_path, Encoder(bad=[6, 7]))
    encoder = Encoder(items=[7, 2, 6], bad=[7])
    features = fill(tmp_path, encoder)
    assert encoder.asked == [[7, 6]] and features.bad == {0: "cut short"}
    np.testing.assert_array_equal(features[:], TRUTH[[2, 6]])
    assert fill(tmp_path, last := Encoder()).bad == {} and last.asked == [[7]]


def test_no_good_rows(tmp_path):
    assert fill(tmp_path, Encoder(items=[]))[:].shape == (0, DIM)
    features = fill(tmp_path, Encoder(items=[1, 2], bad=[1, 2]))
    assert features[:].shape == (0, DIM) and len(features.bad) == 2


# === Wrong folders ==============================================================================


def test_another_space_in_the_folder_is_refused(tmp_path):
    fill(tmp_path, Encoder())
    with pytest.raises(InputError, match="holds features of another kind"):
        fill(tmp_path, Encoder(), Space({"encoder": "f"}, (DIM,)))
    with pytest.raises(InputError, match="holds features of another kind"):
        fill(tmp_path, Encoder(), Space(SPACE.key, (DIM,), "float16"))


def test_features_of_an_earlier_version_are_no_hindrance(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"finished": True}))
    np.save(tmp_path / "shard_00000.npy", TRUTH[:2])
    np.testing.assert_array_equal(fill(tmp_path, Encoder())[:], TRUTH)


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"gave \(5, 3\), expected \(5, 4\)"):
        fill(tmp_path, Encoder(), Space({}, (4,)))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot write the features"):
        fill(tmp_path / "file" / "cache", Encoder())


def test_a_damaged_description_is_told(tmp_path):
    fill(tmp_path, Encoder())
    (tmp_path / "space.json").write_text('{"key": ')
    with pytest.raises(InputError, match="space.json is not whole JSON"):
        fill(tmp_path, Encoder())
