import dataclasses
import errno
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import tensorflow as tf
import tyro

from tfxmodal.commands import cli
from tfxmodal.errors import InputError, check_ranges


@dataclass(frozen=True)
class Inner:
    """Some numbers."""

    learning_rate: float = 0.001
    """The step."""

    def __post_init__(self):
        check_ranges(self, learning_rate="(0, inf)")


@dataclass(frozen=True)
class Flags:
    """The flags of a command."""

    action: tyro.conf.Positional[Literal["go", "stop"]]
    """What to do."""

    image_weights: str | None = None
    """A file."""

    inner: Inner = field(default_factory=Inner)


def parse(*argv: str) -> Flags:
    return cli.parse(Flags, "A command.", list(argv))


@pytest.fixture
def told(capsys):
    """`told(error)`: what a command that raises this writes."""

    def of(error: BaseException) -> str:
        def main():
            parse("go")
            raise error

        with pytest.raises(SystemExit) as exit:
            cli.run(main)
        assert exit.value.code == 2
        *before, line = capsys.readouterr().err.splitlines()
        assert not before
        return line.partition(": ")[2]

    return of


def test_help_shows_each_flag_with_its_default(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    shown = capsys.readouterr().out
    assert "--learning-rate FLOAT" in shown and "(default: 0.001)" in shown
    assert "--image-weights" in shown and "(default: None)" in shown


def test_an_argument_that_is_a_flag_of_the_command_is_named_as_its_flag(told):
    assert told(InputError("`image_weights` must be a file.")) == "--image-weights must be a file."
    assert told(InputError("`learning_rate` is 0.")) == "--learning-rate is 0."


@pytest.mark.parametrize("name", ["`images`", "`action`", "`inner`", "`--text`", "image_weights"])
def test_other_names_stay_as_they_are(told, name):
    assert told(InputError(f"{name} is wrong.")) == f"{name} is wrong."


def test_a_value_out_of_range_is_told_as_the_flag(capsys):
    with pytest.raises(SystemExit) as exit:
        cli.run(lambda: parse("go", "--learning-rate", "-1"))
    assert exit.value.code == 2
    assert capsys.readouterr().err.endswith(": --learning-rate must be above 0; received -1.0.\n")


def test_a_word_that_is_no_flag_is_told_by_the_parser(capsys):
    with pytest.raises(SystemExit) as exit:
        cli.run(lambda: parse("go", "--learning-rat", "1"))
    assert exit.value.code == 2
    assert "Unrecognized options: --learning-rat" in capsys.readouterr().err


def test_a_full_disk_is_told_in_a_sentence(told):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/a/metrics.json")
    assert told(full) == "No space left on device: runs/a/metrics.json"
    assert told(OSError("cannot read\nat all")) == "cannot read"


def test_tensorflows_errors_of_files_are_told_in_a_sentence(told, tmp_path):
    (tmp_path / "file").touch()
    full = tf.errors.ResourceExhaustedError(None, None, "a.data; No space left\n\t [[node]]")
    assert told(full) == "a.data; No space left"
    denied = tf.errors.PermissionDeniedError(None, None, "/a; Permission denied")
    assert told(denied) == "/a; Permission denied"


@pytest.mark.parametrize("error", [InputError(), OSError(), InputError("  \n")])
def test_an_error_without_a_message_is_told_by_its_kind(told, error):
    assert told(error) == type(error).__name__


def test_a_fault_of_the_program_keeps_its_traceback():
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.run(main)


def test_a_flag_of_an_earlier_version_is_taken():
    @dataclass
    class Old:
        image_encoder: str = "none"

    assert cli.parse(Old, "", ["--image-tower", "vgg19"]).image_encoder == "vgg19"
    assert cli.parse(Old, "", ["--image-tower=vgg19"]).image_encoder == "vgg19"


def test_the_names_of_flags_are_those_of_every_nested_dataclass():
    assert set(cli.flag_names(Flags)) == {"image_weights", "learning_rate"}
    assert {field.name for field in dataclasses.fields(Flags)} == {
        "action", "image_weights", "inner"
    }  # fmt: skip


def test_a_command_imports_tensorflow_only_when_it_works():
    code = (
        "import sys; from tfxmodal.commands import cli, main; cli.run(lambda: main.dispatch([]));"
        "print(sorted({'tensorflow', 'keras', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.stdout.splitlines()[-1] == "[]"
