import base64
import io
import json
import os
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tests.serving import tiny
from tests.waiting import PATIENCE
from tfxmodal.commands import query
from tfxmodal.data.items import Items, read_items
from tfxmodal.dev_server.server import DevServer
from tfxmodal.errors import InputError
from tfxmodal.inputs import cache
from tfxmodal.io.locks import held, lock_beside
from tfxmodal.serving.client import bulk, probe
from tfxmodal.serving.client.client import Client
from tfxmodal.serving.client.page import write_page
from tfxmodal.serving.model_config import model_config
from tfxmodal.serving.model_server import free_ports


@pytest.fixture
def ask(server, capsys, monkeypatch):
    """`ask(*flags)`: what the command prints."""
    monkeypatch.setenv("COLUMNS", "200")

    def of(*flags: str) -> str:
        query.main(["--server", server.target, "--model", "tiny", *map(str, flags)])
        return capsys.readouterr().out

    return of


@pytest.fixture
def photos(tmp_path):
    """Twelve pictures of which two cannot be read, in a folder in a folder."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for i in range(12):
        path = folder / ("more" if i % 3 else "") / f"{i:02}.png"
        path.write_bytes(tiny.picture((20 * i, 255 - 9 * i, 7 * i))[: 60 if i in (3, 7) else None])
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def info(tmp_path, photos):
    """A gallery.json, with what a page must not take for HTML and a terminal not for markup."""
    texts = "[bold]red", "<script>alert(1)</script>", "x & y", "z"
    shown = {
        "texts": dict(zip("0123", texts, strict=True)),
        "images": {"red": str(photos / "00.png"), "blue": str(photos / "no & <where>.png")},
    }
    path = tmp_path / "gallery.json"
    path.write_text(json.dumps(shown))
    return path


def test_a_second_process_that_writes_the_same_file_is_told_who_has_it(server, photos, tmp_path):
    out = tmp_path / "photos.npy"
    with server.client() as client, held(lock_beside(out), "it"):
        with pytest.raises(InputError, match=f"`out` .* is in use by process {os.getpid()} on "):
            bulk.embed_all(client, read_items(photos), out)
    assert not out.exists()


def test_texts_of_a_picture(ask, photos, server, info):
    with server.client() as client:
        ids, scores = client.search_texts([photos / "00.png"], 2)
    plain = ask("--image", photos / "00.png", "--top-k", 2)
    captioned = ask("--image", photos / "00.png", "--top-k", 3, "--gallery-info", info)
    rows = [line for line in plain.splitlines() if line.startswith("│")]
    assert len(rows) == 2
    for row, name, score in zip(rows, ids[0], scores[0], strict=True):
        assert name in row and f"{score:.4f}" in row
    captions = json.loads(info.read_text())["texts"]
    assert all(captions[name] in captioned for name in ids[0])


def test_captions_are_those_of_the_version_that_answers(ask, photos, info, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    question = ("--image", photos / "00.png", "--top-k", 3)
    for version, known in ((2, False), (1, True)):
        folder = tmp_path / "models/tiny" / str(version)
        folder.mkdir(parents=True)
        (folder / "gallery.json").write_text(info.read_text())
        assert ("[bold]red" in ask(*question)) == known


def test_images_of_a_text(ask):
    found = ask("--text", "a red car", "--top-k", 9)
    assert all(name in found for name in tiny.COLOURS)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def named(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


def test_page_of_pictures_escapes_everything(ask, info, tmp_path):
    path = tmp_path / "found.html"
    ask("--text", "<b>red</b> & \"'", "--html", path, "--gallery-info", info)
    page = Page(path.read_text())
    assert "<b>red</b> & \"'" in page.texts
    assert not page.named("b")
    (picture,) = page.named("img")  # of the three, one is there, one is not, of one nobody knows
    assert picture["src"].startswith("data:image/jpeg;base64,") and picture["alt"] == "00.png"
    assert any("no & <where>.png" in text for text in page.texts)
    assert "green" in page.texts


def test_page_of_texts_escapes_everything(ask, info, tmp_path, photos):
    path = tmp_path / "found.html"
    ask("--image", photos / "00.png", "--html", path, "--gallery-info", info, "--top-k", 4)
    page = Page(path.read_text())
    shown = json.loads(info.read_text())["texts"].values()
    assert sum(text in shown for text in page.texts) == tiny.TOP_K
    assert [p["dir"] for p in page.named("p")] == ["auto"] * tiny.TOP_K  # Of any script.
    assert not page.named("script")
    assert len(page.named("img")) == 1


def test_embeds_a_folder_and_lists_bad_pictures(ask, photos, server, tmp_path):
    said = ask("--embed", photos, "--out", tmp_path / "v.npy")
    about = json.loads((tmp_path / "v.ids.json").read_text())
    assert "10 vectors of 4" in said and "2 of 12 images are bad" in said
    assert about["bad"].keys() == {"03.png", "more/07.png"}
    assert about["ids"] == sorted(about["ids"]) and len(about["ids"]) == 10
    with server.client() as client:
        true = client.embed_images([photos / name for name in about["ids"]])
    np.testing.assert_allclose(np.load(tmp_path / "v.npy"), true, rtol=1e-5, atol=1e-6)


def test_embeds_a_manifest_and_a_text_file(ask, photos, server, tmp_path):
    rows = [
        {"image": "photos/00.png", "texts": ["a red car", "red"], "id": "first"},
        {"image": "photos/gone.png", "text": "sea", "id": "second"},
    ]
    manifest, lines = tmp_path / "pairs.jsonl", tmp_path / "lines.txt"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    lines.write_text("one\ta red car\nred\n\nsea\n")
    out = tmp_path / "v.npy"
    ask("--embed", manifest, "--out", out)
    about = json.loads((tmp_path / "v.ids.json").read_text())
    assert about["ids"] == ["first"]
    assert about["bad"] == {"second": "No such file or directory"}
    with server.client() as client:
        true = client.embed_texts(["a red car", "red", "sea"])
    for source, ids in (
        ((manifest, "--embed-as", "texts"), ["first#0", "first#1", "second"]),
        ((lines,), ["one", "red", "sea"]),
    ):
        ask("--embed", *source, "--out", out)
        assert json.loads((tmp_path / "v.ids.json").read_text())["ids"] == ids
        np.testing.assert_allclose(np.load(out), true, rtol=1e-5, atol=1e-6)


def test_embedding_goes_on_where_it_was_killed(ask, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SHARD_ROWS", 4)
    monkeypatch.setattr(bulk, "ROWS", 2)
    predict, asked, allowed = Client.predict, [], 3

    def counted(self, signature, **inputs):
        if inputs["image"] != [probe.picture()]:
            if len(asked) == allowed:
                raise KeyboardInterrupt
            asked.append(inputs["image"])
        return predict(self, signature, **inputs)

    monkeypatch.setattr(Client, "predict", counted)
    command = ["--embed", photos, "--out", tmp_path / "v.npy", "--in-flight", 1]
    with pytest.raises(KeyboardInterrupt):
        ask(*command)
    assert not (tmp_path / "v.npy").exists()
    asked.clear()
    allowed = 100
    paths = sorted(photos.rglob("*.png"))
    os.utime(paths[0])  # copied anew: the same picture
    ask(*command)
    again = [paths[1], *paths[4:]]  # What could not be read is tried again.
    assert [x for batch in asked for x in batch] == [path.read_bytes() for path in again]
    assert len(np.load(tmp_path / "v.npy")) == 10
    assert sorted(path.name for path in tmp_path.glob("v.*")) == ["v.ids.json", "v.npy"]


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_embedding_does_not_go_on_with_another_model(kind, photos, publish, tmp_path, monkeypatch):
    """Of the same address, name and version: a cluster behind a port-forward, a model made anew."""
    monkeypatch.setattr(cache, "SHARD_ROWS", 4)
    lines, rows = tmp_path / "lines.txt", bulk._rows
    lines.write_text("\n".join(f"a red {number}" for number in range(9)))
    items = read_items(photos if kind == "images" else lines)
    (port,), out = free_ports(1), tmp_path / "v.npy"

    def embed(version: int, till: int = 99):
        def killed(client, signature, items, numbers):
            if numbers[0] >= till:
                raise KeyboardInterrupt
            return rows(client, signature, items, numbers)

        base = tmp_path / str(version) / "tiny"
        if not base.exists():
            base.mkdir(parents=True)
            publish(base, version, "1")
        monkeypatch.setattr(bulk, "_rows", killed)
        with (
            DevServer(model_config([base]), port, log=lambda line: None),
            Client(f"localhost:{port}", "tiny", deadline=PATIENCE, retries=4) as client,
        ):
            return bulk.embed_all(client, items, out)[0]

    with pytest.raises(KeyboardInterrupt):
        embed(1, till=4)
    with pytest.raises(InputError, match="v.parts holds vectors of another model .* to begin anew"):
        embed(2)
    assert not out.exists()
    one = embed(1)
    assert np.linalg.norm(one - embed(2)) > 0.1  # From the beginning: `v.parts` is gone.


def test_unknown_words_of_a_text_are_named(ask, monkeypatch):
    assert "does not know" not in ask("--text", "a red quux")
    monkeypatch.setattr(Client, "unknown_words", lambda self, texts: [["quux", "xyzzy"]])
    assert "The model does not know: quux, xyzzy.\n" in ask("--text", "a red quux xyzzy")


def test_a_model_that_refuses_requests_embeds_no_folder(server, photos, monkeypatch):
    """Under batching, a bad row of another caller would be taken for one of ours."""
    items = read_items(photos)
    with server.client() as client:
        version, signatures = client.metadata()
        del signatures["embed_image"].outputs["valid"]
        monkeypatch.setattr(client, "metadata", lambda: (version, signatures))
        with pytest.raises(InputError, match="export it with `on_bad_input` flag"):
            bulk.embed_all(client, items, photos / "v.npy")


def test_what_cannot_be_asked(complaint, server, tmp_path, photos):
    def of(*flags):
        common = ("--server", server.target, "--model", "tiny")
        return complaint(query.main, *common, *map(str, flags))

    empty = tmp_path / "empty"
    empty.mkdir()
    twice = tmp_path / "twice.txt"
    twice.write_text("a\na\n")
    assert "give one of --image, --text, --embed" in of()
    assert "give one of" in of("--text", "x", "--image", "y.png")
    assert "--in-flight is 0" in of("--embed", twice, "--in-flight", 0)
    assert "top-k is 0" in of("--text", "x", "--top-k", 0)
    assert "The text ' ' holds no word that the model knows: write other" in of("--text", " ")
    assert "Cannot read" in of("--image", tmp_path / "none.png")
    assert "give FILE.npy" in of("--embed", photos)
    assert "no folder with pictures" in of("--embed", empty, "--out", tmp_path / "v.npy")
    assert "names 'a' 2 times" in of("--embed", twice, "--out", tmp_path / "v.npy")
    wordless = tmp_path / "wordless.jsonl"
    wordless.write_text(json.dumps({"image": "a.png", "texts": []}))
    told = of("--embed", wordless, "--embed-as", "texts", "--out", tmp_path / "v.npy")
    assert "holds no texts" in told
    assert "has no version 8" in of("--text", "x", "--version", 8)
    assert "are both given" in of("--text", "x", "--version", 1, "--label", "stable")


@pytest.mark.parametrize(
    ("task", "flag", "value"),
    [
        ("--embed", "--html", "page.html"),
        ("--embed", "--top-k", "-3"),
        ("--embed", "--gallery-info", "/no/such"),
        ("--text", "--out", "v.npy"),
        ("--image", "--embed-as", "texts"),
        ("--image", "--in-flight", "2"),
    ],
)
def test_a_flag_of_another_task_is_refused(complaint, task, flag, value):
    told = complaint(query.main, task, "x", flag, value)
    assert f"{flag} is read by --" in told and f", and not by {task}: leave it out." in told


def test_a_page_shows_a_picture_turned_and_over_white(tmp_path):
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[..., 0], pixels[:, 30:] = 255, (0, 0, 255, 255)
    tags = Image.Exif()
    tags[0x0112] = 6
    path = tmp_path / "icon.png"
    Image.fromarray(pixels).save(path, exif=tags)
    write_page(tmp_path / "page.html", path, "texts", [])
    html = (tmp_path / "page.html").read_text()
    shown = base64.b64decode(html.split("base64,")[1].split('"')[0])
    shown = np.asarray(Image.open(io.BytesIO(shown))).astype(int)
    assert shown.shape == (60, 40, 3)
    np.testing.assert_allclose(shown[10, 20], [255, 255, 255], atol=3)
    np.testing.assert_allclose(shown[50, 20], [0, 0, 255], atol=3)


def test_a_picture_that_the_server_does_not_read_is_converted_or_named(server, tmp_path):
    buffer = io.BytesIO()
    Image.open(io.BytesIO(tiny.picture())).save(buffer, "TIFF")
    path = tmp_path / "scan.tif"
    path.write_bytes(buffer.getvalue())
    with Client(server.target, "tiny") as client:
        wanted = client.embed_images([tiny.picture()])
        np.testing.assert_array_equal(client.embed_images([path]), wanted)
        np.testing.assert_array_equal(client.embed_images([buffer.getvalue()]), wanted)
        path.write_bytes(b"<svg/>")
        with pytest.raises(InputError, match="Cannot read .*scan.tif .SVG pictures are not read"):
            client.embed_images([path])
        items = Items("images", ["scan"], [str(path)])
        _, bad = bulk.embed_all(client, items, tmp_path / "out.npy")
    assert bad == {"scan": "SVG pictures are not read: convert it to PNG or JPEG"}
