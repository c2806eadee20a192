import errno
import json
import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError
from tfxmodal.inputs import cache
from tfxmodal.inputs.cache import ShardedFeatures, cached_features

N, DIM, SHARD = 23, 3, 5
TRUTH = np.random.default_rng(0).standard_normal((N, DIM)).astype(np.float32)


class Tower:
    """Stands for an extraction: remembers what was asked of it, and fails where it is told to."""

    def __init__(self, bad=(), fail_at=None, truth=TRUTH):
        self.bad, self.fail_at, self.truth, self.asked = bad, fail_at, truth, []

    def __call__(self, start, stop):
        if self.fail_at is not None and start <= self.fail_at < stop:
            raise KeyboardInterrupt
        self.asked.append((start, stop))
        return self.truth[start:stop], {r: "cut short" for r in self.bad if start <= r < stop}


def fill(folder, tower, **options):
    options = {"key": {"tower": "t"}, "n": N, "dim": DIM, "shard_rows": SHARD} | options
    return cached_features(folder, compute=tower, **options)


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("cache"), Tower())


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


def test_a_finished_cache_is_not_computed_again(tmp_path):
    tower = Tower()
    fill(tmp_path, tower)
    assert tower.asked == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 23)]
    again = Tower()
    np.testing.assert_array_equal(fill(tmp_path, again)[:], TRUTH)
    assert again.asked == []


def test_shards_are_computed_in_pieces_under_a_progress_bar(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "PIECE", 2)
    tower, seen = Tower(bad=[3]), []

    def progress(items, total, desc):
        for item in items:
            seen.append(total)
            yield item

    features = fill(tmp_path, tower, on_bad="skip", progress=progress)
    assert tower.asked[:4] == [(0, 2), (2, 4), (4, 5), (5, 7)]
    assert seen == [len(tower.asked)] * len(tower.asked)
    np.testing.assert_array_equal(features[:], np.delete(TRUTH, 3, axis=0))


def test_a_killed_run_continues_at_its_shard(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, Tower(fail_at=12))
    with pytest.raises(InputError, match="not finished; run the command .* again"):
        ShardedFeatures(tmp_path)
    (tmp_path / "shard_00002.npy.partial").write_bytes(b"half of a shard")
    tower = Tower()
    np.testing.assert_array_equal(fill(tmp_path, tower)[:], TRUTH)
    assert tower.asked == [(10, 15), (15, 20), (20, 23)]
    assert not list(tmp_path.glob("*.partial"))


