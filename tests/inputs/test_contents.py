import os

import numpy as np
import pytest

from tfxmodal.errors import InputError
from tfxmodal.inputs import contents
from tfxmodal.inputs.contents import content_keys
from tfxmodal.io.hashing import hash_file


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{row}.jpg" for row in range(4)]
    for row, path in enumerate(paths):
        path.write_bytes(bytes([row]) * 100)
    return paths


@pytest.fixture
def read(monkeypatch):
    """The names of files that were read."""
    names = []

    def counted(path):
        names.append(os.path.basename(path))
        return hash_file(path)

    monkeypatch.setattr(contents, "hash_file", counted)
    return names


def test_a_file_is_read_once_and_one_more_alone(files, tmp_path, read):
    index = tmp_path / "cache" / "files.npy"
    keys = content_keys(files[:3], index)
    assert keys == [hash_file(path) for path in files[:3]] and len(read) == 3
    assert content_keys(files[::-1], index) == [hash_file(files[3]), *keys[::-1]]
    assert read[3:] == ["3.jpg"]


def test_equal_contents_have_one_key_under_any_path(files, tmp_path):
    copy = tmp_path / "copied" / "other.jpg"
    copy.parent.mkdir()
    copy.write_bytes(files[2].read_bytes())
    keys = content_keys([*files, copy], tmp_path / "files.npy")
    assert keys[4] == keys[2] and len(set(keys)) == 4


def test_another_content_of_the_same_size_is_seen_by_its_time(files, tmp_path):
    before = content_keys(files, tmp_path / "files.npy")
    status = files[1].stat()
    files[1].write_bytes(b"x" * 100)
    os.utime(files[1], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    after = content_keys(files, tmp_path / "files.npy")
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]


def test_the_content_of_a_file_that_is_gone_is_remembered(files, tmp_path):
    before = content_keys(files, tmp_path / "files.npy")
    files[0].unlink()
    assert content_keys(files, tmp_path / "files.npy") == before
    unknown = content_keys([tmp_path / "never", files[1]], tmp_path / "files.npy")
    assert unknown[0] not in before and unknown[1] == before[1]


def test_a_file_that_changed_and_cannot_be_read_has_not_its_old_content(files, tmp_path):
    before = content_keys(files, tmp_path / "files.npy")
    files[0].unlink()
    files[0].mkdir()
    assert content_keys(files, tmp_path / "files.npy")[0] not in before


def test_what_a_killed_run_has_read_is_remembered(files, tmp_path, read):
    def killed(items, total, desc):
        assert total == 4
        for number, item in enumerate(items):
            if number == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        content_keys(files, tmp_path / "files.npy", killed)
    del read[:]
    content_keys(files, tmp_path / "files.npy")
    assert read == ["2.jpg", "3.jpg"]


def test_what_another_process_has_added_stays(files, tmp_path, monkeypatch, read):
    index = tmp_path / "files.npy"
    known = contents._read(index)
    content_keys(files[:2], index)
    monkeypatch.setattr(contents, "_read", lambda path, r=contents._read: known or r(path))
    content_keys(files[2:], index)
    monkeypatch.undo()
    assert len(contents._read(index)) == 4


def test_a_damaged_index_is_told(files, tmp_path):
    index = tmp_path / "files.npy"
    content_keys(files, index)
    whole = index.read_bytes()
    index.write_bytes(whole[:-1])
    with pytest.raises(InputError, match="files.npy is damaged .*: remove it"):
        content_keys(files, index)
    np.save(index, np.zeros(3))
    with pytest.raises(InputError, match="files.npy is damaged .*holds float64"):
        content_keys(files, index)


def test_an_index_that_cannot_be_written_is_told(files, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot write .*make room or give another folder"):
        content_keys(files, tmp_path / "file" / "files.npy")
