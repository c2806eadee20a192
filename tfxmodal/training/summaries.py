"""What a run writes for TensorBoard, and how validation is read of it again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tfxmodal.evaluation.class_metrics import CLASS_METRICS
from tfxmodal.evaluation.per_query import RECALL_AT
from tfxmodal.lazy import tf
from tfxmodal.training.report import EpochReport

METRICS = (*CLASS_METRICS, "recall_at", "median_rank", "hubness", "accuracy", "class_map")
"""Those that are logged: of retrieval, and of an encoder's classifier."""

LOGS = "logs"
"""Where they are in a run's folder."""


class Summaries:
    """Scalars of every epoch; the configuration, curves, pictures and embeddings at the end.

    Args:
        folder: Where they are written; None to write nothing, as a worker that is not the chief.
    """

    def __init__(self, folder: Path | None):
        self._folder = folder
        if folder is None:
            self._writer = tf.summary.create_noop_writer()
        else:
            self._writer = tf.summary.create_file_writer(str(folder))

    def config(self, config: dict):
        """The configuration as text; dataset, method and training also as HParams."""
        from tensorboard.plugins.hparams import api as hparams

        groups = [config[config["method"]], config["training"]]
        flat = {"dataset": config["data"]["dataset"]}
        for name, value in (item for group in groups for item in group.items()):
            flat[name] = value if isinstance(value, (bool, int, float)) else str(value)
        text = f"```json\n{json.dumps(config, indent=2)}\n```"
        with self._writer.as_default(step=0):
            tf.summary.text("config", text)
            hparams.hparams(flat, trial_id=str(self._folder))

    def epoch(self, report: EpochReport):
        """Every loss term, gradient norm, speed and validation metric of an epoch."""
        with self._writer.as_default(step=report.epoch):
            for name, value in report.losses.items():
                tf.summary.scalar(f"loss/{name}", value)
            for name, value in report.gradient_norms.items():
                tf.summary.scalar(f"gradient_norm/{name}", value)
            several = len(report.learning_rates) > 1
            for name, value in report.learning_rates.items():
                tf.summary.scalar("training/learning_rate" + f"/{name}" * several, value)
            tf.summary.scalar("training/pairs_per_second", report.pairs_per_second)
            if report.validation:
                self._metrics("validation", report.validation)
        self._writer.flush()

    def results(self, split: str, metrics: dict, step: int):
        """The metrics of a split at the end."""
        with self._writer.as_default(step=step):
            self._metrics(f"results_{split}", metrics)
        self._writer.flush()

    def figure(self, name: str, png: bytes, step: int):
        """A picture, given as a PNG file."""
        image = tf.image.decode_png(png, channels=3)
        with self._writer.as_default(step=step):
            tf.summary.image(name, image[None])
        self._writer.flush()

    def embeddings(self, images: np.ndarray, texts: np.ndarray, names, most: int = 1000):
        """Both modalities' embeddings `[n, d]` for the projector, each named and told apart."""
        from tensorboard.plugins import projector

        images, texts, names = images[:most], texts[:most], names[:most]
        vectors = np.concatenate([images, texts])
        np.savetxt(self._folder / "embeddings.tsv", vectors, fmt="%.6g", delimiter="\t")
        rows = [f"{kind}\t{_one_line(name)}" for kind in ("image", "text") for name in names]
        (self._folder / "embeddings_metadata.tsv").write_text(
            "\n".join(["modality\tname", *rows]) + "\n", encoding="utf-8"
        )
        config = projector.ProjectorConfig()
        entry = config.embeddings.add()
        entry.tensor_name = "common space"
        entry.tensor_path, entry.metadata_path = "embeddings.tsv", "embeddings_metadata.tsv"
        projector.visualize_embeddings(str(self._folder), config)

    def _metrics(self, prefix: str, metrics: dict):
        for name in METRICS:
            for path, value in _flatten(metrics.get(name), name):
                tf.summary.scalar(f"{prefix}/{path}", value)


def validation_scores(folder: Path, labelled: bool) -> dict[int, float]:
    """The validation score of each epoch that was logged; none of a method in closed form.

    Args:
        folder: `LOGS` of a run.
        labelled: Whether it is mAP@all; else it is the mean of R@1, R@5 and R@10.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not folder.is_dir():
        return {}
    logged = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    logged.Reload()
    names = ["map_all/average"] if labelled else [f"recall_at/average/{k}" for k in RECALL_AT]
    tags = [f"validation/{name}" for name in names]
    if not set(tags) <= set(logged.Tags()["tensors"]):
        return {}
    of_tags = [
        {event.step: float(tf.make_ndarray(event.tensor_proto)) for event in logged.Tensors(tag)}
        for tag in tags
    ]
    return {step: float(np.mean([each[step] for each in of_tags])) for step in sorted(of_tags[0])}


def _flatten(value, path: str):
    """Numbers of nested dicts with their paths; those that are not defined (None) are left out."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flatten(inner, f"{path}/{name}")
    elif value is not None:
        yield path, value


def _one_line(text: str) -> str:
    return " ".join(str(text).split())
