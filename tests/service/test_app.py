import json
import math

import pytest

from tests.service.conftest import Asking
from tests.service.fake import picture
from tfxmodal.errors import InputError
from tfxmodal.service import items
from tfxmodal.service.catalogue import Catalogue
from tfxmodal.service.config import Limits
from tfxmodal.service.filling import fill
from tfxmodal.service.galleries import Galleries
from tfxmodal.service.keys import Keys, add_key


def test_a_photo_is_put_in_found_and_taken_out(service):
    assert service.found(text="red") == []
    put = service.put_picture("beach/1.png", text="a red evening")
    assert put.json() == {"id": "beach/1.png", "kind": "images", "changed": True}
    assert service.found(text="red") == ["beach/1.png"]
    assert service.get("/items/beach/1.png").json() == {
        "id": "beach/1.png",
        "kind": "images",
        "caption": "a red evening",
        "metadata": {},
        "score": None,
        "probability": None,
    }
    assert service.get("/pictures/beach/1.png").content == picture()
    assert service.delete("/items/beach/1.png").status_code == 204
    assert service.found(text="red") == []
    for answer in (service.get("/items/beach/1.png"), service.delete("/items/beach/1.png")):
        assert answer.status_code == 404 and "There is no item" in answer.json()["error"]
    assert service.get("/pictures/beach/1.png").status_code == 404


def test_the_best_come_first_with_their_scores(filled):
    found = filled.post("/search", data={"text": "green", "k": 2}).json()
    assert [item["id"] for item in found["items"]] == ["green", "blue"]
    assert found["kind"] == "images" and found["unknown_words"] == []
    scores = [item["score"] for item in found["items"]]
    assert 1 >= scores[0] > scores[1]
    assert filled.found(text="green", min_score=scores[0] - 0.01) == ["green"]
    assert filled.found(text="green", min_score=1.01) == []


def test_probabilities_are_those_of_the_exports_calibration(galleries, filled):
    answer = filled.post("/search", data={"text": "green", "min_probability": 0.5})
    assert answer.status_code == 422
    assert "gallery 'fake-1' has none: give `min_score`" in answer.json()["error"]
    about = galleries.folder / "galleries" / galleries.current_name() / "about.json"
    told = {"slope": 10.0, "intercept": -5.0, "base_rate": 0.1, "pairs": 100}
    about.write_text(json.dumps(json.loads(about.read_text()) | {"calibration": told}))
    opened = Asking(Catalogue(Galleries(galleries.folder, galleries._client)))
    found = opened.post("/search", data={"text": "green", "k": 2}).json()["items"]
    for item in found:
        expected = 1 / (1 + math.exp(5 - 10 * item["score"]))
        assert item["probability"] == pytest.approx(expected, rel=1e-6)
    between = (found[0]["probability"] + found[1]["probability"]) / 2
    assert opened.found(text="green", min_probability=between) == ["green"]
    assert opened.found(text="green", min_probability=0.5, min_score=1.01) == []
    for alike in ({"like": "red"}, {"image": picture("red"), "text": "red"}):
        files = {"image": alike.pop("image")} if "image" in alike else None
        answer = opened.post("/search", data=alike | {"min_probability": 0.5}, files=files)
        assert answer.status_code == 422
        assert "one text with images, or one image with texts" in answer.json()["error"]
        answer = opened.post("/search", data=alike, files=files)
        assert {item["probability"] for item in answer.json()["items"]} == {None}


def test_a_gallery_of_before_gets_probabilities_by_being_made_again(galleries):
    told = {"slope": 10.0, "intercept": -5.0, "base_rate": 0.1, "pairs": 100}
    assert galleries.current().calibration is None
    assert galleries.make(1, "other", calibration=told).calibration is None
    assert galleries.make(1, "f1", calibration=told).calibration.slope == 10
    assert galleries.make(1, "f1").calibration.slope == 10


def test_a_text_a_picture_and_both_find_either_kind(filled):
    assert filled.found(image=picture("blue"))[0] == "blue"
    assert filled.found(image=picture("green"), find="texts") == ["texts/car", "texts/field"]
    assert filled.found(text="car", find="texts")[0] == "texts/car"
    assert filled.found(text="blue", image=picture("red"))[-1] == "green"


def test_more_like_this_leaves_this_out(filled):
    assert filled.found(like="red") == ["blue", "green"] or filled.found(like="red") == [
        "green",
        "blue",
    ]
    assert filled.found(like="red", k=1) == filled.found(like="red")[:1]
    assert filled.found(like="texts/car") == ["texts/field"]
    assert filled.found(like="green", find="texts") == ["texts/car", "texts/field"]
    assert set(filled.found(like="red", text="green")) == {"green", "blue"}
    assert filled.found(like="texts/car", text="green") == ["texts/field"]


