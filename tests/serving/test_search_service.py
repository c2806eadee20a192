"""The search service over a model server, and its command."""

import json

import numpy as np
import pytest

from tests.service.conftest import Asking
from tests.serving import tiny
from tfxmodal.commands import search_service
from tfxmodal.service.catalogue import Catalogue
from tfxmodal.service.galleries import Galleries
from tfxmodal.service.items import Told


@pytest.fixture
def place(server, tmp_path) -> list[str]:
    """Flags that name a new folder, the server and the model."""
    about = tmp_path / "models/tiny/1/signatures.json"
    about.parent.mkdir(parents=True)
    about.write_text(json.dumps({"fingerprint": "f1"}))
    flags = {"folder": tmp_path / "gallery", "server": server.target, "model": "tiny"}
    flags["models"] = tmp_path / "models"
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]


def test_pictures_are_found_as_the_model_ranks_them(server, place, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, colour in tiny.COLOURS.items():
        (photos / f"{name}.png").write_bytes(tiny.picture(colour))
    (photos / "bad.png").write_bytes(b"nothing")
    search_service.main(["new", *place, "--version", "1"])
    search_service.main(["fill", *place, "--data", str(photos)])
    said = capsys.readouterr().out
    assert "the empty gallery tiny-1" in said and "3 items written" in said and "bad.png: " in said
    with server.client() as client:
        service = Asking(Catalogue(Galleries(tmp_path / "gallery", client)))
        images = client.embed_images([tiny.picture(c) for c in tiny.COLOURS.values()])
        scores = images @ client.embed_texts(["a red car"])[0]
        found = service.post("/search", data={"text": "a red car"}).json()["items"]
        ranked = np.array([*tiny.COLOURS])[np.argsort(-scores)]
        assert [item["id"] for item in found] == [f"{name}.png" for name in ranked]
        np.testing.assert_allclose([item["score"] for item in found], -np.sort(-scores), rtol=1e-5)
        mine = tiny.picture((200, 90, 10))
        put = service.put("/items", data={"id": "mine"}, files={"image": mine})
        assert put.status_code == 200
        assert "mine" in service.found(image=mine)
        assert service.delete("/items/mine").status_code == 204
        assert "mine" not in service.found(image=mine)


def test_what_does_not_go_together_is_told(place, tmp_path, complaint):
    said = complaint(search_service.main, "serve", *place)
    assert "holds no gallery" in said and "search_service.py new" in said
    assert "--version is not given" in complaint(search_service.main, "new", *place)
    assert "has no version 7" in complaint(
        search_service.main, "new", *place[:-1], str(_models(tmp_path, 7)), "--version", "7"
    )
    search_service.main(["new", *place, "--version", "1"])
    again = complaint(search_service.main, "new", *place, "--version", "1")
    assert "holds the gallery tiny-1" in again
    split = complaint(search_service.main, "fill", *place, "--split", "test")
    assert "give --data as well" in split
    assert "--version is not given" in complaint(search_service.main, "remove", *place)
    searched = complaint(search_service.main, "remove", *place, "--version", "1")
    assert "--version 1 is that of the gallery tiny-1" in searched
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/bad.png").write_bytes(b"nothing")
    nothing = complaint(search_service.main, "fill", *place, "--data", str(tmp_path / "bad"))
    assert "holds nothing that can be put in" in nothing
    opened = complaint(search_service.main, "serve", *place, "--host", "0.0.0.0")
    assert "--host 0.0.0.0 lets other machines in" in opened
    assert "--keys and --name" in complaint(search_service.main, "key", *place)
    wrong = complaint(search_service.main, "serve", *place, "--max-requests", "0")
    assert "--max-requests must be at least 1" in wrong
    wrong = complaint(search_service.main, "serve", *place, "--metrics-port", "99999")
    assert "--metrics-port must be from 0 to 65535; received 99999" in wrong


@pytest.mark.parametrize(
    ("action", "flag", "value", "readers"),
    [
        ("fill", "--version", "7", "new, reembed, remove"),
        ("serve", "--version", "7", "new, reembed, remove"),
        ("new", "--data", "/no/such", "fill"),
        ("reembed", "--split", "test", "fill"),
        ("fill", "--landmarks", "pairs.jsonl", "new, reembed"),
        ("remove", "--allow-bad", "", "reembed"),
        ("new", "--keys", "keys.json", "serve, key"),
        ("serve", "--name", "me", "key"),
        ("serve", "--right", "write", "key"),
        ("key", "--port", "80", "serve"),
        ("fill", "--metrics-port", "80", "serve"),
        ("fill", "--host", "0.0.0.0", "serve"),
        ("fill", "--cors", "https://example.org", "serve"),
    ],
)
def test_a_flag_of_another_action_is_refused(action, flag, value, readers, complaint):
    told = complaint(search_service.main, action, flag, *filter(None, [value]))
    assert f"{flag} is read by {readers}, and not by {action}: leave it out." in told


def _models(folder, version: int):
    about = folder / f"others/tiny/{version}/signatures.json"
    about.parent.mkdir(parents=True)
    about.write_text(json.dumps({"fingerprint": "f"}))
    return folder / "others"


def test_a_gallery_is_put_in_order_and_an_old_one_removed(place, tmp_path, capsys):
    search_service.main(["new", *place, "--version", "1"])
    search_service.main(["fill", *place])
    old = tmp_path / "gallery/galleries/tiny-7"
    (old / "images").mkdir(parents=True)
    search_service.main(["remove", *place, "--version", "7"])
    said = capsys.readouterr().out
    assert "tiny-1 is in order" in said and "version 7 is removed" in said and not old.exists()


def test_what_became_of_items_is_told(capsys):
    search_service.tell(Told(written=1200, unchanged=3, deleted=2, bad={"a": "its picture"}))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "1,200 items written, 3 are there already."
    assert said[1].startswith("2 deleted: the gallery that was searched so far")
    assert said[2:] == ["1 are bad and left out:", "  a: its picture"]


def test_a_key_is_made(tmp_path, capsys):
    keys = tmp_path / "keys.json"
    search_service.main(["key", "--keys", str(keys), "--name", "me", "--right", "write"])
    key, *_ = capsys.readouterr().out.splitlines()
    assert key.startswith("tfx_") and key not in keys.read_text()
