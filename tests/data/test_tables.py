import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxmodal.data import manifest
from tfxmodal.data.rows import SPLITS, read_rows
from tfxmodal.data.tables import RowError, read_table
from tfxmodal.errors import InputError

HEADERS = {
    "image,text,split": '{image},"{text},train',
    "text,image,split": '"{text},{image},train',
    "split,image,text": 'train,{image},"{text}',
}
"""Rows whose text opens a quote that it does not close, by the order of the columns."""


def plain(row: str, number: int, text: str) -> str:
    return row.replace('"', "").format(image=f"{number}.jpg", text=text)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("swallowed", [0, 1, 17])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_quote_that_swallows_rows_is_refused_where_it_opened(tmp_path, header, swallowed, end):
    row = HEADERS[header]
    lines = [header, *(plain(row, n, "a dog") for n in range(3))]
    lines.append(row.format(image="3.jpg", text="a disc, says the sign"))
    lines += [plain(row, n, "a dog") for n in range(4, 4 + swallowed)]
    closing = row.replace('"', "").replace("{text}", '{text}"')
    lines += [closing.format(image="30.jpg", text="a disc of 6"), plain(row, 31, "a dog")]
    path = tmp_path / "pairs.csv"
    path.write_bytes(end.join([*lines, ""]).encode())
    with pytest.raises(InputError, match=f"^Line 5 of .* lines up to {6 + swallowed} look like"):
        read_rows(path)


def test_images_without_suffix_and_splits_tell_rows_too(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).touch()
    (tmp_path / "pairs.csv").write_text('image,text\na,"a dog\nb,a plate of 5"\n')
    with pytest.raises(InputError, match="Line 2 of .* lines up to 3 look like rows"):
        read_rows(tmp_path / "pairs.csv")
    text = 'image,split,text\nx,train,"a dog\ny,test,a plate of 5"\n'
    with pytest.raises(RowError, match="lines up to 3 look like rows"):
        list(read_table(tmp_path / "pairs.csv", text, SPLITS))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('1.jpg,"a dog', "is no CSV .*read up to line 4"),
        ('1.jpg,"a 5" plate', "is no CSV .*read up to line 2"),
        ('1.jpg,"Stop" says the sign', "is no CSV .*write a quote that is part of a text twice"),
    ],
)
def test_a_quote_that_is_not_closed_is_refused_where_it_opened(tmp_path, line, told):
    path = tmp_path / "pairs.csv"
    path.write_text(f"image,text\n{line}\n2.jpg,two\n3.jpg,three\n")
    with pytest.raises(InputError, match=f"^Line 2 of .* {told}"):
        read_rows(path)


@pytest.mark.parametrize(
    "text",
    [
        "A dog,\nrunning, fast,\nby the sea",
        "It says:\r\n\r\n“stop”, and\nthe dog stops",
        'a 5" plate',
        'the sign says "stop", and "go"',
        '"',
        "a file named b.jpg, and\nanother",
    ],
)
@pytest.mark.parametrize("header", [["image", "text"], ["text", "image"], ["id", "text", "image"]])
def test_honest_line_breaks_and_quotes_stay(tmp_path, text, header):
    written = io.StringIO(newline="")
    row = {"image": "a.jpg", "text": text, "id": "1"}
    csv.writer(written).writerows([header, [row[name] for name in header]])
    path = tmp_path / "pairs.csv"
    path.write_bytes(written.getvalue().encode())
    assert [row.texts for row in read_rows(path)] == [[text]]


def test_quotes_within_a_field_are_signs_like_others(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text('image,text\na.jpg,a 5" plate\nb.jpg,he said "no"\n')
    assert [row.texts for row in read_rows(path)] == [['a 5" plate'], ['he said "no"']]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1)


