import csv
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from corpus import InputError
from corpus.containers import pictures_of
from corpus.model import Model, contents_of
from corpus.places import whole
from corpus.sources import Columns, read_source

from tfxmodal.data.items import text_ids
from tfxmodal.data.manifest import load_pairs
from tfxmodal.data.rows import read_rows

BYTES = [b"first", b"second", b"third"]


def items(source, gallery="images", **columns):
    return read_source(str(source), gallery, Columns(**columns))


def contents(source, gallery="images", image="image"):
    return list(contents_of(items(source, gallery, image=image), gallery, image))


@pytest.fixture
def pictures(tmp_path):
    """Three files; what they hold does not matter here."""
    for name, content in zip(("a.jpg", "sub/b.PNG", "sub/c.webp"), BYTES, strict=True):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(content)
    return tmp_path / "photos"


def manifest(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_a_folder_gives_its_pictures_by_their_paths(pictures):
    (pictures / "notes.txt").touch()
    (pictures / ".hidden").mkdir()
    (pictures / ".hidden/d.jpg").touch()
    found = items(pictures)
    assert found["id"].to_pylist() == ["a.jpg", "sub/b.PNG", "sub/c.webp"]
    assert contents(pictures) == BYTES


def test_a_stamp_changes_with_the_size_or_the_time_of_a_picture(pictures):
    before = items(pictures)["stamp"].to_pylist()
    (pictures / "a.jpg").write_bytes(b"longer than first")
    os.utime(pictures / "sub/b.PNG", (1, 1))
    after = items(pictures)["stamp"].to_pylist()
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, False, True]


def test_a_manifest_gives_images_with_their_metadata(pictures):
    path = manifest(
        pictures / "pairs.jsonl",
        {"image": "a.jpg", "text": "one", "year": 2020},
        {"id": 7, "image": "sub/b.PNG", "texts": ["two", "three"], "album": "beach"},
        {"id": "gone", "image": "gone.jpg", "year": 2021.5},
    )
    found = items(path)
    assert found["id"].to_pylist() == ["a.jpg", "7", "gone"]
    assert found["year"].to_pylist() == [2020, None, 2021.5]
    assert found["album"].to_pylist() == [None, "beach", None]
    *there, missing = contents(path)
    assert there == BYTES[:2] and isinstance(missing, FileNotFoundError)


def test_texts_of_a_pair_have_the_ids_that_an_index_gives_them(tmp_path):
    rows = [{"image": "a.jpg", "texts": ["one", " ", "two"]}, {"image": "b.jpg", "text": "three"}]
    found = items(manifest(tmp_path / "pairs.jsonl", *rows), "texts")
    assert found["id"].to_pylist() == ["a.jpg#0", "a.jpg#1", "b.jpg"]
    assert found["text"].to_pylist() == ["one", "two", "three"]
    assert len(set(found["stamp"].to_pylist())) == 3


