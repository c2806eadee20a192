from pathlib import Path

import pytest

from tests.benchmark.made import write_features
from tfxmodal.commands import benchmark, compare


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_features(tmp_path / "mine")


def test_flags_come_from_a_file_and_from_the_command_line(place, capsys):
    Path("a.yaml").write_text(
        f"to: b/one\nmethods: [random]\ndatasets: ['features={place}']\n"
        "seeds: [0, 1]\nlabel_noise: [0.2]\n"
    )
    benchmark.main(["--config", "a.yaml", "--seeds", "3"])
    said = capsys.readouterr().out
    assert "1 trainings, 0 of them done; in b/one" in said
    assert "Report: b/one/report.html" in said
    (run,) = Path("b/one/runs").iterdir()
    assert run.name.startswith("random-mine-seed3-")
    compare.main([str(run), "--to", "c"])
    assert "Report: c/report.html" in capsys.readouterr().out
    assert (Path("c") / "tables.md").read_bytes() == (Path("b/one") / "tables.md").read_bytes()


def test_runs_to_compare_are_named(complaint):
    assert "must name at least one finished run" in complaint(compare.main, "--to", "c")
    assert "gone" in complaint(compare.main, "gone", "--to", "c")


@pytest.mark.parametrize(
    ("content", "flags", "told"),
    [
        ("- pls", "", "`config` a.yaml must map names of flags to values"),
        ("a: [", "", "`config` a.yaml cannot be read"),
        ("to: b", "--jobs 0", "--jobs must be at least 1; received 0"),
        ("to: b\nmethods: [plz]", "", "Unknown method 'plz'"),
        ("to: b\nset: [pls.rank=1]", "", "Unknown setting of pls 'rank'"),
        ("to: b\nset: [pls]", "", "--set takes NAME.SETTING=VALUE; received 'pls'"),
        ("to: b\ndatasets: [wikipedia=gone]", "", "gone"),
    ],
)
def test_mistakes_are_told(place, complaint, content, flags, told):
    Path("a.yaml").write_text(content)
    assert told in complaint(benchmark.main, "--config", "a.yaml", *flags.split())
    assert not Path("b").exists()
