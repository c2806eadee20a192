"""What is looked at before a request is sent: where a server batches, a wrong one harms others.

There a request whose shape differs fails all that share its batch, and one of no rows is never
answered and costs the server a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import MAX_TEXT_BYTES
from tfxmodal.errors import InputError
from tfxmodal.serving.client.protos import serving_pb2 as pb
from tfxmodal.serving.client.tensors import to_tensor, type_name


def check_several(inputs: Mapping):
    """Checks that inputs are several rows, not one.

    Raises:
        InputError: If a single text or picture is given.
    """
    for name, rows in inputs.items():
        if isinstance(rows, str | bytes | Path):
            raise InputError(f"A single {name} is given, {str(rows)[:40]!r}: give a list.")


def check_lengths(texts: Iterable[str]) -> list[str]:
    """Texts in a list, none of them longer than a model takes.

    Raises:
        InputError: If one is, or is no text.
    """
    texts = list(texts)
    for row, text in enumerate(texts):
        if not isinstance(text, str | bytes):
            raise InputError(f"`text` takes strings; received {text!r:.40} in row {row}.")
        size = len(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
        if size > MAX_TEXT_BYTES:
            raise InputError(
                f"`text` takes up to {MAX_TEXT_BYTES:,} bytes a row; received {size:,} in row "
                f"{row}: shorten it."
            )
    return texts


def check_finite(name: str, rows: np.ndarray):
    """Checks that rows of numbers `[b, ...]` hold neither NaN nor infinity.

    Raises:
        InputError: If one does.
    """
    finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
    if not finite.all():
        raise InputError(
            f"`{name}` must be finite as {rows.dtype}; row {finite.argmin()} is not: leave it out."
        )


def tensor_of(name: str, rows) -> pb.TensorProto:
    """The tensor of an input.

    Args:
        name: The input's name.
        rows: Strings, bytes or numbers: an array, a list, or anything that gives them one by one.

    Raises:
        InputError: If there are none, or they are no rows of one type.
    """
    check_several({name: rows})
    try:
        tensor = to_tensor(rows if isinstance(rows, np.ndarray) else list(rows))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"`{name}` cannot be sent ({error}): give rows of strings, bytes or numbers."
        ) from None
    shape = _shape(tensor)
    if not shape or not shape[0]:
        raise InputError(f"`{name}` has no rows: give one or more.")
    return tensor


def fault_of(
    name: str, signatures: Mapping[str, pb.SignatureDef], inputs: Mapping[str, pb.TensorProto]
) -> str | None:
    """Why a request does not fit its signature, in one sentence; nothing if it is not known.

    Args:
        name: The signature's name.
        signatures: What each takes and gives, by name.
        inputs: What the request holds, one row or more.
    """
    if name not in signatures:
        return None
    signature = signatures[name]
    wanted = ", ".join(f"`{key}`" for key in sorted(signature.inputs))
    if inputs.keys() != signature.inputs.keys():
        given = ", ".join(f"`{key}`" for key in sorted(inputs)) or "nothing"
        return f"The signature {name} takes {wanted}; received {given}."
    for key, tensor in inputs.items():
        told = signature.inputs[key]
        if tensor.dtype != told.dtype:
            kind, given = type_name(told.dtype), type_name(tensor.dtype)
            return f"`{key}` of {name} must be of type {kind}; received {given}."
        shape, given = _shape(told), _shape(tensor)
        fits = len(shape) == len(given) and all(map(_fits, shape, given))
        if not fits and not told.tensor_shape.unknown_rank:
            asked = str(shape).replace("-1", "any")
            return f"`{key}` of {name} must have the shape {asked}; received {given}."
    counts = {key: _shape(tensor)[0] for key, tensor in inputs.items()}
    by_rows = all(_shape(output).count(-1) == 1 for output in signature.outputs.values())
    if by_rows and len({*counts.values()}) > 1:
        told = ", ".join(f"{count} of `{key}`" for key, count in sorted(counts.items()))
        return f"The inputs of {name} belong together row by row; received {told}: give as many."
    return None


def _fits(wanted: int, given: int) -> bool:
    return wanted in (-1, given)


def _shape(tensor) -> list[int]:
    return [dim.size for dim in tensor.tensor_shape.dim]
