"""The one error that a user's input raises, and the checks that most often raise it.

A message names arguments in backticks, as in "`learning_rate` must be above 0; received -1.0.". The
command line writes them as its flags.
"""

import math
import re
from collections.abc import Sequence


class InputError(ValueError):
    """Something the user gave is wrong.

    The message is one sentence for a person: what is wrong with which argument, what was received,
    what to do. Commands print it without a traceback.
    """

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names in backticks in the message."""
        return tuple(re.findall(r"`([A-Za-z_]\w*)`", str(self)))


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its kind where it has none."""
    return str(error).strip().split("\n")[0].strip() or type(error).__name__


def some_of(names: Sequence[str], most: int = 3) -> str:
    """The first of many names: "a, b, c, ..."."""
    return ", ".join([*names[:most], *["..."] * (len(names) > most)])


def choose(argument: str, value: str, valid) -> None:
    """Checks that a name is one of those known.

    Args:
        argument: The argument's name, as the user knows it.
        value: What was received.
        valid: The names that are known.

    Raises:
        InputError: If `value` is none of `valid`; the message lists them.
    """
    if value not in valid:
        names = ", ".join(sorted(valid))
        raise InputError(f"Unknown {argument} {value!r}; use one of: {names}.")


def check_ranges(config, **ranges: str) -> None:
    """Checks numbers among the fields of a config.

    Args:
        config: A dataclass; a field may hold one number, several, or None, which passes.
        **ranges: By field an interval, as in `"[1, inf)"` or `"(0, 1]"`.

    Raises:
        InputError: If a number lies outside, or is NaN.
    """
    for name, interval in ranges.items():
        value = getattr(config, name)
        low, high = (float(bound) for bound in interval[1:-1].split(","))
        above = {"[": low.__le__, "(": low.__lt__}[interval[0]]
        below = {"]": high.__ge__, ")": high.__gt__}[interval[-1]]
        several = isinstance(value, (tuple, list))
        for number in value if several else [] if value is None else [value]:
            if not (above(float(number)) and below(float(number))):
                limits = _in_words(interval, low, high) + " each" * several
                raise InputError(f"`{name}` must be {limits}; received {value}.")


def _in_words(interval: str, low: float, high: float) -> str:
    """`[1, inf)` as "at least 1"."""
    if math.isinf(high):
        return f"{'at least' if interval[0] == '[' else 'above'} {low:g}"
    lower = f"{low:g}" if interval[0] == "[" else f"above {low:g}"
    upper = f"{high:.10g}" if interval[-1] == "]" else f"below {high:g}"
    return f"from {lower} to {upper}"
