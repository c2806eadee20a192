"""TensorFlow Serving's own program: where it is, and its command line."""

from __future__ import annotations

import json
import os
import shutil
import socket
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import SystemRandom

from google.protobuf import text_format

from tfxmodal.errors import InputError, check_ranges
from tfxmodal.io.reading import read_text
from tfxmodal.serving.client.protos.serving_pb2 import ModelServerConfig

BINARY = "tensorflow_model_server"
KINDS = ("intra", "inter")

PORTS = range(20_000, 32_768)
"""Those that are chosen: systems give connections ports above."""


@dataclass(frozen=True)
class ServerConfig:
    """How a server listens and runs."""

    port: int = 8500
    """Port for gRPC; 0 takes a free one."""

    rest_port: int = 8501
    """Port for REST, which the development server does not have; 0 is none."""

    batching: Path | None = None
    """A batching parameters file: rows of concurrent requests are run together."""

    monitoring: Path | None = None
    """A monitoring config file; not for the development server."""

    tls_key: Path | None = None
    """PEM file of the private key; with --tls-cert, gRPC is encrypted."""

    tls_cert: Path | None = None
    """PEM file of the certificate."""

    threads: int = 0
    """Threads of a session, within an op and between ops; 0 is one a core."""

    poll_seconds: float = 1.0
    """Time between two looks for new versions."""

    def __post_init__(self):
        ports = dict.fromkeys(("port", "rest_port"), "[0, 65535]")
        check_ranges(self, **ports, threads="[0, inf)", poll_seconds="(0, inf)")
        if (self.tls_key is None) != (self.tls_cert is None):
            raise InputError("`tls_key` and `tls_cert` go together: give both, or neither.")


def find_binary() -> str | None:
    """TensorFlow Serving's program: TF_MODEL_SERVER's, or the one on PATH.

    Raises:
        InputError: If TF_MODEL_SERVER names no program.
    """
    named = os.environ.get("TF_MODEL_SERVER")
    if named and not shutil.which(named):
        raise InputError(f"TF_MODEL_SERVER is {named!r}, which is no program: correct or unset it.")
    return shutil.which(named or BINARY)


def command_line(
    binary: str, config: ServerConfig, models: ModelServerConfig, folder: Path
) -> list[str]:
    """The program's command line; the files it names are written into `folder`."""
    models_file = folder / "models.config"
    models_file.write_text(text_format.MessageToString(models))
    command = [
        binary,
        f"--port={config.port or free_ports(1)[0]}",
        f"--rest_api_port={config.rest_port}",
        f"--model_config_file={models_file}",
        f"--file_system_poll_wait_seconds={max(1, round(config.poll_seconds))}",
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_grpc_healthcheck_service=true",
        # Without threads of their own, loads wait for a version that fails and is tried again.
        "--num_load_threads=2",
        "--max_num_load_retries=2",
        "--load_retry_interval_micros=5000000",
        "--grpc_max_threads=64",  # By default four a core: more requests at once are refused.
    ]
    if config.threads:
        command += [f"--tensorflow_{kind}_op_parallelism={config.threads}" for kind in KINDS]
    if config.batching:
        command += ["--enable_batching=true", f"--batching_parameters_file={config.batching}"]
    if config.monitoring:
        command += [f"--monitoring_config_file={config.monitoring}"]
    if config.tls_key:
        ssl = folder / "ssl.config"
        ssl.touch(mode=0o600)
        key, certificate = (json.dumps(read_text(p)) for p in (config.tls_key, config.tls_cert))
        ssl.write_text(f"server_key: {key}\nserver_cert: {certificate}\nclient_verify: false\n")
        command += [f"--ssl_config_file={ssl}"]
    return command


def free_ports(count: int) -> list[int]:
    """Different ports that nothing listens on now.

    They are among `PORTS`, so that no connection takes one before the server does.
    """
    order = SystemRandom().sample(PORTS, len(PORTS))
    return list(islice(filter(_is_free, order), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
