"""The models of a server: which versions should be loaded, which are, which have a label.

As in TensorFlow Serving, a new version is loaded before the old one goes, one that fails to load is
tried again while the old one serves on, and a label moves only to a version that is available.
"""

import gc
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from tfxmodal.serving.client.protos.serving_pb2 import ModelConfig, ModelServerConfig
from tfxmodal.serving.messages import get_model_status_pb2, model_pb2
from tfxmodal.serving.model_config import versions
from tfxmodal.serving.verification.served_model import RequestError, ServedModel, invalid

ModelSpec = model_pb2.ModelSpec
ModelVersionStatus = get_model_status_pb2.ModelVersionStatus
State = ModelVersionStatus.State
LONGEST_WAIT = 60.0
"""Seconds between two attempts to load a version; the first ones follow sooner."""


@dataclass
class _Version:
    state: int = State.START
    model: ServedModel | None = None
    error: str = ""
    failures: int = 0
    retry_at: float = 0.0


class ModelStore:
    """Loads and unloads as a ModelServerConfig and the folders say."""

    def __init__(self, load: Callable[[Path], ServedModel], log: Callable[[str], None]):
        """Begins empty: call `configure`, then `poll` every now and then.

        Args:
            load: From a version's folder to the loaded model.
            log: Told, in a line, of each version that comes, goes or fails.
        """
        self._load, self._log = load, log
        self._changing = threading.RLock()  # held by who loads; requests never wait for it
        self._models: dict[str, ModelConfig] = {}
        self._versions: dict[str, dict[int, _Version]] = {}

    def configure(self, config: ModelServerConfig):
        """Takes other models, policies and labels, and loads what they want.

        Raises:
            RequestError: If a label in use would move to a version that is not available (nothing
                changes then), or a new model has no version that loads.
        """
        if config.WhichOneof("config") != "model_config_list":
            raise invalid("Only ModelConfigList is currently supported")
        with self._changing:
            models = {model.name: model for model in config.model_config_list.config}
            for model in models.values():
                self._check_labels(model)
            self._models = models
            self.poll()
        for name in models:
            if not self._available(name):
                errors = "; ".join(v.error for v in self._versions.get(name, {}).values())
                raise RequestError(
                    grpc.StatusCode.UNKNOWN, f"{name} did not become available: {errors}"
                )

    def poll(self):
        """Looks at the folders once: loads what is new, then unloads what is no longer wanted."""
        with self._changing:
            for name, model in self._models.items():
                if os.path.isdir(model.base_path):  # One that is gone unloads nothing.
                    self._follow(name, _wanted(model))
            for name in self._versions.keys() - self._models.keys():
                self._follow(name, {})

    def find(self, spec: ModelSpec) -> tuple[int, ServedModel]:
        """The version, and its number, that a request asks for: by default the latest.

        Raises:
            RequestError: If it is not there.
        """
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        available = self._available(spec.name)
        wanted = self._number(spec)
        number = max(available, default=None) if wanted is None else wanted
        if number not in available:
            asked = f"Latest({spec.name})" if wanted is None else f"Specific({spec.name}, {wanted})"
            raise RequestError(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}"
            )
        return number, available[number]

    def status(self, spec: ModelSpec) -> list[ModelVersionStatus]:
        """The state of a model's versions, or of the one asked for by number; no label matters.

        Raises:
            RequestError: If there is none.
        """
        known = self._versions.get(spec.name, {})
        wanted = spec.version.value if spec.HasField("version") else None
        if not known or (wanted is not None and wanted not in known):
            what = "any versions" if wanted is None else f"version {wanted}"
            raise RequestError(
                grpc.StatusCode.NOT_FOUND, f"Could not find {what} of model {spec.name}"
            )
        statuses = []
        for number, version in sorted(known.items(), reverse=True):
            if wanted in (None, number):
                status = ModelVersionStatus(version=number, state=version.state)
                status.status.error_code = grpc.StatusCode.UNKNOWN.value[0] if version.error else 0
                status.status.error_message = version.error
                statuses.append(status)
        return statuses

    def _number(self, spec: ModelSpec) -> int | None:
        """The number that a request names, itself or by a label."""
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            model = self._models.get(spec.name)
            if model is None or spec.version_label not in model.version_labels:
                raise invalid(f"Unrecognized servable version label: {spec.version_label}")
            return model.version_labels[spec.version_label]
        return spec.version.value if choice == "version" else None

    def _available(self, name: str) -> dict[int, ServedModel]:
        known = self._versions.get(name, {}).copy()
        return {number: model for number, v in known.items() if (model := v.model) is not None}

    def _check_labels(self, model: ModelConfig):
        """A new label may wait for its version, as with --allow_version_labels_for_unavailable."""
        used = self._models[model.name].version_labels if model.name in self._models else {}
        for label, number in model.version_labels.items():
            moves = label in used and used[label] != number
            if moves and number not in self._available(model.name):
                raise RequestError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Request to assign label to version {number} of model {model.name}, which is "
                    "not currently available for inference",
                )

    def _follow(self, name: str, wanted: dict[int, Path]):
        known = self._versions.setdefault(name, {})
        for number, folder in wanted.items():
            version = known.setdefault(number, _Version())
            if version.model is None and time.monotonic() >= version.retry_at:
                self._try(name, number, folder, version)
        served = self._available(name)
        if not wanted or served.keys() & wanted.keys():
            for number in served.keys() - wanted.keys():
                known[number].model, known[number].state = None, State.END
                self._log(f"Unloaded {name} version {number}.")
            if served.keys() - wanted.keys():
                del served
                gc.collect()  # the session goes with the last request that uses it

    def _try(self, name: str, number: int, folder: Path, version: _Version):
        version.state, start = State.LOADING, time.monotonic()
        try:
            version.model = self._load(folder)
        except Exception as error:  # A broken export can fail in any way; the server lives on.
            wait = min(2.0**version.failures, LONGEST_WAIT)
            version.error = f"{folder} does not load: {error}"
            version.failures += 1
            version.retry_at, version.state = time.monotonic() + wait, State.END
            self._log(f"{version.error} It is tried again in {wait:.0f} s.")
            return
        version.error, version.state = "", State.AVAILABLE
        self._log(f"Loaded {name} version {number} in {time.monotonic() - start:.1f} s.")


def _wanted(model: ModelConfig) -> dict[int, Path]:
    """The version folders that a model's policy wants: by default the latest."""
    present, policy = versions(Path(model.base_path)), model.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return present
    if kind == "specific":
        return {number: present[number] for number in policy.specific.versions if number in present}
    latest = policy.latest.num_versions or 1
    return dict(list(present.items())[-latest:])
