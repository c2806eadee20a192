import os
import signal

import pytest

from tfxmodal.training.interrupts import asking, stop_signals, unheard

BOTH = (signal.SIGINT, signal.SIGTERM)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", BOTH)
def test_where_somebody_asks_a_signal_is_an_answer_and_no_exception(number):
    with stop_signals() as asked, asking():
        assert asked() == 0
        send(number)
        assert asked() == number


def test_a_second_ctrl_c_ends_at_once():
    with pytest.raises(KeyboardInterrupt), stop_signals(), asking():
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        send(signal.SIGINT)


def test_where_nobody_asks_the_first_signal_ends_the_program():
    with pytest.raises(KeyboardInterrupt), stop_signals():
        send(signal.SIGINT)
    with pytest.raises(SystemExit) as exit, stop_signals():
        send(signal.SIGTERM)
    assert exit.value.code == 143
    with pytest.raises(KeyboardInterrupt), stop_signals():
        with asking(), asking():  # A training of a benchmark.
            pass
        send(signal.SIGINT)


def test_signals_are_heard_after_a_call_that_takes_them_for_itself():
    before = [signal.getsignal(number) for number in BOTH]
    with unheard():  # Nobody hears signals: what Python does with them stays.
        assert [signal.getsignal(number) for number in BOTH] == before
    with stop_signals() as asked, asking():
        with unheard():
            assert {signal.getsignal(number) for number in BOTH} == {signal.SIG_DFL}
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        send(signal.SIGTERM)
        assert asked() == signal.SIGTERM


def test_handlers_are_restored_whatever_happens():
    before = [signal.getsignal(number) for number in BOTH]
    with stop_signals():
        assert [signal.getsignal(number) for number in BOTH] != before
    with pytest.raises(ZeroDivisionError), stop_signals():
        _ = 1 / 0
    assert [signal.getsignal(number) for number in BOTH] == before
