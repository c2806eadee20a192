"""Model servers as an operator sees them: states of versions, and changes of configuration."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from tfxmodal.errors import InputError, check_ranges
from tfxmodal.serving.client.client import Client, ServerError
from tfxmodal.serving.client.protos.serving_pb2 import ModelServerConfig, ReloadConfigRequest

POLL_SECONDS = 0.2

TO_ANSWER = 10.0
"""Seconds within which a server answers, but for a configuration whose models it loads first."""

ENDED_FOR = 5.0
"""Seconds that an END with an error has to stand to be a failure: a server that is told to load a
version once more goes on for a moment to tell how the earlier attempt ended."""

SILENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
"""What is told in place of a server that does not answer."""

SERVED = ("START", "LOADING", "AVAILABLE")
"""States of a version that is served, or soon will be."""


class ModelServers:
    """Servers that hold the same models; false if there are none. A context manager."""

    def __init__(
        self,
        targets: Sequence[str],
        model: str,
        wait: float,
        tls: Path | None = None,
        polled: bool = False,
    ):
        """Connects with the first request, not now.

        Args:
            targets: `HOST:PORT` of each.
            model: The model whose versions are looked at.
            wait: Seconds that a version may take to load.
            tls: PEM file of the authority that signed the servers' certificates; encrypts.
            polled: They poll their models.config, so that they are sent none.

        Raises:
            InputError: If `wait` is not above 0.
        """
        self._model, self.wait = model, wait
        check_ranges(self, wait="(0, inf)")
        self._servers = {
            target: _Server(target, model, deadline=TO_ANSWER, retries=0, tls=tls or False)
            for target in targets
        }
        self.polled = polled
        self._sent = {} if polled else self._servers

    def __enter__(self) -> "ModelServers":
        return self

    def __exit__(self, *_):
        for server in self._servers.values():
            server.close()

    def __bool__(self) -> bool:
        return bool(self._servers)

    def states(self) -> dict[str, dict[int, str]]:
        """By server and version: its state, with the error where it has one.

        Raises:
            ServerError: If a server does not answer.
        """
        return {target: server.states() for target, server in self._servers.items()}

    def leave_out_silent(self, log: Callable[[str], None]):
        """Goes on without the servers that do not answer, where others do; tells of each."""
        silent = {}
        for target, server in self._servers.items():
            try:
                server.states()
            except ServerError as error:
                if error.code not in SILENT:
                    raise
                silent[target] = error
        if len(silent) < len(self._servers):
            for target, why in silent.items():
                self._servers.pop(target).close()
                log(f"{target} is left out: {why}")

    def require_serving(self, kept: set[int], new: set[int]):
        """Checks that the servers run with the models.config that is about to be changed.

        A server tells its versions and not its paths. One that runs with another file would be
        told to look in a folder that is not its own, and could unload what it serves.

        Args:
            kept: Versions that have a label and keep one: each server must serve them.
            new: Versions that the file does not load so far: no server may serve them already.

        Raises:
            ServerError: If a server does not answer.
            InputError: If a server does not serve what the file says.
        """
        for target, states in self.states().items():
            for version in sorted(kept):
                if not _is_served(state := states.get(version, "unknown")):
                    raise InputError(
                        f"`config` loads version {version} of {self._model}, but at {target} it is "
                        f"{state}: give the file that this server runs with, or roll back to a "
                        "version that it serves."
                    )
            if there := {version for version in new if _is_served(states.get(version, ""))}:
                raise InputError(
                    f"{target} serves version {min(there)} of {self._model}, which `config` does "
                    "not load: give the file that this server runs with."
                )

    def wait_until_available(self, versions: set[int], kept: set[int]):
        """Waits until every server has loaded all `versions`.

        Args:
            versions: All that are to have a label.
            kept: Those of them that were served before.

        Raises:
            ServerError: If a server does not answer.
            InputError: If a version does not load, or not in time, or one is served no more.
        """
        give_up = time.monotonic() + self.wait
        for target, server in self._servers.items():
            ended = {}  # by version, since when
            while waiting := {
                version: state
                for version in versions
                if (state := server.states().get(version, "unknown")) != "AVAILABLE"
            }:
                if lost := {version for version in kept if waiting.get(version) == "END"}:
                    raise InputError(
                        f"{target} has unloaded version {min(lost)} of {self._model}: base_path "
                        "in `config` is not where it has the models; restart it with its own file."
                    )
                now = time.monotonic()
                ended = {v: ended.get(v, now) for v, s in waiting.items() if s.startswith("END: ")}
                version, state = min(waiting.items())
                what = f"version {version} of {self._model} at {target}"
                if now - ended.get(version, now) > ENDED_FOR:
                    raise InputError(f"{what} does not load ({state}): export it again.")
                if now > give_up:
                    raise InputError(
                        f"{what} is not AVAILABLE after {self.wait:g} s, but {state}: see that "
                        "the server finds it under the base_path, or give a longer `wait`."
                    )
                time.sleep(POLL_SECONDS)

    def reload(self, config: ModelServerConfig):
        """Gives every server the configuration of all its models, where they do not poll it.

        Raises:
            ServerError: If one refuses it or does not answer.
        """
        for server in self._sent.values():
            server.reload(config, self.wait)

    def restore(self, config: ModelServerConfig) -> dict[str, ServerError]:
        """Like `reload`, for every server that takes it.

        Returns:
            By server: why it could not be set back.
        """
        failed = {}
        for target, server in self._sent.items():
            try:
                server.reload(config, self.wait)
            except ServerError as error:
                failed[target] = error
        return failed


def _is_served(state: str) -> bool:
    return state.partition(":")[0] in SERVED


class _Server(Client):
    def states(self) -> dict[int, str]:
        try:
            return self.status()
        except ServerError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:  # no version of it so far
                return {}
            if error.code not in SILENT:
                raise
            told = f"{str(error)[:-1]}, or leave it out of `server` if it is gone."
            raise ServerError(told, error.code, error.details) from None

    def reload(self, config: ModelServerConfig, wait: float):
        """Gives it a configuration; it answers once the models of that are loaded."""
        request, seconds = ReloadConfigRequest(config=config), max(wait, TO_ANSWER)
        try:
            self._call(self._stub.reload, request, "new configuration", seconds)
        except ServerError as error:
            if error.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            told = (
                f"{self.target} did not take the new configuration within {seconds:g} s: look "
                "into its log, or give a longer `wait`."
            )
            raise ServerError(told, error.code, error.details) from None
