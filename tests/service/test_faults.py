"""What the service answers when something around it fails, and what is left then."""

import asyncio
import errno
import math
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice

import grpc
import pytest
from starlette.exceptions import HTTPException

from tests.service.conftest import Asking
from tests.service.fake import picture
from tests.waiting import PATIENCE, eventually
from tfxmodal.encoders.image.with_pillow import as_seen
from tfxmodal.errors import InputError
from tfxmodal.io.locks import locked
from tfxmodal.service import gallery, pictures
from tfxmodal.service.app import SPARE
from tfxmodal.service.catalogue import Catalogue
from tfxmodal.service.config import Limits
from tfxmodal.service.failures import Unready
from tfxmodal.service.filling import fill, put_in_order, reembed
from tfxmodal.service.galleries import Galleries
from tfxmodal.service.items import NewItem
from tfxmodal.service.keys import Keys, add_key
from tfxmodal.service.limits import Limited
from tfxmodal.service.pictures import Pictures


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """The service looks again at once whether a model server is back."""
    monkeypatch.setattr(gallery, "FAILED", 0.0)


@pytest.mark.parametrize(
    "code, status",
    [("UNAVAILABLE", 503), ("NOT_FOUND", 503), ("DEADLINE_EXCEEDED", 504), ("INTERNAL", 503)],
)
def test_a_model_server_that_fails_is_told_and_comes_back(filled, model, code, status):
    model.fault = grpc.StatusCode[code]
    asked = [
        filled.post("/search", data={"text": "red"}),
        filled.put("/items", data={"id": "new", "text": "red"}),
    ]
    for answer in asked:
        assert answer.status_code == status and answer.json()["error"]
        assert ("retry-after" in answer.headers) == (status == 503)
    assert filled.get("/ready").status_code == status and filled.get("/health").status_code == 200
    model.fault = None
    assert filled.found(text="red", k=1) == ["red"]
    assert filled.get("/items/new").status_code == 404


def test_another_model_under_the_same_version_is_refused(filled, model):
    """Else its vectors would be compared with those of the gallery, and nobody would notice."""
    model.fault = grpc.StatusCode.UNAVAILABLE
    filled.post("/search", data={"text": "red"})
    model.fault, model.versions = None, {1: 99}
    for answer in (filled.post("/search", data={"text": "red"}), filled.get("/ready")):
        assert answer.status_code == 503 and "not the model that made" in answer.json()["error"]
    model.versions = {1: 1}
    assert filled.found(text="red", k=1) == ["red"]


def test_a_gallery_that_is_locked_is_told_and_searched(filled):
    with locked(filled.catalogue.galleries.lock):
        answers = [filled.put_picture("new"), filled.delete("/items/red")]
        assert filled.found(text="red", k=1) == ["red"]
    for answer in answers:
        assert answer.status_code == 503 and answer.headers["retry-after"]
    assert filled.put_picture("new").status_code == 200


def test_a_full_disk_is_told_and_loses_nothing(filled, file_limit):
    file_limit(10)
    answers = [
        filled.put_picture("new", (1, 2, 3)),
        filled.put("/items", data={"id": "b", "text": "red"}),
    ]
    file_limit(None)
    assert [answer.status_code for answer in answers] == [507, 507]
    assert "full, and this may not be written" in answers[0].json()["error"]
    assert filled.found(text="red", find="images") and filled.get("/items/new").status_code == 404
    assert filled.get("/about").json()["items"] == {"images": 3, "texts": 2}
    assert filled.put_picture("new", (1, 2, 3)).status_code == 200


