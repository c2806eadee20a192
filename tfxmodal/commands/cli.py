"""What every command does alike: flags from dataclasses, one-sentence errors."""

import argparse
import contextlib
import dataclasses
import io
import os
import re
import signal
import sys
import typing
from collections.abc import Callable, Iterator

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tyro

from tfxmodal.commands import failures
from tfxmodal.errors import InputError

RENAMED = {
    "--image-tower": "--image-encoder",
    "--towers": "--encoders",
    "--anchors": "--landmarks",
}
"""Flags of earlier versions, and what they are called now."""

_flags: set[str] = set()
"""The fields behind the flags of the command that runs, for the messages of errors."""


def parse(flags_class, description: str, argv: list[str] | None, defaults: Callable | None = None):
    """Reads the command line into a dataclass; its fields' docstrings are the help.

    Args:
        flags_class: The dataclass; nested dataclasses become plain flags without a prefix.
        description: What the command does, with an example.
        argv: The arguments, by default the program's own.
        defaults: From the name of the dataset to the flags' defaults, where they depend on it.

    Raises:
        InputError: If a dataclass refuses its values. Words that are no flags, or no values of
            theirs, end the program with tyro's message and status 2.
    """
    _flags.clear()
    _flags.update(flag_names(flags_class))
    argv = [_renamed(word) for word in (sys.argv[1:] if argv is None else argv)]
    default = defaults(look(argv, dataset={}).dataset) if defaults else None
    with _input_errors_pass():
        return tyro.cli(
            flags_class,
            description=description,
            args=argv,
            default=default,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone),
        )


def look(words: list[str], **flags: dict) -> argparse.Namespace:
    """What some flags have as their values, ahead of `parse`, whose defaults may follow from them.

    Args:
        words: The command line's.
        **flags: By the field's name, what `argparse.ArgumentParser.add_argument` takes.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, how in flags.items():
        first.add_argument(f"--{name.replace('_', '-')}", **how)
    return first.parse_known_args([_renamed(word) for word in words])[0]


@contextlib.contextmanager
def _input_errors_pass() -> Iterator[None]:
    """Raises the InputError of a nested dataclass, which tyro would print in a frame of its own."""
    held = io.StringIO()
    try:
        with contextlib.redirect_stderr(held):
            yield
    except SystemExit as exit:
        cause = exit.__context__
        while cause and not isinstance(cause, InputError):
            cause = cause.__context__
        if cause:
            raise cause from None
        sys.stderr.write(held.getvalue())
        raise


def flag_names(flags_class) -> Iterator[str]:
    """The names of a dataclass's fields, of nested ones too, that are flags by `parse`."""
    for name, kind in typing.get_type_hints(flags_class, include_extras=True).items():
        if dataclasses.is_dataclass(kind):
            yield from flag_names(kind)
        elif tyro.conf.Positional not in getattr(kind, "__metadata__", ()):
            yield name


def refuse_unread(flags, task: str, read: dict[str, set[str]]):
    """Refuses flags that the task would pass over.

    Args:
        flags: The command's dataclass.
        task: What it does.
        read: By task the fields that it reads; one that is named nowhere is of all tasks.

    Raises:
        InputError: If a field has not its default, and other tasks alone read it.
    """
    for field in dataclasses.fields(flags):
        readers = [name for name in read if field.name in read[name]]
        if readers and task not in readers and getattr(flags, field.name) != field.default:
            raise InputError(
                f"`{field.name}` is read by {', '.join(readers)}, and not by {task}: leave it out."
            )


def with_flags(message: str) -> str:
    """A message of the library, where it names an argument that is a flag of this command.

    `` `learning_rate` `` becomes `--learning-rate`; other names in backticks stay as they are.
    """

    def flag(name: re.Match) -> str:
        return f"--{name[1].replace('_', '-')}" if name[1] in _flags else name[0]

    return re.sub(r"`([A-Za-z_]\w*)`", flag, message)


def run(main: Callable[[], None]):
    """Runs a command's main.

    A user's mistake, and what fails outside the program (disks, files, memory), end it with one
    sentence and status 2. A fault of the program keeps its traceback.
    """
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        message = str(error) if isinstance(error, InputError) else failures.told(error, _flags)
        if message is None:
            raise
        line = " ".join(with_flags(message).split()) or type(error).__name__
        print(f"{os.path.basename(sys.argv[0])}: {line}", file=sys.stderr)
        sys.exit(2)


def stopped(number: int, told: str):
    """Ends a command whose work is not done, so that nothing that needs it goes on.

    Args:
        number: The signal that stopped it; 0 where another worker had it, as after SIGTERM.
        told: What is left, and how to go on.

    Raises:
        SystemExit: With the code of a program that the signal ended, 130 or 143.
    """
    print(f"Stopped; {told}")
    sys.exit(128 + (number or signal.SIGTERM))


def _renamed(word: str) -> str:
    """A word of the command line; a flag by its name of now, with hyphens, as tyro takes it too."""
    flag, equals, value = word.partition("=")
    if flag.startswith("--"):
        flag = flag.replace("_", "-")
    return RENAMED.get(flag, flag) + equals + value