def test_rows_of_a_table_that_name_one_image_are_one_pair(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text('image,text,year\na.jpg,one,2020\nb.jpg,"two, 2",2021\na.jpg,three,2020\n')
    (tmp_path / "a.jpg").touch()
    assert items(path)["id"].to_pylist() == ["a.jpg", "b.jpg"]
    found = items(path, "texts")
    assert found["id"].to_pylist() == ["a.jpg#0", "a.jpg#1", "b.jpg"]
    assert found["text"].to_pylist() == ["one", "three", "two, 2"]
    assert found["year"].to_pylist() == [2020, 2020, 2021]


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_columns_of_a_table_are_those_of_training(tmp_path, suffix, delimiter):
    columns = {
        "year": ["2020", "", "-1.5e3", " 7 "],
        "signed": ["+5", "-0", "1E5", "0.5"],
        "zip": ["01234", "1", "2", "3"],
        "photo": ["1234567890123456789", "1", "2", "3"],
        "account": ["9007199254740993", "9007199254740992", "2", "3"],
        "largest": ["999999999999999", "-999999999999999.0", "2", "3"],
        "dotted": ["1.", "2", "3", "4"],
        "digits": ["1\u0663", "2", "", "\u30003"],
        "public": ["True", " false", "", "TRUE"],
        "flag": ["true", "1", "0", ""],
        "nothing": ["NA", "null", "nan", "None"],
        "endless": ["inf", "1", "2", "3"],
        "day": ["2020-01-31", "2021-02-03 10:00", "", "2021-02-03T10:00Z"],
        "blank": [" ", "1", "2", "3"],
        "empty": ["", "", "", ""],
        "album": ['a "b", c', "two\nlines", "\ttab", "é"],
    }
    names = [f"{row}.jpg" for row in range(4)]
    # A further text of an image: the metadata are those of its first row.
    further = ("1.jpg", "e", *(len(columns) * "x"))
    rows = [*zip(names, "abcd", *columns.values(), strict=True), further]
    with (path := tmp_path / f"pairs.{suffix}").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([("image", "text", *columns), *rows])
    for name in names:
        (tmp_path / name).touch()
    pairs, metadata = load_pairs(path)
    assert metadata.keys() == columns.keys()
    owners = [row for row, each in enumerate(pairs.texts) for _ in each]
    for gallery, ids, of in (
        ("images", pairs.ids.tolist(), range(4)),
        ("texts", text_ids(pairs.ids, pairs.texts), owners),
    ):
        found = items(path, gallery)
        assert found["id"].to_pylist() == ids
        for name, values in metadata.items():  # 1 is not True.
            expected = [repr(values[row]) for row in of]
            assert [*map(repr, found[name].to_pylist())] == expected, name


def test_half_a_character_is_a_question_mark_as_in_training(tmp_path):
    (tmp_path / "a.jpg").touch()
    row = {"image": "a.jpg", "text": "fun \ud83d", "album": "\ude00", "tags": ["\ud83d"]}
    path = manifest(tmp_path / "pairs.jsonl", row, {"image": "b.jpg", "text": "\ud83d\ude00"})
    assert items(path, "texts")["text"].to_pylist() == ["fun ?", "\U0001f600"]
    found = items(path)
    assert found["text"].to_pylist() == ["fun ?", "\U0001f600"]
    assert found["album"].to_pylist() == ["?", None]
    assert found["tags"].to_pylist() == [["?"], None]


def test_a_column_without_any_value_stays_so_that_an_index_clears_its_values(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "pairs.csv").write_text("image,text,year\na.jpg,one,\n")
    row = {"image": "a.jpg", "text": "one", "year": None}
    for path in (tmp_path / "pairs.csv", manifest(tmp_path / "pairs.jsonl", row)):
        for gallery in ("images", "texts"):
            found = items(path, gallery)
            assert found.field("year").type == pa.string()
            assert found["year"].to_pylist() == [None]


@pytest.mark.parametrize(
    "folders", [("images",), ("",), ("", "images"), ("images", "copies"), ("deep/images",)]
)
def test_pictures_are_where_training_finds_them(tmp_path, folders):
    """Beside the manifest, or in the one folder there that holds any."""
    for folder in ("other", *folders):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for folder in folders:
        for name in ("a.jpg", "b.jpg"):
            (tmp_path / folder / name).touch()
    path = manifest(
        tmp_path / "pairs.jsonl",
        {"image": "gone.jpg", "text": "none"},
        {"image": "a.jpg", "text": "one"},
        {"image": "b.jpg", "text": "two"},
    )
    trained = read_rows(path)
    try:
        found = items(path)["path"].to_pylist()
    except InputError as error:
        assert "No picture that" in str(error)
        assert not any(os.path.exists(row.image) for row in trained)
    else:
        assert found == [row.image for row in trained]
        assert any(map(os.path.exists, found))


def test_a_manifest_of_which_no_picture_is_there_is_told(tmp_path):
    path = manifest(tmp_path / "pairs.jsonl", {"image": "a.jpg", "text": "one"})
    with pytest.raises(InputError, match="No picture that .*pairs.jsonl names is there, such as"):
        items(path)
    assert len(items(path, "texts")) == 1


@pytest.mark.parametrize("kind", ["bytes", "struct"])
def test_pictures_in_parquet_are_read_row_by_row(tmp_path, kind):
    values = BYTES if kind == "bytes" else [{"bytes": each, "path": ""} for each in BYTES]
    table = pa.table({"key": [1, 2, 3], "jpg": values, "year": [2019, 2020, 2021]})
    (tmp_path / "rows").mkdir()
    pq.write_table(table, tmp_path / "rows/0.parquet", row_group_size=2)
    pq.write_table(table.set_column(0, "key", pa.array([4, 5, 6])), tmp_path / "rows/1.parquet")
    found = items(tmp_path / "rows", id="key", image="jpg")
    assert found["id"].to_pylist() == list("123456")
    assert found["year"].to_pylist() == 2 * [2019, 2020, 2021]
    assert list(contents_of(found.take([0, 2, 4]), "images", "jpg")) == [
        BYTES[0],
        BYTES[2],
        BYTES[1],
    ]


def test_of_a_large_row_group_a_part_is_in_memory(tmp_path):
    path, rows = str(tmp_path / "a.parquet"), [0, 1, 2900, 4095, 4096, 7998, 7999]
    pictures = [row.to_bytes(2) + bytes(9998) for row in range(8000)]
    pq.write_table(pa.table({"image": pictures}), path, compression="none", use_dictionary=False)
    before = pa.total_allocated_bytes()
    found = pictures_of(pa.table({"_file": [path] * len(rows), "_row": rows}), "image")
    for row, picture in zip(rows, found, strict=True):
        assert picture == pictures[row]
        assert pa.total_allocated_bytes() - before < 40e6  # of 80 MB


def test_paths_in_parquet_begin_at_its_folder(pictures):
    (pictures.parent / "rows").mkdir()
    path = pictures.parent / "rows/0.parquet"
    pq.write_table(pa.table({"id": ["x"], "image": ["../photos/a.jpg"]}), path)
    assert contents(path) == contents(path.parent) == BYTES[:1]


def test_tfrecords_give_pictures_texts_and_metadata(tmp_path):
    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    path = tmp_path / "rows.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row, image in enumerate(BYTES):
            told = {"id": b"id-%d" % row, "image": image + b"\xff", "text": b"t%d" % row, "n": row}
            told["raw"] = b"\xff"
            features = tf.train.Features(feature={k: feature(v) for k, v in told.items()})
            writer.write(tf.train.Example(features=features).SerializeToString())
    found = items(path)
    assert found["id"].to_pylist() == ["id-0", "id-1", "id-2"]
    assert found["n"].to_pylist() == [0, 1, 2] and "raw" not in found.column_names
    ends = [BYTES[0] + b"\xff", BYTES[2] + b"\xff"]
    assert list(contents_of(found.take([0, 2]), "images", "image")) == ends
    assert items(path, "texts")["text"].to_pylist() == ["t0", "t1", "t2"]
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match="no whole TFRecord file"):
        items(path)


