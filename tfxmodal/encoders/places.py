"""Encoders in folders: names that hold from any directory, and that hold after a move."""

from __future__ import annotations

import os

COPIED = "text_cnn"
"""What is copied into a run: where it was does not matter any more."""


def absolute(place: str) -> str:
    """The absolute path of what is there; anything else, such as the name of a preset, as it is."""
    return os.path.abspath(place) if os.path.exists(place) else place


def placed(name: str) -> str:
    """The name of an encoder, or of several with `+` between, with absolute paths of folders."""
    from tfxmodal.encoders.text import names_of_parts

    parts = (part.partition(":") for part in names_of_parts(name))
    return "+".join(
        kind + colon + (absolute(place) if colon else "") for kind, colon, place in parts
    )


def without_place(name: str) -> str:
    """The name of an encoder, or of several, without folders, of whose content hashes tell."""
    from tfxmodal.encoders.text import names_of_parts

    def without(part: str) -> str:
        kind, colon, place = part.partition(":")
        anywhere = colon and (kind == COPIED or os.path.isabs(absolute(place)))
        return f"{kind}:" if anywhere else part

    return "+".join(map(without, names_of_parts(name)))
