import datetime
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfxmodal.errors import InputError
from tfxmodal.search import vectors
from tfxmodal.search.vectors import is_vectors, read_vectors

ABOUT = {"fingerprint": "abc", "gallery": "texts", "weights": "float32"}


def write(folder, name, ids, about=ABOUT, **columns):
    """As export/embed_corpus.py writes them: item `n` has the vector `[n, n + 1]`."""
    folder.mkdir(exist_ok=True)
    numbers = np.array([[n, n + 1] for n in ids], np.float32)
    array = pa.FixedSizeListArray.from_arrays(numbers.ravel(), 2)
    told = {"id": [f"id-{n}" for n in ids], "vector": array, "stamp": ["1"] * len(ids)} | columns
    table = pa.table(told).replace_schema_metadata({"tfxmodal": json.dumps(about)})
    pq.write_table(table, folder / f"part-{name}.parquet")
    return folder


@pytest.mark.parametrize("batch", [1, 100])
def test_all_files_are_read_with_their_metadata(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(vectors, "BATCH", batch)
    folder = write(tmp_path / "v", "a", [0, 1], year=[2020, 2021], tags=[["x"], ["y"]])
    write(folder, "b", [2], album=["beach"])
    assert is_vectors(folder) and not is_vectors(tmp_path)
    parts = [*read_vectors(folder, "abc", "texts")]
    assert len(parts) == (2 if batch == 1 else 1)
    assert [name for part in parts for name in part.ids] == ["id-0", "id-1", "id-2"]
    found = np.concatenate([part.embeddings for part in parts])
    assert found.dtype == np.float32 and found.tolist() == [[0, 1], [1, 2], [2, 3]]
    years = [year for part in parts for year in part.metadata.get("year", [None])]
    assert years == [2020, 2021, None] and "tags" not in parts[0].metadata


def test_a_column_without_any_value_fits_one_of_any_type(tmp_path):
    """As `embed_corpus.py` writes it where all values were emptied: an index then clears them."""
    nothing = pa.array([None], pa.string())
    folder = write(tmp_path / "v", "a", [0], year=nothing)
    (part,) = read_vectors(folder, "abc", "texts")
    assert part.metadata == {"year": [None]}
    write(folder, "b", [1, 2], year=[2020, None])
    (part,) = read_vectors(folder, "abc", "texts")
    assert part.metadata == {"year": [None, 2020, None]}


def test_columns_are_metadata_as_those_of_a_manifest_are(tmp_path):
    taken = [datetime.date(2024, 1, 31), None]
    columns = {"taken on": taken, "taken_on": ["a", "b"], "price": [Decimal("1.5"), None]}
    columns["account"] = [Decimal(9007199254740993), None]
    folder = write(
        tmp_path / "v", "a", [0, 1], raw=[b"x", b"y"], **columns, columns_stamp=["1", "2"]
    )
    (part,) = read_vectors(folder, "abc", "texts")
    assert part.metadata == {
        "taken_on": ["2024-01-31", None],
        "taken_on_6": ["a", "b"],
        "price": [1.5, None],
        "account": [9007199254740993, None],  # As a float it would be another one.
    }


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"fingerprint": "xyz"}, "vectors of fingerprint xyz; the index is of abc"),
        ({"gallery": "images"}, "vectors of gallery images; the index is of texts"),
        ({"weights": "bfloat16"}, "vectors of weights bfloat16; the index is of float32"),
    ],
)
def test_vectors_of_another_model_or_gallery_are_refused(tmp_path, about, message):
    folder = write(tmp_path / "v", "a", [0], ABOUT | about)
    with pytest.raises(InputError, match=message):
        [*read_vectors(folder, "abc", "texts")]


def test_a_folder_that_is_not_whole_is_refused(tmp_path):
    folder = write(tmp_path / "v", "a", [0], year=[2020])
    write(folder, "b", [1], year=["then"])
    with pytest.raises(InputError, match="columns of other types in other files"):
        [*read_vectors(folder, "abc", "texts")]
    (folder / "part-b.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="part-b.parquet holds no whole vectors"):
        [*read_vectors(folder, "abc", "texts")]
    (folder / "_work").mkdir()
    with pytest.raises(InputError, match="is not finished: wait until"):
        [*read_vectors(folder, "abc", "texts")]
