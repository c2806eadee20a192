import pytest

from tfxmodal.data import DATASETS, load_dataset
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
