"""Indexes of real photos and texts, by a quick run of each method."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.runs import PHOTOS
from tfxmodal.commands import build_index
from tfxmodal.inputs.config import DataConfig, load
from tfxmodal.io.locks import held, lock_beside
from tfxmodal.search.index import Index
from tfxmodal.training.trained_run import load_run


@pytest.fixture(scope="module")
def drsl(trained) -> str:
    """The folder of a finished run."""
    return str(trained("pascal_sentences", "drsl"))


@pytest.fixture
def photos(small) -> Path:
    return Path(small("pascal_sentences")[3]) / "images"


def found(told: str) -> list[str]:
    """The ids in the printed table."""
    return re.findall(r"│ \d+ +│ +-?[\d.]+ │ (.*?) +│", told)


@pytest.mark.parametrize("method", ["scl", "drsl"])
def test_a_folder_of_photos_is_found_by_text(method, trained, drsl, photos, capsys):
    run = drsl if method == "drsl" else str(trained("pascal_sentences"))
    flags = ["--run", run, "--to", "index/photos"]
    build_index.main([*flags, "--data", str(photos)])
    told = capsys.readouterr().out
    assert f"holds {PHOTOS} images (exact)" in told and "--text TEXT" in told
    build_index.main([*flags, "--text", "a dog on the grass", "--top-k", "7"])
    ids = found(capsys.readouterr().out)
    assert len(ids) == 7 and all((photos / name).is_file() for name in ids)

    opened = load_run(run)
    scorer, encoder = opened.method.scorer(), opened.load_text_encoder()
    index = Index.load("index/photos", scorer, opened.fingerprint)
    query = scorer.embed_texts(encoder.encode(["a dog on the grass"]))
    rows, _ = scorer.top_k_images(query, index.store.get(index.ids).scored, 7)
    assert ids == [index.ids[row] for row in rows[0]]


def test_vectors_of_a_corpus_are_an_index_as_the_photos_are(trained, photos, capsys):
    """As export/embed_corpus.py writes them."""
    run = trained("pascal_sentences")
    opened, files = load_run(run), sorted(photos.iterdir())
    model = {"fingerprint": opened.fingerprint, "weights": "float32"}
    about = json.dumps(model | {"gallery": "images"})
    for part in range(2):
        some = files[part::2]
        columns = {"id": [path.name for path in some], "number": range(len(some))}
        vectors = pa.array([*opened.embed_images(some)], pa.list_(pa.float32(), 8))
        table = pa.table(columns | {"vector": vectors, "stamp": ["1"] * len(some)})
        Path("vectors").mkdir(exist_ok=True)
        rows = table.replace_schema_metadata({"tfxmodal": about})
        pq.write_table(rows, f"vectors/part-{part}.parquet")
    told = []
    for name, data in (("photos", str(photos)), ("vectors", "vectors")):
        flags = ["--run", str(run), "--to", f"index/{name}"]
        build_index.main([*flags, "--data", data])
        build_index.main([*flags, "--text", "a dog on the grass"])
        told.append(found(capsys.readouterr().out))
    assert len(told[0]) == 10 and told[0] == told[1]
    build_index.main([*flags, "--data", "vectors", "--add"])
    assert f"0 added, 0 replaced, {PHOTOS} there unchanged" in capsys.readouterr().out
    build_index.main([*flags, "--text", "a dog on the grass", "--where", "number = 3"])
    assert len(found(capsys.readouterr().out)) == 2


def test_texts_are_found_by_photo_and_added(drsl, photos, capsys):
    Path("texts.txt").write_text("A cow in a field.\n\ndogs\tTwo dogs run.\n")
    flags = ["--run", drsl, "--to", "texts"]
    build_index.main([*flags, "--data", "texts.txt", "--gallery", "texts"])
    Path("more.txt").write_text("A horse and its rider.\n")
    photo = str(next(photos.iterdir()))
    capsys.readouterr()
    build_index.main([*flags, "--data", "more.txt", "--add", "--image", photo])
    told = capsys.readouterr().out
    assert "holds 3 texts" in told
    assert sorted(found(told)) == ["A cow in a field.", "A horse and its rider.", "dogs"]


def test_words_that_nobody_knows_are_neither_found_nor_asked(drsl, photos, capsys, complaint):
    Path("texts.txt").write_text("A cow in a field.\nqzxqzx xqzxqz\n")
    texts = ["--run", drsl, "--to", "texts"]
    build_index.main([*texts, "--data", "texts.txt", "--gallery", "texts"])
    told = capsys.readouterr().out
    assert "1 of 2 texts hold no word that the model knows and are left out: qzxqzx" in told
    assert "holds 1 texts" in told
    images = ["--run", drsl, "--to", "images"]
    build_index.main([*images, "--data", str(photos)])
    for text in ("qzxqzx", " "):
        assert f"--text {text!r} holds no word" in complaint(
            build_index.main, *images, "--text", text
        )


@pytest.mark.parametrize("gallery", ["images", "texts"])
def test_a_split_of_the_runs_own_dataset(gallery, drsl, small, cache_dir):
    flags = ["--run", drsl, "--to", "index", "--gallery", gallery, "--data", "train"]
    build_index.main([*flags, "--rescore", "0.1", "--anchors", "8", "--kind", "scan"])
    run = load_run(drsl)
    config = DataConfig("pascal_sentences", Path(small("pascal_sentences")[3]), cache_dir=cache_dir)
    train = run.prepare(load(config), config, ["train"]).features.train
    scorer = run.method.scorer()
    index = Index.load("index", scorer, run.fingerprint)
    assert index.ids == train.ids.tolist() and index.rescore == 0.1
    rows = {"images": train.images, "texts": train.texts}[gallery]
    embed = {"images": scorer.embed_images, "texts": scorer.embed_texts}[gallery]
    np.testing.assert_allclose(index.store.get(index.ids).scored, embed(rows), rtol=1e-5)


@pytest.mark.parametrize("source", ["manifest", "run"])
def test_other_sources(source, drsl, trained, small):
    data = small("pairs")[3] if source == "manifest" else str(trained("pascal_sentences"))
    build_index.main(["--run", drsl, "--to", "index", "--data", data, "--gallery", "texts"])
    run = load_run(drsl)
    index = Index.load("index", run.method.scorer(), run.fingerprint)
    assert len(index) == (5 * PHOTOS if source == "manifest" else 5)  # five texts a photo


def test_mistakes_end_in_one_sentence(trained, drsl, photos, complaint):
    def told(*flags, run=drsl, to="index"):
        return complaint(build_index.main, "--run", run, "--to", to, *flags)

    build_index.main(["--run", drsl, "--to", "index", "--data", str(photos)])
    assert "--to index holds an index already: give --add" in told("--data", str(photos))
    assert "holds an index already" in told("--data", str(photos), "--text", "dog")
    wrong = told("--image", str(next(photos.iterdir())))
    assert "image, and drsl scores images with texts alone: search a gallery of images by" in wrong
    other = str(trained("pascal_sentences"))
    assert "was made with the model" in told("--text", "dog", run=other)
    for flags in (["--kind", "flat"], ["--gallery", "texts"], ["--rescore", "1"]):
        message = f"{flags[0]} can be chosen for a new index alone, and --to index is there"
        assert message in told("--text", "dog", *flags)
    assert "--kind, --landmarks can be" in told("--text", "a", "--anchors", "9", "--kind", "flat")
    assert "give one of them" in told("--text", "dog", "--image", "x.jpg")
    assert "Nothing is asked: give --data" in told()
    assert "Nothing is asked: give --data" in told("--add", "--text", "dog")
    assert "--where, --min-score limits a search" in told(
        "--delete", "x", "--min-score", "1", "--where", "x = 1"
    )


def test_a_mistake_makes_no_index(drsl, photos, complaint, tmp_path):
    def told(*flags):
        return complaint(build_index.main, "--run", drsl, "--to", "new", *flags)

    Path("empty.txt").write_text("\n")
    pictures, texts = ("--data", str(photos)), ("--gallery", "texts")
    assert "--to new holds no index: correct it" in told("--text", "dog")
    assert "--to new holds no index: correct it" in told(*pictures, "--add")
    assert "--top-k must be at least 1; received 0" in told(*pictures, "--top-k", "0")
    assert "--top-k limits a search: give --image or --text" in told(*pictures, "--top-k", "3")
    assert "search a gallery of images by text" in told(*pictures, "--image", "x.jpg")
    assert "search a gallery of texts by image" in told(*texts, *pictures, "--text", "a")
    assert "nowhere holds no images: give a folder of pictures" in told("--data", "nowhere")
    assert "holds no texts: give a file of texts, a manifest" in told(*pictures, *texts)
    assert "Cannot read" in told("--data", "nowhere", *texts)
    assert "holds no text" in told("--data", "empty.txt", *texts)
    for url in ("http://localhost:6333/mine", "s3://bucket/mine"):
        assert f"--url {url} is where another store is" in told(*pictures, "--url", url)
    latin = os.fsencode(tmp_path) + b"/photos"
    os.mkdir(latin)
    with open(latin + b"/caf\xe9.jpg", "wb") as file:
        file.write(next(photos.iterdir()).read_bytes())
    assert "must be texts in UTF-8; received 'caf\\udce9.jpg'" in told(
        "--data", str(tmp_path / "photos")
    )
    Path("half.jsonl").write_text(
        r'{"image": "a.jpg", "text": "a dog", "id": "\ud83d", "split": "test"}'
    )
    Path("a.jpg").write_bytes(next(photos.iterdir()).read_bytes())
    for kind in ([], texts):
        assert "must be texts in UTF-8" in told("--data", "half.jsonl", *kind)
    assert not Path("new").exists()


def test_an_index_whose_replacing_was_killed_is_there(drsl, photos, capsys):
    flags = ["--run", drsl, "--to", "index"]
    build_index.main([*flags, "--data", str(photos)])
    Path("index").rename("index.replaced")
    build_index.main([*flags, "--text", "dog"])
    assert len(found(capsys.readouterr().out)) == 10


def test_a_query_that_is_no_picture(drsl, complaint):
    Path("texts.txt").write_text("A cow in a field.\n")
    flags = ["--run", drsl, "--to", "texts", "--data", "texts.txt", "--gallery", "texts"]
    told = complaint(build_index.main, *flags, "--image", "texts.txt")
    assert "--image texts.txt cannot be read" in told
    assert not Path("texts").exists()


def test_bad_photos_are_skipped_where_asked(drsl, photos, complaint, tmp_path, capsys):
    folder = tmp_path / "mine"
    (folder / "deep").mkdir(parents=True)
    good = next(photos.iterdir())
    (folder / "deep" / "GOOD.JPG").write_bytes(good.read_bytes())
    (folder / "bad.jpg").write_bytes(good.read_bytes()[:100])
    flags = ["--run", drsl, "--to", "index", "--data", str(folder), "--cache-dir", "cache"]
    assert "1 of 2 images are bad" in complaint(build_index.main, *flags)
    build_index.main([*flags, "--on-bad-image", "skip", "--text", "dog"])
    assert found(capsys.readouterr().out) == ["deep/GOOD.JPG"]


def test_a_bad_row_of_a_manifest_is_left_out_by_what_its_message_advises(
    drsl, photos, complaint, tmp_path, capsys
):
    good = next(photos.iterdir())
    rows = ({"image": image, "text": "a dog"} for image in (str(good), "gone.jpg"))
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ["--run", drsl, "--to", "index", "--data", "mine.jsonl", "--cache-dir", "cache"]
    told = complaint(build_index.main, *flags)
    assert "1 of 2 pairs in mine.jsonl are bad (line 2 has no image" in told
    advice = re.search(r"leave them out with (--.*)\.$", told)[1]
    build_index.main([*flags, *advice.split()])
    assert "index holds 1 images" in capsys.readouterr().out


def test_a_folder_that_changed_is_added(drsl, photos, tmp_path, capsys):
    folder, (first, second, third) = tmp_path / "mine", sorted(photos.iterdir())[:3]
    folder.mkdir()

    def add(*flags):
        given = ["--run", drsl, "--to", "index", "--data", str(folder), "--cache-dir", "cache"]
        return build_index.main([*given, *flags])

    (folder / "a.jpg").write_bytes(first.read_bytes())
    add()
    (folder / "b.jpg").write_bytes(second.read_bytes())
    add("--add")
    told = capsys.readouterr().out
    assert "1 added, 0 replaced, 1 there unchanged." in told
    assert "index holds 2 images" in told
    (folder / "a.jpg").write_bytes(third.read_bytes())
    add("--add", "--delete", "b.jpg", "c.jpg")
    told = capsys.readouterr().out
    assert "1 of 2 items were there and are deleted." in told
    assert "1 added, 1 replaced, 0 there unchanged." in told


def test_a_second_process_is_told_who_writes_the_index(drsl, photos, complaint):
    flags = ["--run", drsl, "--to", "index"]
    with held(lock_beside(Path("index")), "it"):
        told = complaint(build_index.main, *flags, "--data", str(photos))
    assert f"--to index is in use by process {os.getpid()} on " in told


def test_photos_and_texts_of_a_manifest_are_found_by_metadata_and_by_their_like(
    trained, photos, complaint, capsys
):
    run, paths = str(trained("pascal_sentences")), sorted(photos.iterdir())[:6]
    rows = [
        f"{path},A picture of a number {row}.,{2000 + row},{'beach' if row % 2 else ''}"
        for row, path in enumerate(paths)
    ]
    Path("mine.csv").write_text("\n".join(["image,text,year,album", *rows]))

    def told(*flags, to="images"):
        build_index.main(["--run", run, "--to", to, "--cache-dir", "cache", *flags])
        return capsys.readouterr().out

    told("--data", "mine.csv")
    where = "year > 2002 and album = 'beach'"
    text = ("--text", "a dog")
    assert sorted(found(told(*text, "--where", where))) == [str(paths[3]), str(paths[5])]
    assert found(told("--image", str(paths[4])))[0] == str(paths[4])
    assert "Nothing is found." in told(*text, "--min-score", "1.1")
    everything = found(told(*text, "--min-probability", "1e-9"))
    assert len(everything) == 6
    assert "Nothing is found." in told(*text, "--min-probability", "0.999999999999")
    told("--data", "mine.csv", "--gallery", "texts", to="texts")
    asked = told("--text", "a number 3", "--where", "year = 2003", to="texts")
    assert found(asked) == [str(paths[3])]

    def refused(*flags):
        return complaint(build_index.main, "--run", run, "--to", "images", *flags)

    assert "--where names the column 'size'; the columns are album (text), path" in refused(
        *text, "--where", "size > 1"
    )
    assert "--min-probability must be above 0" in refused(*text, "--min-probability", "1.5")
    alike = ("--image", str(paths[0]), "--min-probability", "0.5")
    assert "--min-probability 0.5 is of an image with a text" in refused(*alike)
    Path(run, "calibration.json").rename("kept.json")
    needs = refused(*text, "--min-probability", "0.5")
    Path("kept.json").rename(Path(run, "calibration.json"))
    assert "--min-probability needs scores that were calibrated" in needs


def test_what_was_written_is_on_the_disk_when_the_command_ends(trained, photos, monkeypatch):
    """LanceDB leaves it to the system when its files reach the disk."""
    pytest.importorskip("lancedb")
    synced = []
    monkeypatch.setattr(os, "sync", lambda: synced.append(True))
    flags = ["--run", str(trained("pascal_sentences")), "--to", "index/photos"]
    build_index.main([*flags, "--store", "lancedb", "--data", str(photos)])
    assert len(synced) == 1
    build_index.main([*flags, "--delete", sorted(photos.iterdir())[0].name])
    assert len(synced) == 2
    build_index.main([*flags, "--text", "a dog on the grass"])
    assert len(synced) == 2
