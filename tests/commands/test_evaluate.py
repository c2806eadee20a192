import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runs import QUICK
from tfxmodal.commands import evaluate, extract_features


def results(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def assert_near(ours, theirs, path=""):
    """Two trees of numbers with the same names agree to 1e-6."""
    if isinstance(theirs, dict):
        for name in theirs:
            assert_near(ours[name], theirs[name], f"{path}/{name}")
    else:
        assert ours == (None if theirs is None else pytest.approx(theirs, abs=1e-6)), path


def elsewhere(run, dataset: str) -> Path:
    """Where a run was measured on pairs of another dataset, the only ones of it."""
    (folder,) = (Path(run) / "evaluation").glob(f"{dataset}-test-*")
    return folder


@pytest.mark.parametrize(
    "dataset, split", [("coco", "test"), ("coco", "validation"), ("flickr8k", "test")]
)
def test_it_measures_what_training_measured(trained, dataset, split):
    run = trained(dataset)
    calibration = run / "calibration.json"
    calibrated = json.loads(calibration.read_text())
    if split == "validation":
        calibration.unlink()
    evaluate.main(["--run", str(run), "--split", split])
    assert_near(json.loads(calibration.read_text()), calibrated)
    found = results(run / f"evaluation/{dataset}-{split}")
    assert (found["dataset"], found["split"]) == (dataset, split)
    # The pairs are the queries of a direction: where each caption is a pair, those of the texts.
    assert found["pairs"] in found["methods"]["scl"]["queries"].values()
    assert_near(found["methods"]["scl"], results(run)[split])


def test_baselines_stand_beside_the_run(trained, small, capsys):
    run = trained("wikipedia")
    evaluate.main(["--run", str(run), "--baseline", "pls", "random", "--name", "beside"])
    folder = run / "evaluation/beside"
    found = results(folder)["methods"]
    assert list(found) == ["scl", "pls", "random"]
    assert found["pls"]["map_all"]["average"] == pytest.approx(0.298, abs=0.004)
    assert found["random"]["map_all"]["average"] == pytest.approx(0.12, abs=0.01)
    assert found["pls"]["embedding_dim"] == 100 and found["scl"]["embedding_dim"] == 8
    told = capsys.readouterr().out
    assert all(name in told for name in ("scl", "pls", "random", "wikipedia, 462 test pairs"))
    drawn = {path.stem for path in (folder / "figures").iterdir()}
    assert drawn == {"precision_recall", "precision_scope", "tsne"}


@pytest.fixture
def run_of_photos(trained) -> str:
    return str(trained("pascal_sentences"))


def test_another_dataset_with_other_classes(run_of_photos, small, cache_dir):
    flags = ["--run", run_of_photos, "--baseline", "pls", *small("coco")]
    evaluate.main(flags)
    folder = elsewhere(run_of_photos, "coco")
    found = results(folder)
    assert found["pairs"] == 10 and found["methods"].keys() == {"scl", "pls"}
    assert found["methods"]["scl"]["gallery"]["image_to_text"] == 50
    assert 0 < found["methods"]["scl"]["map_all"]["average"] < 1
    for path in (folder / "figures").iterdir():
        with Image.open(path) as picture:
            assert min(picture.size) > 300 and np.asarray(picture.convert("L")).std() > 5
    # The text features are the run's: no vocabulary of the other dataset was made.
    keys = [json.loads(path.read_text())["key"] for path in cache_dir.glob("*/space.json")]
    encoder = json.loads((Path(run_of_photos) / "model.json").read_text())["text_encoder"]
    assert encoder in [key["encoder"] for key in keys]


def test_another_dataset_without_labels(run_of_photos, small):
    evaluate.main(["--run", run_of_photos, *small("flickr8k")])
    folder = elsewhere(run_of_photos, "flickr8k")
    found = results(folder)["methods"]["scl"]
    assert found["map_all"] is None and found["recall_at"]["average"]["10"] > 0
    assert [path.name for path in (folder / "figures").iterdir()] == ["retrieved.png"]


def test_ready_features_of_the_same_making(run_of_photos, small, cache_dir, tmp_path):
    """Exported features under the name of another dataset give the same class-level numbers."""
    exported = ["--export", "ready", "--cache-dir", str(cache_dir), *QUICK[:4]]
    extract_features.main([*small("pascal_sentences"), *exported])
    evaluate.main(["--run", run_of_photos, "--dataset", "features", "--data-dir", "ready"])
    found = results(elsewhere(run_of_photos, "features"))["methods"]["scl"]
    assert_near(found["map_all"], results(Path(run_of_photos))["test"]["map_all"])


def test_the_data_and_the_run_may_move(trained, small, tmp_path):
    run = shutil.copytree(trained("features"), tmp_path / "moved", dirs_exist_ok=True)
    config = json.loads((run / "config.json").read_text())
    config["data"]["data_dir"] = "/where/they/were"
    (run / "config.json").write_text(json.dumps(config))
    evaluate.main(["--run", str(run), "--baseline", "pls", "--data-dir", small("features")[3]])
    found = results(run / "evaluation/features-test")["methods"]["scl"]
    assert_near(found, results(run)["test"])


def test_what_does_not_fit_is_told(run_of_photos, trained, small, complaint):
    def told(run, *flags):
        return complaint(evaluate.main, "--run", str(run), *flags)

    assert "features are 128 wide and those that" in told(run_of_photos, *small("wikipedia"))
    ready = "was trained on ready image features, and this dataset has image files"
    assert ready in told(trained("features"), *small("coco"))
    assert "The image encoder efficientnet_lite0 has the fingerprint" in told(
        run_of_photos, "--image-weights", "random"
    )
    assert "Unknown dataset 'cocoa'; use one of:" in told(run_of_photos, "--dataset", "cocoa")
    assert "has no config.json: give the folder of a run" in told("nowhere")
    assert "data/coco/annotations lacks" in told(run_of_photos, "--dataset", "coco")


def test_a_damaged_checkpoint_is_told(trained, complaint, tmp_path):
    run = shutil.copytree(trained("features"), tmp_path / "damaged")
    (data,) = (run / "best").glob("*.data-*")
    data.write_bytes(data.read_bytes()[:100])
    assert "is damaged" in complaint(evaluate.main, "--run", str(run))
    shutil.rmtree(run / "best")
    assert "holds no trained model" in complaint(evaluate.main, "--run", str(run))


def test_wrong_choices_end_without_a_traceback(run_of_photos, capsys):
    with pytest.raises(SystemExit) as exit:
        evaluate.main(["--run", run_of_photos, "--baseline", "slc"])
    assert exit.value.code == 2
    told = "".join(capsys.readouterr())
    assert "'pls'" in told and "Traceback" not in told
