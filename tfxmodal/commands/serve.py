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

import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from tfxmodal.commands import cli
from tfxmodal.errors import InputError
from tfxmodal.serving.client.protos.serving_pb2 import ModelServerConfig
from tfxmodal.serving.model_config import model_config, unbatchable
from tfxmodal.serving.model_server import BINARY, ServerConfig, command_line, find_binary


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    model: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """Folder of a model with its integer versions, such as MODELS/flickr8k; can be repeated."""

    config: Path | None = None
    """A models.config: base paths, version policies and labels."""

    server: ServerConfig = field(default_factory=ServerConfig)

    development: bool = False
    """Take the development server even where TensorFlow Serving is there."""


def main(argv: list[str] | None = None):
    """Serves until SIGTERM or SIGINT."""
    flags = cli.parse(Flags, __doc__, argv)
    models, server = model_config(flags.model, flags.config), flags.server
    if server.batching and (names := unbatchable(models)):
        raise InputError(
            f"{', '.join(names)} must not be batched, rows of callers would mix: serve it by "
            "another server, without --batching."
        )
    binary = None if flags.development else find_binary()
    if binary:
        run_real(binary, server, models)
    else:
        if server.monitoring:
            raise InputError("The development server has no metrics: leave out --monitoring.")
        why = "" if flags.development else f"{BINARY} is neither on PATH nor in TF_MODEL_SERVER: "
        what = "development server, for trying and testing, not for production; gRPC only, no REST"
        print(f"{why}{what}.", flush=True)
        run_development(server, models)


def run_real(binary: str, server: ServerConfig, models: ModelServerConfig):
    """Runs TensorFlow Serving; signals are passed on to it, and its exit status is ours."""
    with tempfile.TemporaryDirectory(prefix="tfxmodal-serve-") as folder:
        command = command_line(binary, server, models, Path(folder))
        print(" ".join(command), flush=True)
        early = []
        on_signals(early.append)
        with subprocess.Popen(command) as process:
            on_signals(process.send_signal)
            for number in early:
                process.send_signal(number)
            status = process.wait()
    sys.exit(status if status >= 0 else 128 - status)


def run_development(server: ServerConfig, models: ModelServerConfig):
    """Runs the development server until a signal comes."""
    from tfxmodal.dev_server.batching import Batching
    from tfxmodal.dev_server.server import DevServer, Tls

    stop = threading.Event()
    on_signals(lambda number: stop.set())
    with DevServer(
        models,
        server.port,
        Tls(server.tls_key, server.tls_cert) if server.tls_key else None,
        Batching.read(server.batching) if server.batching else None,
        server.threads,
        poll_seconds=server.poll_seconds,
        log=lambda line: print(line, flush=True),
    ) as running:
        names = ", ".join(model.name for model in models.model_config_list.config)
        print(f"Ready: {names} at localhost:{running.port} (gRPC).", flush=True)
        stop.wait()
        print("Stopping.", flush=True)


def on_signals(act: Callable[[int], None]):
    """Lets SIGTERM and SIGINT do what `act` does with their number."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: act(number))