def test_conditions_on_metadata_hold(filled):
    assert set(filled.found(text="red", where="year > 2020")) == {"green", "blue"}
    assert filled.found(text="blue", where="warm = true and year < 2030") == ["red"]
    wrong = filled.post("/search", data={"text": "red", "where": "month = 1"})
    assert wrong.status_code == 422
    assert "'month'" in wrong.json()["error"] and "year (number)" in wrong.json()["error"]


def test_words_that_the_model_does_not_know_are_told(filled):
    answer = filled.post("/search", data={"text": "red quux"}).json()
    assert answer["unknown_words"] == ["quux"]


def test_an_item_is_replaced_with_its_metadata_and_its_picture(filled):
    folder = filled.catalogue.galleries.folder / "pictures"
    assert len([*folder.rglob("*.jpg")]) == 3
    put = filled.put_picture("red", "green", text="now green").json()
    assert put["changed"] and filled.get("/items/red").json()["metadata"] == {}
    assert filled.get("/pictures/red").content == picture("green")
    # Its picture is that of another item; the one before is nobody's, and is removed.
    assert len([*folder.rglob("*.jpg")]) == 2
    assert not filled.put_picture("red", "green", text="now green").json()["changed"]


def test_an_item_can_become_one_of_the_other_kind(filled):
    assert filled.put("/items", data={"id": "red", "text": "sea"}).json()["kind"] == "texts"
    assert filled.get("/items/red").json()["kind"] == "texts"
    assert filled.get("/about").json()["items"] == {"images": 2, "texts": 3}


def test_a_gallery_whose_items_were_all_taken_out_takes_new_ones(filled):
    """And one whose only item of a kind became one of the other kind and comes back."""
    for name in ("red", "green", "blue", "texts/car", "texts/field"):
        assert filled.delete(f"/items/{name}").status_code == 204
    assert filled.put("/items", data={"id": "red", "text": "sea"}).status_code == 200
    assert filled.put_picture("red", "red").status_code == 200
    assert filled.get("/about").json()["items"] == {"images": 1, "texts": 0}
    assert filled.put("/items", data={"id": "red", "text": "sea"}).status_code == 200
    assert filled.found(text="sea", find="texts") == ["red"]


def test_a_small_copy_is_a_jpeg(service):
    service.put_picture("tiff", "red")
    large = service.put(
        "/items", data={"id": "large"}, files={"image": picture("red", 1000, "TIFF")}
    )
    assert large.status_code == 200
    small = service.get("/pictures/large", params={"small": True})
    assert small.headers["content-type"] == "image/jpeg" and len(small.content) < 20_000
    assert small.headers["x-content-type-options"] == "nosniff"


def test_the_service_tells_what_it_holds(filled):
    about = filled.get("/about").json()
    assert about["items"] == {"images": 3, "texts": 2}
    assert about["columns"] == {"warm": "boolean", "year": "number"}
    assert (about["model"], about["version"], about["may_write"]) == ("fake", 1, True)
    some = filled.get("/items", params={"kind": "images", "most": 2}).json()["items"]
    assert len(some) == 2 and some[0]["caption"].startswith("a ")


@pytest.mark.parametrize(
    "asked, said",
    [
        ({}, "Nothing is asked"),
        ({"text": "quux"}, "nothing that the model knows"),
        ({"text": "red", "k": "0"}, "`k` is wrong"),
        ({"text": "red", "k": "many"}, "`k` is wrong"),
        ({"text": "red", "min_score": "nan"}, "`min_score` is wrong"),
        ({"text": "red", "min_probability": "1"}, "`min_probability` is wrong"),
        ({"text": "red", "find": "films"}, "`find` is wrong"),
        ({"text": "r" * 10_001}, "`text` is wrong"),
        ({"like": "nobody"}, "'nobody', which is not in the gallery"),
    ],
)
def test_a_wrong_question_is_told(service, asked, said):
    answer = service.post("/search", data=asked)
    assert answer.status_code == 422 and said in answer.json()["error"]