def test_a_write_that_finds_the_disk_full_after_it_was_done_is_told_to_be_sent_again(
    filled, monkeypatch
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(filled.catalogue, "tidy", full)
        for answer in (filled.put_picture("new"), filled.delete("/items/red")):
            assert answer.status_code == 507 and "and send it again" in answer.json()["error"]
    assert filled.get("/items/new").status_code == 200
    assert filled.get("/items/red").status_code == 404
    assert filled.put_picture("new").status_code == 200


def test_a_picture_that_is_replaced_or_deleted_while_it_is_asked_for_is_looked_for_again(
    filled, monkeypatch
):
    read, changes = Pictures.read, []

    def late(*arguments):
        if changes:
            changes.pop()()
        return read(*arguments)

    monkeypatch.setattr(Pictures, "read", late)
    changes.append(lambda: filled.catalogue.put([NewItem("red", picture("white"))]))
    assert filled.get("/pictures/red").content == picture("white")
    changes.append(lambda: filled.catalogue.delete("red"))
    assert filled.get("/pictures/red").status_code == 404
    filled.catalogue.galleries.pictures.remove(filled.catalogue.get("blue").picture)
    for small in (False, True):  # It is missing for good.
        answer = filled.get("/pictures/blue", params={"small": small})
        assert answer.status_code == 404 and "no picture of 'blue'" in answer.json()["error"]
    assert filled.get("/items/blue").status_code == 200


def test_a_fault_of_the_program_tells_no_content(filled, monkeypatch):
    def fail(*_):
        raise KeyError("a secret")

    monkeypatch.setattr(filled.catalogue, "search", fail)
    answer = filled.post("/search", data={"text": "red"})
    assert answer.status_code == 500 and "secret" not in answer.text
    assert filled.log[-1]["fault"][0] == "KeyError" and "secret" not in str(filled.log)


def test_too_many_requests_are_told_to_come_again(catalogue, monkeypatch):
    free = threading.Event()
    service = Asking(catalogue, Limits(max_requests=2))
    monkeypatch.setattr(catalogue, "some", lambda *_: free.wait(PATIENCE) and [])
    with service, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(service.get, "/items") for _ in range(4)]
        refused = {*islice(as_completed(asked), 2)}
        free.set()
        assert [each.result().status_code for each in refused] == [503, 503]
        assert [each.result().status_code for each in {*asked} - refused] == [200, 200]


def test_several_services_share_a_folder(tmp_path, model):
    galleries = [Galleries(tmp_path / "shared", model) for _ in range(2)]
    galleries[0].switch(galleries[0].make(1, "f1").name)
    one, other = (Asking(Catalogue(each, write_seconds=PATIENCE)) for each in galleries)
    with ThreadPoolExecutor(4) as pool:
        services = [one, other] * 4
        puts = pool.map(
            lambda each: each[1].put_picture(f"p{each[0]}", (each[0], 9, 9)), enumerate(services)
        )
        assert {answer.status_code for answer in puts} == {200}
    for service in (one, other):
        assert service.get("/about").json()["items"]["images"] == 8
    assert one.delete("/items/p3").status_code == 204
    assert other.get("/items/p3").status_code == 404 and "p3" not in other.found(text="red")


def test_embedding_again_goes_over_at_once_and_takes_all_along(filled, model):
    galleries = filled.catalogue.galleries
    model.versions[2] = 2
    target = galleries.make(2, "f2")
    filled.delete("/items/blue")
    told = reembed(filled.catalogue, target)
    assert (told.written, told.bad) == (4, {})
    about = filled.get("/about").json()
    assert (about["version"], about["items"]) == (2, {"images": 2, "texts": 2})
    assert filled.found(text="red", where="year = 2020") == ["red"]
    # Back again, with what was written meanwhile, and without what was deleted.
    filled.put_picture("new", "blue", text="late")
    filled.put_picture("red", "green")
    filled.put_picture("other", "red")  # The picture that another item has in the old gallery.
    filled.delete("/items/texts/car")
    told = reembed(filled.catalogue, galleries.open("fake-1"))
    assert told.written == 3
    assert filled.get("/about").json()["version"] == 1
    assert filled.get("/pictures/other").content == picture("red")
    assert filled.found(text="blue", k=1) == ["new"]
    assert filled.get("/items/texts/car").status_code == 404


def test_a_gallery_of_a_version_that_is_gone_is_told(filled, model):
    model.versions = {2: 2}
    filled.catalogue.galleries.current()._look_again = 0.0
    answer = filled.get("/ready")
    assert answer.status_code == 503 and "NOT_FOUND" in answer.json()["error"]


def test_a_request_that_does_not_arrive_is_ended():
    async def app(scope, receive, send):
        await receive()

    async def never():
        await asyncio.sleep(60)

    limited = Limited(app, Limits(body_seconds=0.05))
    with pytest.raises(HTTPException) as ended:
        asyncio.run(limited({"type": "http", "path": "/items"}, never, None))
    assert ended.value.status_code == 408


