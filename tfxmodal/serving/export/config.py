"""How a run is exported."""

from dataclasses import dataclass
from typing import Literal

from tfxmodal.errors import check_ranges


@dataclass(frozen=True)
class ExportConfig:
    """How a run is exported."""

    top_k: int = 100
    """Items that a search returns, or the whole gallery where it holds fewer."""

    on_bad_input: Literal["flag", "refuse"] = "flag"
    """What a picture that cannot be decoded, a text without a known word or a number that is not
    finite does: flag gives that row zeros and false in the output `valid`; refuse fails the whole
    request (under a server's batching, all requests of the batch), naming the row."""

    weights: Literal["float32", "bfloat16"] = "float32"
    """How weights are stored; bfloat16 takes half the space and rounds them to three digits. The
    arithmetic stays float32, and so do a gallery's vectors. An index of the run takes float32
    alone."""

    def __post_init__(self):
        check_ranges(self, top_k="[1, inf)")
