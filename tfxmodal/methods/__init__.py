"""Methods: a config, networks, named loss terms, a scorer.

A new method is one file with a frozen config dataclass and a `Method` built from `(train, config)`,
and one line in `METHODS`. A method in closed form is one file with
`fit(train, validation, seed, progress) -> Scorer`, and one line in `CLOSED_FORM`.
"""

from tfxmodal.methods.closed_form import chance, pls, semantic_matching
from tfxmodal.methods.gradient.drsl import DRSL, DRSLConfig
from tfxmodal.methods.gradient.scl import SCL, SCLConfig

METHODS = {"scl": (SCL, SCLConfig), "drsl": (DRSL, DRSLConfig)}
CLOSED_FORM = {"pls": pls.fit, "semantic_matching": semantic_matching.fit, "random": chance.fit}

__all__ = ["CLOSED_FORM", "DRSL", "METHODS", "SCL", "DRSLConfig", "SCLConfig"]
