"""What runs an image encoder where features are extracted: TensorFlow, or OpenVINO on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from tfxmodal.encoders.image.image_encoder import ImageEncoder, extract
from tfxmodal.errors import InputError, choose, first_line
from tfxmodal.lazy import tf

ENGINES = ("auto", "tensorflow", "openvino")
TOLERANCE = 1e-4
"""Distance of OpenVINO's features from TensorFlow's, as a share of the largest of these: rounding
gives 1e-6 to 1e-5."""


class Extractor:
    """From pictures to features, by an engine that is checked at its first pictures.

    `auto` takes OpenVINO where it is installed and TensorFlow sees no GPU; where OpenVINO cannot
    run the network, or gives other features than TensorFlow, it says so and TensorFlow goes on.

    Args:
        encoder: The network.
        kind: `global` or `map`.
        engine: One of `ENGINES`.
        say: Is told why TensorFlow is taken in OpenVINO's place.

    Raises:
        InputError: If the engine is unknown, or OpenVINO is asked for and not installed.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        kind: str = "global",
        engine: str = "auto",
        say: Callable[[str], None] = lambda text: None,
    ):
        choose("engine", engine, ENGINES)
        installed = find_spec("openvino") is not None
        if engine == "openvino" and not installed:
            raise InputError(
                "`engine` is openvino, which is not installed: pip install openvino, or leave "
                "`engine` out."
            )
        self._encoder, self._kind, self._say = encoder, kind, say
        self._must = engine == "openvino"
        self._may = self._must or (engine == "auto" and installed)
        self._faster: Callable[[np.ndarray], np.ndarray] | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features float32, `[n, dim]` or `[n, locations, channels]`.

        Args:
            images: RGB 0..255, `[n, crop, crop, 3]` float32, at least one.

        Raises:
            InputError: If OpenVINO was asked for, and does not run the network as TensorFlow does.
        """
        if self._faster:
            return self._faster(images)
        features = extract(self._encoder, images, self._kind)
        if self._may and (self._must or not tf.config.list_physical_devices("GPU")):
            self._start(images, features)
        return features

    def _start(self, images: np.ndarray, features: np.ndarray):
        """Takes OpenVINO from now on, if it makes the same features of the first pictures."""
        self._may = False
        try:
            faster = self._encoder.by_openvino(self._kind)
            distance = np.abs(faster(images) - features).max() / np.abs(features).max()
            fault = f"its features are {distance:.1e} off TensorFlow's"
            if distance <= TOLERANCE:  # NaN is not.
                self._faster = faster
                return
        except Exception as error:  # What another program cannot run may fail in any way.
            fault = first_line(error)
        if self._must:
            raise InputError(
                f"`engine` openvino does not run the image encoder {self._encoder.name} ({fault}): "
                "take tensorflow."
            )
        self._say(
            f"TensorFlow runs the image encoder {self._encoder.name}: OpenVINO does not ({fault})."
        )