def bad(name):
    def write(folder):
        match name:
            case "nothing":
                return folder / "gone"
            case "empty folder":
                return folder
            case "two kinds":
                (folder / "a.jpg").touch()
                pq.write_table(pa.table({"id": ["x"]}), folder / "b.parquet")
                return folder
            case "not JSON":
                (folder / "a.jsonl").write_text('{"image": "a.jpg"}\n{oops\n')
                return folder / "a.jsonl"
            case "huge":
                return manifest(folder / "a.jsonl", {"image": "a.jpg", "n": 2**70})
            case "empty manifest":
                return manifest(folder / "a.jsonl")
            case "no column":
                return manifest(folder / "a.jsonl", {"picture": "a.jpg", "id": "x"})
            case "an id twice":
                return manifest(folder / "a.jsonl", *2 * [{"image": "a.jpg", "id": "x"}])
            case "a column of ours":
                return manifest(folder / "a.jsonl", {"image": "a.jpg", "vector": 1})
            case "a column twice":
                (folder / "a.csv").write_text("image,text,year,year\na.jpg,one,2020,2021\n")
                return folder / "a.csv"
            case "parquet without":
                pq.write_table(pa.table({"id": ["x"], "n": [1]}), folder / "b.parquet")
                return folder / "b.parquet"
            case "damaged":
                (folder / "b.parquet").write_bytes(b"PAR1")
                return folder / "b.parquet"
            case "another kind":
                (folder / "b.zip").touch()
                return folder / "b.zip"

    return write


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing", "There is no --source .*gone: correct its path"),
        ("empty folder", "holds no pictures, Parquet or TFRecords"),
        ("two kinds", "holds 1 pictures, 1 .parquet: give a folder with files of one kind"),
        ("not JSON", "Line 2 of .* is no JSON object"),
        ("huge", "cannot be read .*too (large|big)"),
        ("empty manifest", "holds no images: give another"),
        ("no column", "has no column 'image', but id, picture: name it by --id-column, --image-"),
        ("an id twice", "gives 1 ids more than once, such as 'x'"),
        ("a column of ours", "has a column 'vector', as the output has: rename it"),
        ("a column twice", "has the column 'year' more than once: rename one"),
        ("parquet without", "has no column 'image', but id, n"),
        ("damaged", "cannot be read"),
        ("another kind", "is no folder and none of .jsonl, .csv"),
    ],
)
def test_a_bad_source_is_told(tmp_path, source, message):
    with pytest.raises(InputError, match=message):
        items(bad(source)(tmp_path))