def test_an_answer_that_nobody_takes_keeps_nobody_out():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def statuses():
        sent = []

        async def note(message):
            sent.append(message)

        async def never(message):
            await asyncio.sleep(60)

        def asked(path, send):
            return asyncio.create_task(limited({"type": "http", "path": path}, None, send))

        idle = asked("/items", never)
        await asyncio.sleep(0.01)
        for path in ("/items", "/static-offline-docs/a.js", "/"):
            await asked(path, note)
        with pytest.raises(TimeoutError):
            await idle
        await asked("/items", note)
        return [message["status"] for message in sent if "status" in message]

    limited = Limited(app, Limits(body_seconds=2, max_requests=1))
    start = time.monotonic()
    assert asyncio.run(statuses()) == [503, 200, 200, 200]
    assert time.monotonic() - start < 30


def test_what_a_version_cannot_embed_is_there_again_after_going_back(filled, model):
    galleries = filled.catalogue.galleries
    model.versions |= {2: 2, 3: 3}
    model.unknown[2] = "field"
    told = reembed(filled.catalogue, galleries.make(2, "f2"), allow_bad=True)
    assert [*told.bad] == ["texts/field"] and filled.get("/items/texts/field").status_code == 404
    assert filled.put("/items", data={"id": "texts/field", "text": "red field"}).status_code == 422
    # What is deleted meanwhile stays deleted, what was left out is passed on from one to the next.
    filled.delete("/items/blue")
    model.unknown[3] = "field"
    told = reembed(filled.catalogue, galleries.make(3, "f3"))
    assert (told.written, told.deleted, told.bad) == (3, 0, {})
    told = reembed(filled.catalogue, galleries.open("fake-1"))
    assert (told.written, told.deleted, told.bad) == (0, 1, {})
    assert filled.get("/items/texts/field").json()["caption"] == "field in green"
    assert filled.get("/about").json()["items"] == {"images": 2, "texts": 2}
    assert galleries.current().left_out == {}


def test_what_was_left_out_can_be_written_and_deleted(filled, model):
    galleries = filled.catalogue.galleries
    filled.put("/items", data={"id": "texts/sea", "text": "red field at sea"})
    model.versions[2], model.unknown[2] = 2, "field"
    reembed(filled.catalogue, galleries.make(2, "f2"), allow_bad=True)
    assert {*galleries.current().left_out} == {"texts/field", "texts/sea"}
    filled.put("/items", data={"id": "texts/sea", "text": "blue sea"})
    filled.delete("/items/texts/field")
    assert galleries.current().left_out == {}
    told = reembed(filled.catalogue, galleries.open("fake-1"))
    assert (told.written, told.deleted) == (1, 1)
    assert filled.get("/items/texts/sea").json()["caption"] == "blue sea"
    assert filled.get("/items/texts/field").status_code == 404


def test_an_old_form_of_what_cannot_be_embedded_does_not_come_back(filled, model):
    galleries = filled.catalogue.galleries
    model.versions[2] = 2
    reembed(filled.catalogue, galleries.make(2, "f2"))
    reembed(filled.catalogue, galleries.open("fake-1"))
    filled.put("/items", data={"id": "texts/field", "text": "a blue field"})
    model.unknown[2] = "field"
    told = reembed(filled.catalogue, galleries.open("fake-2"), allow_bad=True)
    assert ([*told.bad], told.deleted) == (["texts/field"], 1)
    assert filled.found(text="green", find="texts") == ["texts/car"]
    reembed(filled.catalogue, galleries.open("fake-1"))
    assert filled.get("/items/texts/field").json()["caption"] == "a blue field"


def test_a_picture_that_is_missing_is_told_and_one_that_was_left_out_is_kept(filled, model):
    galleries = filled.catalogue.galleries
    filled.put_picture("lost", "blue", text="it has the picture of another item")
    filled.put_picture("gone", (9, 9, 9))
    for item in galleries.current().get(["gone"]):
        galleries.pictures.remove(item.picture)
    model.versions[2], model.unknown[2] = 2, picture("blue")
    told = reembed(filled.catalogue, galleries.make(2, "f2"), allow_bad=True)
    assert told.bad.keys() == {"blue", "lost", "gone"}
    assert told.bad["gone"] == "its picture is missing"
    model.unknown = {}
    filled.put_picture("blue", "blue")
    filled.delete("/items/blue")  # Its picture is that of an item that was left out.
    reembed(filled.catalogue, galleries.open("fake-1"))
    assert filled.get("/pictures/lost").content == picture("blue")
    assert filled.get("/items/gone").status_code == 200


