"""What the service cannot do now, though nothing is wrong with what was asked."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tfxmodal.errors import InputError

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


@contextmanager
def storing() -> Iterator[None]:
    """Raises what a store or a disk fails with as StoreFailed."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise StoreFailed(error) from error
