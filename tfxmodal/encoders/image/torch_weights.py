"""PyTorch's weight files read without PyTorch, and without running what they hold."""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError, first_line

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


def read_torch_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a state dict that `torch.save` wrote in the format from before PyTorch 1.6.

    A pickle can name any callable to run; here it may name an ordered dict, a tensor and the
    storage types alone. The file is five pickles (magic, protocol, machine, the state dict, the
    storages' keys), then each storage as its length (int64) and raw values.

    Args:
        path: A `.pth` file.

    Returns:
        Arrays by name.

    Raises:
        InputError: If the file is missing, cut short, of another format, or names anything else.
    """
    storages: dict[str, np.ndarray] = {}

    def storage(reference):
        _, dtype, key, _, size, _ = reference
        return storages.setdefault(key, np.empty(size, dtype))

    try:
        with open(path, "rb") as file:

            def load():
                return _Restricted(file, storage).load()

            if load() != _MAGIC:
                raise pickle.UnpicklingError("its first number is not PyTorch's")
            load(), load()
            weights = load()
            if not all(isinstance(values, np.ndarray) for values in weights.values()):
                raise pickle.UnpicklingError("it holds more than arrays by name")
            for key in load():
                values = storages[key]
                if int.from_bytes(file.read(8), "little") != len(values):
                    raise EOFError("a storage's length does not match")
                if file.readinto(values) != values.nbytes:
                    raise EOFError("the file ends too early")
    except FileNotFoundError:
        raise InputError(f"The weights file {path} does not exist; give another path.") from None
    # Python's documentation of `pickle` names no kinds of error but "not necessarily limited to".
    except Exception as error:
        raise InputError(
            f"The weights file {path} cannot be read ({first_line(error)}); give a state dict "
            "saved by torch.save(..., _use_new_zipfile_serialization=False)."
        ) from error
    return dict(weights)


class _Restricted(pickle.Unpickler):
    """An unpickler that knows the names of a state dict and no others."""

    def __init__(self, file, storage):
        super().__init__(file)
        self.persistent_load = storage

    def find_class(self, module: str, name: str):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no weights need")


def _tensor(storage: np.ndarray, offset: int, shape, stride, *_) -> np.ndarray:
    """A view of a storage, which may be filled later; strides count elements."""
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if min(offset, *stride, 0) < 0 or last >= len(storage):
        raise pickle.UnpicklingError("a tensor reaches outside its storage")
    strides = [step * storage.itemsize for step in stride]
    return np.ndarray(shape, storage.dtype, storage, offset * storage.itemsize, strides)
