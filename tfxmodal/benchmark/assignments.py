"""Single settings as texts: `NAME.SETTING=VALUE`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tfxmodal.errors import InputError, choose


def assigned(texts: Sequence[str], name: str, *configs: type) -> dict[str, Any]:
    """The values that texts give to a name, whose settings are the fields of `configs`.

    Raises:
        InputError: If a setting is unknown, or its value is not of its type.
    """
    kinds = {k: kind for config in configs for k, kind in get_type_hints(config).items()}
    found = {}
    for of, setting, value in map(assignment, texts):
        if of != name:
            continue
        choose(f"setting of {name}", setting, kinds)
        if not _fits(value, kinds[setting]):
            raise InputError(
                f"`set` {name}.{setting} must be {kinds[setting]}; received {value!r}."
            )
        found[setting] = value
    return found


def assignment(text: str) -> tuple[str, str, Any]:
    """`NAME.SETTING=VALUE` in its parts; the value is JSON, or else a text."""
    place, equals, value = text.partition("=")
    name, dot, setting = place.partition(".")
    if not (equals and dot):
        raise InputError(f"`set` takes NAME.SETTING=VALUE; received {text!r}.")
    try:
        return name, setting, json.loads(value)
    except ValueError:
        return name, setting, value


def _fits(value, kind) -> bool:
    """Whether a value of JSON is of the type of a config's field."""
    within, origin = get_args(kind), get_origin(kind)
    if origin is Literal:
        return value in within
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in within)
    if origin is tuple:
        return isinstance(value, list) and all(_fits(each, within[0]) for each in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, {float: (int, float), Path: str}.get(kind, kind))
