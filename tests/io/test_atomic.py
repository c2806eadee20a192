import os
import time

import pytest

from tfxmodal.io.atomic import recover_folder, sync_changes, whole_file, whole_folder


def write(folder, content):
    with whole_folder(folder) as partial:
        (partial / "a").write_text(content)


def killed_at(call):
    """An `os.replace` that is killed at one of its calls."""
    replace, calls = os.replace, iter(range(1, 9))

    def replace_or_die(*paths):
        if next(calls) == call:
            raise KeyboardInterrupt
        replace(*paths)

    return replace_or_die


def test_a_file_is_whole_or_the_old_one(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), whole_file(path) as file:
        file.write(b"half")
        raise OSError("full")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with whole_file(path) as file:
        file.write(b"new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("read", [True, False])
def test_a_kill_at_any_rename_leaves_the_old_folder(call, read, tmp_path, monkeypatch):
    folder = tmp_path / "index"
    write(folder, "old")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", killed_at(call))
        write(folder, "new")
    if read:
        recover_folder(folder)
        assert (folder / "a").read_text() == "old"
    with pytest.raises(OSError, match="full"), whole_folder(folder):
        raise OSError("full")  # A save that fails must not lose it either.
    assert (folder / "a").read_text() == "old"
    write(folder, "newer")
    assert (folder / "a").read_text() == "newer" and list(tmp_path.iterdir()) == [folder]


def test_a_folder_is_new_where_there_was_none_and_follows_a_link(tmp_path):
    recover_folder(tmp_path / "deep" / "index")
    assert not list(tmp_path.iterdir())
    write(tmp_path / "deep" / "index", "first")
    (tmp_path / "link").symlink_to("deep/index")
    write(tmp_path / "link", "second")
    assert (tmp_path / "deep" / "index" / "a").read_text() == "second"
    assert (tmp_path / "link").is_symlink()


def test_the_current_folder(tmp_path, monkeypatch):
    write(tmp_path / "index", "old")
    monkeypatch.chdir(tmp_path / "index")
    write(type(tmp_path)("."), "new")
    assert (tmp_path / "index" / "a").read_text() == "new"


def test_what_was_changed_in_a_folder_is_synced_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "old/older").mkdir(parents=True)
    for name in ("old/older/a", "old/b", "old/changed"):
        (tmp_path / name).write_text("a")
    for path in (*tmp_path.rglob("*"), tmp_path):
        os.utime(path, (1, 1))
    (tmp_path / "old/older/changed").write_text("b")
    os.utime(tmp_path / "old/older", (1, 1))  # A file that is changed in place does so.
    (tmp_path / "new").mkdir()
    (tmp_path / "new/c").write_text("c")
    (tmp_path / "gone").symlink_to("nothing")
    synced = []
    monkeypatch.setattr("tfxmodal.io.atomic.sync", lambda path: synced.append(str(path)))
    sync_changes(tmp_path, time.time() - 60)
    wanted = ("old/older/changed", "new/c", "new", ".")
    assert sorted(synced) == sorted(str(tmp_path / name) for name in wanted)


def test_a_look_at_many_files_makes_no_path_of_them(tmp_path, monkeypatch):
    """A gallery of many small writes has ten thousands of files, and each write looks at all.

    `tests.benchmarks.bench_sync` measures what that costs.
    """
    (tmp_path / "in").mkdir()
    for number in range(300):
        (tmp_path / "in" / f"{number}").touch()
    looks, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looks.append(path) or scandir(path))
    monkeypatch.setattr("pathlib.Path.stat", None)
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path: looks.append(path) or stat(path))
    sync_changes(tmp_path, time.time() + 60)
    assert len(looks) == 2 * 2  # Of each folder what is in it, and when it changed.
