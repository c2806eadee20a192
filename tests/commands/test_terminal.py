from rich.table import Table

from tfxmodal.commands import cli
from tfxmodal.commands.terminal import Terminal, show


def test_bars_are_silent_where_the_output_is_no_terminal(capfd):
    terminal = Terminal()
    assert list(terminal.bar(range(3), total=3, desc="work")) == [0, 1, 2]
    terminal.training(epochs=2, done=0)
    terminal.step(1, 2)
    terminal.trained()
    terminal.say("done")
    assert capfd.readouterr() == ("done\n", "")


def test_a_table_in_a_pipe_is_as_wide_as_it_is(capsys):
    path = "a/" * 300 + "photo.jpg"
    table = Table("id", title=f"of {path}")
    table.add_row(path)
    show(table)
    told = capsys.readouterr().out
    assert told.count(path) == 2 and told.startswith(f"of {path}\n")


def test_a_table_on_a_terminal_keeps_to_its_width(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    table = Table("id")
    table.add_row("a/" * 300)
    show(table)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "a/" in line]
    assert len(line) == 40


def test_an_argument_in_what_is_told_is_a_flag(capsys, monkeypatch):
    monkeypatch.setattr(cli, "_flags", {"mi_negatives"})
    Terminal().say("choose by `mi_negatives`, not `k`")
    assert capsys.readouterr().out == "choose by --mi-negatives, not `k`\n"
