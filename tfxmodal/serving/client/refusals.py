"""What a server answers in place of a result, in sentences for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np

from tfxmodal.errors import InputError, some_of

if TYPE_CHECKING:
    from tfxmodal.serving.client.client import Client

Code = grpc.StatusCode

BY_OTHERS = {Code.INTERNAL, Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT}
"""What a request is told, too, when another one of its batch is wrong."""

TOO_MANY = "larger than maximum input batch size"
"""What the server says of a request with more rows than a batch holds."""

FAULTS = {"image": "no picture that can be read", "text": "no word that the model knows"}
REMEDIES = {
    "image": "give JPEG, PNG, GIF, BMP or WebP files",
    "text": "write other words, in the language of the captions that it was trained on",
}
SHOWN = 60
"""Characters of a text that a message shows."""

CLOSED = {Code.UNIMPLEMENTED, Code.PERMISSION_DENIED, Code.UNAUTHENTICATED}
"""What is told where a gateway lets only some calls pass."""


class ServerError(InputError):
    """A request that the server did not answer with a result, and what to do about it.

    Attributes:
        code: The gRPC status code.
        details: The server's own words.
    """

    def __init__(self, message: str, code: grpc.StatusCode, details: str):
        super().__init__(message)
        self.code, self.details = code, details


def explain(client: Client, code: grpc.StatusCode, details: str, what: str) -> str:
    """One sentence: what was asked for, what is there, what to do.

    Args:
        client: Who asked.
        code: What the server answered.
        details: The server's own words.
        what: What was asked for, such as `signature embed_text`.
    """
    model = f"model {client.spec.name!r} at {client.target}"
    if code == Code.UNAVAILABLE:
        return (
            f"No server answers at {client.target} ({details}): start one with export/serve.py, "
            "or correct the address and `tls`."
        )
    if code == Code.DEADLINE_EXCEEDED:
        return (
            f"The {model} did not answer within {client.deadline:g} s ({what}): send fewer "
            "rows at once, or allow more time."
        )
    if code == Code.NOT_FOUND or "version label" in details:
        there = client.available()
        if not there:
            return f"There is no {model}: correct the name, or serve it with export/serve.py."
        choice = client.spec.WhichOneof("version_choice")
        asked = {
            "version": client.spec.version.value,
            "version_label": f"labelled {client.spec.version_label!r}",
        }.get(choice, "the latest")
        return f"The {model} has no version {asked}: it has {there}."
    if code == Code.FAILED_PRECONDITION and "ignature" in details:
        try:
            names = ", ".join(sorted(client.metadata()[1]))
        except ServerError:
            names = "unknown ones"
        return f"The {model} has no {what}: it has {names}."
    remedy = ": send fewer rows at once." if TOO_MANY in details else ""
    return f"The {model} refused the request ({what}, {code.name}): {details}{remedy}"


def bad_rows(inputs: dict[str, Sequence], valid: np.ndarray) -> InputError:
    """What is wrong with rows that the model calls bad, as a person sees them."""
    bad, names = np.flatnonzero(~valid).tolist(), sorted(inputs)
    shown = [" with ".join(_shown(name, row, inputs[name][row]) for name in names) for row in bad]
    rows = some_of(shown)
    fault = " or ".join(FAULTS[name] for name in names)
    remedy = ", and ".join(REMEDIES[name] for name in names)
    if len(names) == len(valid) == 1:
        return InputError(f"The {names[0]} {rows} holds {fault}: {remedy}.")
    return InputError(f"{len(bad)} of {len(valid)} rows hold {fault} ({rows}): {remedy}.")


def _shown(name: str, row: int, value: bytes | str | Path) -> str:
    """A text, shortened, or a picture's path; the row where a picture has none."""
    if isinstance(value, bytes):
        return f"of row {row}"
    shown = str(value)
    return repr(shown if name == "image" or len(shown) <= SHOWN else f"{shown[:SHOWN]}...")
