"""What the service cannot do now, though nothing is wrong with what was asked."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from tfxmodal.errors import InputError
from tfxmodal.serving.client.refusals import ServerError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Unready(InputError):
    """There is no gallery that could be searched, or its model is not the server's."""


class StoreFailed(Exception):
    """The store or the pictures cannot be read or written now.

    Attributes:
        is_full: Whether the disk is full.
    """

    def __init__(self, error: BaseException):
        super().__init__(f"{type(error).__name__}: {error}")
        number = getattr(error, "errno", None)
        self.is_full = number in FULL or any(os.strerror(each) in str(error) for each in FULL)


def fault_of(error: BaseException) -> list[str]:
    """What logs tell of an error: kind, code and the last frames of what caused it.

    Not its message, which may hold what was asked.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ServerError):
        codes = [error.code.name]
    else:  # LanceDB tells a number of the system in its words alone.
        number = getattr(error, "errno", None) or re.search(r"os error (\d+)", str(error))
        number = int(number[1]) if isinstance(number, re.Match) else number
        codes = [] if number is None else [errno.errorcode.get(number, str(number))]
    frames = traceback.extract_tb(error.__traceback__)
    return [type(error).__name__, *codes, *(f"{f.filename}:{f.lineno}" for f in frames[-5:])]


@contextmanager
def storing() -> Iterator[None]:
    """Raises what a store or a disk fails with as StoreFailed."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise StoreFailed(error) from error
