"""The query client and its command in a process in which TensorFlow cannot be imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.serving import tiny

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "tensorflow_serving", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture
def python(tmp_path):
    """`python(program, *arguments)`: what a program prints that cannot have TensorFlow."""

    def run(program: str, *arguments) -> str:
        command = [sys.executable, "-c", BLOCKED + program, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


ASK = """
import json
from tfxmodal.serving.client.client import Client
with Client(sys.argv[1], "tiny", deadline=60) as client:
    found = [client.search_images(["a red car"], 2), client.search_texts([sys.argv[2]], 2)]
    print(json.dumps({
        "found": [[ids.tolist(), scores.tolist()] for ids, scores in found],
        "text": client.embed_texts(["a red car"]).tolist(),
        "score": client.score_pairs([sys.argv[2]], ["red"]).tolist(),
        "signatures": client.signatures(),
        "status": client.status()[1],
    }))
"""


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photos" / "red.png"
    path.parent.mkdir()
    path.write_bytes(tiny.picture())
    return path


def test_a_server_is_asked_by_text_and_by_picture(server, python, photo):
    said = json.loads(python(ASK, server.target, photo))
    with server.client() as client:
        wanted = client.search_images(["a red car"], 2), client.search_texts([photo], 2)
        for found, (ids, scores) in zip(said["found"], wanted, strict=True):
            assert found[0] == ids.tolist()
            np.testing.assert_allclose(found[1], scores, rtol=1e-6)
        np.testing.assert_allclose(said["text"], client.embed_texts(["a red car"]), rtol=1e-6)
        np.testing.assert_allclose(said["score"], client.score_pairs([photo], ["red"]), rtol=1e-6)
        assert said["signatures"] == client.signatures()
    assert said["status"] == "AVAILABLE"


QUERY = "from tfxmodal.commands import query; query.main(sys.argv[1:])"


def test_the_command_searches_and_embeds(server, python, photo, tmp_path):
    common = "--server", server.target, "--model", "tiny"
    assert "red" in python(QUERY, *common, "--text", "a red car", "--html", tmp_path / "page.html")
    assert "score" in python(QUERY, *common, "--image", photo)
    said = python(QUERY, *common, "--embed", photo.parent, "--out", tmp_path / "v.npy")
    assert "1 vectors of 4 numbers" in said
    assert np.load(tmp_path / "v.npy").shape == (1, tiny.DIM)


def test_the_search_service_needs_no_tensorflow(python):
    program = (
        "import tfxmodal.service.app, tfxmodal.service.filling, tfxmodal.commands.search_service;"
        "import tfxmodal.commands.release; print(*sys.modules)"
    )
    loaded = {name.split(".")[0] for name in python(program).split()}
    assert "fastapi" in loaded and not loaded & {"scipy", "sklearn", "matplotlib", "faiss"}


SLOW = (
    "tensorflow",
    "tensorflow_serving",
    "keras",
    "scipy",
    "h5py",
    "sklearn",
    "matplotlib",
    "PIL",
)


def test_the_client_imports_nothing_that_is_slow(python):
    program = "import tfxmodal.serving.client.client; print(*sys.modules)"
    loaded = {name.split(".")[0] for name in python(program).split()}
    assert "grpc" in loaded and not loaded & set(SLOW)
