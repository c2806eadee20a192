import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import export
from export import serve


def run_serve(*flags, **environment):
    root = Path(export.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, root / "export/serve.py", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root), **environment},
    )


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
    assert re.search(r"Ready: tiny at localhost:\d+", said)


def test_command_becomes_tensorflow_serving(base, tmp_path, certificate, monkeypatch, capfd):
    binary = tmp_path / "server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("TF_MODEL_SERVER", str(binary))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    became = []
    monkeypatch.setattr(os, "execv", lambda path, command: became.append(command))
    batching = tmp_path / "batching"
    batching.write_text("max_batch_size { value: 8 }")
    tls = ["--tls-key", str(certificate[0]), "--tls-cert", str(certificate[1])]
    serve.main(["--model", str(base), "--port", "7", "--batching", str(batching), *tls])
    ((program, *flags),) = became
    given = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
    assert program == str(binary)
    assert given["port"] == "7" and given["rest_api_port"] == "8501"
    assert given["enable_batching"] == "true"
    assert given["batching_parameters_file"] == str(batching)
    assert f'base_path: "{base}"' in Path(given["model_config_file"]).read_text()
    ssl = Path(given["ssl_config_file"])
    assert "BEGIN PRIVATE KEY" in ssl.read_text() and ssl.stat().st_mode & 0o077 == 0


def test_what_cannot_be_served(complaint, base, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_MODEL_SERVER", raising=False)
    served = ("--model", str(base))
    assert "no model to serve" in complaint(serve.main)
    assert "holds no version" in complaint(serve.main, "--model", str(base / "1"))
    assert "named 'tiny'" in complaint(serve.main, *served, *served)
    assert "go together" in complaint(serve.main, *served, "--tls-key", "key.pem")
    config = tmp_path / "models.config"
    config.write_text("model_config_list { ")
    assert "is no models.config" in complaint(serve.main, "--config", str(config))
    batching = tmp_path / "batching"
    batching.write_text("max_batch_size { value: 8 } allowed_batch_sizes: 4")
    wrong = complaint(serve.main, *served, "--development", "--batching", str(batching))
    assert "make them equal" in wrong
    (base / "1" / "signatures.json").write_text('{"batchable": false}')
    assert "must not be batched" in complaint(serve.main, *served, "--batching", str(batching))
    (base / "1" / "saved_model.pb").unlink()
    assert "did not become available" in complaint(serve.main, *served, "--development")
    monkeypatch.setenv("TF_MODEL_SERVER", "/nowhere")
    assert "no program" in complaint(serve.main, *served)
