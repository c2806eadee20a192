import json
import unicodedata

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxmodal.errors import InputError
from tfxmodal.io.reading import (
    as_on_disk,
    read_arrays,
    read_json,
    read_lines,
    read_text,
    require_files,
)

ARRAY = np.arange(12.0).reshape(3, 4)


def test_json_keeps_only_the_members_asked_for(tmp_path):
    path = tmp_path / "a.json"
    content = {"items": [{"id": 1, "outline": [1, 2], "size": {"w": 3}}], "info": {}}
    path.write_text(json.dumps(content))
    assert read_json(path) == content
    assert read_json(path, keep=("items", "id")) == {"items": [{"id": 1}]}


def test_text_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffcafé".encode())
    assert read_text(tmp_path / "a.txt") == "café"


def test_text_that_is_not_there(tmp_path):
    told = r"Cannot read .*a.txt \(No such file or directory\): correct its path, or that of its f"
    with pytest.raises(InputError, match=told):
        read_text(tmp_path / "a.txt")


def test_text_with_stray_bytes(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(InputError, match="not UTF-8"):
        read_text(tmp_path / "a.txt")
    assert read_text(tmp_path / "a.txt", errors="replace") == "caf\ufffd au lait"


def test_files_that_must_be_there(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a", "b/a"):
        (tmp_path / name).touch()
    require_files("things", tmp_path, ["a", "b/a"], "make them")
    with pytest.raises(InputError, match=r"lacks 2 things \(b/c, d/a\): make them"):
        require_files("things", tmp_path, ["b/c", "a", "d/a"], "make them")


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}}'])
def test_damaged_json(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match="a.json is not whole JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("listed, stored", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_whose_letters_are_composed_otherwise(tmp_path, listed, stored):
    names = {form: unicodedata.normalize(form, "Bäume/Café 한.jpg") for form in (listed, stored)}
    file = tmp_path / names[stored]
    file.parent.mkdir()
    file.touch()
    for form in names:
        assert as_on_disk(str(tmp_path / names[form])) == str(file)
    for other in ("Bäume/Cafe 한.jpg", "ü/ä.jpg", "plain.jpg"):
        assert as_on_disk(str(tmp_path / other)) == str(tmp_path / other)
    require_files("images", tmp_path, [names[stored]], "get them")
    with pytest.raises(
        InputError, match=r"lacks 1 images \(.*get them \(1 of them, such as B.* NFC or NFD"
    ):
        require_files("images", tmp_path, [names[listed]], "get them")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same array in each format."""
    folder = tmp_path_factory.mktemp("arrays")
    np.save(folder / "a.npy", ARRAY)
    np.savez_compressed(folder / "a.npz", a=ARRAY)
    (folder / "sparse").mkdir()
    scipy.sparse.save_npz(folder / "sparse" / "a.npz", scipy.sparse.csr_array(ARRAY))
    sparse = {"a": scipy.sparse.csr_matrix(ARRAY)}
    scipy.io.savemat(folder / "a.mat", sparse, do_compression=True)
    with h5py.File(folder / "a_73.mat", "w", userblock_size=512) as file:
        file["a"] = ARRAY.T
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.mat", "a_73.mat"])
def test_an_array_of_any_format(files, name):
    np.testing.assert_array_equal(read_arrays(files[name])["a"], ARRAY)


@settings(max_examples=200)
@given(
    st.sampled_from(["a.npy", "a.npz", "a.mat", "a_73.mat"]),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=20),
)
def test_damaged_arrays_are_read_or_refused(files, tmp_path_factory, name, end, changes):
    content = bytearray(files[name].read_bytes())
    for place, byte in changes:
        content[int(place * len(content))] = byte
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content[: int(end * len(content))] if not changes else content)
    try:
        read_arrays(path)
    except InputError as error:
        assert "Cannot read arrays from" in str(error) and " ():" not in str(error)


@settings(max_examples=50)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")), max_size=5
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_only_line_feeds_end_lines(tmp_path_factory, lines, end, mark):
    path = tmp_path_factory.getbasetemp() / "lines.txt"
    path.write_bytes(("\ufeff" * mark + end.join([*lines, ""])).encode())
    expected = [(n, line) for n, line in enumerate(lines, 1) if line.strip()]
    if mark or not "".join(lines).startswith("\ufeff"):
        assert read_lines(path) == [
            (n, (line + end).removesuffix("\n").removesuffix("\r")) for n, line in expected
        ]


def test_a_sparse_matrix_of_scipy(files):
    path = files["sparse"] / "a.npz"
    np.testing.assert_array_equal(read_arrays(path)["a"], ARRAY, strict=True)


def test_arrays_of_matlab_7_3(tmp_path):
    path = tmp_path / "a.mat"
    sparse = scipy.sparse.csc_matrix(ARRAY * (ARRAY % 3 == 0))
    pair = np.dtype([("real", "f8"), ("imag", "f8")])
    with h5py.File(path, "w") as file:
        for name in ("sparse", "zeros"):
            file.create_group(name).attrs["MATLAB_sparse"] = np.uint64(3)
        parts = {"data": sparse.data, "ir": sparse.indices, "jc": sparse.indptr}
        for name, part in parts.items():
            file["sparse"][name] = part
        file["zeros"]["jc"] = np.zeros(5, int)
        file["complex"] = np.array([[(1, 2), (3, 4)]], pair)
    arrays = read_arrays(path)
    np.testing.assert_array_equal(arrays["sparse"], sparse.toarray(), strict=True)
    np.testing.assert_array_equal(arrays["zeros"], np.zeros((3, 4)))
    np.testing.assert_array_equal(arrays["complex"], [[1 + 2j], [3 + 4j]])


@pytest.mark.parametrize("kind", ["char", "cell", "struct"])
def test_what_is_no_numbers_in_matlab_7_3(tmp_path, kind):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["a"] = np.arange(3, dtype=np.uint16)
        file["a"].attrs["MATLAB_class"] = np.bytes_(kind)
    with pytest.raises(InputError, match=f"a is a {kind} array; it must hold numbers"):
        read_arrays(tmp_path / "a.mat")