@given(
    texts=st.lists(cells.filter(str.strip), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_every_delimiter_is_found(tmp_path_factory, texts, delimiter, quoting):
    path = tmp_path_factory.getbasetemp() / "pairs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=quoting)
        writer.writerow(["image", "text"])
        writer.writerows([f"{n}.jpg", text] for n, text in enumerate(texts))
    assert [row.texts for row in read_rows(path)] == [[text] for text in texts]


def test_the_tables_of_kaggle(tmp_path, caplog):
    (tmp_path / "Images").mkdir()
    for name in "ab":
        (tmp_path / f"Images/{name}.jpg").touch()
    flickr8k = tmp_path / "captions.txt"
    flickr8k.write_text('image,caption\na.jpg,A dog .\na.jpg,"A dog , running ."\nb.jpg,A cat .\n')
    assert manifest.load_pairs(flickr8k)[0].texts == [
        ("A dog .", "A dog , running ."),
        ("A cat .",),
    ]
    assert manifest.load_pairs(flickr8k)[0].images[0] == str(tmp_path / "Images/a.jpg")
    assert "the column 'caption' is read as `text`" in caplog.text
    flickr30k = tmp_path / "results.csv"
    lines = ["image_name| comment_number| comment", "a.jpg| 0| Two dogs , and “a” cat .", ""]
    flickr30k.write_text("\n".join(lines))
    caplog.clear()
    assert manifest.load_pairs(flickr30k)[0].texts == [("Two dogs , and “a” cat .",)]
    assert "the column 'comment_number' is metadata" in caplog.text
    flickr30k.write_text("\n".join([*lines[:2], "b.jpg| 4   A dog runs ."]))
    with pytest.raises(InputError, match="Line 3 of .* has 2 field.s. and the header 3"):
        read_rows(flickr30k)


def test_images_in_two_folders_are_not_guessed(tmp_path):
    for folder in ("large", "small"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").touch()
    (tmp_path / "pairs.csv").write_text("image,text\na.jpg,a dog\n")
    with pytest.raises(InputError, match=f"no image file at {tmp_path}/a.jpg"):
        manifest.load_pairs(tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a.jpg,a dog\nb.jpg,a cat\n", r"no `image` among its columns \('a.jpg', 'a dog'\)"),
        ("", "Line 1 of .* has no `image` among its columns \\(none\\)"),
        ("url;title\nx;y\n", r"no `image` among its columns \('url;title'\)"),
        ("image,filepath,text\na,b,c\n", None),
        ("filename,filepath,text\na,b,c\n", "'filename' and 'filepath', which may both be `image`"),
        ("image,text,split,split\na,b,train,test\n", "'split' and 'split', which may both be"),
        ("text,image\na dog\n", r"Line 2 of .* has 1 field\(s\) and the header 2"),
        ('image,"text\na.jpg,a dog\n', "Line 1 of .* is no CSV"),
        ("image,text\na.jpg,\"['a dog', 'a cat']\"\n", "has a list as its `text`"),
    ],
)
def test_headers_that_are_not_understood_are_told(tmp_path, content, told):
    path = tmp_path / "pairs.csv"
    path.write_text(content)
    if told is None:
        assert [row.image for row in read_rows(path)] == [str(tmp_path / "a")]
        return
    with pytest.raises(InputError, match=told):
        read_rows(path)


def test_labels_of_all_rows_of_an_image_count(tmp_path):
    rows = "a.jpg,a dog,dog;pet\na.jpg,a dog at sea,sea; dog\nb.jpg,a cat,\nb.jpg,it sleeps,cat\n"
    path = tmp_path / "pairs.csv"
    path.write_text(f"image,text,labels\n{rows}")
    assert [row.labels for row in read_rows(path)] == [["dog", "pet", "sea"], ["cat"]]


def test_several_columns_of_texts_and_labels(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("image,caption_0,caption_1,label1,label2\na.jpg,one,two,dog,cat\n")
    (row,) = read_rows(path)
    assert row.texts == ["one", "two"] and row.labels == ["dog", "cat"]


pieces = st.sampled_from(
    ["image", "text", "labels", "split", "a.jpg", "a dog", "-1", ",", ";", "|", "\t", '"', "\n"]
    + ["\r", "\x85", " ", "{", "}", "[", "]", ":", "null", "1", '{"image": "a.jpg", "text": "b"}\n']
)


@given(
    content=st.lists(pieces, max_size=30).map("".join),
    header=st.sampled_from(["", "image,text\n", "text|image|labels\n"]),
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".json"]),
)
def test_anything_is_read_or_refused(tmp_path_factory, content, header, suffix):
    path = tmp_path_factory.getbasetemp() / f"anything{suffix}"
    path.write_text(header + content, newline="")
    try:
        rows = read_rows(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert rows and all(row.image and row.split in SPLITS for row in rows)


def test_a_text_may_be_longer_than_a_field_of_csv_is_by_default(tmp_path):
    text = "word " * 40_000
    (tmp_path / "pairs.csv").write_text(f'image,text\na.jpg,"{text}"\n')
    (row,) = read_rows(tmp_path / "pairs.csv")
    assert row.texts == [text]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("image,text\na.jpg,a dog\nb.jpg,a cat\rruns\n", 3),
        ('image,text\na.jpg,"a\ndog"\nb.jpg,a cat\rruns\n', 4),
        ("image,text\ra.jpg,a dog\rb.jpg,a cat\r", 1),
    ],
)
def test_a_carriage_return_by_itself_ends_no_line(tmp_path, content, line):
    (tmp_path / "pairs.csv").write_bytes(content.encode())
    with pytest.raises(InputError, match=f"^Line {line} of .* return by itself.*: end lines with"):
        read_rows(tmp_path / "pairs.csv")


def test_a_carriage_return_in_quotes_stays(tmp_path):
    (tmp_path / "pairs.csv").write_bytes(b'image,text\r\na.jpg,"a\rdog"\r\nb.jpg,a cat\r\n')
    assert [row.texts for row in read_rows(tmp_path / "pairs.csv")] == [["a\rdog"], ["a cat"]]