def test_a_folder_of_pictures_has_no_texts(pictures):
    with pytest.raises(InputError, match="is a folder of pictures: give texts in a manifest"):
        items(pictures, "texts")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (None, "holds no exported model"),
        ({"signatures": {"embed_text": {}}}, "no signature embed_image.* it has embed_text"),
        ({"signatures": {"embed_image": {}}}, "made by an earlier version: export it again"),
    ],
)
def test_a_model_that_does_not_embed_is_told(tmp_path, about, message):
    for version in ("2", "10"):
        (tmp_path / version).mkdir()
    if about:
        (tmp_path / "10/signatures.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=message):
        Model.find(str(tmp_path), "images")


def test_a_stamp_of_the_columns_changes_with_what_is_told_of_an_item(pictures):
    def marks(gallery, **told):
        row = {"image": "a.jpg", "text": "one"}
        path = manifest(pictures / "pairs.jsonl", row | told, {"image": "sub/b.PNG", "text": "two"})
        found = items(path, gallery)
        return found["stamp"].to_pylist(), found["columns_stamp"].to_pylist()

    for gallery in ("images", "texts"):
        stamps, before = marks(gallery, album="beach")
        assert marks(gallery, album="beach") == (stamps, before)
        again, after = marks(gallery, album="sea", year=2020)
        assert again == stamps and after[0] != before[0] and after[1] == before[1]
    # A caption travels along with a picture; a text is itself what is embedded.
    assert marks("images", text="new")[1][0] != marks("images")[1][0]
    assert marks("texts", text="new")[1][0] == marks("texts")[1][0]
    assert set(items(pictures / "sub")["columns_stamp"].to_pylist()) == {""}


def test_what_a_folder_holds_is_an_item_or_is_counted(tmp_path, capsys):
    names = ("a.jpg", "b.heic", "c.tif", "d.avif", "e.jp2", "_old/f.jpg", "_work/g.jpg")
    for name in (*names, "noext", "notes.txt", "_old/more.txt", ".hidden/h.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert {*items(tmp_path)["id"].to_pylist()} == {*names}
    told = capsys.readouterr().out
    assert "7 pictures; passed over: 2 .txt" in told and "1 hidden, 1 without suffix" in told


def test_pictures_that_programs_keep_beside_parquet_are_counted(tmp_path, capsys):
    (tmp_path / "_preview").mkdir()
    (tmp_path / "_preview/0.png").touch()
    pq.write_table(pa.table({"id": ["x"], "text": ["red"]}), tmp_path / "0.parquet")
    assert items(tmp_path, "texts")["id"].to_pylist() == ["x"]
    assert "1 .parquet; passed over: 1 pictures of programs" in capsys.readouterr().out


def test_a_bucket_is_one_place_with_and_without_a_slash_at_its_end():
    assert whole("gs://b/photos/") == whole("gs://b/photos") == "gs://b/photos"
