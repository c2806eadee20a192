"""What a loaded version must answer.

Each check returns what it saw, for people, or raises a `Fault`.
"""

from __future__ import annotations

import struct
from itertools import product

import grpc
import numpy as np

from tfxmodal.lazy import tf
from tfxmodal.serving.export.eager import Arrays
from tfxmodal.serving.export.examples import distance, pictures
from tfxmodal.serving.verification.examined import Fault, Version, first_line
from tfxmodal.serving.verification.served_model import RequestError

TOLERANCE = 1e-5
"""Of numbers, absolute and relative, where a model's own rounding is small."""
OF_ROUNDING = 10
"""A server's answers may be so many times off as the eager model's own are by rounding alone (see
`examples.rounding`); a wrong operation is off by far more."""
MOST_ROUNDING = 1e-3
"""A model that amplifies rounding to more is not published: nothing could be told of its answers.
"""

BOMB = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 20_000, 20_000, 8, 2, 0, 0, 0)
BAD = {
    "image": [b"", b"no picture", pictures()[0][:200], BOMB],
    "text": [b"", b" \n"],
    "numbers": [np.nan, np.inf, -np.inf],
}
"""Rows that have no answer."""

ODD = {
    "image": [],
    "text": [b"\xff\xfe\xfa", b"\x00", "\U0001f9ff".encode(), b"qzxqzx" * 10_000],
    "numbers": [3e38, -3e38],
}
"""Rows of which it depends on the model whether they have."""


def check_loading(version: Version) -> str:
    """A session loads it, in a process that did not make it, and replays its warm-up records."""
    _ = version.model
    lost = version.signatures.keys() - version.examples.keys()
    for name in sorted(lost):
        inputs = version.signatures[name].inputs.items()
        try:
            version.ask(name, {key: _blank(spec) for key, spec in inputs})
        except RequestError as error:
            if error.code is not grpc.StatusCode.INVALID_ARGUMENT:  # A blank may be refused.
                raise Fault(f"{name} fails: {first_line(error)}") from error
    if lost:
        raise Fault(f"there is no warm-up record of {min(lost)}, so that servers cannot try it")
    return f"{len(version.examples)} warm-up records"


def _blank(spec) -> np.ndarray:
    """A row of zeros, or empty strings."""
    shape = [max(1, dim.size) for dim in spec.tensor_shape.dim]
    dtype = tf.as_dtype(spec.dtype)
    return np.full(shape, b"" if dtype == tf.string else 0, dtype.as_numpy_dtype)


def check_parity(version: Version) -> str:
    """Each signature answers as the eager model did, batches of any size alike, and each row."""
    furthest, rounding = 0.0, version.about.get("rounding", 0.0)
    if rounding > MOST_ROUNDING:
        raise Fault(
            f"the model's answers differ by {rounding:.1e} from batch to batch, since it amplifies "
            "rounding: train it with more epochs, or one in closed form with a larger `ridge`"
        )
    for name, (inputs, outputs) in version.examples.items():
        names = sorted(inputs)
        total = len(inputs[names[0]])
        parts = [slice(total), slice(0), *(slice(row, row + 1) for row in range(total))]
        windows = [(rows,) * len(names) for rows in parts]
        if not version.about["batchable"]:  # [n, m] of n and m rows
            windows = list(product(parts, repeat=len(names)))
        for window in windows:
            given = {key: inputs[key][rows] for key, rows in zip(names, window, strict=True)}
            corner = window[0] if version.about["batchable"] else window
            wanted = {key: value[corner] for key, value in outputs.items()}
            what = f"{name} of {' and '.join(str(len(rows)) for rows in given.values())} rows"
            answer = _ask(version, name, given, what)
            furthest = max(furthest, _compare(what, answer, wanted, _tolerance(version)))
    return f"within {furthest:.1e} of the eager model, by whole batches and by rows"


def check_bad_input(version: Version) -> str:
    """A bad row is flagged or refused and harms no other; no answer is ever NaN."""
    asked = 0
    for name, (inputs, outputs) in version.examples.items():
        for key, rows in inputs.items():
            kind = key if key in ("image", "text") else "numbers"
            for value in BAD[kind] + ODD[kind]:
                spoiled = rows.copy()
                spoiled[1] = value
                shown = value if kind == "numbers" else value[:12]
                _check_spoiled(
                    version,
                    name,
                    inputs | {key: spoiled},
                    outputs,
                    surely=value in BAD[kind],
                    what=f"{name} with {key} {shown!r} in row 1",
                )
                asked += 1
    return f"{asked} requests, each with a bad row"


def _check_spoiled(version: Version, name, inputs, outputs, surely: bool, what: str):
    try:
        answer = version.ask(name, inputs)
    except RequestError as error:
        refused = version.about["on_bad_input"] == "refuse"
        if not refused or error.code != grpc.StatusCode.INVALID_ARGUMENT:
            raise Fault(f"{what} fails: {first_line(error)}") from error
        if "row 1 " not in error.message:
            raise Fault(f"{what} is refused, but not the row: {first_line(error)}") from error
        return
    for key, values in answer.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise Fault(f"{what} gives numbers in {key} that are not finite")
    if version.about["batchable"]:
        others = [0, 2]
        _compare(
            f"the rows beside it, of {what},",
            {key: values[others] for key, values in answer.items()},
            {key: values[others] for key, values in outputs.items()},
            _tolerance(version),
        )
    if surely and version.about["on_bad_input"] == "refuse":
        raise Fault(f"{what} is answered, not refused")
    if surely and answer["valid"][1]:
        raise Fault(f"{what} is called valid")
    if "valid" in answer and not answer["valid"][1] and any(v[1:2].any() for v in answer.values()):
        raise Fault(f"{what} is not valid, and its answer is not empty")


def _ask(version: Version, name: str, inputs: Arrays, what: str) -> Arrays:
    try:
        return version.ask(name, inputs)
    except RequestError as error:
        raise Fault(f"{what} fails: {first_line(error)}") from error


def _tolerance(version: Version) -> float:
    return max(TOLERANCE, OF_ROUNDING * version.about.get("rounding", 0.0))


def _compare(what: str, answer: Arrays, wanted: Arrays, tolerance: float = TOLERANCE) -> float:
    """Checks an answer, and tells how far its numbers are from those wanted."""
    furthest = 0.0
    if not answer.get("valid", np.True_).all():
        raise Fault(f"{what} is called not valid")
    for key, expected in wanted.items():
        found = answer[key]
        if found.shape != expected.shape:
            raise Fault(f"{what} gives {key} {[*found.shape]} in place of {[*expected.shape]}")
        if expected.dtype == object:
            same = found == expected
            tied = _tied(wanted["scores"], tolerance) if key == "ids" else False
            if not (same | tied).all():
                raise Fault(f"{what} finds other {key} than the eager model")
            continue
        off = distance(found, expected)
        if not off <= tolerance:  # NaN is not either.
            raise Fault(f"{what} gives {key} that is {off:.1e} off the eager model's")
        furthest = max(furthest, off)
    return furthest


def _tied(scores: np.ndarray, tolerance: float) -> np.ndarray:
    """Which of the best scores, `[b, k]`, are so close to others that rounding orders them."""
    close = -np.diff(scores, axis=1) < 2 * tolerance * np.maximum(1, np.abs(scores[:, 1:]))
    after = np.pad(close, [[0, 0], [0, 1]], constant_values=True)  # What follows is not known.
    return after | np.pad(close, [[0, 0], [1, 0]])