@pytest.mark.parametrize(
    "item, said",
    [
        ({"id": "a"}, "Neither `image` nor `text`"),
        ({"id": "../a", "text": "red"}, "`id` must be"),
        ({"id": "a//b", "text": "red"}, "`id` must be"),
        ({"id": "a\n", "text": "red"}, "`id` must be"),
        ({"id": "a" * 201, "text": "red"}, "`id` must be"),
        ({"text": "red"}, "`id` is wrong"),
        ({"id": "a", "text": "quux"}, "`text` is refused: it holds no word"),
        ({"id": "a", "text": "red", "metadata": "[1]"}, "no JSON object"),
        ({"id": "a", "text": "red", "metadata": "[" * 5000}, "no JSON object"),
        ({"id": "a", "text": "red", "metadata": '{"caption": "b"}'}, "fills itself"),
        ({"id": "a", "text": "red", "metadata": '{"b": [1]}'}, "give a text, a number"),
        ({"id": "a", "text": "red", "metadata": '{"b": "\\ud800"}'}, "give a text, a number"),
        ({"id": "a", "text": "red", "metadata": '{"b c": 1}'}, "letters, digits and _"),
    ],
)
def test_a_wrong_item_is_told_and_not_kept(service, item, said):
    answer = service.put("/items", data=item)
    assert answer.status_code == 422 and said in answer.json()["error"]
    assert sum(service.get("/about").json()["items"].values()) == 0


def test_what_is_no_picture_is_told_and_not_kept(service):
    answer = service.put("/items", data={"id": "a"}, files={"image": b"nothing"})
    assert answer.status_code == 422 and "`image` is refused" in answer.json()["error"]
    assert service.post("/search", files={"image": b"nothing"}).status_code == 422


