"""Exports a trained run as a SavedModel for TensorFlow Serving: it embeds, scores and searches.

MODELS/NAME gets its next version, with all preprocessing in its graph, and so does
MODELS/NAME_matrix, which scores all pairs and must be served without batching. A version is
verified as a server would run it before it takes its number; what fails is not published.

Examples:
  python export/export_savedmodel.py --run runs/scl-coco --to models/coco
  python export/export_savedmodel.py --run runs/drsl-coco --to models/coco --gallery test
  python export/export_savedmodel.py --run runs/scl-coco --to models/coco --gallery photos texts.txt
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from export.examples import examples, write_examples
from export.publishing import publish
from export.signatures import ServedRun
from export.writing import describe, write_description, write_savedmodel
from tfxmodal.training.trained_run import load_run
from trainers import cli


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    run: Path
    """Folder of a trained run, such as runs/scl-coco."""

    to: Path
    """Folder of the model, MODELS/NAME; it is made, or gets a further version."""

    top_k: int = 100
    """Items that a search returns, or the whole gallery where it holds fewer."""

    on_bad_input: Literal["flag", "refuse"] = "flag"
    """What a picture that cannot be decoded, a text without a known word or a number that is not
    finite does: flag gives that row zeros and false in the output `valid`; refuse fails the whole
    request (under a server's batching, all requests of the batch), naming the row."""

    image_weights: str | None = None
    """Weights of the run's image tower, by default as in training; for a file that has moved."""


def main(argv: list[str] | None = None):
    """Exports as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    run = load_run(flags.run)
    served = ServedRun(run, flags.on_bad_input, {}, flags.top_k, flags.image_weights)
    models = {
        flags.to: served.signatures(),
        flags.to.with_name(f"{flags.to.name}_matrix"): served.matrix_signatures(),
    }
    with publish(models) as folders:
        for (base, signatures), folder in zip(models.items(), folders, strict=True):
            outputs = write_savedmodel(folder, signatures, served.trackables())
            found = examples(served, signatures)
            write_examples(folder, base.name, found)
            write_description(folder, describe(base.name, served, signatures, outputs, found))


if __name__ == "__main__":
    cli.run(main)
