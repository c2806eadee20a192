"""A run that reads maps and words: its figure, what is measured beside it, and how it is served."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from tests.encoders.image.tiny import tiny_encoder
from tfxmodal.commands import train
from tfxmodal.encoders import image
from tfxmodal.errors import InputError
from tfxmodal.serving.export import export as exporting
from tfxmodal.serving.export.eager import EagerModel
from tfxmodal.serving.export.examples import pictures
from tfxmodal.serving.export.export import export_run
from tfxmodal.serving.export.signatures import ServedRun
from tfxmodal.serving.verification import examined
from tfxmodal.serving.verification.examined import Version
from tfxmodal.serving.verification.served_model import ServedModel
from tfxmodal.serving.verification.verify import verify
from tfxmodal.training import experiment, run_evaluation
from tfxmodal.training.run_evaluation import evaluate_run
from tfxmodal.training.trained_run import load_run


def tiny_with_maps(weights: str = "random"):
    encoder = tiny_encoder(weights)
    locations = keras.layers.Reshape([16, 6])(encoder.model.get_layer("relu").output)
    return replace(encoder, map_model=keras.Model(encoder.model.input, locations))


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(image.IMAGE_ENCODERS, "tiny", tiny_with_maps)
        patch.setattr(image, "WITH_MAPS", ("tiny",))
        for module in (experiment, run_evaluation):
            patch.setattr(module, "draw", lambda *_, **__: {})
        folder = tmp_path_factory.mktemp("runs")
        flags = "--image-encoder tiny --image-weights random --epochs 1 --batch-size 10 "
        flags += (
            "--vocabulary-size 100 --image-units 4 --text-units 4 --embedding-dim 3 --feed stream"
        )
        where = "--run-dir", str(folder / "mcsm"), "--cache-dir", str(folder / "cache")
        train.main(["mcsm", *small("pascal_sentences"), *flags.split(), *where])
        yield load_run(folder / "mcsm")


def test_a_picture_and_a_text_are_served_as_the_run_embeds_them(run, tmp_path, monkeypatch):
    """By an export, which passes its verification."""
    assert run.inputs.kinds == {"image": "map", "text": "words"}
    monkeypatch.setattr(exporting, "check", lambda folders, report: None)  # Not afresh, but below.
    folder, _ = export_run(run, tmp_path / "m")
    model = ServedModel(folder)
    monkeypatch.setattr(examined, "ServedModel", lambda version: model)
    report = verify(folder)
    assert report.passed, report
    served, version = ServedRun(run), Version(folder)
    eager, words = EagerModel(served), served.text_encoder.words
    texts = [" ".join(words[:12]), words[3], f"{words[0]} zyzzyva {words[1]}"]
    given = {"image": pictures(), "text": np.array([each.encode() for each in texts], object)}
    for kind, rows in given.items():
        name = f"embed_{kind}"
        found = version.ask(name, {kind: rows})["embedding"]
        np.testing.assert_allclose(found, getattr(eager, name)(rows)["embedding"], atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    offered = version.signatures
    assert "embed_image_features" in offered and "embed_text_features" not in offered


def test_an_evaluation_measures_the_spaces_and_their_other_fusion(run):
    assert (run.folder.path / "figures/attention.png").exists()
    done = evaluate_run(run)
    names = ["mcsm", "mcsm, image_space", "mcsm, text_space", "mcsm, row_normalised"]
    assert list(done.metrics) == names
    assert done.metrics["mcsm"]["map_all"] == run.metrics["test"]["map_all"]
    with pytest.raises(InputError, match="`baseline` learns from .* reads map and words: give"):
        evaluate_run(run, baselines=["pls"])
