"""API keys: who may read, and who may write too. Their file holds hashes, never a key."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tfxmodal.errors import InputError, choose
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.locks import held, lock_beside
from tfxmodal.io.reading import read_json

RIGHTS = ("read", "write")
"""What a key allows; who writes may read as well."""


@dataclass(frozen=True)
class Caller:
    """Who asks: the name of the key, as logs tell it, and what it allows."""

    name: str
    right: str

    def may(self, right: str) -> bool:
        """Whether the key allows this."""
        return self.right in (right, "write")


ANYBODY = Caller("anybody", "write")
"""Who asks a service without keys, which listens on its own machine alone."""


class Keys:
    """The keys of a file, read again when it changes: a key that is taken out is refused at once.

    Args:
        path: Written by `add_key`.

    Raises:
        InputError: If the file cannot be read, or holds something else.
    """

    def __init__(self, path: Path):
        self._path, self._changed = path, None
        self._callers: dict[str, Caller] = {}
        self._read()

    def caller(self, key: str) -> Caller | None:
        """Whose key it is, if it is one.

        Raises:
            InputError: If the file was changed, and cannot be read any more.
        """
        if _changed(self._path) != self._changed:
            self._read()
        return self._callers.get(_hash(key))

    def _read(self):
        changed = _changed(self._path)
        try:
            entries = read_json(self._path)
            self._callers = {
                each["sha256"]: Caller(name, each["right"]) for name, each in entries.items()
            }
        except (AttributeError, TypeError, KeyError):
            raise InputError(
                f"{self._path} holds no keys: make one with export/search_service.py key."
            ) from None
        self._changed = changed


def add_key(path: Path, name: str, right: str) -> str:
    """Makes a key, and writes its hash into the file.

    The key is 256 random bits, which nobody guesses: a plain hash protects it.

    Args:
        path: The file. A new one is for its owner alone; one that is there keeps its owner and
            mode, by which the service may read it.
        name: Whose key it is; logs tell it.
        right: One of `RIGHTS`.

    Returns:
        The key, which is nowhere else.

    Raises:
        InputError: If the name is taken, the file holds something else, or it is another user's.
    """
    choose("right", right, RIGHTS)
    with held(lock_beside(path), f"`keys` {path}"):
        entries = read_json(path) if path.exists() else {}
        if name in entries:
            raise InputError(f"`name` {name!r} has a key in {path}: give another name.")
        key = f"tfx_{secrets.token_urlsafe(32)}"
        entries[name] = {"right": right, "sha256": _hash(key), "made": str(date.today())}
        with whole_file(path) as file:
            _keep_owner(path, Path(file.name))
            file.write(json.dumps(entries, indent=1).encode())
    return key


def _keep_owner(path: Path, new: Path):
    """Gives a new file the owner and the mode of the one that it replaces."""
    new.chmod(0o600)
    if path.exists():
        there = path.stat()
        try:
            os.chown(new, there.st_uid, there.st_gid)
        except PermissionError:
            raise InputError(
                f"`keys` {path} is of user {there.st_uid}, who would lose it: give the command as "
                "this user or as root."
            ) from None
        new.chmod(stat.S_IMODE(there.st_mode))


def _changed(path: Path) -> tuple[int, ...]:
    """What changes with a file; nothing where there is none.

    The time alone has steps of some milliseconds on many systems.
    """
    if not path.exists():
        return ()
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
