import io
import json
import shutil
import subprocess
import sys
import threading
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

from tests.serving import tiny
from tfxmodal.commands import demo
from tfxmodal.errors import InputError
from tfxmodal.serving.client.client import Client
from tfxmodal.serving.client.demo import make_app

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
HEADLESS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--virtual-time-budget=10000"
).split()


@pytest.fixture
def target(server) -> str:
    """Address of a server with the small model."""
    return server.target


@pytest.fixture(scope="module")
def gallery(tmp_path_factory) -> dict:
    """What the small model's gallery holds; one picture is not there."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("red", "green"):
        (folder / f"{name}.png").write_bytes(tiny.picture(tiny.COLOURS[name]))
    return {
        "images": {name: str(folder / f"{name}.png") for name in ("red", "green", "blue")},
        "texts": {str(row): text for row, text in enumerate(tiny.CAPTIONS)},
    }


@pytest.fixture
def app(target, gallery):
    pytest.importorskip("flask", reason="needs export/requirements-demo.txt")
    with Client(target, "tiny") as client:
        yield make_app(client, "Tiny", gallery, 3)


@pytest.fixture
def page(app):
    return app.test_client()


def test_the_page_begins_with_a_field_and_a_place_to_drop(page):
    html = page.get("/").text
    assert "Type a text" in html and "Drop an image" in html
    assert "<li>" not in html


def test_the_page_needs_nothing_from_elsewhere(page):
    assert "http:" not in page.get("/").text and "https:" not in page.get("/").text


def test_a_text_finds_images_with_scores(page, app, target):
    html = page.get("/?text=a+red+car").text
    with Client(target, "tiny") as client:
        ids, scores = client.search_images(["a red car"], 3)
    shown = html.split("<li>")[1:]
    for item, name, score in zip(shown, ids[0], scores[0], strict=True):
        assert f'src="/picture?id={name}"' in item
        assert f"{score:.3f} {name}" in item


def test_a_dropped_image_finds_texts_and_is_shown(page, target):
    picture = tiny.picture()
    html = page.post("/", data={"image": (io.BytesIO(picture), "red.png")}).text
    with Client(target, "tiny") as client:
        ids, _ = client.search_texts([picture], 3)
    shown = [unescape(item) for item in html.split("<li>")[1:]]
    for name, item in zip(ids[0], shown, strict=True):
        assert tiny.CAPTIONS[int(name)] in item
    assert "data:;base64,iVBOR" in html


def test_each_caption_of_a_text_is_a_query(target):
    pytest.importorskip("flask", reason="needs export/requirements-demo.txt")
    gallery = {"texts": {str(row): "a red car\na car" for row in range(4)}}
    with Client(target, "tiny") as client:
        page = make_app(client, "Tiny", gallery, 1).test_client()
        html = page.post("/", data={"image": (io.BytesIO(tiny.picture()), "a.png")}).text
    assert '<a href="/?text=a+red+car">a red car</a><a href="/?text=a+car">a car</a>' in html


def test_an_image_that_was_found_is_a_query(page):
    assert "Texts for this image" in page.get("/?image=red").text
    assert page.get("/?image=nothing").status_code == 404


def test_pictures_of_the_gallery_and_no_others_are_served(page, gallery):
    red = page.get("/picture?id=red")
    assert (red.mimetype, red.data) == ("image/png", tiny.picture(tiny.COLOURS["red"]))
    for name in ("blue", "none", gallery["images"]["red"], "../../../etc/passwd"):
        assert page.get("/picture", query_string={"id": name}).status_code == 404


def test_a_picture_that_browsers_do_not_show_is_converted(page, gallery):
    path = Path(gallery["images"]["red"])
    contents = path.read_bytes()
    assert page.get("/picture?id=red").data == contents
    Image.open(path).save(path, "TIFF")
    found = page.get("/picture?id=red")
    path.write_bytes(contents)
    assert found.mimetype == "image/png" and found.data[:4] == b"\x89PNG"


def test_what_is_bad_is_told_on_the_page(page):
    answers = [
        page.post("/", data={"image": (io.BytesIO(b"no picture"), "a.png")}),
        page.get("/?image=blue"),
    ]
    for answer, message in zip(answers, ["no picture that can", "Cannot read"], strict=True):
        assert answer.status_code == 400
        assert 'role="alert">' in answer.text and message in answer.text


def test_a_server_that_went_away_is_told_on_the_page(gallery):
    pytest.importorskip("flask", reason="needs export/requirements-demo.txt")
    with Client("localhost:1", "tiny", retries=0) as client:
        answer = make_app(client, "Tiny", gallery, 3).test_client().get("/?text=a")
    assert answer.status_code == 400 and "No server answers at localhost:1" in answer.text


def test_texts_are_shown_as_texts(page, app):
    html = page.get("/", query_string={"text": "<script>alert(1)</script>"}).text
    assert "<script>alert" not in html


def test_without_a_gallery_ids_are_shown(target):
    pytest.importorskip("flask", reason="needs export/requirements-demo.txt")
    with Client(target, "tiny") as client:
        page = make_app(client, "Tiny", {}, 2).test_client()
        html = page.get("/?text=a+red+car").text
    assert html.count("<li>") == 2 and "<img" not in html


def test_flask_that_is_missing_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "flask", None)
    with pytest.raises(InputError, match="pip install -r export/requirements-demo.txt"):
        make_app(None, "", {}, 1)


def test_the_command_tells_of_a_server_that_is_not_there(tmp_path):
    pytest.importorskip("flask", reason="needs export/requirements-demo.txt")
    info = tmp_path / "gallery.json"
    info.write_text(json.dumps({}))
    with pytest.raises(InputError, match="No server answers at localhost:1 "):
        demo.main(["--server", "localhost:1", "--model", "m", "--gallery-info", str(info)])


# Drops the gallery's red picture on the page in a frame, and shows what the page then says.
DROP = """<iframe src="/"></iframe><main></main><script>
const frame = document.querySelector("iframe"), main = document.querySelector("main");
frame.onload = async () => {
  const blob = await (await fetch("/picture?id=red")).blob();
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([blob], "red.png"));
  frame.onload = () => { main.textContent = frame.contentDocument.body.innerText; };
  frame.contentDocument.dispatchEvent(new DragEvent("drop", {dataTransfer}));
};
</script>"""


@pytest.fixture
def browse(app, tmp_path):
    """`browse("/path", flag)`: what a browser prints that opens the page with a flag more."""
    if not BROWSER:
        pytest.skip(f"needs a browser: one of {', '.join(BROWSERS)}")
    from werkzeug.serving import make_server

    app.add_url_rule("/drop", view_func=lambda: DROP)
    server = make_server("localhost", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def open_page(path: str, flag: str) -> str:
        command = [BROWSER, *HEADLESS, f"--user-data-dir={tmp_path}", flag]
        url = f"http://localhost:{server.port}{path}"
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=60)
        return done.stdout

    yield open_page
    server.shutdown()


def test_a_browser_draws_the_images_found(browse, tmp_path):
    browse("/?text=a+red+car", f"--screenshot={tmp_path / 'page.png'}")
    with Image.open(tmp_path / "page.png") as screenshot:
        colours = {colour for _, colour in screenshot.convert("RGB").getcolors(2**24)}
    assert {tiny.COLOURS["red"], tiny.COLOURS["green"]} <= colours


def test_a_browser_sends_an_image_that_is_dropped(browse, page):
    said = browse("/drop", "--dump-dom").partition("<main>")[2]
    found = page.get("/?image=red").text.split("<li>")[1:]
    assert "Texts for this image" in said
    assert len(found) == 3
    for row, text in enumerate(tiny.CAPTIONS):
        assert (text in unescape(said)) == any(text in unescape(item) for item in found), row
