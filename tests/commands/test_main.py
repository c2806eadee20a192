import importlib
import inspect
import sys

import pytest

from tfxmodal.commands import cli, evaluate, main
from tfxmodal.commands.main import COMMANDS


@pytest.fixture(autouse=True)
def name_of_the_program(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tfxmodal"])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_a_file_with_a_main(name):
    module = importlib.import_module(f"tfxmodal.commands.{COMMANDS[name]}")
    assert next(iter(inspect.signature(module.main).parameters)) == "argv"


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_without_a_command_all_are_listed_with_a_line_each(argv, capsys):
    main.dispatch(argv)
    lines = capsys.readouterr().out.splitlines()[-len(COMMANDS) :]
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert all(len(line.split()) > 4 for line in lines)


def test_a_command_gets_the_arguments_behind_its_name(monkeypatch):
    monkeypatch.setattr(evaluate, "main", lambda argv: seen.append((argv, sys.argv[0])))
    seen = []
    main.dispatch(["evaluate", "--run", "runs/a"])
    assert seen == [(["--run", "runs/a"], "tfxmodal evaluate")]


def test_help_and_errors_name_the_command(capsys):
    with pytest.raises(SystemExit):
        main.dispatch(["query", "--help"])
    assert "usage: tfxmodal query" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.run(lambda: main.dispatch(["query"]))
    assert capsys.readouterr().err.startswith("tfxmodal query: Nothing or too much is asked")


def test_an_unknown_command_is_told_with_those_there_are(complaint):
    assert "Unknown command 'trian'; use one of: benchmark, compare" in complaint(
        main.dispatch, "trian"
    )