def test_an_empty_file_is_no_picture_and_changes_nothing(filled):
    """A browser sends one without a name where none is chosen: that one is not given."""
    empty = {"image": ("red.png", b"")}
    answer = filled.put("/items", data={"id": "red", "text": "a caption"}, files=empty)
    assert answer.status_code == 422 and "`image` is refused" in answer.json()["error"]
    assert filled.get("/items/red").json()["kind"] == "images"
    assert filled.get("/pictures/red").content == picture("red")
    for asked in ({"text": "red"}, {}):
        assert filled.post("/search", data=asked, files=empty).status_code == 422
    unchosen = (
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n--b\r\n'
        b'Content-Disposition: form-data; name="text"\r\n\r\nred\r\n--b\r\n'
        b'Content-Disposition: form-data; name="image"; filename=""\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\r\n--b--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    put = filled.put("/items", content=unchosen % (b"id", b"t"), headers=headers)
    assert put.json() == {"id": "t", "kind": "texts", "changed": True}
    found = filled.post("/search", content=unchosen % (b"k", b"1"), headers=headers)
    assert [item["id"] for item in found.json()["items"]] == ["red"]


def test_an_empty_file_is_told_where_a_folder_is_put_in(catalogue, tmp_path):
    for name, content in (("red.png", picture("red")), ("empty.png", b"")):
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(content)
    told = fill(catalogue, tmp_path / "photos")
    assert told.written == 1 and [*told.bad] == ["empty.png"]


def test_a_column_has_one_type(filled):
    answer = filled.put_picture("a", metadata='{"year": "old"}')
    assert answer.status_code == 422 and "year" in answer.json()["error"]


# === Keys, limits, what is seen ================================================================


@pytest.fixture
def keyed(catalogue, tmp_path):
    """A service with keys, and the headers of one of each right."""
    path = tmp_path / "keys.json"
    headers = {
        right: {"Authorization": f"Bearer {add_key(path, right, right)}"}
        for right in ("read", "write")
    }
    return Asking(catalogue, keys=Keys(path)), headers


def test_without_a_key_nothing_of_the_gallery_is_told(keyed):
    service, _ = keyed
    asked = [
        service.get("/about"),
        service.get("/items"),
        service.get("/items/a"),
        service.get("/pictures/a"),
        service.get("/nothing"),
        service.post("/search", data={"text": "red"}),
        service.put("/items", data={"id": "a", "text": "red"}),
        service.delete("/items/a", headers={"Authorization": "Bearer tfx_wrong"}),
    ]
    assert {answer.status_code for answer in asked} == {401}
    assert asked[0].headers["www-authenticate"] == "Bearer"
    for path in ("/", "/health", "/ready", "/docs", "/openapi.json"):
        assert service.get(path).status_code == 200, path


def test_a_key_to_read_does_not_write(keyed):
    service, headers = keyed
    item = {"id": "a", "text": "red"}
    assert service.put("/items", data=item, headers=headers["read"]).status_code == 403
    assert service.put("/items", data=item, headers=headers["write"]).status_code == 200
    asked = {"text": "red", "find": "texts"}
    found = service.post("/search", data=asked, headers=headers["read"])
    assert [each["id"] for each in found.json()["items"]] == ["a"]
    assert service.delete("/items/a", headers=headers["read"]).status_code == 403
    assert service.get("/about", headers=headers["read"]).json()["may_write"] is False


def test_what_is_too_large_is_refused_before_it_is_read(catalogue, model):
    service = Asking(catalogue, Limits(max_upload=0.01))
    asked = model.asked
    answer = service.put("/items", data={"id": "a"}, files={"image": b"x" * 20_000})
    assert answer.status_code == 413 and "at most 0.01 MB" in answer.json()["error"]
    assert model.asked == asked


def test_other_websites_may_ask_only_where_they_are_named(catalogue):
    origin = {"Origin": "https://example.org"}
    closed, opened = Asking(catalogue), Asking(catalogue, cors=("https://example.org",))
    header = "access-control-allow-origin"
    assert header not in closed.get("/about", headers=origin).headers
    assert opened.get("/about", headers=origin).headers[header] == "https://example.org"
    assert header not in opened.get("/about", headers={"Origin": "https://a.org"}).headers


def test_logs_and_metrics_hold_nothing_of_what_is_asked(filled):
    filled.found(text="red car", where="year > 2000")
    filled.get("/items/texts/car")
    filled.get("/nothing/secret")
    told = json.dumps(filled.log)
    for content in ("red", "car", "year", "secret"):
        assert content not in told
    last, route = filled.log[-1], filled.log[-3]
    assert (last["route"], last["status"], last["caller"]) == ("none", 404, "anybody")
    assert (route["route"], route["method"], route["status"]) == ("/search", "POST", 200)
    value = filled.metrics.registry.get_sample_value
    labels = {"route": "/search", "method": "POST", "status": "200"}
    assert value("tfxmodal_requests_total", labels) == 1
    assert value("tfxmodal_step_seconds_count", {"step": "write"}) == 5


def test_a_method_that_is_none_is_not_kept(service):
    for number in range(3):
        assert service.request(f"SECRET{number}", "/search").status_code == 405
    assert {told["method"] for told in service.log} == {"other"}
    labels = {"route": "/search", "method": "other", "status": "405"}
    assert service.metrics.registry.get_sample_value("tfxmodal_requests_total", labels) == 3
    assert "SECRET" not in str([*service.metrics.registry.collect()])


def test_the_page_of_the_interface_needs_nothing_from_elsewhere(service):
    docs, schema = service.get("/docs").text, service.get("/openapi.json").json()
    assert "https://" not in docs
    assert {"/search", "/items", "/items/{id}", "/pictures/{id}"} <= schema["paths"].keys()


def test_a_score_that_is_no_dot_product_is_the_model_servers(tmp_path, model):
    """The cube of the dot product ranks alike, and its sign stays."""
    model.is_dot_product = False
    rows = [
        {"id": name, "image": f"{name}.png", "text": f"{name} car", "split": "train"}
        for name in ("red", "green", "blue")
    ]
    for row in rows:
        (tmp_path / row["image"]).write_bytes(picture(row["id"]))
    manifest = tmp_path / "pairs.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    galleries = Galleries(tmp_path / "gallery", model)
    with pytest.raises(InputError, match="`landmarks`"):
        galleries.make(1, "f1")
    galleries.switch(galleries.make(1, "f1", manifest).name)
    service = Asking(Catalogue(galleries))
    fill(service.catalogue, manifest)
    found = service.post("/search", data={"text": "green"}).json()["items"]
    assert [item["id"] for item in found][0] == "green"
    (image,), (text, _) = model.embed_images([picture("green")]), model.read_texts(["green"])
    assert found[0]["score"] == pytest.approx(float(image @ text[0]) ** 3, rel=1e-4)
    assert service.found(image=picture("blue"), find="texts")[0] == "blue#0"
    assert len(service.found(image=picture("blue"))) == 3 == len(service.found(like="red")) + 1
    both = service.post("/search", data={"text": "red"}, files={"image": picture("red")})
    assert both.status_code == 422 and "cannot join" in both.json()["error"]


def test_a_manifest_is_put_in_and_again_what_is_new(catalogue, tmp_path):
    rows = [
        {"image": "red.png", "texts": ["a red car", "red"], "year": 2020, "split": "test"},
        {"image": "bad.png", "text": "green", "year": 2021, "split": "test"},
        {"image": "blue.png", "text": "quux", "year": 2022, "split": "train"},
    ]
    for name in ("red", "blue"):
        (tmp_path / f"{name}.png").write_bytes(picture(name))
    (tmp_path / "bad.png").write_bytes(b"nothing")
    manifest = tmp_path / "pairs.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    told = fill(catalogue, manifest, "test")
    assert told.written == 4 and [*told.bad] == ["bad.png"]
    again = fill(catalogue, manifest)
    assert (again.written, again.unchanged, {*again.bad}) == (1, 4, {"bad.png", "blue.png#0"})
    service = Asking(catalogue)
    assert service.get("/items/red.png").json()["caption"] == "a red car"
    assert service.found(text="red", find="texts", where="year = 2020")[0] == "red.png#1"


def test_a_split_is_of_a_manifest(catalogue, tmp_path):
    (tmp_path / "texts.txt").write_text("red\n")
    (tmp_path / "pictures").mkdir()
    for name in ("texts.txt", "pictures"):
        with pytest.raises(InputError, match=f"`split` test is of a manifest, and .*{name} is non"):
            fill(catalogue, tmp_path / name, "test")
    assert catalogue.sizes() == {"images": 0, "texts": 0}


def test_a_write_of_one_kind_leaves_the_other_kinds_store_alone(filled):
    """Else each would be a version more of a store in which nothing changed."""
    stores = {k: i.store for k, i in filled.catalogue.galleries.current().indexes.items()}

    def versions() -> dict[str, int]:
        return {kind: store._table.version for kind, store in stores.items()}

    before = versions()
    filled.put("/items", data={"id": "texts/new", "text": "red"})
    filled.delete("/items/texts/new")
    assert versions() == before | {"texts": before["texts"] + 2}
    filled.put_picture("new", "red")
    assert versions()["images"] == before["images"] + 1
    assert versions()["texts"] == before["texts"] + 2


@pytest.mark.parametrize("start", ["{folder}/", "./", "../pairs/", ""])
def test_an_id_that_is_a_path_begins_with_a_name(catalogue, tmp_path, start):
    folder = tmp_path / "pairs"
    folder.mkdir()
    (folder / "red.png").write_bytes(picture("red"))
    row = {"image": start.format(folder=folder) + "red.png", "text": "red", "split": "test"}
    (folder / "pairs.jsonl").write_text(json.dumps(row))
    told = fill(catalogue, folder / "pairs.jsonl")
    assert (told.written, told.bad) == (2, {})
    ids = {item.id for part in catalogue.galleries.current().parts() for item in part}
    (name,) = (name for name in ids if "#" not in name)
    assert row["image"].endswith(name) and not name.startswith((".", "/"))


def test_an_id_that_is_given_stays_as_it_is(catalogue, tmp_path):
    rows = []
    for name, colour in (("x/y", "red"), ("x/../y", "blue")):
        (tmp_path / f"{colour}.png").write_bytes(picture(colour))
        rows.append({"id": name, "image": f"{colour}.png", "text": colour, "split": "test"})
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    told = fill(catalogue, tmp_path / "pairs.jsonl")
    assert told.written == 2 and {*told.bad} == {"x/../y", "x/../y#0"}


def test_ids_that_would_be_one_are_told(catalogue, tmp_path):
    rows = [{"image": name, "text": "red", "split": "test"} for name in ("a/b.png", "/a/b.png")]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match="both would be the item 'a/b.png'"):
        fill(catalogue, tmp_path / "pairs.jsonl")


