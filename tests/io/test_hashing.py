import hashlib

import numpy as np

from tfxmodal.io.hashing import fingerprint, hash_file, hash_files, hash_text, sha256_of


def test_a_content_has_one_hash_of_16_bytes(tmp_path):
    (tmp_path / "a").write_bytes("Straße".encode())
    expected = hashlib.sha256("Straße".encode()).digest()[:16]
    assert hash_file(tmp_path / "a") == hash_text("Straße") == expected
    assert len({hash_text("\ud800"), hash_text("?"), hash_text("")}) == 3


def test_a_fingerprint_tells_parts_types_and_order_apart():
    parts = [("a", "b"), ("ab",), ("b", "a"), (1,), ("1",), (np.array([1]),)]
    parts += [(np.array([1.0]),), (np.array([[1]]),)]
    assert len({fingerprint(*each) for each in parts}) == len(parts)
    assert fingerprint("a", 1, np.arange(3)) == fingerprint("a", 1, np.arange(3))


def test_a_folder_is_known_by_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("x")
    first = hash_files(tmp_path)
    assert hash_files(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = hash_files(tmp_path)
    (tmp_path / "b").write_text("y")
    assert len({first, renamed, hash_files(tmp_path)}) == 3
    (tmp_path / "a.py").write_text("x")
    code = hash_files(tmp_path, {".py"})
    (tmp_path / "b").write_text("z")
    assert hash_files(tmp_path, {".py"}) == code


def test_a_file_has_the_hash_that_sha256sum_prints(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert (
        sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")
        and len(sha256_of(tmp_path / "a")) == 64
    )
