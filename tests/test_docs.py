"""What the README, the pages of docs/ and the help of the commands promise is there."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from tfxmodal.commands import cli
from tfxmodal.commands.main import COMMANDS, dispatch
from tfxmodal.data import DATASETS
from tfxmodal.encoders.image import IMAGE_ENCODERS
from tfxmodal.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
PAGES = {path.stem: path.read_text("utf-8") for path in sorted(ROOT.glob("docs/*.md"))}
TEXT = "\n".join([README, CONTRIBUTING, *PAGES.values()])
HELP = "\n".join(path.read_text("utf-8") for path in ROOT.glob("tfxmodal/commands/*.py"))
COMMAND = re.compile(
    r"^(?:\(\d\) |  |kubectl exec \S+ -- )?"
    r"(?:python ((?:trainers|export)/\w+\.py.*)|(tfxmodal .*))$"
)
SAME = re.compile(r"^\(\d\) the same with (.*)$")


def command_lines() -> list[str]:
    """The commands in blocks of code and in examples of the help, each a line."""
    blocks = "\n".join(re.findall(r"```\n(.*?)```", TEXT, re.DOTALL))
    found = []
    for line in [*blocks.splitlines(), *re.findall(r"^  python .*", HELP, re.MULTILINE)]:
        if command := COMMAND.match(line):
            found.append(command[1] or command[2])
        elif more := SAME.match(line):
            found.append(f"{found[-1]} {more[1]}")
    return found


class Parsed(Exception):
    """The flags of a command were read; it did not begin to work."""


@pytest.mark.parametrize("line", command_lines())
def test_a_command_takes_its_arguments_as_they_are_written(line, monkeypatch, tmp_path):
    program, *words = shlex.split(line, comments=True)
    read = cli.parse

    def parse(*arguments, **options):
        read(*arguments, **options)
        raise Parsed

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "parse", parse)
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(Parsed):
        if program == "tfxmodal":
            dispatch(words)
        else:
            runpy.run_path(str(ROOT / program), run_name="__main__")


def test_the_commands_are_found():
    assert len(command_lines()) > 40


@pytest.mark.parametrize("file", sorted(set(re.findall(r"(?:trainers|export)/\w+\.py", TEXT))))
def test_a_file_that_is_named_is_there(file):
    assert (ROOT / file).is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`tfxmodal ([a-z-]+)", TEXT))))
def test_a_command_that_is_named_is_there(name):
    assert name in COMMANDS


def test_the_readme_names_every_command():
    files = {*ROOT.glob("trainers/*.py"), *ROOT.glob("export/*.py")}
    assert {str(file.relative_to(ROOT)) for file in files} <= set(re.findall(r"`(\S+)`", README))
    assert all(f"`tfxmodal {name}`" in README for name in COMMANDS)


@pytest.mark.parametrize("name", [*DATASETS, *IMAGE_ENCODERS])
@pytest.mark.parametrize("text", [README, PAGES["own_data"]], ids=["README", "own_data"])
def test_every_dataset_and_image_encoder_is_named(name, text):
    assert f"`{name}`" in text


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_named(name):
    assert re.search(rf"^\| `{name}` \| {METHODS[name].setting}", PAGES["methods"], re.MULTILINE)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"-m (tests\.benchmarks\.\w+)", TEXT))))
def test_a_benchmark_that_is_named_is_there(name):
    assert (ROOT / name.replace(".", "/")).with_suffix(".py").is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"(?:^|`)make ([a-z-]+)", TEXT, re.M))))
def test_a_target_of_make_that_is_named_is_there(name):
    assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


# Those of docs/ are checked by `make docs`.
@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)#]+)\)", README + CONTRIBUTING))
def test_a_link_of_the_readme_leads_to_a_file(link):
    assert (ROOT / link).exists()


def test_compose_is_told_its_file():
    told = re.findall(r"docker compose (\S+ \S+)", TEXT)
    assert len(told) > 5 and set(told) == {"-f export/deploy/compose.yaml"}


def test_pip_is_not_asked_for_the_package_which_no_index_has():
    code = [path.read_text("utf-8") for path in (ROOT / "tfxmodal").rglob("*.py")]
    assert not re.findall(r"pip install (?:\S+ )*\W?tfxmodal\b.*", "\n".join([TEXT, *code]))


def test_the_readme_is_short():
    assert len(README.splitlines()) < 200


@pytest.mark.parametrize("path", re.findall(r"`((?:tfxmodal|tests)/\S+?\.py)`", CONTRIBUTING))
def test_the_recipes_name_files_that_exist(path):
    folder = ROOT / Path(path).parent
    assert (ROOT / path).exists() if "NAME" not in path else folder.is_dir()


def test_each_registered_thing_has_the_file_and_the_test_of_its_recipe():
    files = {path.stem for path in (ROOT / "tfxmodal").rglob("*.py")}
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")}
    learners = [spec.learner or spec.fit for spec in METHODS.values()]
    for load in [*DATASETS.values(), *learners]:
        module = load.__module__.rsplit(".", 1)[-1]
        assert module in files and module in tests