def test_without_keys_no_other_name_of_this_machine_is_answered(filled):
    """A website that gives it one of its own could read and empty the gallery."""
    for host in ("example.org", "localhost.example.org", "127.0.0.1.example.org:8080", ""):
        answer = filled.delete("/items/red", headers={"host": host})
        assert answer.status_code == 403 and "localhost alone" in answer.json()["error"]
        assert filled.get("/health", headers={"host": host}).status_code == 200
    for host in ("localhost:8080", "LOCALHOST", "127.0.0.1:80", "[::1]:8080", "[::1]"):
        assert filled.get("/items/red", headers={"host": host}).status_code == 200


def test_a_gallery_has_so_many_columns_and_no_more(filled, monkeypatch):
    monkeypatch.setattr(items, "MOST_COLUMNS", 4)
    before = filled.get("/about").json(), filled.get("/items/red").json()
    answer = filled.put_picture("red", "blue", metadata='{"a": 1, "b": 2, "c": 3}')
    assert answer.status_code == 422
    assert "3 new columns to the 2 that are there" in answer.json()["error"]
    assert (filled.get("/about").json(), filled.get("/items/red").json()) == before
    assert filled.get("/pictures/red").content == picture("red")
    assert filled.put_picture("a", metadata='{"a": 1, "b": 2, "c": null}').status_code == 200
    assert filled.put_picture("b", metadata='{"a": 1, "year": 2}').status_code == 200
