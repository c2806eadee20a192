"""What the help and the pages say of export/embed_corpus.py."""

import re
import shlex
import sys
from pathlib import Path

import embed_corpus
import pytest
from corpus import InputError

ROOT = Path(__file__).resolve().parents[2]
TEXT = embed_corpus.__doc__ + (ROOT / "docs/scale.md").read_text("utf-8")
LINES = re.findall(r"export/embed_corpus\.py (.*)", TEXT.replace("\\\n", " "))


@pytest.mark.parametrize("line", LINES)
def test_a_command_takes_its_arguments_as_they_are_written(line):
    flags, beams = embed_corpus.parse(shlex.split(line))
    assert flags.to and bool(beams) == (" -- " in line)


def test_a_misspelled_flag_is_no_option_of_beam(capsys):
    with pytest.raises(SystemExit):
        embed_corpus.parse([*shlex.split(LINES[0].partition(" -- ")[0]), "--galery", "texts"])
    assert "unrecognized arguments: --galery texts" in capsys.readouterr().err


def test_a_size_must_be_at_least_1(capsys):
    with pytest.raises(SystemExit):
        embed_corpus.parse([*shlex.split(LINES[0].partition(" -- ")[0]), "--batch-size", "0"])
    assert "--batch-size must be at least 1" in capsys.readouterr().err


def test_an_environment_without_beam_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match="apache_beam is not in this .* `make beam-env` makes one"):
        embed_corpus.main(["--model", "m", "--source", "s", "--to", "v"])
