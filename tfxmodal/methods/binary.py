"""Binary codes in place of vectors of floats: what the config of a method says of them."""

from __future__ import annotations

from dataclasses import dataclass

from tfxmodal.errors import InputError, check_ranges

LEAST, MOST = 16, 128
"""Bits of a code."""


@dataclass(frozen=True, kw_only=True)
class Binary:
    """What the config of a method begins with whose vectors may become binary codes.

    It has `embedding_dim`, and calls `check_bits` in its `__post_init__`.
    """

    binary: int = 0
    """Bits of the code of an image or a text, a multiple of 8 from 16 to 128; 0 is a vector of
    floats (papers). A layer that both modalities share makes the bits of the common space's unit
    vectors, and the losses of the method see the codes."""

    quantisation_weight: float = 0.1
    """Weight of the distance of a code to the numbers whose signs it is (ours)."""

    @property
    def width(self) -> int:
        """Of what the method compares: bits, or dimensions of the common space."""
        return self.binary or self.embedding_dim

    @property
    def code_weights(self) -> dict[str, float]:
        """The weight of the loss term that codes add, by name."""
        return {"quantisation": self.quantisation_weight} if self.binary else {}


def check_bits(config: Binary):
    """Checks the fields of `Binary`.

    Raises:
        InputError: If there can be no such code.
    """
    bits = config.binary
    if bits and (not LEAST <= bits <= MOST or bits % 8):
        raise InputError(
            f"`binary` must be a multiple of 8 from {LEAST} to {MOST}; received {bits}: give one "
            "such as 64, or 0 for vectors of floats."
        )
    check_ranges(config, quantisation_weight="[0, inf)")
