import json
import os
import stat

import pytest

from tfxmodal.errors import InputError
from tfxmodal.service.keys import Caller, Keys, add_key


def test_a_key_is_known_by_its_hash_alone(tmp_path):
    path = tmp_path / "keys.json"
    key = add_key(path, "website", "read")
    assert Keys(path).caller(key) == Caller("website", "read")
    assert key not in path.read_text() and len(key) > 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("right, may", [("read", (True, False)), ("write", (True, True))])
def test_who_writes_may_read(right, may):
    caller = Caller("a", right)
    assert (caller.may("read"), caller.may("write")) == may


def test_a_key_that_is_taken_out_is_refused_at_once(tmp_path):
    path = tmp_path / "keys.json"
    first, second = add_key(path, "a", "read"), add_key(path, "b", "write")
    keys = Keys(path)
    assert keys.caller(first) and keys.caller(second) and not keys.caller(first[:-1])
    entries = json.loads(path.read_text())
    del entries["a"]
    path.write_text(json.dumps(entries))
    assert keys.caller(first) is None and keys.caller(second).right == "write"


def test_a_name_has_one_key(tmp_path):
    path = tmp_path / "keys.json"
    add_key(path, "a", "read")
    with pytest.raises(InputError, match="`name` 'a' has a key"):
        add_key(path, "a", "write")


@pytest.mark.parametrize("text", ["[]", '{"a": 1}', '{"a": {"right": "read"}}', "x"])
def test_a_file_that_holds_no_keys_is_told(tmp_path, text):
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(InputError, match="keys.json"):
        Keys(path)


def test_a_file_that_is_gone_lets_nobody_in(tmp_path):
    path = tmp_path / "keys.json"
    key = add_key(path, "a", "read")
    keys = Keys(path)
    path.unlink()
    with pytest.raises(InputError):
        keys.caller(key)


def test_a_file_that_is_there_keeps_its_mode_and_its_owner(tmp_path, monkeypatch):
    path, owners = tmp_path / "keys.json", []
    add_key(path, "a", "read")
    path.chmod(0o640)
    monkeypatch.setattr(os, "chown", lambda _, *owner: owners.append(owner))
    add_key(path, "b", "read")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert owners == [(path.stat().st_uid, path.stat().st_gid)]


def test_another_users_file_is_not_taken_from_him(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError

    path = tmp_path / "keys.json"
    add_key(path, "a", "read")
    before = path.read_text()
    monkeypatch.setattr(os, "chown", refused)
    with pytest.raises(InputError, match="`keys` .* is of user .*: give the command as"):
        add_key(path, "b", "read")
    assert path.read_text() == before
