import io
import json
import re
import shutil
import subprocess
import sys
import threading
from html import escape, unescape
from pathlib import Path

import pytest
from PIL import Image

from tests.serving import tiny
from tfxmodal.commands import demo
from tfxmodal.errors import InputError
from tfxmodal.serving.client.client import Client
from tfxmodal.serving.client.demo import _some, make_app

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


def test_words_that_the_model_does_not_know_are_named(page, monkeypatch):
    assert "does not know" not in page.get("/?text=red+quux").text
    monkeypatch.setattr(Client, "unknown_words", lambda self, texts: [["<quux>", "xyzzy"]])
    assert "The model does not know: &lt;quux&gt;, xyzzy" in page.get("/?text=red+quux").text


def test_the_page_begins_with_a_field_and_a_place_to_drop(page):
    html = page.get("/").text
    assert "Type a text" in html and "Drop an image" in html


def test_the_page_begins_with_some_of_the_gallery(page, gallery):
    html = page.get("/").text
    for name in gallery["images"]:
        assert f'<a href="/?image={name}"><img alt="{name}" src="/picture?id={name}">' in html
    for row, text in enumerate(tiny.CAPTIONS):
        assert f'<li title="{row}">' in html and f">{escape(text)}</a>" in html
    assert "<li " not in page.get("/?text=a+red+car").text.partition("</ol>")[2]


@pytest.mark.parametrize("size, most", [(0, 3), (1, 3), (7, 3), (100, 3), (3, 12)])
def test_examples_are_from_all_over_the_gallery(size, most):
    found = _some(map(str, range(size)), most)
    assert len(set(found)) == len(found) == min(size, most)
    assert not found or int(found[-1]) >= size - -(-size // len(found))


def test_the_page_needs_nothing_from_elsewhere(page):
    assert "http:" not in page.get("/").text and "https:" not in page.get("/").text


def test_a_text_finds_images_with_scores(page, app, target):
    html = page.get("/?text=a+red+car").text
    with Client(target, "tiny") as client:
        ids, scores = client.search_images(["a red car"], 3)
    shown = html.split("<li ")[1:]
    for item, name, score in zip(shown, ids[0], scores[0], strict=True):
        assert item.startswith(f'title="{name}"') and f'src="/picture?id={name}"' in item
        assert f"<small>{score:.3f}</small>" in item
        # The name of a file is no caption.
        assert f">{name}<" not in item and f"{score:.3f} {name}" not in item


def test_a_dropped_image_finds_texts_and_is_shown(page, target):
    picture = tiny.picture()
    html = page.post("/", data={"image": (io.BytesIO(picture), "red.png")}).text
    with Client(target, "tiny") as client:
        ids, _ = client.search_texts([picture], 3)
    shown = [unescape(item) for item in html.split("<li ")[1:]]
    for name, item in zip(ids[0], shown, strict=True):
        assert tiny.CAPTIONS[int(name)] in item
    assert "data:;base64,iVBOR" in html


def test_each_caption_of_a_text_is_a_query(target):
    pytest.importorskip("flask", reason="needs export/requirements-demo.txt")
    gallery = {"texts": {str(row): "a red car\na car" for row in range(4)}}
    with Client(target, "tiny") as client:
        page = make_app(client, "Tiny", gallery, 1).test_client()
        html = page.post("/", data={"image": (io.BytesIO(tiny.picture()), "a.png")}).text
    for text in ("a red car", "a car"):
        link = f'<a dir="auto" lang="" href="/?text={text.replace(" ", "+")}">{text}</a>'
        assert html.count(link) == 1


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
        first = page.get("/").text
        ids, _ = client.search_images(["a red car"], 2)
    assert html.count("<li ") == 2 and "<img" not in html
    assert all(f">{name}</span>" in html for name in ids[0])
    assert "<li " not in first and "--gallery-info" in first


@pytest.fixture
def page_of(target, monkeypatch):
    """`page_of(gallery, signature)`: the page of a model with one of the two searches alone."""
    pytest.importorskip("flask", reason="needs export/requirements-demo.txt")
    with Client(target, "tiny") as client:
        version, signatures = client.metadata()

        def page(gallery, signature):
            kept = {signature: signatures[signature]}
            monkeypatch.setattr(client, "metadata", lambda: (version, kept))
            return make_app(client, "Tiny", gallery, 3).test_client()

        yield page


def test_pictures_alone_lead_to_themselves(page_of, gallery):
    """A gallery of a folder of pictures has no texts that a picture could find."""
    page = page_of({"images": gallery["images"]}, "search_images")
    for html in (page.get("/").text, page.get("/?text=a+red+car").text):
        links = re.findall('href="([^"]+)"', html.partition("</style>")[2])
        assert sorted(links) == [f"/picture?id={name}" for name in ("blue", "green", "red")]
        assert "Type a text" in html and "Drop an image" not in html
    assert page.get("/picture?id=red").status_code == 200


def test_texts_alone_are_no_links(page_of, gallery):
    page = page_of({"texts": gallery["texts"]}, "search_texts")
    html = page.get("/").text
    assert "Drop an image" in html and "Type a text" not in html
    assert "href" not in html.partition("</style>")[2] and "a green field" in html


def test_a_picture_is_shown_with_its_caption(page_of, gallery):
    texts = {"red": "a red car\nthe car", "green#0": "שדה ירוק"}
    page = page_of({"images": gallery["images"], "texts": texts}, "search_images")
    html = page.get("/?text=a+red+car").text
    for caption in ("a red car", "שדה ירוק"):
        assert f'<span dir="auto" lang="">{caption}</span>' in html
    assert "the car" not in html


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


# The page in a frame of 500 pixels: how high the place to drop is, and how wide the page.
NARROW = """<iframe src="/" width="500" height="600"></iframe><main></main><script>
const frame = document.querySelector("iframe"), main = document.querySelector("main");
frame.onload = () => {
  const page = frame.contentDocument, label = page.querySelector("label");
  const lines = (label.offsetHeight - 19.2) / parseFloat(getComputedStyle(label).lineHeight);
  main.textContent = `${Math.round(lines)} lines, ${page.documentElement.scrollWidth} wide`;
};
</script>"""

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

    app.add_url_rule("/drop", "in a frame", view_func=lambda: DROP)
    app.add_url_rule("/narrow", "narrow", view_func=lambda: NARROW)
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
    found = page.get("/?image=red").text.split("<li ")[1:]
    assert "Texts for this image" in said
    assert len(found) == 3
    for row, text in enumerate(tiny.CAPTIONS):
        assert (text in unescape(said)) == any(text in unescape(item) for item in found), row


def test_a_narrow_window_has_a_low_place_to_drop(browse):
    said = browse("/narrow", "--dump-dom").partition("<main>")[2]
    lines, wide = map(int, re.match(r"(\d+) lines, (\d+) wide", said).groups())
    assert 1 <= lines <= 2 and wide <= 500
