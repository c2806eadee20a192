import errno
import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfxmodal.io.locks import LOCK, InUse, held, held_by, lock_beside, locked


def holding(code: str) -> subprocess.Popen:
    """A process that runs code, which holds a lock in a `with` block, until it is killed."""
    program = f"""
import time
from pathlib import Path
from tfxmodal.io.locks import held, locked
with {code}:
    print("holds it", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "holds it\n"
    return process


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_one_process_has_a_lock_and_a_killed_one_gives_it_up(tmp_path, kind):
    path = tmp_path if kind == "folder" else tmp_path / LOCK
    other = holding(f"locked(Path({str(path)!r}))")
    descriptor = os.open(path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    other.kill()
    other.wait()
    start = time.monotonic()
    with locked(path):
        assert time.monotonic() - start < 5


def test_a_lock_ends_with_its_block(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), locked(tmp_path / LOCK):
            raise KeyError


def test_a_second_process_is_told_which_holds_it_and_a_killed_one_is_no_obstacle(tmp_path):
    lock = tmp_path / "run" / LOCK
    other = holding(f"held(Path({str(lock)!r}), 'it')")
    year = time.strftime("%Y")
    who = f"`to` mine is in use by process {other.pid} on {socket.gethostname()}, since {year}-"
    with pytest.raises(InUse) as told, held(lock, "`to` mine"):
        pass
    assert str(told.value).startswith(who)
    assert str(told.value).endswith(": wait until it ends, or name another.")
    assert lock.exists()  # It is the other's: who did not get it does not remove it.
    other.kill()
    other.wait()
    assert held_by(lock, other.pid) and not held_by(lock, other.pid // 10)
    assert not held_by(tmp_path / LOCK, other.pid)
    with held(lock, "`to` mine"):
        assert f"process {os.getpid()} " in lock.read_text()
    assert not list(lock.parent.iterdir())  # The folder was there before: it stays.


def test_what_was_made_for_a_lock_is_removed_where_nothing_else_came_into_it(tmp_path):
    with pytest.raises(KeyError), held(tmp_path / "a" / "b" / LOCK, "it"):
        raise KeyError
    assert not list(tmp_path.iterdir())
    with held(tmp_path / "a" / "b" / LOCK, "it"):
        (tmp_path / "a" / "kept").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "kept"]


def test_a_new_folder_is_made_by_one_alone(tmp_path):
    with held(tmp_path / "run" / LOCK, "it", new=True):
        with pytest.raises(FileExistsError), held(tmp_path / "run" / LOCK, "it", new=True):
            pass
        assert (tmp_path / "run" / LOCK).exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError])
def test_a_folder_that_others_remove_meanwhile_is_made_again(tmp_path, monkeypatch, new, error):
    mkdir, raised = Path.mkdir, iter([error, error])

    def removed(self, *arguments, **options):
        if each := next(raised, None):
            raise each
        mkdir(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", removed)
    with held(tmp_path / "run" / LOCK, "it", new):
        assert (tmp_path / "run" / LOCK).exists()


@pytest.mark.parametrize("new", [True, False])
def test_where_no_folder_can_be_made_it_is_told(tmp_path, new):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError), held(tmp_path / "file" / LOCK, "it", new):
        pass
    with pytest.raises(FileNotFoundError), held(Path("/proc/no folder") / LOCK, "it", new):
        pass


def test_a_lock_file_that_its_holder_removes_meanwhile_is_not_taken_for_held(tmp_path, monkeypatch):
    """Opened before the holder's end and locked after it, it is a file that nobody finds."""
    lock, flock = tmp_path / LOCK, fcntl.flock

    def flock_late(descriptor, how):
        monkeypatch.setattr(fcntl, "flock", flock)
        lock.unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with held(lock, "it"):
        with pytest.raises(InUse), held(lock, "it"):
            pass


def test_a_file_system_without_locks_is_told_and_the_work_goes_on(tmp_path, monkeypatch, caplog):
    def flock(descriptor, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with held(tmp_path / "run" / LOCK, "`run_dir` run"):
        pass
    (told,) = caplog.messages
    assert "has no locks (No locks available): see to it that no other process uses `run_d" in told
    monkeypatch.setattr(fcntl, "flock", lambda *_: os.stat("/nowhere"))
    with pytest.raises(FileNotFoundError), held(tmp_path / "run" / LOCK, "it"):
        pass


def test_the_lock_of_a_folder_that_is_replaced_lies_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lock_beside(Path("index")) == tmp_path / ".index.lock"
    (tmp_path / "link").symlink_to("index")
    assert lock_beside(Path("link")) == tmp_path / ".index.lock"
