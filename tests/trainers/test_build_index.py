"""Indexes of real photos and texts, by a quick run of each method."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.runs import PHOTOS
from tfxmodal.retrieval.index import Index
from tfxmodal.training.trained_run import load_run
from trainers import build_index
from trainers.prepare import DataConfig, prepare


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
    assert f"holds {PHOTOS} images (exact)" in told and "--query-text TEXT" in told
    build_index.main([*flags, "--query-text", "a dog on the grass", "--k", "7"])
    ids = found(capsys.readouterr().out)
    assert len(ids) == 7 and all((photos / name).is_file() for name in ids)

    opened = load_run(run)
    scorer, encoder = opened.method.scorer(), opened.load_encoder()
    index = Index.load("index/photos", scorer, build_index.model_fingerprint(opened))
    query = scorer.embed_texts(encoder.encode(["a dog on the grass"]))
    rows, _ = scorer.top_k_images(query, index.embeddings, 7)
    assert ids == [index.ids[row] for row in rows[0]]


def test_texts_are_found_by_photo_and_added(drsl, photos, capsys):
    Path("texts.txt").write_text("A cow in a field.\n\ndogs\tTwo dogs run.\n")
    flags = ["--run", drsl, "--to", "texts", "--gallery", "texts"]
    build_index.main([*flags, "--data", "texts.txt"])
    Path("more.txt").write_text("A horse and its rider.\n")
    photo = str(next(photos.iterdir()))
    capsys.readouterr()
    build_index.main([*flags, "--data", "more.txt", "--add", "--query-image", photo])
    told = capsys.readouterr().out
    assert "holds 3 texts" in told
    assert sorted(found(told)) == ["A cow in a field.", "A horse and its rider.", "dogs"]


@pytest.mark.parametrize("gallery", ["images", "texts"])
def test_a_split_of_the_runs_own_dataset(gallery, drsl, small, cache_dir):
    flags = ["--run", drsl, "--to", "index", "--gallery", gallery, "--split", "train"]
    build_index.main([*flags, "--rescore", "0.1", "--anchors", "8", "--kind", "scan"])
    run = load_run(drsl)
    config = DataConfig("pascal_sentences", Path(small("pascal_sentences")[3]), cache_dir=cache_dir)
    train = prepare(config, run, ["train"]).features.train
    scorer = run.method.scorer()
    index = Index.load("index", scorer, build_index.model_fingerprint(run))
    assert index.ids == train.ids.tolist() and index.rescore == 0.1
    rows = {"images": train.images, "texts": train.texts}[gallery]
    embed = {"images": scorer.embed_images, "texts": scorer.embed_texts}[gallery]
    np.testing.assert_allclose(index.embeddings, embed(rows), rtol=1e-5)


def test_mistakes_end_in_one_sentence(trained, drsl, photos, complaint):
    def told(*flags, run=drsl, to="index"):
        return complaint(build_index.main, "--run", run, "--to", to, *flags)

    build_index.main(["--run", drsl, "--to", "index", "--data", str(photos)])
    assert "holds an index already: give --add" in told("--data", str(photos))
    assert "is in the index already" in told("--data", str(photos), "--add")
    assert "holds images: search it by --query-text" in told("--query-image", "x.jpg")
    other = str(trained("pascal_sentences"))
    assert "was made with the model" in told("--query-text", "dog", run=other)
    assert "is no folder with pictures" in told("--data", "nowhere", to="new")
    assert "Cannot read" in told("--data", "nowhere", "--gallery", "texts", to="new")
    Path("empty.txt").write_text("\n")
    assert "holds no text" in told("--data", "empty.txt", "--gallery", "texts", to="new")
    assert not Path("new").exists()


def test_a_query_that_is_no_picture(drsl, complaint):
    Path("texts.txt").write_text("A cow in a field.\n")
    flags = ["--run", drsl, "--to", "texts", "--gallery", "texts"]
    build_index.main([*flags, "--data", "texts.txt"])
    told = complaint(build_index.main, *flags, "--query-image", "texts.txt")
    assert "--query-image texts.txt cannot be read" in told


def test_bad_photos_are_skipped_where_asked(drsl, photos, complaint, tmp_path, capsys):
    folder = tmp_path / "mine"
    (folder / "deep").mkdir(parents=True)
    good = next(photos.iterdir())
    (folder / "deep" / "GOOD.JPG").write_bytes(good.read_bytes())
    (folder / "bad.jpg").write_bytes(good.read_bytes()[:100])
    flags = ["--run", drsl, "--to", "index", "--data", str(folder), "--cache-dir", "cache"]
    assert "1 of 2 images are bad" in complaint(build_index.main, *flags)
    build_index.main([*flags, "--on-bad-image", "skip", "--query-text", "dog"])
    assert found(capsys.readouterr().out) == ["deep/GOOD.JPG"]
