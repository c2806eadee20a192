"""The one error that a user's input raises."""


class InputError(ValueError):
    """Something the user gave is wrong.

    The message is one sentence for a person: what is wrong with which argument, what was received,
    what to do. Commands print it without a traceback.
    """


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
