import re
from pathlib import Path

import pytest

from tfxmodal.data import DATASETS
from tfxmodal.encoders.image import IMAGE_ENCODERS
from tfxmodal.methods import CLOSED_FORM, METHODS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize("name", [*DATASETS, *IMAGE_ENCODERS])
def test_the_readme_names_every_dataset_and_tower(name):
    assert f"`{name}`" in README


@pytest.mark.parametrize("name", [*METHODS, *CLOSED_FORM])
def test_the_readme_names_every_method(name):
    assert name in README.lower()


@pytest.mark.parametrize("path", re.findall(r"`((?:tfxmodal|tests)/\S+?\.py)`", CONTRIBUTING))
def test_the_recipes_name_files_that_exist(path):
    folder = ROOT / Path(path).parent
    assert (ROOT / path).exists() if "NAME" not in path else folder.is_dir()


def test_each_registered_thing_has_the_file_and_the_test_of_its_recipe():
    files = {path.stem for path in (ROOT / "tfxmodal").rglob("*.py")}
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")}
    for load in [*DATASETS.values(), *(method for method, _ in METHODS.values())]:
        module = load.__module__.rsplit(".", 1)[-1]
        assert module in files and module in tests


@pytest.mark.parametrize("line", re.findall(r"python ((?:trainers|export)/[^`\n]*)", README))
def test_the_readmes_commands_and_their_flags_exist(line):
    command, *flags = re.findall(r"(?:trainers|export)/\w+\.py|(?<=--)[a-z-]+", line)
    assert (ROOT / command).is_file()
    folders = ("tfxmodal", "trainers", "export")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    source = "\n".join(path.read_text() for path in sources)
    for flag in flags:
        name = flag.removeprefix("no-").replace("-", "_")
        assert re.search(rf"^    {name}: ", source, re.MULTILINE), f"--{flag}"
