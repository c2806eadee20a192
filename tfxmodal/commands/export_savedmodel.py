"""Exports a trained run as a SavedModel for TensorFlow Serving: it embeds, scores and searches.

MODELS/NAME gets its next version, with all preprocessing in its graph, and so does
MODELS/NAME_matrix, which scores all pairs and must be served without batching. A version is
verified as a server would run it before it takes its number; what fails is not published.

Examples:
  python export/export_savedmodel.py --run runs/scl-coco --to models/coco
  python export/export_savedmodel.py --run runs/drsl-coco --to models/coco --gallery test
  python export/export_savedmodel.py --run runs/scl-coco --to models/coco --gallery photos texts.txt
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from tfxmodal.commands import cli
from tfxmodal.commands.run_data import OwnData
from tfxmodal.commands.terminal import Terminal
from tfxmodal.serving.export.config import ExportConfig
from tfxmodal.serving.model_config import DESCRIPTION

ENDPOINTS = {"images": "embed_image", "texts": "embed_text"}


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    run: Path
    """Folder of a trained run, such as runs/scl-coco."""

    to: Path
    """Folder of the model, MODELS/NAME; it is made, or gets a further version."""

    gallery: tuple[str, ...] = ()
    """What is searched, any number of: test, validation or train (that split of the run's dataset:
    each photo once, and the texts of its evaluation), a folder of pictures, a manifest of pairs
    (.jsonl, .csv; each text is an item of its own), a file of texts (one a line, with or without
    ID<TAB>), or another run's folder (its test split)."""

    export: ExportConfig = field(default_factory=ExportConfig)

    own: OwnData = field(default_factory=OwnData)


def main(argv: list[str] | None = None):
    """Exports as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)
    from tfxmodal.commands.verify_savedmodel import print_report
    from tfxmodal.inputs.config import HANDLING, PLACE
    from tfxmodal.serving.export.export import export_run
    from tfxmodal.training.trained_run import load_run

    run = load_run(flags.run)
    data = run.settings.data.with_given(flags.own, (*PLACE, *HANDLING))
    run = replace(run, settings=replace(run.settings, data=data))
    published = export_run(run, flags.to, flags.gallery, flags.export, print_report, Terminal())
    tell(published)


def tell(published: list[Path]):
    """Prints what was exported."""
    for folder in published:
        signatures = json.loads((folder / DESCRIPTION).read_text("utf-8"))["signatures"]
        print(f"{folder}: {', '.join(signatures)}")
        if "score_matrix" in signatures:
            continue
        if ready := [kind for kind, name in ENDPOINTS.items() if name not in signatures]:
            print(
                f"The run was trained on ready features of {' and '.join(ready)}; what makes them "
                "is not part of it, so that it takes features or embeddings of them alone."
            )
