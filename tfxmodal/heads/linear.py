"""A linear map of centred features onto the unit sphere: how the linear methods end."""

from __future__ import annotations

import numpy as np

from tfxmodal.lazy import keras


def linear_projection(mean: np.ndarray, directions: np.ndarray) -> keras.Model:
    """Features x to W^T (x - mean), at unit length.

    Args:
        mean: `[d]`.
        directions: W, `[d, k]`.

    Returns:
        A model from `[batch, d]` to `[batch, k]`, float32.
    """
    from tfxmodal.heads.scaling import Scaling

    features = keras.Input([len(mean)], name="features")
    centre = Scaling(dtype="float32")
    project = keras.layers.Dense(directions.shape[1], use_bias=False, dtype="float32")
    unit = keras.layers.UnitNormalization(dtype="float32")(project(centre(features)))
    model = keras.Model(features, unit)
    set_projection(model, mean, directions)
    return model


def set_projection(model: keras.Model, mean: np.ndarray, directions: np.ndarray):
    """Gives a model that `linear_projection` made another mean `[d]` and directions `[d, k]`."""
    _, centre, project, _ = model.layers
    centre.mean.assign(mean)
    project.kernel.assign(directions)


def projection_of(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """The mean `[d]` and the directions `[d, k]` of a model that `linear_projection` made."""
    _, centre, project, _ = model.layers
    return keras.ops.convert_to_numpy(centre.mean), keras.ops.convert_to_numpy(project.kernel)
