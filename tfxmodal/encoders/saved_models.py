"""SavedModels of others: by a TensorFlow Hub handle, or from a local folder."""

from __future__ import annotations

import http.client
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfxmodal.errors import InputError, first_line
from tfxmodal.lazy import tf

UNFIT = (AttributeError, LookupError, OSError, TypeError, ValueError)
"""What fails in the use of a SavedModel that is damaged or has another signature."""


def resolve(handle: str) -> str:
    """The local folder of a handle, downloaded where it is not there yet.

    Raises:
        InputError: If it cannot be had.
    """
    if Path(handle).is_dir():
        return handle
    import tensorflow_hub  # Slow to import, and a local folder does not need it.

    try:
        return tensorflow_hub.resolve(handle)
    except (
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
        http.client.HTTPException,
        tarfile.TarError,
        tf.errors.OpError,
        zlib.error,
    ) as error:
        raise InputError(
            f"The TensorFlow Hub handle {handle!r} cannot be had ({first_line(error)}); check it "
            "and the network, or give the folder of a SavedModel."
        ) from error


@contextmanager
def serving_default_of(handle: str, role: str, must: str) -> Iterator[None]:
    """Loads and probes a SavedModel in its block.

    Args:
        handle: The SavedModel, for the message.
        role: What it should be, as in "image encoder".
        must: What its serving_default must do.

    Raises:
        InputError: If it is damaged, or has another signature.
    """
    try:
        yield
    except (*UNFIT, tf.errors.OpError) as error:
        raise InputError(
            f"The SavedModel {handle} is no {role} ({first_line(error)}); its serving_default must "
            f"{must}."
        ) from error