def test_a_gallery_whose_version_is_unloaded_can_be_left(filled, model):
    """As after `release.py rollback`: its vectors are not needed, but for searching it."""
    galleries = filled.catalogue.galleries
    model.versions[2] = 2
    reembed(filled.catalogue, galleries.make(2, "f2"))
    del model.versions[2]
    assert filled.get("/ready").status_code == 503
    assert reembed(filled.catalogue, galleries.open("fake-1")).written == 0
    assert filled.get("/ready").status_code == 200 and filled.found(text="red", k=1) == ["red"]


def test_of_two_that_embed_again_the_later_one_is_told(filled, model, monkeypatch):
    """Else what was written to the first one's gallery would not be in the second one's."""
    galleries = filled.catalogue.galleries
    model.versions |= {2: 2, 3: 3}
    first, second = galleries.make(2, "f2"), galleries.make(3, "f3")
    monkeypatch.setattr(second, "optimize", lambda: reembed(filled.catalogue, first))
    with pytest.raises(Unready, match="give the command again"):
        reembed(filled.catalogue, second)
    assert galleries.current_name() == "fake-2"


def test_a_change_of_kind_that_failed_half_way_is_done_by_asking_again(filled, monkeypatch):
    def fail(*_):
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(gallery.Index, "delete", fail)
        assert filled.put("/items", data={"id": "red", "text": "sea"}).status_code == 503
    assert filled.get("/about").json()["items"] == {"images": 3, "texts": 3}
    again = filled.put("/items", data={"id": "red", "text": "sea"})
    assert again.status_code == 200 and again.json()["changed"]
    assert filled.get("/about").json()["items"] == {"images": 2, "texts": 3}
    assert "red" not in filled.found(text="red") and filled.get("/pictures/red").status_code == 404


def test_pictures_that_failed_writes_left_are_removed_by_filling(filled, monkeypatch, tmp_path):
    def fail(*_):
        raise OSError

    folder = filled.catalogue.galleries.folder / "pictures"
    with monkeypatch.context() as patch:
        patch.setattr(filled.catalogue, "tidy", fail)
        assert filled.delete("/items/red").status_code == 503
    assert filled.delete("/items/red").status_code == 404
    (folder / "00").mkdir(exist_ok=True)
    (folder / "00" / f"{'0' * 64}.jpg.partial").touch()
    (tmp_path / "texts").write_text("a red sea\n")
    fill(filled.catalogue, tmp_path / "texts")
    assert len([*folder.glob("*/*")]) == 7  # They may be of a write that is under way.
    for path in folder.glob("*/*"):
        os.utime(path, (1, 1))
    fill(filled.catalogue, tmp_path / "texts")
    assert len([*folder.glob("*/*")]) == 4
    for name in ("green", "blue"):
        assert filled.get(f"/pictures/{name}").content == picture(name)
        assert filled.get(f"/pictures/{name}", params={"small": True}).status_code == 200


def test_two_pictures_are_decoded_at_once(monkeypatch):
    under_way, most, together = [], [], threading.Barrier(2)

    def slow(*arguments):
        under_way.append(1)
        most.append(len(under_way))
        together.wait(PATIENCE)
        time.sleep(0.05)  # A third one would come in now.
        under_way.pop()
        return as_seen(*arguments)

    monkeypatch.setattr(pictures, "as_seen", slow)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(pictures.small_copy, 8 * [picture("red")]))
    assert max(most) == 2


def test_the_service_lives_while_all_its_threads_wait(catalogue, monkeypatch):
    free, arrived = threading.Event(), []
    monkeypatch.setattr(catalogue, "sizes", lambda: arrived.append(1) or free.wait(PATIENCE) and {})
    with Asking(catalogue, Limits(max_requests=1)) as service, ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(service.get, "/ready") for _ in range(60)]
        eventually(lambda: len(arrived) == 1 + SPARE)  # As many as there are threads.
        start = time.monotonic()
        assert service.get("/health").status_code == 200
        assert time.monotonic() - start < PATIENCE / 2
        free.set()
        assert {each.result().status_code for each in asked} == {200}


def test_each_request_under_way_has_a_thread(catalogue, monkeypatch):
    together = threading.Barrier(50)
    monkeypatch.setattr(catalogue, "some", lambda *_: [] if together.wait(PATIENCE) + 1 else None)
    with Asking(catalogue, Limits(max_requests=50)) as service, ThreadPoolExecutor(50) as pool:
        answers = pool.map(lambda _: service.get("/items").status_code, range(50))
        assert {*answers} == {200}


