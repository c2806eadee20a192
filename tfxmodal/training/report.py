"""What the training loop tells of an epoch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did.

    Attributes:
        epoch: Its number, from 1; 0 is the state before the first step.
        stage: The stage's name; None where the training has only one.
        losses: Mean over the epoch's steps of each term and of their weighted sum `total`, over all
            updates.
        gradient_norms: Norm of the gradient that each weighted term contributes to its update, and
            `total`, that of the updates' gradients taken together; all by the weights before the
            epoch's first step, and empty in epochs where they are not measured.
        score: The validation score, or None where the epoch was not validated.
        validation: What `validate` returned, or None.
        improved: Whether this epoch's networks are kept, as the best of its stage so far.
        learning_rates: The optimizer's, by the name of its update.
        seconds: Time of the training steps.
        pairs_per_second: Training speed.
    """

    epoch: int
    stage: str | None
    losses: dict[str, float]
    gradient_norms: dict[str, float]
    score: float | None
    validation: dict | None
    improved: bool
    learning_rates: dict[str, float]
    seconds: float
    pairs_per_second: float

    def line(self) -> str:
        """The report as one line for the terminal."""
        losses = "  ".join(f"{name} {value:.4g}" for name, value in self.losses.items())
        score = "" if self.score is None else f"  validation {self.score:.4f}"
        mark = " *" if self.improved else ""
        stage = "" if self.stage is None else f" ({self.stage})"
        speed = f"  {self.pairs_per_second:,.0f} pairs/s" if self.epoch else "  the start"
        return f"epoch {self.epoch}{stage}  {losses}{score}{mark}{speed}"
