"""TensorFlow and Keras, imported when they are first used, without their start-up messages.

They take seconds to import, which a command's `--help` and the query client need not wait for.
Modules of the library write `from tfxmodal.lazy import keras, tf`. A module that defines a layer
imports TensorFlow at once, so what `--help` reads imports such modules inside its functions.
"""

import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

START_UP = re.compile(
    r"WARNING: All log messages before absl::InitializeLog|[IW]0000 |"
    r"E0000 .*(Unable to register cu|computation placer already registered)"
)
"""Lines that TensorFlow writes on every start."""

NO_GPU = re.compile(r"E0000 .*failed call to cuInit")
"""What it writes where there is no GPU; where there is one, it tells why it cannot be used."""

GPU_FILES = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg")


class LazyModule(ModuleType):
    """Stands for a module, which is imported when the first of its names is asked for."""

    def __getattr__(self, name: str):
        return getattr(_imported(self.__name__), name)


if TYPE_CHECKING:  # Type checkers see the modules themselves.
    import keras
    import tensorflow as tf
else:
    keras, tf = LazyModule("keras"), LazyModule("tensorflow")


def _imported(name: str) -> ModuleType:
    _start()
    return importlib.import_module(name)


@cache
def _start():
    """Imports both, once.

    Raises:
        ImportError: If Keras runs on another backend.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _without_start_up_messages():
        import tensorflow

        tensorflow.config.list_physical_devices()
        import keras

    if keras.config.backend() != "tensorflow":
        raise ImportError(
            f"tfxmodal needs Keras on TensorFlow, and Keras runs on {keras.config.backend()!r}: "
            "set KERAS_BACKEND=tensorflow before Keras is imported."
        )


@contextmanager
def _without_start_up_messages() -> Iterator[None]:
    """Holds back what is written to standard error, and then passes on what is no routine.

    TensorFlow's C++ code writes to the file descriptor, before any of its settings count.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile("w+", errors="replace") as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not _is_routine(line):
                    sys.stderr.write(line)


def _is_routine(line: str) -> bool:
    has_gpu = any(Path(file).exists() for file in GPU_FILES)
    return bool(START_UP.match(line) or (NO_GPU.match(line) and not has_gpu))
