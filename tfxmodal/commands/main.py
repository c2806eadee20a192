"""The command `tfxmodal`: `tfxmodal COMMAND [flags]` calls one of the other files here."""

import ast
import importlib
import sys
from pathlib import Path

from tfxmodal.commands import cli
from tfxmodal.errors import choose

COMMANDS = {
    "train": "train",
    "evaluate": "evaluate",
    "benchmark": "benchmark",
    "compare": "compare",
    "extract": "extract_features",
    "croissant": "write_croissant",
    "index": "build_index",
    "export": "export_savedmodel",
    "verify": "verify_savedmodel",
    "serve": "serve",
    "query": "query",
    "release": "release",
    "service": "search_service",
    "train-encoders": "train_towers",
}
"""Each command's file. Only the file of the command that runs is imported."""


def main():
    """Runs the command that the command line names; without one, lists them all."""
    cli.run(lambda: dispatch(sys.argv[1:]))


def dispatch(argv: list[str]):
    """Calls a command.

    Args:
        argv: Its name and its arguments.

    Raises:
        InputError: If there is no such command, or what the command raises.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(listing())
        return
    name, *arguments = argv
    choose("command", name, COMMANDS)
    sys.argv[0] = f"tfxmodal {name}"  # The name that help and errors show.
    importlib.import_module(f"tfxmodal.commands.{COMMANDS[name]}").main(arguments)


def listing() -> str:
    """All commands, each with the first line of its file's docstring."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {_first_line(file)}" for name, file in COMMANDS.items()]
    usage = (
        "usage: tfxmodal COMMAND [flags]\n\nCommands (`tfxmodal COMMAND --help` tells the flags):"
    )
    return "\n".join([usage, *lines])


def _first_line(file: str) -> str:
    """The first line of a file's docstring, read without importing the file."""
    source = Path(__file__).with_name(f"{file}.py").read_text("utf-8")
    return ast.get_docstring(ast.parse(source)).partition("\n")[0]
