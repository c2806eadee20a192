import json
import shutil

import numpy as np
import pytest

from tests.data import synthetic_coco
from tfxmodal.data import load_dataset
from tfxmodal.data.datasets import coco
from tfxmodal.data.repeated import one_row_a_caption
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


# --- Karpathy's splits --------------------------------------------------------------------


@pytest.fixture
def karpathy(folder, tmp_path):
    """A copy of the folder with Karpathy's file of some images: of all splits, the last first."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    instances = annotations(folder, "instances_val2014.json")
    with_objects = {item["image_id"] for item in instances["annotations"]}
    keys = [item["id"] for item in instances["images"]]
    bare = next(key for key in keys if key not in with_objects)
    keys = [bare, *(key for key in keys if key != bare)][:10]
    training = [each["id"] for each in annotations(folder, "instances_train2014.json")["images"]]
    splits = {"restval": keys[4:6], "test": keys[:4][::-1], "val": keys[6:], "train": training[:3]}
    images = [
        {
            "filename": f"of {key}.jpg",
            "cocoid": key,
            "split": split,
            "sentences": [
                {"raw": f" The  {n}th\nof {key}", "sentid": 10 * key - n, "tokens": []}
                for n in range(7)
            ],
        }
        for split, of_split in splits.items()
        for key in of_split
    ]
    (tmp_path / coco.KARPATHY).write_text(json.dumps({"dataset": "coco", "images": images}))
    return tmp_path, splits


def test_karpathys_splits_in_his_order(karpathy):
    folder, splits = karpathy
    dataset = coco.load(folder, splits="karpathy", require_images=False)
    wanted = {"train": splits["restval"] + splits["train"], "validation": splits["val"]}
    for name, pairs in dataset.splits():
        keys = (wanted | {"test": splits["test"]})[name]
        assert [int(each.rsplit("_", 1)[1]) for each in pairs.ids] == keys
        assert pairs.caption_ids[1] == tuple(10 * keys[1] - n for n in range(5))
        assert pairs.texts[1] == tuple(f"The {n}th of {keys[1]}" for n in range(5))
    assert dataset.test.labels.any(axis=1).tolist() == [True, True, True, False]
    parts = [image.split("/")[-2] for image in dataset.train.images]
    assert parts == ["val2014"] * 2 + ["train2014"] * 3
    own = coco.load(folder, require_images=False)
    labels = {}
    for _, pairs in own.splits():
        labels |= dict(zip(pairs.ids, pairs.labels, strict=True))
    for row, name in enumerate(dataset.test.ids[:3]):
        np.testing.assert_array_equal(dataset.test.labels[row], labels[name])


def test_captions_keep_their_numbers(karpathy):
    test = coco.load(karpathy[0], splits="karpathy", require_images=False).test
    each = one_row_a_caption(test)
    assert each.caption_ids == [(n,) for of_image in test.caption_ids for n in of_image]
    assert test.take(np.array([2, 0])).caption_ids == [test.caption_ids[2], test.caption_ids[0]]
    dataset = coco.load(karpathy[0], require_images=False)
    naive = annotations(karpathy[0], "captions_train2014.json")["annotations"]
    texts = {item["id"]: " ".join(item["caption"].split()) for item in naive}
    for numbers, captions in zip(dataset.train.caption_ids, dataset.train.texts, strict=True):
        assert captions == tuple(texts[number] for number in numbers)


def test_what_is_wrong_with_karpathys_file_is_told(karpathy):
    folder, splits = karpathy
    with pytest.raises(InputError, match="train2014 lacks 3 photos"):
        coco.load(folder, splits="karpathy")
    with pytest.raises(InputError, match="`splits` karpathy is of COCO 2014; received year 2017"):
        coco.load(folder, splits="karpathy", year="2017")
    with pytest.raises(InputError, match="Unknown splits 'own'; use one of: karpathy, scl"):
        coco.load(folder, splits="own")
    path = folder / coco.KARPATHY
    content = json.loads(path.read_text())
    content["images"][0]["cocoid"] = -1
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="names 1 images that .*annotations has not, such as -1"):
        coco.load(folder, splits="karpathy", require_images=False)
    content["images"][0]["split"] = "held back"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="is not in Karpathy's layout .*held back"):
        coco.load(folder, splits="karpathy", require_images=False)
    path.unlink()
    with pytest.raises(InputError, match=r"lacks .*dataset_coco.json.*caption_datasets.zip"):
        coco.load(folder, splits="karpathy", require_images=False)


def test_real_photos(shared_data):
    dataset = load_dataset("coco", shared_data / "coco")
    assert [len(pairs) for _, pairs in dataset.splits()] == [80, 40, 39]
    assert len(dataset.class_names) == 80
    assert all(len(captions) == 5 for captions in dataset.train.texts)
    row = dataset.train.ids.tolist().index("000000000790")
    assert dataset.class_names.index("cake") in np.flatnonzero(dataset.train.labels[row])
    assert "birthday cake" in dataset.train.texts[row][1]
