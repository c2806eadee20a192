"""How an index keeps binary codes: packed to bytes, a 32nd of their floats."""

import numpy as np

from tfxmodal.search.landmarks import DotSpace


class CodeSpace(DotSpace):
    """The space of a scorer of codes: the vectors are their bytes, `[n, bits / 8]` uint8."""

    def of_items(self, embeddings: np.ndarray, progress=None) -> np.ndarray:
        """The codes' bytes."""
        return self.packed(embeddings)

    def of_queries(self, embeddings: np.ndarray) -> np.ndarray:
        """The codes' bytes."""
        return self.packed(embeddings)

    def packed(self, embeddings: np.ndarray) -> np.ndarray:
        """The bits of codes `[n, bits]`, 1 where a number is above 0."""
        return np.packbits(embeddings > 0, axis=1)

    def unpacked(self, rows: np.ndarray) -> np.ndarray:
        """The codes, unit vectors `[n, bits]`."""
        bits = np.unpackbits(rows, axis=1).astype(np.float32)
        return (2 * bits - 1) / np.sqrt(np.float32(max(1, bits.shape[1])))
