"""An index's folder: `index.json` names the store and what it was made for, `space.npz` its space.

A store in a folder keeps its items there; of a store elsewhere the folder says where it is.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tfxmodal.errors import InputError
from tfxmodal.io.atomic import recover_folder, whole_file
from tfxmodal.io.reading import read_arrays
from tfxmodal.search.stores.store import About

INDEX, SPACE = "index.json", "space.npz"

RENAMED = {"anchors": "landmarks"}
"""Arrays of indexes of earlier versions, and what they are called now."""


def check_free(folder: Path) -> None:
    """Checks that a folder is new, empty or an index.

    Raises:
        InputError: If it holds something else.
    """
    if folder.exists() and not (folder / INDEX).exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty and holds no index: name another folder.")


def write_folder(folder: Path, store: str, about: About, settings: dict):
    """Writes what `read_folder` reads, the description last."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / SPACE) as file:
        np.savez(file, **about.space)
    write_index(folder, store, about, settings)


def write_index(folder: Path, store: str, about: About, settings: dict):
    """Writes `index.json`, in place of the one that is there."""
    info = {
        "store": store,
        "settings": settings,
        "fingerprint": about.fingerprint,
        "gallery": about.gallery,
        "rescore": about.rescore,
    }
    with whole_file(folder / INDEX) as file:
        file.write(json.dumps(info, indent=1).encode())


def read_folder(folder: Path) -> tuple[str, About, dict]:
    """The store's name, what it was made for, and its settings.

    Raises:
        InputError: If an array cannot be read.
        OSError: If there is no index.
        KeyError, TypeError, ValueError: If it is damaged.
    """
    recover_folder(folder)
    info = json.loads((folder / INDEX).read_text("utf-8"))
    name, settings = info.get("store", "faiss"), info.get("settings", info.get("nearest"))
    if "ids" in info:  # Of an earlier version, where FAISS was the one store.
        settings = settings | {"ids": info["ids"], "codes": name == "faiss_codes"}
        name = "faiss"
    arrays = read_arrays(folder / SPACE)
    space = {RENAMED.get(each, each): array for each, array in arrays.items()}
    return name, About(info["fingerprint"], info["gallery"], info["rescore"], space), settings
