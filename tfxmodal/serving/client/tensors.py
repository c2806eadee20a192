"""Arrays as TensorFlow Serving takes and gives them: TensorProto, without TensorFlow."""

from __future__ import annotations

import math

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.serving.client.protos import serving_pb2 as pb

FIELDS = {
    pb.DT_FLOAT: (np.dtype(np.float32), "float_val"),
    pb.DT_DOUBLE: (np.dtype(np.float64), "double_val"),
    pb.DT_INT32: (np.dtype(np.int32), "int_val"),
    pb.DT_INT64: (np.dtype(np.int64), "int64_val"),
    pb.DT_BOOL: (np.dtype(np.bool_), "bool_val"),
    pb.DT_STRING: (np.dtype(object), "string_val"),
}
"""By type: NumPy's name for it, and the field that holds its values one by one."""

TYPES = {dtype: kind for kind, (dtype, _) in FIELDS.items()}
NAMES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}
"""What TensorFlow calls its types, where that is not the name in the enumeration."""


def encode(array: np.ndarray) -> pb.TensorProto:
    """The tensor of an array, as `tf.make_tensor_proto` makes it.

    Args:
        array: Of any shape and a type in `FIELDS`; as objects bytes, or str which become UTF-8
            (half of a surrogate pair, which UTF-8 cannot hold, becomes `?`, as in training).

    Raises:
        InputError: If it is of another type.
    """
    if array.dtype not in TYPES:
        known = ", ".join(dtype.name for dtype in TYPES)
        raise InputError(f"An array of {array.dtype} cannot be sent: give one of {known}.")
    tensor = pb.TensorProto(dtype=TYPES[array.dtype])
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if array.dtype.hasobject:
        values = (x.encode("utf-8", "replace") if isinstance(x, str) else x for x in array.flat)
        tensor.string_val.extend(values)
    else:
        tensor.tensor_content = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return tensor


def decode(tensor: pb.TensorProto) -> np.ndarray:
    """The array of a tensor, as `tf.make_ndarray` makes it; strings are bytes, as objects.

    Values are in `tensor_content`, or else one by one in their type's field, where the last stands
    for all that follow, and none for zeros.

    Raises:
        InputError: If its type is not in `FIELDS`, or its values do not fill its shape.
    """
    if tensor.dtype not in FIELDS:
        raise InputError(f"A tensor of {type_name(tensor.dtype)} cannot be read here.")
    dtype, field = FIELDS[tensor.dtype]
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    size = math.prod(shape)
    if tensor.tensor_content and not dtype.hasobject:
        given = np.frombuffer(tensor.tensor_content, dtype.newbyteorder("<")).astype(dtype)
    else:
        given = np.fromiter(getattr(tensor, field), dtype)
        last = given[-1] if given.size else b"" if dtype.hasobject else 0
        missing = np.full(max(0, size - given.size), last, dtype)
        given = np.concatenate([given, missing])
    if min(shape, default=0) < 0 or given.size != size:
        raise InputError(f"A tensor of shape {shape} holds {given.size} values.")
    return given.reshape(shape)


def type_name(kind: int) -> str:
    """TensorFlow's name of a type: `float32` of DT_FLOAT, `string` of DT_STRING."""
    if kind not in pb.DataType.values():
        return f"type {kind}"
    name = pb.DataType.Name(kind)
    return NAMES.get(name, name.removeprefix("DT_").lower())


def to_tensor(value) -> pb.TensorProto:
    """A tensor of float32 or strings from a list or an array."""
    # As objects: NumPy's own type for bytes loses zeros at their end.
    array = np.asarray(value, getattr(value, "dtype", object))
    if array.dtype.kind in "USO" and all(isinstance(x, str | bytes) for x in array.flat):
        return encode(array.astype(object))
    with np.errstate(over="ignore"):  # It is infinity then, which the model calls a bad row.
        return encode(np.asarray(value, np.float32))


def to_array(tensor: pb.TensorProto) -> np.ndarray:
    """The array of a tensor; strings are decoded from UTF-8."""
    array = decode(tensor)
    return np.vectorize(bytes.decode, otypes=[str])(array) if array.dtype.hasobject else array
