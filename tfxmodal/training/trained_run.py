"""A trained run opened again, for evaluation and export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Pairs
from tfxmodal.encoders.image import ImageEncoder, extract, load_image_encoder
from tfxmodal.encoders.text import TextEncoder, open_text_encoder
from tfxmodal.encoders.text.text_cnn import TokenIds
from tfxmodal.errors import InputError, choose
from tfxmodal.lazy import keras
from tfxmodal.methods import METHODS
from tfxmodal.methods.learner import Method
from tfxmodal.training.checkpoints import Checkpoints
from tfxmodal.training.run_folder import RunFolder, from_dict


@dataclass(frozen=True)
class TrainedRun:
    """A trained method and how its features are made.

    Attributes:
        folder: The run's folder.
        config: `config.json`: the groups `data`, `training` and the method's own, by its name.
        description: `model.json`: widths, classes, fingerprints of image tower and text encoder.
        method: The networks with the weights of the best epoch.
        tower: The image tower, where it is part of `method`, trained end to end.
    """

    folder: RunFolder
    config: dict
    description: dict
    method: Method
    tower: ImageEncoder | None = None

    @property
    def end_to_end(self) -> bool:
        """Whether the method takes pixels and token ids, instead of features."""
        return self.tower is not None

    def load_tower(self, weights: str | None = None) -> ImageEncoder:
        """The image tower that made the run's features.

        Args:
            weights: Its weights on this machine, by default as the run named them.

        Raises:
            InputError: If the run learned from ready features, or the tower cannot be had or
                would give other features.
        """
        if self.tower:
            return self.tower
        fingerprint = self.description["image_encoder"]
        if fingerprint is None:
            raise self._ready("image", "image files")
        data = self.config["data"]
        tower = load_image_encoder(data["image_encoder"], weights or data["image_weights"])
        if tower.fingerprint != fingerprint:
            raise InputError(
                f"The image tower {tower.name} has the fingerprint {tower.fingerprint}, and "
                f"{self.folder.path} was trained with {fingerprint}: give the weights of that "
                "training by --image-weights."
            )
        return tower

    def load_encoder(self) -> TextEncoder:
        """The text encoder that the run saved.

        Raises:
            InputError: If the run learned from ready features, or its encoder is gone.
        """
        if self.description["text_encoder"] is None:
            raise self._ready("text", "captions")
        return open_text_encoder(self.folder.path)

    def image_rows(self, tower: ImageEncoder, pictures: np.ndarray) -> np.ndarray:
        """What the run's image encoder takes of pictures, RGB 0..255 `[n, crop, crop, 3]`."""
        if self.end_to_end:
            return np.rint(pictures).astype(np.uint8)
        return extract(tower, pictures)

    def row_encoder(self, encoder: TextEncoder) -> TextEncoder | TokenIds:
        """From texts to what the run's text encoder takes: features, or end to end token ids."""
        return TokenIds(encoder) if self.end_to_end else encoder

    def check_widths(self, pairs: Pairs):
        """Checks that features are as wide as those that the run learned from.

        Raises:
            InputError: If they are not.
        """
        for kind, features in (("image", pairs.images), ("text", pairs.texts)):
            width = self.description[f"{kind}_dim"]
            if features.shape[1] != width:
                raise InputError(
                    f"The dataset's {kind} features are {features.shape[1]} wide and those that "
                    f"{self.folder.path} was trained on {width}: give a dataset with the same "
                    "kind of features."
                )

    def _ready(self, kind: str, received: str) -> InputError:
        return InputError(
            f"{self.folder.path} was trained on ready {kind} features, and this dataset has "
            f"{received}: give a dataset of features made in the same way."
        )


def load_run(path: str | Path) -> TrainedRun:
    """Opens a run's folder.

    Raises:
        InputError: If it holds no trained run, or one of another version.
    """
    folder = RunFolder(path)
    config, description = folder.config, folder.read_json("model.json")
    choose("method of the run", config["method"], METHODS)
    method_class, config_class = METHODS[config["method"]]
    method_config = from_dict(config_class, config[config["method"]])
    pair, tower, towers = _blank_pair(description), None, {}
    if getattr(method_config, "end_to_end", False):
        tower = load_image_encoder(config["data"]["image_encoder"], "random")
        towers = {"image": tower.model, "text": open_text_encoder(folder.path).network}
        pair, towers = _blank_raw_pair(pair, tower), {"towers": towers}
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config["training"]["precision"])
    try:
        method = method_class(pair, method_config, **towers)
    finally:
        keras.config.set_dtype_policy(policy)
    Checkpoints(folder.path, method.networks).restore_best()
    return TrainedRun(folder, config, description, method, tower)


def _blank_raw_pair(pair: Pairs, tower: ImageEncoder) -> Pairs:
    """The same as pixels and token ids."""
    pixels = np.zeros([1, tower.crop, tower.crop, 3], np.uint8)
    return pair.with_features(pixels, pair.texts.astype(np.int32))


def _blank_pair(description: dict) -> Pairs:
    """A pair of zeros, from which a method takes the shapes that its training pairs had.

    What a method computes of its training pairs, such as the scaling of features, is among its
    weights, and these come from the checkpoint.
    """
    classes = description["class_names"]
    return Pairs(
        ids=np.array(["blank"]),
        images=np.zeros([1, description["image_dim"]], np.float32),
        texts=np.zeros([1, description["text_dim"]], np.float32),
        labels=None if classes is None else np.zeros([1, len(classes)], np.uint8),
    )
