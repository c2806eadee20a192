import hashlib
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tests.data import synthetic_coco
from tfxmodal.data.datasets import coco
from tfxmodal.errors import InputError
from tfxmodal.io import download

CONTENT = np.random.default_rng(0).bytes(3 << 20)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`; breaks off after `server.cut` bytes of a body, once."""

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.ranges.append(wanted)
        content = server.files.get(self.path)
        if content is None:
            return self.send_error(404)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.resumes else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: server.cut])
        server.cut = None

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.cut, server.resumes, server.ranges = {"/a.zip": CONTENT}, None, True, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def interrupt(server, folder, after=2 << 20):
    server.cut = after
    with pytest.raises(InputError, match="broke off.*run the same command again"):
        download.fetch(f"{server.url}/a.zip", folder, MD5)
    assert not (folder / "a.zip").exists()


def test_whole_file_with_progress_and_no_second_download(server, tmp_path):
    steps = []

    def progress(iterable, total, desc):
        steps.append((total, desc))
        return iterable

    folder = tmp_path / "new" / "folder"
    path = download.fetch(f"{server.url}/a.zip", folder, MD5, progress)
    assert path == folder / "a.zip" and path.read_bytes() == CONTENT
    assert steps == [(3, "a.zip (MiB)")]
    download.fetch(f"{server.url}/a.zip", folder, MD5)
    assert len(server.ranges) == 1 and [p.name for p in folder.iterdir()] == ["a.zip"]


def test_interrupted_goes_on_where_it_stopped(server, tmp_path):
    interrupt(server, tmp_path)
    kept = (tmp_path / "a.zip.part").stat().st_size
    assert 0 < kept < len(CONTENT)
    path = download.fetch(f"{server.url}/a.zip", tmp_path, MD5)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={kept}-"]


def test_a_server_that_cannot_resume_starts_again(server, tmp_path):
    interrupt(server, tmp_path)
    server.resumes = False
    assert download.fetch(f"{server.url}/a.zip", tmp_path, MD5).read_bytes() == CONTENT


def test_a_part_that_is_already_whole(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    assert download.fetch(f"{server.url}/a.zip", tmp_path, MD5).read_bytes() == CONTENT


def test_wrong_checksum_deletes_the_file(server, tmp_path):
    with pytest.raises(InputError, match=f"arrived with MD5 {MD5} instead of 0123"):
        download.fetch(f"{server.url}/a.zip", tmp_path, "0123")
    assert not list(tmp_path.iterdir())


def test_unreachable_host_and_unknown_file(server, tmp_path):
    with pytest.raises(
        InputError, match="no connection to the server.*check the connection"
    ) as error:
        download.fetch("http://127.0.0.1:9/a.zip", tmp_path, MD5)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="the server answered 404"):
        download.fetch(f"{server.url}/b.zip", tmp_path, MD5)


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot write .*choose another folder"):
        download.fetch(f"{server.url}/a.zip", tmp_path / "file", MD5)


def zipped(files: dict[str, bytes], compression=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_unzip_completes_what_is_half_done(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"d/": b"", "d/one": b"11", "d/two": b"22"}))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "one").write_bytes(b"xx")  # Of full size: left alone.
    (tmp_path / "d" / "two").write_bytes(b"2")
    download.unzip(tmp_path / "a.zip", tmp_path)
    contents = {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()}
    assert contents == {"one": b"xx", "two": b"22"}


def test_damaged_and_malicious_archives(tmp_path):
    content = zipped({"one": b"1" * 1000})
    deflated = bytearray(zipped({"one": CONTENT[:1000]}, zipfile.ZIP_DEFLATED))
    deflated[33:60] = b"\xff" * 27
    for bad in (content[:-30], content.replace(b"1" * 9, b"2" * 9), deflated):
        (tmp_path / "a.zip").write_bytes(bad)
        with pytest.raises(InputError, match="a.zip is damaged"):
            download.unzip(tmp_path / "a.zip", tmp_path / "out")
        assert not (tmp_path / "out" / "one").exists()
    (tmp_path / "a.zip").write_bytes(zipped({"../evil": b"1"}))
    with pytest.raises(InputError, match="lies outside"):
        download.unzip(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_coco_fetches_what_is_missing_and_no_more(server, tmp_path, monkeypatch):
    synthetic_coco.write(tmp_path / "source", train=30, val=20)
    dataset = coco.load(tmp_path / "source", require_images=False)
    photos = {path.split("source/")[1]: b"" for _, p in dataset.splits() for path in p.images}
    annotations = {
        f"annotations/{path.name}": path.read_bytes()
        for path in (tmp_path / "source" / "annotations").iterdir()
    }
    for name in coco.MD5["2014"]:
        part = name.split("/")[1].removesuffix(".zip")
        files = annotations if name.startswith("annotations") else photos
        files = {path: body for path, body in files.items() if path.startswith((part, "annot"))}
        server.files[f"/{name}"] = zipped(files)
        md5 = hashlib.md5(server.files[f"/{name}"]).hexdigest()
        monkeypatch.setitem(coco.MD5["2014"], name, md5)
    monkeypatch.setattr(coco, "HOST", server.url)

    fetched = coco.load(tmp_path / "new", download=True)
    assert fetched.train.texts == dataset.train.texts
    assert sorted(path.name for path in (tmp_path / "new").glob("[!.]*")) == [
        *("annotations", "train2014", "val2014"),  # The archives are gone.
    ]
    coco.load(tmp_path / "new", download=True)
    assert len(server.ranges) == 3
    next((tmp_path / "new" / "val2014").iterdir()).unlink()
    coco.load(tmp_path / "new", download=True)
    assert len(server.ranges) == 4
