import json
import shutil

import numpy as np
import pytest

from tests.data import synthetic_coco
from tfxmodal.data import load_dataset
from tfxmodal.data.datasets import coco
from tfxmodal.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    synthetic_coco.write(folder, train=240, val=121)
    return folder


def annotations(folder, name):
    return json.loads((folder / "annotations" / name).read_text())


def write_annotations(folder, name, content):
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "annotations" / name).write_text(json.dumps(content))


@pytest.fixture
def tiny(tmp_path):
    """Four training and five validation images, written by hand in the 2017 layout."""
    categories = [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}]
    for part, count in (("train", 4), ("val", 5)):
        images = [{"id": key, "file_name": f"{key:012d}.jpg"} for key in range(count)]
        instances = [{"image_id": key, "category_id": (1, 3)[key % 2]} for key in range(count)] * 2
        captions = [
            {"id": 100 - key, "image_id": key, "caption": f" a  caption\n{key} \n"}
            for key in range(count)
        ]
        write_annotations(
            tmp_path,
            f"instances_{part}2017.json",
            {"images": images, "annotations": instances, "categories": categories},
        )
        write_annotations(
            tmp_path, f"captions_{part}2017.json", {"images": images, "annotations": captions}
        )
        (tmp_path / f"{part}2017").mkdir()
        for image in images:
            (tmp_path / f"{part}2017" / image["file_name"]).touch()
    return tmp_path


def test_pairs_agree_with_the_files_read_naively(folder):
    dataset = coco.load(folder, require_images=False)
    instances = annotations(folder, "instances_train2014.json")
    captions = annotations(folder, "captions_train2014.json")
    names = {item["id"]: item["name"] for item in instances["categories"]}
    assert dataset.class_names == tuple(names.values())
    assert len(dataset.train) == len({item["image_id"] for item in instances["annotations"]}) < 240
    for row in range(0, len(dataset.train), 7):
        key = int(dataset.train.ids[row].split("_")[-1])
        expected = {
            names[item["category_id"]]
            for item in instances["annotations"]
            if item["image_id"] == key
        }
        marked = np.flatnonzero(dataset.train.labels[row])
        assert {dataset.class_names[column] for column in marked} == expected
        sentences = sorted(
            (item["id"], item["caption"].strip())
            for item in captions["annotations"]
            if item["image_id"] == key
        )
        assert dataset.train.texts[row] == tuple(sentence for _, sentence in sentences)


def test_the_paper_counts_hold_where_there_are_enough_images(folder, monkeypatch):
    monkeypatch.setattr(coco, "HELD_OUT", 100)
    dataset = coco.load(folder, require_images=False)
    assert (len(dataset.validation), len(dataset.test)) == (50, 50)
    order = np.concatenate([dataset.test.ids, dataset.validation.ids])
    assert (np.sort(order) == order).all()  # Ascending ids, test before validation.


def test_few_validation_images_are_halved(folder):
    dataset = coco.load(folder, require_images=False)
    assert (len(dataset.validation), len(dataset.test)) == (60, 60)  # One of 121 has no category.
    assert not set(dataset.validation.ids) & set(dataset.test.ids)


def test_images_without_category_or_caption_are_left_out(tiny):
    instances = annotations(tiny, "instances_train2017.json")
    instances["annotations"] = [a for a in instances["annotations"] if a["image_id"] != 0]
    write_annotations(tiny, "instances_train2017.json", instances)
    captions = annotations(tiny, "captions_train2017.json")
    captions["annotations"] = [a for a in captions["annotations"] if a["image_id"] != 1]
    captions["annotations"].append({"id": 7, "image_id": 1, "caption": " \n"})
    write_annotations(tiny, "captions_train2017.json", captions)
    assert coco.load(tiny).train.ids.tolist() == [f"{key:012d}" for key in (2, 3)]


def test_2017_layout_classes_in_file_order_and_clean_captions(tiny):
    dataset = load_dataset("coco", tiny)
    assert dataset.class_names == ("car", "person")
    assert dataset.train.labels.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]
    assert dataset.train.texts[2] == ("a caption 2",)
    assert dataset.train.images[2] == str(tiny / "train2017" / f"{2:012d}.jpg")
    assert (len(dataset.validation), len(dataset.test)) == (3, 2)


def test_five_captions_of_the_lowest_ids_are_kept(tiny):
    captions = annotations(tiny, "captions_train2017.json")
    more = [{"id": number, "image_id": 0, "caption": str(number)} for number in (9, 5, 8, 6, 7, 4)]
    captions["annotations"] += more
    write_annotations(tiny, "captions_train2017.json", captions)
    assert coco.load(tiny).train.texts[0] == ("4", "5", "6", "7", "8")


def test_2014_comes_before_2017_and_a_year_can_be_chosen(folder, tiny):
    shutil.copytree(folder / "annotations", tiny / "annotations", dirs_exist_ok=True)
    assert len(coco.load(tiny, require_images=False).train) > 4
    assert len(coco.load(tiny, year="2017").train) == 4
    with pytest.raises(InputError, match="Unknown year '2015'; use one of: 2014, 2017"):
        coco.load(tiny, year="2015")


def test_absent_photos_are_counted_and_named(tiny):
    for key in (1, 3):
        (tiny / "train2017" / f"{key:012d}.jpg").unlink()
    with pytest.raises(InputError, match=r"lacks 2 photos \(000000000001.jpg, 000000000003.jpg\)"):
        coco.load(tiny)
    assert len(coco.load(tiny, require_images=False).train) == 4


def test_an_empty_folder_tells_how_to_get_the_data(tmp_path):
    with pytest.raises(InputError, match=r"lacks 4 annotations .*20.4 GB.*`download`"):
        coco.load(tmp_path)


def test_annotations_of_another_layout_and_cut_short(tiny):
    path = tiny / "annotations" / "instances_val2017.json"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="instances_val2017.json is not whole JSON"):
        coco.load(tiny)
    path.write_text(json.dumps({"annotations": []}))
    with pytest.raises(InputError, match="not in COCO's layout .*categories"):
        coco.load(tiny)
    write_annotations(tiny, path.name, json.loads(text) | {"annotations": []})
    with pytest.raises(InputError, match="have no image in common"):
        coco.load(tiny)


def test_parts_of_different_categories(tiny):
    content = annotations(tiny, "instances_val2017.json")
    content["categories"][0]["name"] = "cart"
    write_annotations(tiny, "instances_val2017.json", content)
    with pytest.raises(InputError, match="differ in their categories"):
        coco.load(tiny)


def test_real_photos(shared_data):
    dataset = load_dataset("coco", shared_data / "coco")
    assert [len(pairs) for _, pairs in dataset.splits()] == [80, 40, 39]
    assert len(dataset.class_names) == 80
    assert all(len(captions) == 5 for captions in dataset.train.texts)
    row = dataset.train.ids.tolist().index("000000000790")
    assert dataset.class_names.index("cake") in np.flatnonzero(dataset.train.labels[row])
    assert "birthday cake" in dataset.train.texts[row][1]
