"""A trained run opened again, for evaluation, search and export."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from tfxmodal.data.pairs import Dataset, Pairs
from tfxmodal.encoders.image import ImageEncoder, extract, load_image_encoder
from tfxmodal.encoders.image.folding import folded
from tfxmodal.encoders.image.pictures import BadImage, load_images
from tfxmodal.encoders.text import TextEncoder, open_text_encoder
from tfxmodal.encoders.text.known_words import known_texts, unknown_words
from tfxmodal.encoders.text.text_cnn import TokenIds
from tfxmodal.encoders.weights import hash_weights
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import DataConfig
from tfxmodal.inputs.prepare import SPLITS, Prepared, prepare
from tfxmodal.inputs.spec import MethodInputs
from tfxmodal.io.hashing import fingerprint
from tfxmodal.io.reporter import SILENT, Reporter
from tfxmodal.lazy import keras
from tfxmodal.methods import Fitted
from tfxmodal.methods.learner import Method
from tfxmodal.methods.spec import GLOBAL
from tfxmodal.retrieval.scorer import Scorer
from tfxmodal.training.checkpoints import Checkpoints
from tfxmodal.training.run_folder import CONFIG, METRICS, MODEL, RunFolder
from tfxmodal.training.settings import Settings

SHOWN = 60
"""Characters of a text that a message shows."""

BATCH = 32
"""Pictures embedded at a time."""

NETWORKS = "networks"
"""Folder of the networks of a method in closed form."""


@dataclass(frozen=True)
class TrainedRun:
    """A fitted method and how its inputs are made.

    Attributes:
        folder: The run's folder.
        settings: `config.json`.
        description: `model.json`: inputs, classes, fingerprints of the encoders.
        inputs: What the method reads of each modality.
        method: The networks, with the weights of the best epoch where gradients trained them.
        trained_encoder: The image encoder whose network is part of `method`, trained end to end.
    """

    folder: RunFolder
    settings: Settings
    description: dict
    inputs: MethodInputs
    method: Method | Fitted
    trained_encoder: ImageEncoder | None = None

    def scorer(self) -> Scorer:
        """What embeds and scores."""
        return self.method.scorer()

    def folded(self) -> TrainedRun:
        """The run with networks that are faster, and not to be trained: see `folding.folded`."""
        if not self.inputs.image.raw:  # Its convolutions are the encoder's.
            return self
        method = copy(self.method)
        method.networks = {name: folded(each) for name, each in method.networks.items()}
        return replace(self, method=method)

    @property
    def metrics(self) -> dict:
        """What `metrics.json` holds.

        Raises:
            InputError: If the training did not come to its end.
        """
        return self.folder.read_json(METRICS)

    def load_image_encoder(self, weights: str | None = None) -> ImageEncoder:
        """The image encoder that made what the method reads.

        Args:
            weights: Its weights on this machine, by default as the run named them.

        Raises:
            InputError: If the run learned from ready features, or the encoder cannot be had or
                would give other features.
        """
        if self.trained_encoder:
            return self.trained_encoder
        fingerprint = self.description["image_encoder"]
        if fingerprint is None:
            raise self._ready("image", "image files")
        data = self.settings.data
        folder = data.image_encoder.partition(":")[2]
        if os.path.isabs(folder) and not os.path.isdir(folder):
            raise InputError(
                f"The image encoder {data.image_encoder} is not there: put it back, or write where "
                f"it is now to {self.folder.path / CONFIG}."
            )
        encoder = load_image_encoder(
            data.image_encoder, weights or data.image_weights, self.settings.training.seed
        )
        if not encoder.is_known_by(fingerprint, data.image_encoder):
            raise InputError(
                f"The image encoder {encoder.name} has the fingerprint {encoder.fingerprint}, and "
                f"{self.folder.path} was trained with {fingerprint}: give the weights of that "
                "training as `image_weights`."
            )
        return encoder

    def load_text_encoder(self) -> TextEncoder:
        """The text encoder that the run saved.

        Raises:
            InputError: If the run learned from ready features, or its encoder is gone.
        """
        if self.description["text_encoder"] is None:
            raise self._ready("text", "captions")
        return open_text_encoder(self.folder.path)

    def row_encoder(self, encoder: TextEncoder) -> TextEncoder | TokenIds:
        """From texts to what the method reads of them: features or token ids."""
        return TokenIds(encoder) if self.inputs.text.raw else encoder

    def image_rows(self, encoder: ImageEncoder, pictures: np.ndarray) -> np.ndarray:
        """What the method reads of pictures, RGB 0..255 `[n, crop, crop, 3]`."""
        if self.inputs.image.raw:
            return np.rint(pictures).astype(np.uint8)
        return extract(encoder, pictures, self.inputs.image.kind)

    def embed_images(
        self, paths: Sequence[str | Path], image_weights: str | None = None
    ) -> np.ndarray:
        """Embeddings `[n, d]` of picture files.

        Args:
            paths: The files.
            image_weights: See `load_image_encoder`.

        Raises:
            InputError: If a file is no picture that can be read.
        """
        encoder, parts = self.load_image_encoder(image_weights), []
        scorer = self.scorer()
        for start in range(0, len(paths), BATCH):
            pictures = []
            for row, picture in load_images(paths[start : start + BATCH], encoder.preprocessing):
                if isinstance(picture, BadImage):
                    raise InputError(
                        f"`image` {paths[start + row]} cannot be read ({picture.reason}): give a "
                        "picture."
                    )
                pictures.append(picture)
            parts.append(scorer.embed_images(self.image_rows(encoder, np.stack(pictures))))
        return np.concatenate(parts)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings `[n, d]` of texts.

        Raises:
            InputError: If a text holds no word that the run knows.
        """
        encoder = self._text_encoder
        known = known_texts(encoder, texts)
        if not known.all():
            raise InputError(
                f"`text` {texts[int(np.argmin(known))][:SHOWN]!r} holds no word that "
                f"{self.folder.path} knows: write other words, in the language of its captions."
            )
        return self.scorer().embed_texts(self.row_encoder(encoder).encode(texts))

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        """The words of each text that the run does not know, and which therefore say nothing.

        Raises:
            InputError: If the run learned from ready features.
        """
        return unknown_words(self._text_encoder, texts)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights of its networks: whose vectors an index holds.

        Networks without weights give what the encoders do: there these are part of it.
        """
        networks = [each for _, each in sorted(self.method.networks.items())]
        parts = [hash_weights(network) for network in networks]
        if not any(network.weights for network in networks):
            parts += [self.description[f"{kind}_encoder"] for kind in ("image", "text")]
        return fingerprint(*parts)

    @cached_property
    def _text_encoder(self) -> TextEncoder:
        return self.load_text_encoder()

    def prepare(
        self,
        source: Dataset,
        config: DataConfig,
        splits: Sequence[str] = SPLITS,
        reporter: Reporter = SILENT,
    ) -> Prepared:
        """A dataset as the method reads it, by the run's own encoders.

        Raises:
            InputError: If it is no dataset that the method can read.
        """
        prepared = prepare(
            source,
            config,
            self.inputs.kinds,
            lambda: self.load_image_encoder(config.image_weights),
            self.load_text_encoder,
            splits,
            reporter=reporter,
        )
        for name in splits:
            self.check_inputs(getattr(prepared.features, name))
        return prepared

    def check_inputs(self, pairs: Pairs):
        """Checks that rows are of the shape of those that the method learned from.

        Raises:
            InputError: If they are not.
        """
        for kind, rows in (("image", pairs.images), ("text", pairs.texts)):
            trained, shape = self.inputs.modality(kind).shape, tuple(rows.shape[1:])
            if shape != trained:
                given, wanted = (" x ".join(map(str, each)) for each in (shape, trained))
                raise InputError(
                    f"The dataset's {kind} features are {given} wide and those that "
                    f"{self.folder.path} was trained on {wanted}: give a dataset with the same "
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
    settings = Settings.from_json(folder.config)
    description = _of_this_version(folder.read_json(MODEL), settings)
    spec, encoder, networks = settings.spec, None, {}
    if description["inputs"]["image"]["kind"] == "pixels":
        encoder = load_image_encoder(settings.data.image_encoder, "random")
        networks["image"] = encoder.model
    if description["inputs"]["text"]["kind"] == "words":
        networks["text"] = open_text_encoder(folder.path).network
    inputs = MethodInputs.from_json(description["inputs"], networks)
    if spec.fit:
        method = spec.reopen(_saved_networks(folder), description["chosen"])
    else:
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(settings.training.precision)
        try:
            method = spec.learner(inputs, settings.config)
        finally:
            keras.config.set_dtype_policy(policy)
        Checkpoints(folder.path, method.networks).restore_best()
    return TrainedRun(folder, settings, description, inputs, method, encoder)


def save_fitted(folder: RunFolder, fitted: Fitted):
    """Writes the networks of a method in closed form, from which `load_run` opens it."""
    (folder.path / NETWORKS).mkdir(exist_ok=True)
    for name, network in fitted.networks.items():
        network.save(folder.path / NETWORKS / f"{name}.keras")


def _saved_networks(folder: RunFolder) -> dict[str, keras.Model]:
    import tfxmodal.heads.class_posterior
    import tfxmodal.heads.kernel
    import tfxmodal.heads.scaling  # noqa: F401, all three register a layer

    try:
        return {
            path.stem: keras.saving.load_model(path, compile=False)
            for path in sorted((folder.path / NETWORKS).glob("*.keras"))
        }
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"The networks in {folder.path / NETWORKS} are damaged ({error}): train again."
        ) from error


def _of_this_version(description: dict, settings: Settings) -> dict:
    """A `model.json`; one of an earlier version told widths alone."""
    if "inputs" in description:
        return description
    side, words = description["image_dim"], description["text_dim"]
    image = {"kind": "global", "shape": [side]}
    text = {"kind": "global", "shape": [words]}
    if settings.spec.inputs(settings.config) != GLOBAL:  # Then both were raw.
        image = {"kind": "pixels", "shape": [side, side, 3], "dtype": "uint8"}
        text = {"kind": "words", "shape": [words], "dtype": "int32"}
    classes = description["class_names"]
    inputs = {"image": image, "text": text, "classes": classes and len(classes)}
    image_encoder = description.get("image_tower")
    return description | {"inputs": inputs, "image_encoder": image_encoder}
