"""Serves exported models over gRPC (and REST): by TensorFlow Serving, or else by a small stand-in.

`tensorflow_model_server` is run if it is on PATH or TF_MODEL_SERVER names it. Without it, a
development server in Python answers over gRPC with the same names, messages and error codes; it is
for trying and testing, not for production. New versions are taken up as they appear.

Examples:
  python export/serve.py --model MODELS/flickr8k
  python export/serve.py --model MODELS/flickr8k --model MODELS/flickr8k_matrix --port 9000
  python export/serve.py --config models.config --batching export/deploy/config/batching_cpu.config
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tfxmodal.commands import cli
from tfxmodal.dev_server.batching import Batching
from tfxmodal.dev_server.server import DevServer, Tls
from tfxmodal.errors import InputError
from tfxmodal.io.reading import read_text
from tfxmodal.lazy import tf
from tfxmodal.serving.model_config import model_config, unbatchable

BINARY = "tensorflow_model_server"
KINDS = ("intra", "inter")


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    model: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """Folder of a model with its integer versions, such as MODELS/flickr8k; can be repeated."""

    config: Path | None = None
    """A models.config: base paths, version policies and labels."""

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

    development: bool = False
    """Take the development server even where TensorFlow Serving is there."""


def main(argv: list[str] | None = None):
    """Serves until SIGTERM or SIGINT."""
    tf.get_logger().setLevel("ERROR")  # the session loader is deprecated, and what is served by
    flags = cli.parse(Flags, __doc__, argv)
    if (flags.tls_key is None) != (flags.tls_cert is None):
        raise InputError("--tls-key and --tls-cert go together: give both, or neither.")
    config = model_config(flags.model, flags.config)
    if flags.batching and (names := unbatchable(config)):
        raise InputError(
            f"{', '.join(names)} must not be batched, rows of callers would mix: serve it by "
            "another server, without --batching."
        )
    binary = None if flags.development else find_binary()
    if binary:
        run_real(binary, flags, config)
    else:
        if flags.monitoring:
            raise InputError("The development server has no metrics: leave out --monitoring.")
        run_development(flags, config)


def find_binary() -> str | None:
    """TensorFlow Serving's program: TF_MODEL_SERVER's, or the one on PATH.

    Raises:
        InputError: If TF_MODEL_SERVER names no program.
    """
    named = os.environ.get("TF_MODEL_SERVER")
    if named and not shutil.which(named):
        raise InputError(f"TF_MODEL_SERVER is {named!r}, which is no program: correct or unset it.")
    return shutil.which(named or BINARY)


def real_command(binary: str, flags: Flags, config: ModelServerConfig, folder: Path) -> list[str]:
    """TensorFlow Serving's command line; the files it names are written into `folder`."""
    models = folder / "models.config"
    models.write_text(text_format.MessageToString(config))
    command = [
        binary,
        f"--port={flags.port or free_port()}",
        f"--rest_api_port={flags.rest_port}",
        f"--model_config_file={models}",
        f"--file_system_poll_wait_seconds={max(1, round(flags.poll_seconds))}",
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_grpc_healthcheck_service=true",
        # Without threads of their own, loads wait for a version that fails and is tried again.
        "--num_load_threads=2",
        "--max_num_load_retries=2",
        "--load_retry_interval_micros=5000000",
        "--grpc_max_threads=64",  # By default four a core: more requests at once are refused.
    ]
    if flags.threads:
        command += [f"--tensorflow_{kind}_op_parallelism={flags.threads}" for kind in KINDS]
    if flags.batching:
        command += ["--enable_batching=true", f"--batching_parameters_file={flags.batching}"]
    if flags.monitoring:
        command += [f"--monitoring_config_file={flags.monitoring}"]
    if flags.tls_key:
        ssl = folder / "ssl.config"
        ssl.touch(mode=0o600)
        key, certificate = (json.dumps(read_text(p)) for p in (flags.tls_key, flags.tls_cert))
        ssl.write_text(f"server_key: {key}\nserver_cert: {certificate}\nclient_verify: false\n")
        command += [f"--ssl_config_file={ssl}"]
    return command


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def run_real(binary: str, flags: Flags, config: ModelServerConfig):
    """Runs TensorFlow Serving; signals are passed on to it, and its exit status is ours."""
    with tempfile.TemporaryDirectory(prefix="tfxmodal-serve-") as folder:
        command = real_command(binary, flags, config, Path(folder))
        print(" ".join(command), flush=True)
        early = []
        on_signals(early.append)
        with subprocess.Popen(command) as process:
            on_signals(process.send_signal)
            for number in early:
                process.send_signal(number)
            status = process.wait()
    sys.exit(status if status >= 0 else 128 - status)


def on_signals(act: Callable[[int], None]):
    """Lets SIGTERM and SIGINT do what `act` does with their number."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: act(number))


def run_development(flags: Flags, config: ModelServerConfig):
    """Runs the development server until a signal comes."""
    why = "" if flags.development else f"{BINARY} is neither on PATH nor in TF_MODEL_SERVER: "
    print(f"{why}development server, for trying and testing, not for production.", flush=True)
    stop = threading.Event()
    on_signals(lambda number: stop.set())
    with DevServer(
        config,
        flags.port,
        Tls(flags.tls_key, flags.tls_cert) if flags.tls_key else None,
        Batching.read(flags.batching) if flags.batching else None,
        flags.threads,
        poll_seconds=flags.poll_seconds,
        log=lambda line: print(line, flush=True),
    ) as server:
        names = ", ".join(model.name for model in config.model_config_list.config)
        print(f"Ready: {names} at localhost:{server.port} (gRPC).", flush=True)
        stop.wait()
        print("Stopping.", flush=True)
