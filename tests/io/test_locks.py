import subprocess
import sys
import time

import pytest

from tfxmodal.io.locks import locked


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_one_process_has_a_lock_and_a_killed_one_gives_it_up(tmp_path, kind):
    path = tmp_path if kind == "folder" else tmp_path / ".lock"
    code = f"""
import pathlib, time
from tfxmodal.io.locks import locked
with locked(pathlib.Path({str(path)!r})):
    print("locked", flush=True)
    time.sleep(60)
"""
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "locked\n"
    with pytest.raises(BlockingIOError), locked(path, wait=False):
        pass
    other.kill()
    other.wait()
    start = time.monotonic()
    with locked(path):
        assert time.monotonic() - start < 5


def test_a_lock_ends_with_its_block(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), locked(tmp_path / ".lock", wait=False):
            raise KeyError
