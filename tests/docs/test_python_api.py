"""The Python API as its page and its notebooks show it."""

import doctest
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

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


def execute(name: str, folder: Path, **parameters):
    """Runs a notebook in a folder, with other values in its cell of parameters."""
    notebook = nbformat.read(DOCS / "notebooks" / name, as_version=4)
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    known = {line.split(" = ")[0] for line in cell.source.splitlines()}
    assert parameters.keys() <= known
    cell.source = "\n".join(f"{key} = {value!r}" for key, value in parameters.items())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)


def test_the_notebook_on_own_photos(tmp_path, shared_data):
    (tmp_path / "pairs").mkdir()
    manifest = MAKERS["pairs"](shared_data / "pascal_sentences", tmp_path / "pairs")
    execute("own_photos.ipynb", tmp_path, MANIFEST=str(manifest), QUESTION="a dog")
    assert json.loads((tmp_path / "runs/photos/metrics.json").read_text())["chosen"]
    assert (tmp_path / "models/photos/1/saved_model.pb").exists()


def test_the_notebook_that_compares_methods(tmp_path, shared_data):
    settings = {"pls": {}, "semantic_matching": {}}
    where = str(shared_data / "wikipedia")
    execute(
        "comparing_methods.ipynb",
        tmp_path,
        DATASET="wikipedia",
        DATA_DIR=where,
        SETTINGS=settings,
    )
    for name in settings:
        assert (tmp_path / f"runs/compare-{name}/metrics.json").exists()
