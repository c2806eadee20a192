"""A service that is killed while it is written: what it acknowledged is there afterwards."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.benchmarks.bench_service import request
from tests.service.fake import FakeClient, picture
from tfxmodal.service.galleries import Galleries

ROOT = Path(__file__).resolve().parents[2]
SERVE = """
import socket, sys
from pathlib import Path
import uvicorn
from tests.service.fake import FakeClient
from tfxmodal.service.app import make_app
from tfxmodal.service.catalogue import Catalogue
from tfxmodal.service.config import Limits
from tfxmodal.service.galleries import Galleries
catalogue = Catalogue(Galleries(Path(sys.argv[1]), FakeClient()), write_seconds=100)
app = make_app(catalogue, Limits())
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False))
server.run(sockets=[listening])
"""


def test_what_was_acknowledged_survives(tmp_path):
    folder = tmp_path / "gallery"
    galleries = Galleries(folder, FakeClient())
    galleries.switch(galleries.make(1, "f1").name)
    put, deleted, others = {}, set(), set()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def write(writer: int):
        for row in range(10_000):
            name, contents = f"{writer}/{row}", picture((writer, row % 256, row // 256), 2)
            status, _ = request(url, "PUT", "/items", {"id": name, "image": contents})
            if status != 200:
                others.add(status)
                return
            put[name] = contents
            if row % 3 == 2 and request(url, "DELETE", f"/items/{writer}/{row - 1}", {})[0] == 204:
                deleted.add(f"{writer}/{row - 1}")

    command = [sys.executable, "-c", SERVE, str(folder)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        url = f"http://localhost:{process.stdout.readline().strip()}"
        while request(url, "GET", "/ready", {})[0] != 200:
            assert process.poll() is None
            time.sleep(0.05)
        writers = [threading.Thread(target=write, args=[n]) for n in range(2)]
        for writer in writers:
            writer.start()
        while len(put) < 8 or not deleted:  # However slow the disk is.
            assert not others
            time.sleep(0.05)
        process.kill()
        for writer in writers:
            writer.join()
    # The connection broke, or was refused: nobody was told anything else.
    assert others <= {0, 503} and len(put) > 5 and deleted
    there = Galleries(folder, FakeClient())
    found = {item.id: item for part in there.current().parts() for item in part}
    # What was under way may be there or not.
    attempts = {
        f"{writer}/{len([n for n in put if n.startswith(f'{writer}/')])}" for writer in (0, 1)
    }
    assert put.keys() - deleted - found.keys() <= _last_deletes(put)
    assert not deleted & found.keys() and found.keys() - put.keys() <= attempts
    for name in found.keys() & put.keys():
        assert there.pictures.read(found[name].picture)[0] == put[name]


def _last_deletes(put) -> set[str]:
    """Items whose deletion may have been under way: the one before the last of each writer."""
    last = [max(int(n.split("/")[1]) for n in put if n.startswith(f"{w}/")) for w in (0, 1)]
    return {f"{writer}/{row - 1}" for writer, row in enumerate(last)}
