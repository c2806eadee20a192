"""TF_CONFIG, by which a worker knows the others and itself: read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfxmodal.errors import InputError

EXAMPLE = (
    '{"cluster": {"worker": ["host-a:2222", "host-b:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
"""That of the first of two workers; the second has index 1."""


@dataclass(frozen=True)
class Task:
    """A worker's place among all.

    Attributes:
        index: Its number, from 0, the chief.
        addresses: `HOST:PORT` of all, in the order of their numbers, by their names, `worker:0`.
    """

    index: int = 0
    addresses: Mapping[str, str] = field(default_factory=lambda: {"worker:0": ""})


def task_of(environment: Mapping[str, str]) -> Task:
    """The worker that an environment describes, as TensorFlow reads it.

    Raises:
        InputError: If TF_CONFIG is missing, or no description of a worker.
    """
    text = environment.get("TF_CONFIG")
    if not text:
        raise InputError(
            "`strategy` multi_worker reads the environment variable TF_CONFIG, and it is not set: "
            f"set it for each worker, as in TF_CONFIG='{EXAMPLE}'."
        )
    try:
        return _task(json.loads(text))
    except ValueError as error:
        reason = "is no JSON" if isinstance(error, json.JSONDecodeError) else error
        raise InputError(
            f"TF_CONFIG {text[:300]!r} {reason}: write it as in TF_CONFIG='{EXAMPLE}', with the "
            "same cluster on every worker and an index of its own."
        ) from error


def _task(config: Any) -> Task:
    """The place that a TF_CONFIG gives; a ValueError says what is wrong with it."""
    cluster = config.get("cluster") if isinstance(config, dict) else None
    if not isinstance(cluster, dict) or not cluster:
        raise ValueError("names no cluster")
    unknown = sorted(cluster.keys() - {"chief", "worker"})
    if unknown:
        raise ValueError(f"names tasks of type {unknown[0]}, which this training does not have")
    addresses: dict[str, str] = {}
    for job in ("chief", "worker"):  # The order in which TensorFlow counts them.
        given = cluster.get(job, [])
        if not isinstance(given, list) or not all(map(_is_address, given)):
            raise ValueError(f"gives {given!r} for {job}, not a list of HOST:PORT")
        addresses |= {f"{job}:{number}": address for number, address in enumerate(given)}
    if "chief:1" in addresses or len(set(addresses.values())) < len(addresses):
        raise ValueError("names more than one chief, or an address twice")
    task = config.get("task")
    name = f"{task.get('type')}:{task.get('index')}" if isinstance(task, dict) else ""
    if name not in addresses:
        raise ValueError(f"gives the task {task!r}, which is not in its cluster")
    return Task(list(addresses).index(name), addresses)


def _is_address(text: Any) -> bool:
    host, _, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536
