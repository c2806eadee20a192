"""What is written is read by the format's own library, with the pictures."""

import json

import mlcroissant
import numpy as np
import pytest
from PIL import Image

from tests.data.test_manifest import SPLITS, write
from tfxmodal.commands import write_croissant as command
from tfxmodal.data import load_dataset
from tfxmodal.data.croissant import write_croissant
from tfxmodal.errors import InputError

CARD = """
name: beach dogs
description: Dogs.
license: CC-BY-4.0
source: https://example.org/dogs
creator: Ada Example
date_published: 2026-01-31
version: 1.0.0
citation: A. Example, Dogs.
language: en
"""


@pytest.fixture
def folder(tmp_path):
    """A table of four pairs, whose columns have other names and whose splits are drawn."""
    rows = [["file_name", "caption", "labels", "split"]]
    for number, split in enumerate((*SPLITS, "train")):
        name = f"{('a', 'b [1]')[number % 2]}/{number}.png"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (2, 2), (50 * number, 0, 0)).save(tmp_path / name)
        Image.new("RGB", (2, 2)).save(tmp_path / f"a/unused{number}.png")
        rows += [[f"{name}", f"dog, {each}", "dog;sea"[: 3 + number * 4], split] for each in "xy"]
    write(tmp_path / "mine.csv", rows)
    (tmp_path / "card.yaml").write_text(CARD)
    return tmp_path


def test_its_own_library_reads_the_pairs(folder, capsys):
    command.main(["--data-dir", str(folder / "mine.csv")])
    assert "requires more" not in capsys.readouterr().out
    described = mlcroissant.Dataset(str(folder / "croissant.json"))
    assert not described.metadata.issues.errors and not described.metadata.issues.warnings
    assert described.metadata.license == ["CC-BY-4.0"]
    records = {record["pairs/id"].decode(): record for record in described.records("pairs")}
    dataset, found = load_dataset("pairs", folder / "mine.csv"), 0
    for split, pairs in dataset.splits():
        for row, name in enumerate(pairs.ids):
            record, found = records[name], found + 1
            assert record["pairs/split"].decode() == split
            assert [text.decode() for text in record["pairs/texts"]] == list(pairs.texts[row])
            labels = [dataset.class_names.index(each.decode()) for each in record["pairs/labels"]]
            assert labels == list(np.flatnonzero(pairs.labels[row]))
            with Image.open(pairs.images[row]) as picture:
                assert record["pairs/image"].getpixel((0, 0)) == picture.getpixel((0, 0))
    assert found == len(records) == 4


def test_a_folder_may_be_reached_by_a_link(folder, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "link"
    link.symlink_to(folder)
    write_croissant(load_dataset("pairs", link / "mine.csv"), link)
    assert (folder / "croissant.json").exists()


def test_its_rows_are_a_manifest_of_the_same_pairs(folder):
    dataset = load_dataset("pairs", folder / "mine.csv")
    write_croissant(dataset, folder)
    again = load_dataset("pairs", folder / "croissant_pairs.jsonl")
    assert again.class_names == dataset.class_names
    for (_, ours), (_, theirs) in zip(again.splits(), dataset.splits(), strict=True):
        assert list(ours.ids) == list(theirs.ids) and list(ours.images) == list(theirs.images)
        assert ours.texts == theirs.texts
        np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_images_of_one_name_in_two_folders_are_told_apart_by_their_paths(folder):
    rows = (folder / "mine.csv").read_text().replace("b [1]/1.png", "b [1]/0.png")
    (folder / "b [1]/1.png").rename(folder / "b [1]/0.png")
    (folder / "mine.csv").write_text(rows)
    write_croissant(load_dataset("pairs", folder / "mine.csv"), folder)
    mlcroissant.Dataset(str(folder / "croissant.json"))  # It is valid.
    fields = json.loads((folder / "croissant.json").read_text())["recordSet"][0]["field"]
    (joined,) = (field for field in fields if "references" in field)
    assert joined["references"]["extract"] == {"fileProperty": "fullpath"}


def test_what_the_format_requires_and_the_card_lacks_is_told(folder, capsys):
    (folder / "card.yaml").write_text("license: MIT")
    command.main(["--data-dir", str(folder / "mine.csv")])
    told = capsys.readouterr().out
    assert "write description, source, creator, date_published into" in told
    assert f"{folder}/card.yaml" in told


def test_a_database_of_other_splits_is_refused(folder, complaint):
    flags = "--data-dir", str(folder / "mine.csv"), "--dataset-options", "database=train"
    assert "leave the option `database` out of --dataset-options" in complaint(command.main, *flags)


def test_bad_rows_are_left_out_by_the_flag_that_the_message_names(folder, complaint):
    with (folder / "mine.csv").open("a") as file:
        file.write("gone.png,a dog,,train\n")
    flags = "--data-dir", str(folder / "mine.csv")
    assert "leave them out with --dataset-options on_bad_row=skip" in complaint(
        command.main, *flags
    )
    command.main([*flags, "--dataset-options", "on_bad_row=skip"])
    assert len((folder / "croissant_pairs.jsonl").read_text().splitlines()) == 4


def test_an_image_outside_of_the_folder_is_told(folder):
    dataset = load_dataset("pairs", folder / "mine.csv")
    with pytest.raises(InputError, match="0.png lies outside of .*/b.*: put the manifest"):
        write_croissant(dataset, folder / "b [1]")
    assert not list((folder / "b [1]").glob("croissant*"))