def test_a_gallery_that_would_lack_items_is_not_gone_over_to(filled, model, tmp_path):
    galleries = filled.catalogue.galleries
    (tmp_path / "texts").write_text("".join(f"t{number}\tsea\n" for number in range(96)))
    fill(filled.catalogue, tmp_path / "texts")
    model.versions |= {2: 2, 3: 3}
    model.unknown[2] = "in green"
    with pytest.raises(InputError, match="would lack 2 of 101 items: 'texts/car'.*`allow_bad`"):
        reembed(filled.catalogue, galleries.make(2, "f2"))
    model.unknown[2] = "field"  # One in a hundred may be bad.
    assert [*reembed(filled.catalogue, galleries.make(2, "f2")).bad] == ["texts/field"]
    galleries.pictures.remove(galleries.current().get(["red"])[0].picture)
    with pytest.raises(InputError, match="'red' .its picture is missing"):
        reembed(filled.catalogue, galleries.make(3, "f3"))
    assert galleries.current_name() == "fake-2"
    assert reembed(filled.catalogue, galleries.make(3, "f3"), allow_bad=True).bad.keys() == {"red"}


@pytest.mark.parametrize(
    "error, told",
    [
        (PermissionError(13, "a secret"), ["PermissionError", "EACCES"]),
        (RuntimeError("lance error: a secret (os error 28)"), ["RuntimeError", "ENOSPC"]),
    ],
)
def test_logs_tell_why_a_store_failed_and_nothing_that_is_in_it(filled, monkeypatch, error, told):
    def fail(*_):
        raise error

    monkeypatch.setattr(gallery.Index, "search", fail)
    assert filled.post("/search", data={"text": "red"}).status_code in (503, 507)
    fault = filled.log[-1]["fault"]
    assert fault[:2] == told and "test_faults.py" in fault[-1] and "secret" not in str(fault)


def test_logs_tell_what_a_model_server_answered_and_that_keys_cannot_be_read(
    catalogue, model, tmp_path
):
    keys = tmp_path / "keys.json"
    headers = {"Authorization": f"Bearer {add_key(keys, 'a', 'read')}"}
    service = Asking(catalogue, keys=Keys(keys))
    model.fault = grpc.StatusCode.INTERNAL
    assert service.post("/search", data={"text": "red"}, headers=headers).status_code == 503
    assert service.log[-1]["fault"][:2] == ["ServerError", "INTERNAL"]
    keys.write_text("no JSON")
    assert service.get("/about", headers=headers).status_code == 503
    assert service.log[-1]["fault"][0] == "JSONDecodeError"


def test_a_full_disk_counts_from_the_first_write_that_finds_it(service, tmp_path):
    def value(name: str, **labels) -> float | None:
        return service.metrics.registry.get_sample_value(f"tfxmodal_{name}", labels)

    for route, method in (("/items", "PUT"), ("/items/{id:path}", "DELETE")):
        assert value("requests_total", route=route, method=method, status="507") == 0
    service.metrics.watch(tmp_path)
    assert 0 < value("disk_free_bytes") < value("disk_bytes")
    service.metrics.watch(tmp_path / "gone")
    assert math.isnan(value("disk_free_bytes"))


def test_what_needs_no_model_waits_for_none(filled, model, monkeypatch):
    hangs, asked = threading.Event(), threading.Event()
    current = filled.catalogue.galleries.current()
    probe = current.model.probe

    def slow():
        asked.set()
        hangs.wait(PATIENCE)
        return probe()

    monkeypatch.setattr(current.model, "probe", slow)
    current._look_again = 0.0
    with filled, ThreadPoolExecutor(1) as pool:
        ready = pool.submit(filled.get, "/ready")
        assert asked.wait(PATIENCE)
        start = time.monotonic()
        for path in ("/pictures/red", "/items", "/items/red", "/about"):
            assert filled.get(path).status_code == 200, path
        assert filled.delete("/items/blue").status_code == 204
        assert filled.found(text="red", k=1) == ["red"]  # By the last thing that is known.
        took = time.monotonic() - start
        hangs.set()
        assert ready.result().status_code == 200
    assert took < PATIENCE / 2  # The probe takes longer.


