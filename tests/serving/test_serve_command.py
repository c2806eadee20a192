import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import eventually
from tfxmodal.commands import serve
from tfxmodal.dev_server.server import DevServer
from tfxmodal.serving.client.client import Client
from tfxmodal.serving.model_config import model_config
from tfxmodal.serving.model_server import free_ports


def run_serve(*flags, **environment):
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, root / "export/serve.py", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
    )


def test_free_ports_differ_and_nothing_listens_on_them():
    (taken,) = free_ports(1)
    with socket.create_server(("", taken)):
        found = free_ports(20_000)  # All there are.
    assert len(set(found)) == len(found) > 5_000
    assert taken not in found
    assert max(found) < 32_768


def test_command_says_what_it_is_and_stops_at_a_signal(base, monkeypatch):
    monkeypatch.delenv("TF_MODEL_SERVER", raising=False)
    with run_serve("--model", str(base), "--port", "0", "--development") as process:
        said = ""
        while "Ready" not in said:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            said += line
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "development server, for trying and testing, not for production" in said
    assert "gRPC only, no REST" in said
    assert re.search(r"Ready: tiny at localhost:\d+", said)


def test_command_runs_tensorflow_serving(base, tmp_path, certificate):
    binary, seen, files = (tmp_path / name for name in ("server", "seen", "files"))
    files.mkdir()
    binary.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {seen}\n"
        f"cp -p {files}/tfxmodal*/* {tmp_path}\n"
        "trap 'exit 7' TERM\necho up\nwhile :; do sleep 0.1; done\n"
    )
    binary.chmod(0o755)
    batching = tmp_path / "batching"
    batching.write_text("max_batch_size { value: 8 }")
    tls = ["--tls-key", str(certificate[0]), "--tls-cert", str(certificate[1])]
    flags = ["--model", str(base), "--port", "7", "--batching", str(batching), *tls]
    with run_serve(*flags, TF_MODEL_SERVER=str(binary), TMPDIR=str(files)) as process:
        assert process.stdout.readline().startswith(str(binary))
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 7
    assert not list(files.iterdir())  # A private key was there.
    given = dict(flag.removeprefix("--").split("=", 1) for flag in seen.read_text().splitlines())
    assert given["port"] == "7" and given["rest_api_port"] == "8501"
    assert given["enable_batching"] == "true"
    assert given["batching_parameters_file"] == str(batching)
    assert f'base_path: "{base}"' in (tmp_path / "models.config").read_text()
    ssl = tmp_path / Path(given["ssl_config_file"]).name
    assert "BEGIN PRIVATE KEY" in ssl.read_text() and ssl.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_a_look_that_fails_once_is_taken_again(base, publish, monkeypatch, kind):
    said = []
    with DevServer(model_config([base]), poll_seconds=0.02, log=said.append) as server:
        look, failing = server._store.poll, [kind("input/output error")]

        def poll():
            if failing:
                raise failing.pop()
            look()

        monkeypatch.setattr(server._store, "poll", poll)
        eventually(lambda: "Cannot look for new versions (input/output error)." in said)
        publish(base, 2)
        with Client(f"localhost:{server.port}", "tiny") as client:
            eventually(lambda: client.status().get(2) == "AVAILABLE")
            assert client.metadata()[0] == 2
        assert said.count("Cannot look for new versions (input/output error).") == 1


def test_what_cannot_be_served(complaint, base, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_MODEL_SERVER", raising=False)
    served, development = ("--model", str(base)), ("--development", "--port", "0")
    assert "no model to serve" in complaint(serve.main)
    assert "holds no version" in complaint(serve.main, "--model", str(base / "1"))
    assert "named 'tiny'" in complaint(serve.main, *served, *served)
    assert "go together" in complaint(serve.main, *served, "--tls-key", "key.pem")
    for flag, value in (
        ("--port", "99999"),
        ("--rest-port", "-1"),
        ("--threads", "-2"),
        ("--poll-seconds", "nan"),
    ):
        wrong = complaint(serve.main, *served, "--development", flag, value)
        assert re.search(rf"{flag} must be .*; received {value}", wrong)
    config = tmp_path / "models.config"
    config.write_text("model_config_list { ")
    assert "is no models.config" in complaint(serve.main, "--config", str(config))
    batching = tmp_path / "batching"
    batching.write_text("max_batch_size { value: 8 } allowed_batch_sizes: 4")
    wrong = complaint(serve.main, *served, "--development", "--batching", str(batching))
    assert "make them equal" in wrong
    for parameter in ("max_batch_sise { value: 8 }", "max_batch_size { value: many }"):
        batching.write_text(parameter)
        wrong = complaint(serve.main, *served, "--development", "--batching", str(batching))
        assert f"{parameter!r}, which is no batching parameter" in wrong
    metrics = complaint(serve.main, *served, "--development", "--monitoring", str(batching))
    assert "has no metrics" in metrics
    tls = ("--tls-key", str(batching), "--tls-cert", str(batching))
    assert f"correct {batching}" in complaint(serve.main, *served, *development, *tls)
    (base / "1" / "signatures.json").write_text('{"batchable": false}')
    assert "must not be batched" in complaint(serve.main, *served, "--batching", str(batching))
    (base / "1" / "saved_model.pb").unlink()
    with monkeypatch.context() as patch:  # The signals stay the tests' own.
        patch.setattr(serve, "on_signals", lambda act: None)
        assert "did not become available" in complaint(serve.main, *served, *development)
    monkeypatch.setenv("TF_MODEL_SERVER", "/nowhere")
    assert "no program" in complaint(serve.main, *served)
