"""Moving the labels of a served model: what each action means, and the steps that it takes.

TensorFlow Serving refuses a whole configuration that moves a label to a version it has not loaded,
so a roll-out takes two steps: load the version, wait until it is AVAILABLE, move the label.
"""

from __future__ import annotations

from collections.abc import Callable

from tfxmodal.errors import InputError
from tfxmodal.serving.release.labels import ModelLabels
from tfxmodal.serving.release.model_servers import ModelServers


def roll_out(
    action: str,
    version: int | None,
    labels: ModelLabels,
    servers: ModelServers,
    log: Callable[[str], None] = lambda line: None,
) -> set[int]:
    """Loads a version, waits, and moves labels to it; what goes wrong is undone.

    Args:
        action: `canary`, `promote` or `rollback`.
        version: The version, where the labels do not tell it.
        labels: The models.config, which is rewritten.
        servers: Every server of the model. Where they poll the file, a version that it does not
            load yet takes two calls, a step each.
        log: Is told of each server that could not be set back, or is left out.

    Returns:
        Versions that servers which poll the file have to load before the same call moves the
        labels; none where these have moved.

    Raises:
        InputError: If the action asks for what is not there, the file does not name the versions
            that are loaded, no server is given, or one cannot follow.
    """
    labels.require_named_versions()
    wanted = PLANS[action](labels.current, version)
    kept = set(wanted.values()) & set(labels.current.values())
    first = set(wanted.values()) - kept  # A call that was killed may have loaded them.
    new = first - labels.versions
    for number in new:
        labels.require_folder(number)
    if not servers:
        raise InputError(
            "`server` is empty, and a label must not move to a version that a server has not "
            "loaded: give every server of the model, and `polled` where they poll the file."
        )
    if servers.polled and not first:  # Nothing is to be loaded, and a pod may be gone meanwhile.
        servers.leave_out_silent(log)
    servers.require_serving(kept, new)  # Nothing is written while one does not answer.
    try:
        if first:
            labels.load(first)
            labels.write()
            servers.reload(labels.config)
            if new and servers.polled:
                return new
        servers.wait_until_available(kept | first, kept)
        labels.move(wanted)
        labels.write()
        servers.reload(labels.config)
    except BaseException:  # An interrupt, too, must not leave half a step.
        for target, why in servers.restore(labels.restored().config).items():
            log(f"{target} could not be set back: {why}")
        raise
    return set()


def plan_canary(labels: dict[str, int], version: int | None) -> dict[str, int]:
    """Labels with `canary` at `version`."""
    _require(labels, "stable", "promote a `version` first")
    if version is None:
        raise InputError("Which `version` is the canary? Give its number.")
    return labels | {"canary": version}


def plan_promote(labels: dict[str, int], version: int | None) -> dict[str, int]:
    """Labels with `stable` at the canary's version or another, and `previous` at what it was."""
    if version is None:
        version = _require(labels, "canary", "make a canary first, or promote a `version`")
    stable = labels.get("stable", version)
    return labels | {"stable": version} | ({"previous": stable} if stable != version else {})


def plan_rollback(labels: dict[str, int], version: int | None) -> dict[str, int]:
    """Labels with all that was at the stable version at the previous or another."""
    bad = _require(labels, "stable", "there is nothing to roll back")
    if version is None:
        version = _require(labels, "previous", "roll back to a `version`")
    moved = {label: version if number == bad else number for label, number in labels.items()}
    return {label: number for label, number in moved.items() if label != "previous"}


PLANS = {"canary": plan_canary, "promote": plan_promote, "rollback": plan_rollback}


def _require(labels: dict[str, int], label: str, remedy: str) -> int:
    if label not in labels:
        there = ", ".join(sorted(labels)) or "none"
        raise InputError(f"The model has no label {label!r} (it has: {there}): {remedy}.")
    return labels[label]
