from tfxmodal.commands.terminal import Terminal


def test_bars_are_silent_where_the_output_is_no_terminal(capfd):
    terminal = Terminal()
    assert list(terminal.bar(range(3), total=3, desc="work")) == [0, 1, 2]
    terminal.training(epochs=2, done=0)
    terminal.step(1, 2)
    terminal.trained()
    terminal.say("done")
    assert capfd.readouterr() == ("done\n", "")
