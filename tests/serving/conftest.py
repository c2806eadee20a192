"""Servers to ask: the development server, and the real one that TF_MODEL_SERVER names."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serving import tiny
from tests.waiting import PATIENCE, eventually
from tfxmodal.dev_server.batching import Batching
from tfxmodal.dev_server.server import DevServer, Tls
from tfxmodal.serving.client.client import Client, ServerError
from tfxmodal.serving.model_config import model_config
from tfxmodal.serving.model_server import ServerConfig, command_line, find_binary, free_ports

REAL = pytest.param(
    "real",
    marks=pytest.mark.skipif(
        "TF_MODEL_SERVER" not in os.environ,
        reason="TF_MODEL_SERVER names no tensorflow_model_server",
    ),
)


@dataclass(frozen=True)
class Served:
    """A running server: its gRPC address, its REST address if it has one, and what it logs."""

    target: str
    rest: str | None
    log: Callable[[], str]

    def client(self, model: str = "tiny", **options) -> Client:
        return Client(self.target, model, **{"deadline": PATIENCE, **options})


@pytest.fixture(scope="session")
def versions(tmp_path_factory) -> dict[int, Path]:
    """Two versions of the small model, made once: their folders, to be copied."""
    base = tmp_path_factory.mktemp("versions") / "tiny"
    base.mkdir()
    return {version: tiny.write_version(base, version, seed=10 * version) for version in (1, 2)}


@pytest.fixture(scope="session")
def publish(versions):
    """`publish(base, 2)`: copies a version into a model's folder, at once complete."""

    def to(base: Path, version: int, name: str | None = None) -> Path:
        hidden = base / ".publishing"
        shutil.copytree(versions[version], hidden)
        return hidden.rename(base / (name or str(version)))

    return to


@pytest.fixture
def base(tmp_path, publish) -> Path:
    """A model's folder with version 1."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    publish(folder, 1)
    return folder


def start(kind: str, folder: Path, *models: Path, **options):
    """A context manager that serves `models`.

    Args:
        kind: `development` or `real`.
        folder: For the files of the real server.
        models: Their folders.
        options: config, batching, tls (text, text, a pair of paths).
    """
    config_file = options.get("config") and _written(folder / "models.config", options["config"])
    batching = options.get("batching") and _written(folder / "batching", options["batching"])
    config = model_config(models, config_file)
    return (_real if kind == "real" else _development)(folder, config, batching, options.get("tls"))


@contextmanager
def _development(folder: Path, config, batching, tls):
    log = []
    with DevServer(
        config,
        tls=tls and Tls(*tls),
        batching=batching and Batching.read(batching),
        poll_seconds=0.05,
        log=log.append,
    ) as server:
        yield Served(f"localhost:{server.port}", None, lambda: "\n".join(log))


@contextmanager
def _real(folder: Path, config, batching, tls):
    monitoring = _written(
        folder / "monitoring",
        'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }',
    )
    port, rest_port = free_ports(2)
    flags = ServerConfig(
        port=port,
        rest_port=rest_port,
        batching=batching,
        monitoring=monitoring,
        tls_key=tls and tls[0],
        tls_cert=tls and tls[1],
    )
    command = command_line(find_binary(), flags, config, folder)
    log = folder / "server.log"
    # With oneDNN, a tensor that claims more memory than there is takes 10 s to be refused.
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}
    with (
        open(log, "w") as file,
        subprocess.Popen(command, env=environment, stdout=file, stderr=file) as process,
    ):
        try:
            served = Served(
                f"localhost:{flags.port}", f"http://localhost:{flags.rest_port}", log.read_text
            )
            for model in config.model_config_list.config:
                with served.client(model.name, tls=tls[1] if tls else False) as client:
                    eventually(lambda client=client: _is_up(client, process))
            eventually(lambda: _is_open(flags.rest_port, process))
            yield served
        finally:
            process.terminate()


def _is_up(client: Client, process) -> bool:
    assert process.poll() is None, "the server ended"
    try:
        return "AVAILABLE" in client.status().values()
    except ServerError:
        return False


def _is_open(port: int, process) -> bool:
    assert process.poll() is None, "the server ended"
    with suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
        return True
    return False


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture(scope="session", params=["development", REAL])
def server(request, versions, tmp_path_factory):
    """A server of the small model's version 1, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("served")
    base = folder / "tiny"
    shutil.copytree(versions[1], base / "1")
    with start(request.param, folder, base) as served:
        yield served


@pytest.fixture(params=["development", REAL])
def serving(request, tmp_path):
    """`serving(*models, config=..., batching=..., tls=...)`: starts a server of the test's own."""
    with ExitStack() as stack:
        yield lambda *models, **options: stack.enter_context(
            start(request.param, tmp_path, *models, **options)
        )


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """A key and a self-signed certificate of localhost."""
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, pem = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", *curve, *subject, "-keyout", key, "-out", pem],
        check=True,
        capture_output=True,
    )
    return key, pem
