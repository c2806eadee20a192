"""What a message advises can be given to the command that prints it."""

import ast
import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from tfxmodal.commands import cli, train
from tfxmodal.commands.main import COMMANDS
from tfxmodal.inputs.config import HANDLING, PLACE, DataConfig
from tfxmodal.methods import METHODS

LIBRARY = Path(train.__file__).parents[1]
FILES = sorted(path for path in LIBRARY.rglob("*.py") if "protos" not in path.parts)
PRINTED_BY = {
    "methods/gradient/distil.py": "train",  # examples of its help
    "methods/gradient/drsl.py": "train",
    "methods/gradient/scl.py": "train",
    "serving/export/writing.py": "export_savedmodel",  # the README of an export
    "serving/model_server.py": "serve",  # some flags of TensorFlow Serving are named alike
}
"""Files of the library whose texts are one command's."""

FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)(?![\w-])")
NAME = re.compile(r"`([A-Za-z_]\w*)`")


def texts(path: Path) -> list[str]:
    """All texts in a file but for its docstrings, and for the commands of other programs."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    found = [c.value for c in constants if isinstance(c.value, str) and id(c) not in docstrings]
    return [text for text in found if not text.startswith("pip install ")]


def flags_of(file: str) -> set[str]:
    """The fields behind a command's flags."""
    command = importlib.import_module(f"tfxmodal.commands.{file}")
    if file != "train":
        return {*cli.flag_names(command.Flags)}
    return {name for spec in METHODS.values() for name in cli.flag_names(train.flags_class(spec))}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_flag_in_a_text_is_one_of_the_command_that_prints_it(path):
    named = {flag.replace("-", "_") for text in texts(path) for flag in FLAG.findall(text)}
    if path.parent.name == "commands":
        command = path.stem if path.stem in {*COMMANDS.values(), "auto"} else None
    else:  # The library names arguments, which the command turns into its flags.
        command = PRINTED_BY.get(str(path.relative_to(LIBRARY)))
    if command:
        assert named <= flags_of(command) | {"help"}
    elif path.stem not in ("main", "cli"):  # They have the help itself, and flags' old names.
        assert not named


@pytest.mark.parametrize("file", ["train", "train_towers", "extract_features"])
def test_what_loads_a_dataset_takes_all_that_its_messages_advise(file):
    assert {field.name for field in dataclasses.fields(DataConfig)} <= flags_of(file)


@pytest.mark.parametrize("file", ["evaluate", "build_index", "export_savedmodel"])
def test_what_loads_the_pairs_of_a_run_takes_what_may_be_other_there(file):
    """Of what the loaders advise the rest is the run's own, and cannot be chosen again."""
    advised = {
        name
        for room in ("data", "inputs", "encoders")
        for path in (LIBRARY / room).rglob("*.py")
        for text in texts(path)
        for name in NAME.findall(text)
    }
    assert {"data_dir", "download", "dataset_options", "on_bad_image"} <= advised
    chosen_again = {*PLACE, *HANDLING}
    assert advised & chosen_again <= flags_of(file)
    assert chosen_again <= flags_of(file)
