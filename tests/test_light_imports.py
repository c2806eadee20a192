"""What `--help` and the query client read must not wait for the libraries that do the work."""

import pkgutil
import subprocess
import sys

import tfxmodal.data
import tfxmodal.io

HEAVY = ("tensorflow", "keras", "keras_hub", "sklearn", "scipy", "h5py", "requests", "PIL")


def test_registries_data_and_files_are_imported_without_heavy_libraries():
    names = ["tfxmodal.encoders.image", "tfxmodal.encoders.text", "tfxmodal.inputs.cache"]
    names += [
        "tfxmodal.methods",
        "tfxmodal.inputs.contents",
        "tfxmodal.inputs.features",
        "tfxmodal.inputs.pixels",
    ]
    for package in (tfxmodal.data, tfxmodal.io):
        found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        names += [module.name for module in found if not module.name.endswith("_drawing")]
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(name)
    assert not (heavy := set({HEAVY}) & set(sys.modules)), (name, heavy)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