def test_a_busy_model_server_is_no_fault_of_the_gallery(filled, model, monkeypatch):
    current = filled.catalogue.galleries.current()
    current.check()
    monkeypatch.setattr(gallery, "FAILED", 60.0)
    current._look_again, model.fault = 0.0, grpc.StatusCode.RESOURCE_EXHAUSTED
    assert filled.get("/ready").status_code == 503
    model.fault = None
    assert filled.found(text="red", k=1) == ["red"]
    assert filled.put_picture("new").status_code == 503  # Vectors of another model would stay.


def test_a_search_waits_once_for_a_server_that_is_silent_and_not_at_all_where_it_asks_none(
    filled, model, monkeypatch
):
    current, asked = filled.catalogue.galleries.current(), []
    current.check()
    probe, embed = current.model.probe, current.model.embed_text
    monkeypatch.setattr(current.model, "probe", lambda: asked.append("probe") or probe())
    monkeypatch.setattr(current.model, "embed_text", lambda t: asked.append("text") or embed(t))
    current._look_again, model.fault = 0.0, grpc.StatusCode.UNAVAILABLE
    assert len(filled.found(like="red", k=2)) == 2 and not asked
    assert filled.post("/search", data={"text": "red"}).status_code == 503
    assert asked == ["probe"]


def test_a_version_number_that_is_used_again_has_a_way_out(filled, model):
    galleries = filled.catalogue.galleries
    model.versions[2] = 2
    reembed(filled.catalogue, galleries.make(2, "f2"))
    with pytest.raises(InputError, match="is that of the gallery fake-2, which is searched"):
        galleries.remove(2)
    reembed(filled.catalogue, galleries.open("fake-1"))
    model.versions[2] = 77
    with pytest.raises(InputError, match="of another model: remove it by"):
        galleries.make(2, "f77")
    galleries.remove(2)
    with pytest.raises(InputError, match="`version` 2 has no gallery"):
        galleries.remove(2)
    assert reembed(filled.catalogue, galleries.make(2, "f77")).written == 5
    assert filled.found(text="red", k=1) == ["red"]


def test_what_no_gallery_has_any_more_is_not_kept(filled, model):
    galleries = filled.catalogue.galleries
    model.versions[2] = 2
    reembed(filled.catalogue, galleries.make(2, "f2"))
    current = galleries.current()
    current.leave_out({"gone": "00/gone.jpg"})
    galleries.remove(1)
    assert galleries.current().left_out == {} and "00/gone.jpg" not in current.pictures()


def test_the_gallery_is_put_in_order_without_a_model_and_reaches_the_disk(
    filled, model, monkeypatch
):
    current = filled.catalogue.galleries.current()
    folder = filled.catalogue.galleries.folder / "pictures"
    done = []
    monkeypatch.setattr(gallery, "sync_changes", lambda *_: done.append("synced"))
    store = current.indexes["images"].store
    monkeypatch.setattr(store, "optimize", lambda: done.append("optimized"))
    (folder / "00").mkdir(exist_ok=True)
    (folder / "00" / f"{'0' * 64}.jpg").touch()
    os.utime(folder / "00" / f"{'0' * 64}.jpg", (1, 1))
    model.fault = grpc.StatusCode.UNAVAILABLE
    put_in_order(filled.catalogue)
    assert done == ["optimized", "synced"] and not [*(folder / "00").iterdir()]
    assert filled.get("/pictures/red").status_code == 200


def test_a_picture_that_stays_is_not_looked_for(filled, monkeypatch):
    asked = []
    current = filled.catalogue.galleries.current()
    has = current.has_picture
    monkeypatch.setattr(current, "has_picture", lambda name: asked.append(name) or has(name))
    filled.put_picture("red", "red", text="another caption")
    assert not asked and filled.get("/pictures/red").content == picture("red")
    filled.put_picture("red", "blue")
    assert len(asked) == 1


def test_examples_are_all_that_is_read_of_a_gallery(filled, monkeypatch):
    for number in range(40):
        filled.put("/items", data={"id": f"t{number:02}", "text": "sea"})
    store, read = filled.catalogue.galleries.current().indexes["texts"].store, []
    get = store.get
    monkeypatch.setattr(store, "get", lambda ids: read.extend(ids) or get(ids))
    found = filled.get("/items", params={"kind": "texts", "most": 7}).json()["items"]
    assert [item["id"] for item in found] == read and len(set(read)) == 7