def test_a_run_killed_by_the_system_continues(tmp_path):
    code = f"""
        import os, signal
        import numpy as np
        from tfxmodal.inputs.cache import cached_features

        def compute(start, stop):
            if start == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return np.full((stop - start, 1), start, np.float32), {{}}

        cached_features({str(tmp_path)!r}, {{}}, 4, 1, compute, shard_rows=1)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert process.returncode < 0
    asked = []

    def compute(start, stop):
        asked.append(start)
        return np.full((stop - start, 1), start, np.float32), {}

    features = cached_features(tmp_path, {}, 4, 1, compute, shard_rows=1)
    assert asked == [2, 3]
    np.testing.assert_array_equal(features[:].ravel(), [0, 1, 2, 3])


def test_processes_at_one_folder_take_turns(tmp_path):
    second = Tower()
    waiting = threading.Thread(target=fill, args=(tmp_path, second))

    def first(start, stop):
        if start == 5:
            waiting.start()
            waiting.join(0.2)  # it holds no lock, so it waits
        return TRUTH[start:stop], {}

    fill(tmp_path, first)
    waiting.join()
    assert second.asked == []


@pytest.mark.parametrize("damage", ["truncated", "missing", "other shape"])
def test_a_damaged_shard_is_refused_and_computed_anew(tmp_path, damage):
    fill(tmp_path, Tower())
    path = tmp_path / "shard_00001.npy"
    if damage == "truncated":
        os.truncate(path, path.stat().st_size - 1)
    elif damage == "missing":
        path.unlink()
    else:
        np.save(path, TRUTH[:2])
    with pytest.raises(InputError, match="shard_00001.npy is missing or cut short"):
        ShardedFeatures(tmp_path)
    tower = Tower()
    np.testing.assert_array_equal(fill(tmp_path, tower)[:], TRUTH)
    assert tower.asked == [(5, 10)]


def test_a_full_disk_leaves_whole_shards_alone(tmp_path, monkeypatch):
    whole_save, writes = np.save, []

    def save(file, shard):
        writes.append(1)
        if len(writes) == 3:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        whole_save(file, shard)

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(InputError, match=rf"{tmp_path} .*No space left.* need 276 bytes") as error:
        fill(tmp_path, Tower())
    assert isinstance(error.value.__cause__, OSError)
    assert sorted(p.name for p in tmp_path.glob("s*")) == ["shard_00000.npy", "shard_00001.npy"]
    monkeypatch.setattr(np, "save", whole_save)
    tower = Tower()
    np.testing.assert_array_equal(fill(tmp_path, tower)[:], TRUTH)
    assert tower.asked[0] == (10, 15)


def test_trouble_inside_the_tower_is_not_taken_for_a_full_disk(tmp_path):
    def compute(start, stop):
        raise OSError("camera unplugged")

    with pytest.raises(OSError, match="camera unplugged"):
        fill(tmp_path, compute)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(tmp_path, value):
    broken = TRUTH.copy()
    broken[[11, 13], 1] = value
    with pytest.raises(InputError, match="row 11 are not finite"):
        fill(tmp_path, Tower(truth=broken))


def test_bad_rows_are_refused_with_their_number_and_the_remedy(tmp_path):
    message = r"2 of 23 images are bad \(row 6: cut short; row 21.*--on-bad-image skip"
    with pytest.raises(InputError, match=message):
        fill(tmp_path, Tower(bad=[6, 21]))
    with pytest.raises(InputError, match="not finished"):
        ShardedFeatures(tmp_path)


def test_bad_rows_are_skipped_and_listed(tmp_path):
    broken = TRUTH.copy()
    broken[6] = np.nan  # what stands in a bad row is of no account
    features = fill(tmp_path, Tower(bad=[6, 21], truth=broken), on_bad="skip")
    kept = np.delete(np.arange(N), [6, 21])
    np.testing.assert_array_equal(features.kept, kept)
    np.testing.assert_array_equal(features[:], TRUTH[kept])
    np.testing.assert_array_equal(features.take([6, 0]).kept, [7, 0])
    assert features.bad == {6: "cut short", 21: "cut short"}
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["bad"] == {"6": "cut short", "21": "cut short"} and manifest["finished"]


def test_skipping_costs_nothing_after_a_refusal_and_repaired_images_are_seen(tmp_path):
    with pytest.raises(InputError, match="images are bad"):
        fill(tmp_path, Tower(bad=[6]))
    tower = Tower()
    assert len(fill(tmp_path, tower, on_bad="skip")) == N - 1
    assert tower.asked == []
    assert len(fill(tmp_path, tower)) == N
    assert tower.asked == [(5, 10)]


def test_no_rows(tmp_path):
    assert fill(tmp_path, Tower(), n=0)[:].shape == (0, DIM)


def test_a_shard_is_forgotten_before_it_is_computed_again(tmp_path):
    fill(tmp_path, Tower(bad=[6]), on_bad="skip")
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, Tower(fail_at=6))
    with pytest.raises(InputError, match="not finished"):
        ShardedFeatures(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["shards"] == [0, 2, 3, 4]


def test_another_key_in_the_folder_is_refused(tmp_path):
    fill(tmp_path, Tower())
    with pytest.raises(InputError, match="holds features of another tower or dataset"):
        fill(tmp_path, Tower(), key={"tower": "u"})
    with pytest.raises(InputError, match="another"):
        fill(tmp_path, Tower(), n=N - 1)


def test_bad_arguments(tmp_path):
    with pytest.raises(InputError, match="Unknown on_bad 'drop'; use one of: refuse, skip"):
        fill(tmp_path, Tower(), on_bad="drop")
    with pytest.raises(ValueError, match=r"gave \(5, 3\), expected \(5, 4\)"):
        fill(tmp_path, Tower(), dim=4)
    with pytest.raises(InputError, match="Cannot write the features"):
        (tmp_path / "file").touch()
        fill(tmp_path / "file" / "cache", Tower())
    with pytest.raises(InputError, match="not finished"):
        ShardedFeatures(tmp_path / "nowhere")


def test_a_manifest_that_is_none_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(InputError, match="holds features of another"):
        fill(tmp_path, Tower())
    (tmp_path / "manifest.json").write_text('{"key": ')
    with pytest.raises(InputError, match="manifest.json is no manifest"):
        fill(tmp_path, Tower())
