import numpy as np
import pytest

from tfxmodal.data import DATASETS, Dataset, Pairs, load_dataset
from tfxmodal.errors import InputError


@pytest.mark.parametrize("name", sorted(DATASETS.keys() - {"emoji_scenes"}))
def test_a_folder_that_is_not_there_is_named(name, tmp_path):
    with pytest.raises(InputError, match=str(tmp_path / "gone")):
        load_dataset(name, tmp_path / "gone")


@pytest.mark.parametrize("name", DATASETS)
def test_wrong_options_are_told_before_anything_is_read(name, tmp_path):
    with pytest.raises(InputError, match=f"Unknown option of dataset {name} 'colour'.*database"):
        load_dataset(name, tmp_path / "gone", colour="red")
    with pytest.raises(InputError, match="Unknown database 'all'"):
        load_dataset(name, tmp_path / "gone", database="all")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", sorted(DATASETS.keys() - {"emoji_scenes"}))
def test_a_relative_folder_that_is_not_there_tells_where_it_was_looked_for(
    name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    told = rf"`data_dir` some/gone is not there \(relative paths start at {tmp_path}\)"
    with pytest.raises(InputError, match=told):
        load_dataset(name, "some/gone")


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path):
    (tmp_path / "a.npz").touch()
    with pytest.raises(InputError, match=f"is a file, and features is a folder: give {tmp_path}"):
        load_dataset("features", tmp_path / "a.npz")


def test_an_image_in_two_splits_is_refused(monkeypatch):
    def load(data_dir, again: bool = False):
        files = [["a.jpg", "b.jpg"], ["c.jpg"], ["b.jpg" if again else "d.jpg"]]
        splits = [Pairs(np.array(f), np.array(f), [("x",)] * len(f)) for f in files]
        return Dataset("mine", *splits)

    monkeypatch.setitem(DATASETS, "mine", load)
    assert len(load_dataset("mine").train) == 2
    with pytest.raises(InputError, match="b.jpg is in the train and the test split of mine"):
        load_dataset("mine", again=True)
