import re
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfxmodal.evaluation.figures import figure_png
from tfxmodal.training.report import EpochReport
from tfxmodal.training.summaries import Summaries, validation_scores

REPORT = EpochReport(
    epoch=3,
    stage=None,
    losses={"contrastive": 2.5, "total": 3.5},
    gradient_norms={"contrastive": 0.25, "total": 0.75},
    score=0.5,
    validation={"map_all": {"average": 0.5}, "map_50": None, "recall_at": {"average": {"1": 0.1}}},
    improved=True,
    learning_rates={"all": 0.001},
    seconds=2.0,
    pairs_per_second=320.0,
)


@pytest.fixture
def logs(tmp_path):
    """What TensorBoard reads of a run: an accumulator, and the folder."""
    summaries = Summaries(tmp_path)
    summaries.config(
        {
            "method": "scl",
            "data": {"dataset": "coco", "cache_dir": "c"},
            "scl": {"alpha": 0.01, "image_scaling": "center"},
            "training": {"epochs": 2},
        }
    )
    summaries.epoch(REPORT)
    summaries.results("test", {"map_all": {"average": 0.4}}, step=3)
    figure, _ = plt.subplots(figsize=(2, 1))
    summaries.figure("precision_recall", figure_png(figure), step=3)
    images, texts = np.eye(3, 4), -np.eye(3, 4)
    summaries.embeddings(images, texts, ["a dog", "two\tlines\nof text", "c"], most=2)
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    return accumulator, tmp_path


def test_scalars_of_an_epoch_and_of_the_results(logs):
    accumulator, _ = logs
    values = {}
    for tag in accumulator.Tags()["tensors"]:
        if accumulator.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            (event,) = accumulator.Tensors(tag)
            assert event.step == 3
            values[tag] = float(tf.make_ndarray(event.tensor_proto))
    assert values == pytest.approx(
        {
            "loss/contrastive": 2.5,
            "loss/total": 3.5,
            "gradient_norm/contrastive": 0.25,
            "gradient_norm/total": 0.75,
            "training/learning_rate": 0.001,
            "training/pairs_per_second": 320.0,
            "validation/map_all/average": 0.5,
            "validation/recall_at/average/1": 0.1,
            "results_test/map_all/average": 0.4,
        }
    )


def test_several_updates_have_a_learning_rate_each(tmp_path):
    rates = {"networks": 0.001, "adversary": 0.01}
    Summaries(tmp_path).epoch(replace(REPORT, learning_rates=rates))
    tags = EventAccumulator(str(tmp_path)).Reload().Tags()["tensors"]
    expected = {f"training/learning_rate/{name}" for name in rates}
    assert {tag for tag in tags if "learning_rate" in tag} == expected


def test_the_validation_of_a_run_that_went_on_is_read_again(tmp_path):
    def log(first: int, scores: list[float]):
        summaries = Summaries(tmp_path)
        for epoch, score in enumerate(scores, first):
            found = {"map_all": {"average": score}}
            found["recall_at"] = {"average": {"1": score / 4, "5": score / 2, "10": score}}
            summaries.epoch(replace(REPORT, epoch=epoch, validation=found))

    assert validation_scores(tmp_path / "nothing", True) == {}
    log(1, [0.1, 0.2, 0.9])
    (first,) = tmp_path.iterdir()  # Files of events are told apart by the second.
    name, second, rest = re.fullmatch(r"(.*tfevents\.)(\d+)(.*)", first.name).groups()
    first.rename(tmp_path / f"{name}{int(second) - 1}{rest}")
    log(3, [0.3, 0.4])
    assert validation_scores(tmp_path, True) == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4})
    third = 1.75 / 3
    assert validation_scores(tmp_path, False) == pytest.approx(
        {1: 0.1 * third, 2: 0.2 * third, 3: 0.3 * third, 4: 0.4 * third}
    )


def test_a_line_names_the_stage_where_there_are_several():
    assert REPORT.line().startswith("epoch 3  contrastive 2.5  total 3.5  validation 0.5000 *")
    assert replace(REPORT, stage="warm-up").line().startswith("epoch 3 (warm-up)  contrastive")


def test_the_configuration_as_text_and_hparams(logs):
    accumulator, _ = logs
    (event,) = accumulator.Tensors("config")
    assert b'"alpha": 0.01' in event.tensor_proto.string_val[0]
    hparams = accumulator.SummaryMetadata("_hparams_/session_start_info")
    content = hparams.plugin_data.content
    assert b"alpha" in content
    assert b"image_scaling" in content
    assert b"coco" in content and b"epochs" in content
    assert b"cache_dir" not in content


def test_figures_are_images(logs):
    accumulator, _ = logs
    (event,) = accumulator.Tensors("precision_recall")
    width, height, png = event.tensor_proto.string_val
    assert int(width) > int(height) > 0
    assert png.startswith(b"\x89PNG")


def test_the_projector_has_vectors_and_their_names(logs):
    _, folder = logs
    vectors = np.loadtxt(folder / "embeddings.tsv")
    np.testing.assert_array_equal(vectors, np.concatenate([np.eye(2, 4), -np.eye(2, 4)]))
    assert (folder / "embeddings_metadata.tsv").read_text().splitlines() == [
        "modality\tname",
        "image\ta dog",
        "image\ttwo lines of text",
        "text\ta dog",
        "text\ttwo lines of text",
    ]
    config = (folder / "projector_config.pbtxt").read_text()
    assert "embeddings.tsv" in config
    assert "embeddings_metadata.tsv" in config
