"""A network of KerasHub from a preset to answers of a server."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.serving.conftest import start
from tfxmodal.commands import export_savedmodel, train
from tfxmodal.dev_server import server
from tfxmodal.serving.export import export as exporting
from tfxmodal.serving.verification import examined
from tfxmodal.serving.verification.served_model import ServedModel
from tfxmodal.serving.verification.verify import verify
from tfxmodal.training.trained_run import TrainedRun, load_run


@pytest.fixture(scope="module")
def zero_shot(siglip, small, cache_dir, tmp_path_factory) -> Path:
    """The folder of a run on photos and captions."""
    folder = tmp_path_factory.mktemp("runs") / "zero_shot"
    both = "--image-encoder", f"keras_hub:{siglip}", "--text-encoder", f"keras_hub:{siglip}"
    where = "--cache-dir", str(cache_dir), "--run-dir", str(folder)
    train.main(["zero_shot", *small("pairs"), *both, *where])
    return folder


def test_a_shared_space_is_scored_without_training_served_and_searched(
    zero_shot, small, tmp_path, capsys, monkeypatch
):
    # In this process, and without the model of the matrix: it has no text. The server has what was
    # verified, since a model with many operations on texts and pictures takes long to load.
    monkeypatch.setattr(exporting, "verify_afresh", lambda folders: [verify(folders[0])])
    kept = []

    def load(folder, **_):
        if not kept:
            kept.append(ServedModel(folder))
        return kept[0]

    for module in (examined, server):
        monkeypatch.setattr(module, "ServedModel", load)
    run, folder = load_run(zero_shot), Path(small("pairs")[3]).parent
    pictures = sorted((folder / "images").iterdir())
    texts = ["a red car", "two cats on a wall"]
    images, captions = run.load_image_encoder(), run.load_text_encoder()
    assert images.space == captions.space
    vectors = captions.encode(texts)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(run.embed_texts(texts), unit, atol=1e-5)
    assert 0 < run.metrics["test"]["map_all"]["average"] <= 1

    model = tmp_path / "model"
    export_savedmodel.main(["--run", str(zero_shot), "--to", str(model), "--gallery", "test"])
    verified = capsys.readouterr().out
    assert "3 of TensorFlow Text, which TensorFlow Serving has from 2.12.1 on" in verified
    assert json.loads((model / "1/signatures.json").read_text())["tensorflow_text"]
    with start("development", tmp_path, model) as served, served.client("model") as client:
        embedded = client.embed_texts(texts)
        np.testing.assert_allclose(embedded, unit, atol=1e-5)
        shown = client.embed_images(pictures[:2])
        np.testing.assert_allclose(shown, run.embed_images(pictures[:2]), atol=1e-4)
        np.testing.assert_allclose(
            client.score_pairs(pictures[:2], texts), (shown * unit).sum(axis=1), atol=1e-5
        )
        ids, scores = client.search_images(texts, 3)
        assert len(ids[0]) == 3 and np.all(np.diff(scores) <= 0)


def test_an_export_of_clip_is_refused(zero_shot, monkeypatch, complaint, tmp_path):
    clip = SimpleNamespace(served=False)  # As that of tests/encoders/text/test_keras_hub.py.
    monkeypatch.setattr(TrainedRun, "load_text_encoder", lambda run: clip)
    told = complaint(export_savedmodel.main, "--run", str(zero_shot), "--to", str(tmp_path / "m"))
    assert "is a CLIP of KerasHub, whose tokenizer gives other tokens in a server" in told
    assert not (tmp_path / "m").exists()
