import os
import signal
import subprocess
import sys

import pytest

from tfxmodal.errors import InputError
from tfxmodal.io.locks import LOCK
from tfxmodal.serving.export.publishing import HIDDEN, publish, versions


def write(folder):
    (folder / "saved_model.pb").write_text("whole")


def test_versions_appear_together_and_count_on(tmp_path):
    models = [tmp_path / "m", tmp_path / "m_matrix"]
    (models[0] / "7").mkdir(parents=True)
    (models[0] / "notes").mkdir()
    with publish(models) as folders:
        for folder in folders:
            write(folder)
        assert list(versions(models[0])) == [7] and not versions(models[1])
    assert list(versions(models[0])) == [7, 8] and list(versions(models[1])) == [8]
    assert (models[1] / "8" / "saved_model.pb").read_text() == "whole"
    assert not list(tmp_path.rglob(".*"))


def test_a_failure_leaves_nothing(tmp_path):
    models = [tmp_path / "m", tmp_path / "m_matrix"]
    (models[0] / "1").mkdir(parents=True)
    with pytest.raises(RuntimeError), publish(models) as folders:
        write(folders[0])
        raise RuntimeError
    assert [path.name for path in models[0].iterdir()] == ["1"]
    assert not models[1].exists()


def test_what_a_killed_export_left_is_removed_by_the_next(tmp_path):
    program = (
        "import os, pathlib; from tfxmodal.serving.export.publishing import publish\n"
        f"with publish([pathlib.Path({str(tmp_path / 'm')!r})]) as (folder,):\n"
        "    (folder / 'saved_model.pb').write_text('half')\n"
        "    os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program])
    assert done.returncode == -signal.SIGKILL
    assert sorted(os.listdir(tmp_path / "m")) == [f"{HIDDEN}1", LOCK]
    with publish([tmp_path / "m"]) as (folder,):
        assert not list(folder.iterdir())
        write(folder)
    assert os.listdir(tmp_path / "m") == ["1"]


def test_two_exports_at_once(tmp_path):
    with publish([tmp_path / "m"]) as (folder,):
        write(folder)
        with (
            pytest.raises(InputError, match=f"m is in use by process {os.getpid()} on "),
            publish([tmp_path / "m"]),
        ):
            pass
    assert os.listdir(tmp_path / "m") == ["1"]
