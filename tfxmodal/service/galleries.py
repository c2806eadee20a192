"""The folder of a service: its pictures, and galleries of which one is searched.

There is one gallery for each version of the model that the items were embedded by.
`current.json` names the one that is searched. That file is replaced as a whole, so that all
services go over from one gallery to another at once.
"""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import asdict
from pathlib import Path

from tfxmodal.data.items import KINDS
from tfxmodal.errors import InputError
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.locks import locked
from tfxmodal.io.reading import read_json
from tfxmodal.search.stores import About
from tfxmodal.search.stores.folder import write_folder
from tfxmodal.service.failures import Unready
from tfxmodal.service.gallery import ABOUT, Gallery
from tfxmodal.service.pictures import Pictures
from tfxmodal.service.served_model import ServedModel
from tfxmodal.service.spaces import spaces_of
from tfxmodal.serving.client.client import Client

CURRENT = "current.json"
STORE, SETTINGS = "lancedb", {"url": None}
PATIENCE = 60.0
"""Seconds to wait for writes that are under way."""

RESCORE = 0.005
"""Share of a gallery that is scored exactly for a query, where the score is no dot product."""


class Galleries:
    """The galleries in a service's folder.

    Args:
        folder: The service's; several services may share it.
        client: Asks the model server, whichever version.

    Attributes:
        pictures: The items' pictures.
        lock: The file that is locked by who writes.
    """

    def __init__(self, folder: Path, client: Client):
        self.folder, self._client = folder, client
        self.pictures, self.lock = Pictures(folder / "pictures"), folder / "write.lock"
        self._opened: Gallery | None = None
        self._opening = threading.Lock()

    def current(self) -> Gallery:
        """The gallery that is searched now; who asks its model checks it first.

        Raises:
            Unready: If there is none.
        """
        with self._opening:
            name = self.current_name()
            if self._opened is None or self._opened.name != name:
                self._opened = self.open(name)
            return self._opened

    def current_name(self) -> str:
        """The name of the gallery that is searched now.

        Raises:
            Unready: If there is none.
        """
        try:
            return read_json(self.folder / CURRENT)["gallery"]
        except InputError:
            raise Unready(
                f"{self.folder} holds no gallery: make one with export/search_service.py new."
            ) from None

    def switch(self, name: str):
        """Has another gallery searched from now on."""
        _write(self.folder / CURRENT, {"gallery": name})

    def make(
        self,
        version: int,
        fingerprint: str,
        landmarks: Path | None = None,
        calibration: dict | None = None,
    ) -> Gallery:
        """An empty gallery for a version of the model, or the one that is there.

        Args:
            version: The model's, on the server.
            fingerprint: The version's, see `search.stores.About`.
            landmarks: For a score that is no dot product, a manifest; see `service.spaces`.
            calibration: Of the version's scores, a `Calibration`, where it has one.

        Raises:
            InputError: If the model is none for a service, or needs landmarks; or if the version
                has a gallery of another model, which is not the current one.
            ServerError: If the model server does not answer.
        """
        name = self._name(version)
        folder = self._folder(name)
        if not (folder / ABOUT).exists():
            model, spaces = ServedModel(self._client, version), {}
            probe = model.probe()
            if not probe.is_dot_product:
                if landmarks is None:
                    raise InputError(
                        f"The score of {model.name!r} is no dot product: give as `landmarks` a "
                        "manifest of pairs, such as those of the training."
                    )
                spaces = spaces_of(model, landmarks)
            for kind in KINDS:
                about = About(fingerprint, kind, RESCORE, spaces.get(kind, {}))
                write_folder(folder / kind, STORE, about, SETTINGS)
            about = {"version": version, "fingerprint": fingerprint, "probe": asdict(probe)}
            _write(folder / ABOUT, about | {"calibration": calibration})
        else:
            about = read_json(folder / ABOUT)
            if about["fingerprint"] != fingerprint and not self._is_current(name):
                raise InputError(
                    f"`version` {version} has the gallery {folder} of another model: remove it by "
                    "export/search_service.py remove, or give the model another number."
                )
            # One that an earlier version made, or of scores that were not calibrated then.
            if calibration and not about.get("calibration") and about["fingerprint"] == fingerprint:
                _write(folder / ABOUT, about | {"calibration": calibration})
        return self.open(name)

    def remove(self, version: int):
        """Removes the gallery of a version, with the items that it alone holds.

        Raises:
            InputError: If there is none, or it is the current one.
        """
        name = self._name(version)
        folder = self._folder(name)
        if not folder.exists():
            raise InputError(f"`version` {version} has no gallery {folder}: give another one.")
        with locked(self.lock, PATIENCE):
            if self._is_current(name):
                raise InputError(
                    f"`version` {version} is that of the gallery {name}, which is searched: go "
                    "over to another one by export/search_service.py reembed first."
                )
            (folder / ABOUT).unlink(missing_ok=True)  # What is removed by half is none.
            shutil.rmtree(folder)
            left = [each.name for each in folder.parent.iterdir()]
            if len(left) == 1 and self._is_current(*left):
                self.current().leave_out({})  # No gallery has them any more.

    def _is_current(self, name: str) -> bool:
        try:
            return name == self.current_name()
        except Unready:
            return False

    def _name(self, version: int) -> str:
        return f"{self._client.spec.name}-{version}"

    def _folder(self, name: str) -> Path:
        return self.folder / "galleries" / name

    def open(self, name: str) -> Gallery:
        """A gallery by its name.

        Raises:
            Unready: If it is not whole.
        """
        return Gallery(self._folder(name), self._client, self.pictures)


def _write(path: Path, about: dict):
    with whole_file(path) as file:
        file.write(json.dumps(about).encode())
