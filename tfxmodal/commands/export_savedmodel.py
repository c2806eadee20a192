"""Exports a trained run as a SavedModel for TensorFlow Serving: it embeds, scores and searches.

MODELS/NAME gets its next version, with all preprocessing in its graph, and so does
MODELS/NAME_matrix, which scores all pairs and must be served without batching. A version is
verified as a server would run it before it takes its number; what fails is not published.

Examples:
  python export/export_savedmodel.py --run runs/scl-coco --to models/coco
  python export/export_savedmodel.py --run runs/drsl-coco --to models/coco --gallery test
  python export/export_savedmodel.py --run runs/scl-coco --to models/coco --gallery photos texts.txt
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tfxmodal.commands import cli, verify_savedmodel
from tfxmodal.errors import InputError
from tfxmodal.inputs.config import HANDLING
from tfxmodal.serving.examples import examples, write_examples
from tfxmodal.serving.gallery import load_galleries
from tfxmodal.serving.half_weights import HalfWeights
from tfxmodal.serving.model_config import is_batchable, versions
from tfxmodal.serving.publishing import publish
from tfxmodal.serving.signatures import ServedRun, Signature
from tfxmodal.serving.writing import describe, write_description, write_gallery, write_savedmodel
from tfxmodal.training.trained_run import load_run


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    run: Path
    """Folder of a trained run, such as runs/scl-coco."""

    to: Path
    """Folder of the model, MODELS/NAME; it is made, or gets a further version."""

    gallery: tuple[str, ...] = ()
    """What is searched, any number of: test, validation or train (that split of the run's dataset),
    a folder of pictures, a manifest of pairs (.jsonl, .csv; a pair's captions are one text), a file
    of texts (one a line, with or without ID<TAB>), or another run's folder (its test split)."""

    top_k: int = 100
    """Items that a search returns, or the whole gallery where it holds fewer."""

    on_bad_input: Literal["flag", "refuse"] = "flag"
    """What a picture that cannot be decoded, a text without a known word or a number that is not
    finite does: flag gives that row zeros and false in the output `valid`; refuse fails the whole
    request (under a server's batching, all requests of the batch), naming the row."""

    weights: Literal["float32", "bfloat16"] = "float32"
    """How weights are stored; bfloat16 takes half the space and rounds them to three digits. The
    arithmetic stays float32, and so do a gallery's vectors."""

    image_weights: str | None = None
    """Weights of the run's image tower, by default as in training; for a file that has moved."""

    data_dir: Path | None = None
    """Where the run's own dataset is now, for a gallery of it; by default as in training."""

    on_bad_image: Literal["refuse", "skip"] | None = None
    """What to do when images of a gallery cannot be read: end with a list, or leave them out; by
    default as in training."""

    cache_dir: Path | None = None
    """Where features are kept, so that they are computed once; by default as in training."""


def main(argv: list[str] | None = None):
    """Exports as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    if flags.top_k < 1:
        raise InputError(f"--top-k must be at least 1; received {flags.top_k}.")
    check_target(flags.to)
    run = load_run(flags.run)
    data = run.settings.data.with_given(flags, ("data_dir", *HANDLING))

    # --- What is offered: two models, one to be batched and one not ----------------------------
    served = ServedRun(run, flags.on_bad_input, flags.top_k, data.image_weights)
    half = HalfWeights(served.models()) if flags.weights == "bfloat16" else None
    served.galleries, shown = load_galleries(flags.gallery, run, data)
    models = {
        flags.to: served.signatures(),
        flags.to.with_name(f"{flags.to.name}_matrix"): served.matrix_signatures(),
    }
    if shown and not models[flags.to].keys() & {"search_texts", "search_images"}:
        raise InputError(
            f"--gallery is searched by pictures or by texts, and {flags.run} was trained on ready "
            "features: leave it out."
        )

    # --- Written out of sight, verified, and then published -----------------------------------
    with publish(models) as folders:
        for (base, signatures), folder in zip(models.items(), folders, strict=True):
            outputs = write_savedmodel(folder, signatures, served.tables(), half)
            found = examples(served, signatures)
            write_examples(folder, base.name, found)
            about = describe(base.name, served, signatures, outputs, found)
            write_description(folder, about | {"weights": flags.weights})
        if shown:
            write_gallery(folders[0], shown)
        check(folders)
    tell(models, served)


def check_target(folder: Path):
    """Checks that the next version may lie in a folder.

    Raises:
        InputError: If it has no name, is a version itself, or is of a model not to be batched.
    """
    if folder.name in ("", "..") or (folder / "saved_model.pb").exists():
        raise InputError(f"--to is {str(folder)!r}: give the model's folder, MODELS/NAME.")
    if not is_batchable(folder):
        raise InputError(
            f"--to {folder} holds a model of another kind, the matrix of scores: give another name."
        )


def check(folders: list[Path]):
    """Verifies versions in a fresh process, as a server would load them.

    Raises:
        InputError: If one fails; the report is printed.
    """
    command = [sys.executable, verify_savedmodel.__file__, *map(str, folders)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    if done.returncode:
        raise InputError("The export failed its verification, see above: nothing was published.")


def tell(models: dict[Path, dict[str, Signature]], served: ServedRun):
    """Prints what was exported."""
    for base, signatures in models.items():
        print(f"{base / str(max(versions(base)))}: {', '.join(signatures)}")
    towers = {"images": served.tower, "texts": served.encoder}
    if ready := [kind for kind, tower in towers.items() if tower is None]:
        print(
            f"The run was trained on ready features of {' and '.join(ready)}; what makes them is "
            "not part of it, so that it takes features or embeddings of them alone."
        )
