"""The Python API as its page and its notebooks show it."""

import doctest
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import tfxmodal
from tests.runs import MAKERS
from tfxmodal.serving.export import export

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def test_the_examples_of_the_page_hold(tmp_path, monkeypatch, quick):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export, "check", lambda folders, report: None)  # One is enough.
    text = (DOCS / "python_api.md").read_text().replace("```", "")
    examples = doctest.DocTestParser().get_doctest(text, {}, "python_api.md", None, None)
    failed, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples)
    assert tried > 20 and not failed


@pytest.mark.parametrize("name", tfxmodal.__all__)
def test_public_names_are_documented_and_on_the_page(name):
    named = getattr(tfxmodal, name)
    if name != "METHODS":
        assert named.__doc__
    page = (DOCS / "python_api.md").read_text()
    assert name in page or f"::: {named.__module__}" in page


def test_the_package_is_imported_without_tensorflow():
    code = "import sys, tfxmodal; tfxmodal.METHODS, tfxmodal.load_dataset, tfxmodal.Settings; "
    code += "print(sorted({'tensorflow', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def execute(tmp_path, monkeypatch, quick):
    """`execute(name, **parameters)`: runs the cells of a notebook, with other parameters.

    They are run here, since TensorFlow takes long to start in a process of its own.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export, "check", lambda folders, report: None)

    def run(name: str, **parameters):
        notebook = nbformat.read(DOCS / "notebooks" / name, as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        (first,) = (cell for cell in cells if "parameters" in cell.metadata.get("tags", ()))
        known = {line.split(" = ")[0] for line in first.source.splitlines()}
        assert parameters.keys() <= known
        names: dict = {}
        for cell in cells:
            exec(cell.source, names)
            if cell is first:
                names |= parameters

    return run


def test_the_notebook_on_own_photos(execute, tmp_path, shared_data):
    (tmp_path / "pairs").mkdir()
    manifest = MAKERS["pairs"](shared_data / "pascal_sentences", tmp_path / "pairs")
    execute("own_photos.ipynb", MANIFEST=str(manifest), QUESTION="a dog")
    assert json.loads((tmp_path / "runs/photos/metrics.json").read_text())["chosen"]
    assert (tmp_path / "models/photos/1/saved_model.pb").exists()


def test_the_notebook_that_compares_methods(execute, tmp_path, shared_data):
    settings = {"pls": {}, "semantic_matching": {}}
    where = str(shared_data / "wikipedia")
    execute(
        "comparing_methods.ipynb",
        DATASET="wikipedia",
        DATA_DIR=where,
        SETTINGS=settings,
    )
    for name in settings:
        assert (tmp_path / f"runs/compare-{name}/metrics.json").exists()
