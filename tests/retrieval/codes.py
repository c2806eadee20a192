"""Binary codes as embeddings."""

import numpy as np

from tfxmodal.retrieval.hamming import HammingScorer


class GivenCodes(HammingScorer):
    """Codes as they are."""

    def __init__(self):
        pass


def codes(n: int, bits: int, seed: int) -> np.ndarray:
    """Random codes `[n, bits]`, unit vectors."""
    bit = np.random.default_rng(seed).integers(0, 2, (n, bits))
    return ((2 * bit - 1) / np.sqrt(bits)).astype(np.float32)


def distances(queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Hamming distances `[q, n]`, bit by bit."""
    return ((queries > 0)[:, None] != (items > 0)[None]).sum(axis=2)
