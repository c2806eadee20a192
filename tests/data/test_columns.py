import pytest

from tfxmodal.data.columns import Columns, bare_name


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("Image", "image"),
        (" text", "text"),
        ("Texts", "text"),
        ("caption", "text"),
        ("Captions", "text"),
        ("caption_1", "text"),
        ("raw", "text"),
        ("file_name", "image"),
        ("filepath", "image"),
        ("image path", "image"),
        ("label", "labels"),
        ("Labels ", "labels"),
        ("Split", "split"),
        ("ID", "id"),
    ],
)
def test_names_that_look_like_known_ones_are_read_and_told(name, meaning):
    columns = Columns([name])
    assert columns.of(meaning, ["value"]) == ["value"]
    assert columns.remarks == [f"the column {name!r} is read as `{meaning}`"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("title", "is metadata"),
        ("category", r"is metadata (name it `labels` if it is that)"),
        ("subset", r"is metadata (name it `split` if it is that)"),
        ("comment", r"is metadata (name it `text` if it is that)"),
        ("Image", r"is metadata (name it `image` if it is that)"),
    ],
)
def test_other_names_are_told(name, told):
    columns = Columns(["image", "text", name])
    assert columns.of("image", ["a", "b", "c"]) == ["a"]
    assert columns.of("text", ["a", "b", "c"]) == ["b"]
    assert columns.remarks == [f"the column {name!r} {told}"]


def test_documented_names_are_not_told():
    columns = Columns(["id", "image", "text", "labels", "split"])
    assert columns.remarks == [] and columns.has("labels")
    assert columns.of("labels", ["1", "a.jpg", "a dog"]) == []  # a row that is shorter


def test_bare_names():
    assert [bare_name(name) for name in (" Image_Name ", "text-12", "Größe", "5")] == [
        "imagename",
        "text",
        "grösse",
        "",
    ]
