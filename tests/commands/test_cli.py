import dataclasses
import errno
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tensorflow as tf
import tyro

from tfxmodal.commands import cli, failures
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.io.atomic import whole_file
from tfxmodal.search.stores.faiss_store import FaissStore
from tfxmodal.search.stores.store import About, StoredItems


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


ROOM = ": make room, and give the same command again."
NODE = "{{function_node __wrapped__SaveV2_dtypes_3_device_/job:localhost/device:CPU:0}} "


def test_a_full_disk_is_told_in_a_sentence(told):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/a/metrics.json")
    assert told(full) == f"No space left on device: runs/a/metrics.json{ROOM}"
    assert told(OSError("cannot read\nat all")) == "cannot read"
    absent = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a")
    assert told(absent) == "No such file or directory: a"


def test_the_remedy_for_a_full_disk_is_a_flag_of_the_command():
    full = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "a")
    assert failures.told(full, {"resume"}).endswith("again, with `resume`.")


@pytest.mark.parametrize("library", ["numpy", "faiss", "open"])
def test_a_full_disk_in_another_library(told, library, tmp_path, file_limit):
    path, rows = tmp_path / "a", np.zeros([400, 32], np.float32)

    def write():
        if library == "faiss":
            items = StoredItems([str(row) for row in range(len(rows))], rows)
            FaissStore(About("a model", "texts"), path).add(items)
        else:
            with whole_file(path) as file:
                np.save(file, rows) if library == "numpy" else file.write(bytes(30_000))

    file_limit(10_000)
    with pytest.raises(OSError) as error:
        write()
    file_limit(None)
    line = told(error.value)
    what = "A file could not be written to its end" if library == "numpy" else "File too large"
    assert line.startswith(f"{what}: {path}") and line.endswith(ROOM)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_under_hdf5(told):
    message = (
        "Can't synchronously write data (file write failed: time = Wed Nov 25 2026\n, filename = "
        "'/a.h5', file descriptor = 3, errno = 28, error message = 'No space left on device', buf)"
    )
    assert told(OSError(errno.ENOSPC, message)) == f"No space left on device: /a.h5{ROOM}"


@pytest.mark.parametrize(
    "kind, message, expected",
    [
        (
            tf.errors.ResourceExhaustedError,
            NODE + "r/last/ckpt-1_temp/part-00000-of-00001.data.tempstate9; No space left on "
            "device [Op:SaveV2]",
            f"No space left on device: r/last/ckpt-1{ROOM}",
        ),
        (
            tf.errors.ResourceExhaustedError,
            NODE + "r/logs/e.v2; No space left on device\n\tFailed to flush 1 [Op:WriteSummary]",
            f"No space left on device: r/logs/e.v2{ROOM}",
        ),
        (tf.errors.OutOfRangeError, "a; File too large [Op:X]", f"File too large: a{ROOM}"),
        (tf.errors.PermissionDeniedError, "/a; Permission denied", "Permission denied: /a"),
        (tf.errors.UnavailableError, "/a; Read-only file system", "Read-only file system: /a"),
        (tf.errors.UnknownError, "/a b; Input/output error", "Input/output error: /a b"),
        (tf.errors.FailedPreconditionError, NODE + "/a; Is a directory", "Is a directory: /a"),
        (
            tf.errors.NotFoundError,
            "Unsuccessful TensorSliceReader constructor: Failed to find any matching files for /a",
            "No such file or directory: /a",
        ),
        (
            tf.errors.DataLossError,
            NODE + "truncated record at 9 [Op:IteratorGetNext] name: ",
            "A file is cut short or damaged (truncated record at 9): write or download it again.",
        ),
        (
            tf.errors.ResourceExhaustedError,
            NODE + "OOM when allocating tensor with shape[9,9] and type float on /job:localhost/"
            "replica:0/task:0/device:GPU:1 by allocator GPU_1_bfc [Op:Fill] name: ",
            "The memory of GPU:1 is not enough (OOM when allocating tensor with shape[9,9] and "
            "type float on /job:localhost/replica:0/task:0/device:GPU:1 by allocator GPU_1_bfc): "
            "end other programs that use it, or run on the CPU (CUDA_VISIBLE_DEVICES=-1).",
        ),
        (
            tf.errors.InternalError,
            "Failed copying input tensor from CPU:0 to GPU:0: Dst tensor is not initialized.",
            "The memory of GPU:0 is not enough (Failed copying input tensor from CPU:0 to GPU:0: "
            "Dst tensor is not initialized.): end other programs that use it, or run on the CPU "
            "(CUDA_VISIBLE_DEVICES=-1).",
        ),
    ],
)
def test_tensorflows_errors_of_files_and_memory_are_told_in_a_sentence(
    told, kind, message, expected
):
    assert told(kind(None, None, message)) == expected


def test_tensorflows_own_errors_are_those(told, tmp_path):
    """As it raises them, so that a change of their wording is noticed."""
    with pytest.raises(tf.errors.OpError) as error:
        tf.io.read_file(str(tmp_path))
    assert told(error.value) == f"Is a directory: {tmp_path}"
    with pytest.raises(tf.errors.OpError) as error:
        tf.io.read_file("/nowhere/a")
    assert told(error.value) == "No such file or directory: /nowhere/a"
    with pytest.raises(tf.errors.OpError) as error:
        tf.zeros([10**7, 10**6])
    assert told(error.value).startswith("The memory is not enough (OOM when allocating tensor")


def test_too_large_a_batch_is_told_as_the_flag():
    told = failures.told(MemoryError("Unable to allocate 9 GiB"), {"batch_size", "seed"})
    assert told == (
        "The memory is not enough (Unable to allocate 9 GiB): lower `batch_size`, or end other "
        "programs that use it."
    )


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.FailedPreconditionError(None, None, "Could not find variable nix."),
        tf.errors.InvalidArgumentError(None, None, "Matrix size-incompatible; [2,3] and [2,3]"),
        tf.errors.NotFoundError(None, None, "Resource localhost/x does not exist."),
        tf.errors.InternalError(None, None, "a; b"),
        ZeroDivisionError(),
        ValueError("a; No space left on device"),
    ],
)
def test_a_fault_of_the_program_keeps_its_traceback(error):
    def main():
        raise error

    with pytest.raises(type(error)):
        cli.run(main)


@pytest.mark.parametrize("error", [InputError(), OSError(), InputError("  \n")])
def test_an_error_without_a_message_is_told_by_its_kind(told, error):
    assert told(error) == type(error).__name__


def test_a_flag_of_an_earlier_version_is_taken():
    @dataclass
    class Old:
        image_encoder: str = "none"

    assert cli.parse(Old, "", ["--image-tower", "vgg19"]).image_encoder == "vgg19"
    assert cli.parse(Old, "", ["--image-tower=vgg19"]).image_encoder == "vgg19"


@pytest.mark.parametrize("given", [["--image_tower", "vgg19"], ["--image_tower=vgg19"]])
def test_a_flag_with_underscores_is_taken_by_each_look(given):
    assert cli.look(given, image_encoder={}).image_encoder == "vgg19"
    assert cli.look(["--to=a_b=c", "--no"], to={"type": Path}).to == Path("a_b=c")
    flags = cli.parse(Flags, "", ["go", "--image_weights=a_b"])
    assert flags.image_weights == "a_b"


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
