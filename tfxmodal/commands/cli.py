"""What every command does alike: flags from dataclasses, one-sentence errors."""

import argparse
import os
import sys
from collections.abc import Callable

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tyro

from tfxmodal.errors import InputError

RENAMED = {
    "--image-tower": "--image-encoder",
    "--towers": "--encoders",
    "--anchors": "--landmarks",
}
"""Flags of earlier versions, and what they are called now."""


def parse(flags_class, description: str, argv: list[str] | None, defaults: Callable | None = None):
    """Reads the command line into a dataclass; its fields' docstrings are the help.

    Args:
        flags_class: The dataclass; nested dataclasses become plain flags without a prefix.
        description: What the command does, with an example.
        argv: The arguments, by default the program's own.
        defaults: From the name of the dataset to the flags' defaults, where they depend on it.
    """
    argv = [_renamed(word) for word in (sys.argv[1:] if argv is None else argv)]
    default = None
    if defaults:
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        first.add_argument("--dataset")
        default = defaults(first.parse_known_args(argv)[0].dataset)
    return tyro.cli(
        flags_class,
        description=description,
        args=argv,
        default=default,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone),
    )


def _renamed(word: str) -> str:
    flag, equals, value = word.partition("=")
    return RENAMED.get(flag, flag) + equals + value


def run(main: Callable[[], None]):
    """Runs a command's main; a user's mistake ends it with its one sentence and status 2."""
    try:
        main()
    except (InputError, OSError) as error:  # or the disk's: full, not writable
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
