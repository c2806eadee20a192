"""What a fitted method says of pairs, and the cosines that it should say."""

import numpy as np


def scores(fitted, pairs) -> np.ndarray:
    """Of all images with all texts."""
    scorer = fitted.scorer()
    return scorer.score(scorer.embed_images(pairs.images), scorer.embed_texts(pairs.texts))


def cosines(a, b) -> np.ndarray:
    """Of all rows of `a` with all of `b`."""
    return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (
        b / np.linalg.norm(b, axis=1, keepdims=True)
    ).T


def directions(fitted, kind: str) -> np.ndarray:
    """The weights `[d, k]` of a fitted projection."""
    return fitted.networks[f"{kind}_encoder"].layers[2].get_weights()[0].astype(np.float64)
