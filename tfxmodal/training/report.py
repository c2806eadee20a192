"""What the training loop tells of an epoch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did.

    Attributes:
        epoch: Its number, from 1.
        losses: Mean over the epoch's steps of each term and of their weighted sum `total`.
        gradient_norms: Norm of the gradient that each weighted term contributes, and of `total`;
            empty in epochs where it is not measured.
        score: The validation score, or None where the epoch was not validated.
        validation: What `validate` returned, or None.
        improved: Whether this is the best epoch so far.
        learning_rate: The optimizer's.
        seconds: Time of the training steps.
        pairs_per_second: Training speed.
    """

    epoch: int
    losses: dict[str, float]
    gradient_norms: dict[str, float]
    score: float | None
    validation: dict | None
    improved: bool
    learning_rate: float
    seconds: float
    pairs_per_second: float

    def line(self) -> str:
        """The report as one line for the terminal."""
        losses = "  ".join(f"{name} {value:.4g}" for name, value in self.losses.items())
        score = "" if self.score is None else f"  validation {self.score:.4f}"
        mark = " *" if self.improved else ""
        return f"epoch {self.epoch}  {losses}{score}{mark}  {self.pairs_per_second:,.0f} pairs/s"
