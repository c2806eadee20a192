"""A student whose score is a cosine, taught by the scores of a trained run: ours.

A relation network scores every pair by itself. The student's score is a dot product, which any
index searches. The idea of a student that learns what a larger model says is of Hinton, Vinyals and
Dean (2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfxmodal.data.pairs import Pairs
from tfxmodal.errors import InputError, check_ranges
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.distillation import distillation
from tfxmodal.methods.binary import Binary, check_bits
from tfxmodal.methods.gradient.cosine_method import CosineMethod
from tfxmodal.methods.learner import Batch, Method
from tfxmodal.methods.scaled_features import NONE_OR_STANDARD, ScaledFeatures, scaled_inputs
from tfxmodal.methods.spec import MethodSpec


@dataclass(frozen=True)
class DistilConfig(ScaledFeatures, Binary):
    """A cosine student of a trained run; all defaults are ours."""

    teacher: Path | None = None
    """Folder of the trained run whose scores are learned, such as runs/drsl-wikipedia. The student
    reads the same features: give the dataset and the encoders of that run."""

    hidden_units: tuple[int, ...] = (1024,)
    """Units of the hidden layers of each encoder."""

    embedding_dim: int = 256
    """Dimensions of the common space."""

    dropout: float = 0.0
    """Fraction dropped before each layer but the first."""

    def __post_init__(self):
        check_bits(self)
        sizes = dict.fromkeys(("hidden_units", "embedding_dim"), "[1, inf)")
        check_ranges(self, **sizes, dropout="[0, 1)")


class Distil(CosineMethod):
    """Two encoders whose cosines follow a teacher's scores.

    With u and v the unit vectors of an image and a text, and t the teacher's score, it minimises
    over all pairs of a batch, matched or not,

        1/(n m) sum_pq (a u_p . v_q + b - t_pq)^2 ,

    where a and b, of 1 and 0 at first, are learned and left out of the student's own score: for
    a > 0 they change no ranking. It needs no labels: pairs without any teach, too.

    A step takes the teacher's scores of n x m pairs beside the networks.

    Args:
        inputs: Widths of the features.
        config: Hyper-parameters.
    """

    def __init__(self, inputs: MethodInputs, config: DistilConfig):
        self.config, self.networks = config, {}
        self.weights = {"distillation": 1.0} | config.code_weights
        units, full = (*config.hidden_units, config.embedding_dim), keras.config.floatx()
        for kind, rows, scaled in scaled_inputs(inputs, config):
            network = feature_network(
                scaled.shape[-1],
                units,
                dropout=config.dropout,
                output_activation="linear",
                name=f"{kind}_student",
            )
            self.add_encoder(kind, rows, self.coded(kind, rows, network(scaled)))
        cosine = keras.Input([1], name="cosine")
        fitted = keras.layers.Dense(1, kernel_initializer="ones", dtype=full)(cosine)
        self.networks["calibration"] = keras.Model(cosine, fitted)

    def learn_from(self, teacher: Method):
        """Takes the trained method whose scores are learned; its features are the student's."""
        self._taught_by = teacher.networks["image_encoder"], teacher.networks["text_encoder"]
        self._teacher = teacher.scorer()

    def loss_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The loss on this replica's images and the texts of the global batch."""
        rows = batch["pairs"]
        images, texts = self.embed(rows)
        cosines = tf.matmul(images, replicas.gather(texts), transpose_b=True)
        scores = tf.reshape(
            self.networks["calibration"](tf.reshape(cosines, [-1, 1])), tf.shape(cosines)
        )
        taught = distillation(scores, self._taught(rows, replicas))
        return {"distillation": taught} | self.quantised(rows)

    def _taught(self, rows: dict[str, tf.Tensor], replicas) -> tf.Tensor:
        """The teacher's scores, as it gives them outside of training."""
        of_images, of_texts = self._taught_by
        images = of_images(rows["images"], training=False)
        texts = replicas.gather(of_texts(rows["texts"], training=False))
        return tf.stop_gradient(self._teacher.graph_score(images, texts))


def decided(config: DistilConfig, train: Pairs, data: DataConfig) -> tuple[DistilConfig, None]:
    """The config as it is, if it names a teacher.

    Raises:
        InputError: If it does not.
    """
    if config.teacher is None:
        raise InputError(
            "`teacher` is not given, and distil learns from a trained run: name its folder, such "
            "as runs/drsl-wikipedia."
        )
    return config, None


SPEC = MethodSpec(
    name="distil",
    title="Cosine student of a trained run",
    source="ours; the idea is of Hinton et al., 2015",
    setting="supervised",
    config=DistilConfig,
    learner=Distil,
    decide=decided,
    search_space={
        "learning_rate": (1e-4, 1e-3),
        "embedding_dim": (64, 256, 1024),
        "dropout": (0.0, 0.5),
        **NONE_OR_STANDARD,
    },
    examples=("--dataset wikipedia --data-dir WIKIPEDIA --teacher runs/drsl-wikipedia",),
)
