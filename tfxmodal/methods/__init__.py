"""Methods: a config, networks, named loss terms, a scorer.

A new method is one file with a frozen config dataclass and a `Method` built from `(train, config)`,
and one line in `METHODS`.
"""

from tfxmodal.methods.scl import SCL, SCLConfig

METHODS = {"scl": (SCL, SCLConfig)}

__all__ = ["METHODS", "SCL", "SCLConfig"]
