"""`MODEL_CARD.md` of an exported version: the run's card, and what a server needs to know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tfxmodal.io.markdown import table
from tfxmodal.training.model_card import card_of, files_section
from tfxmodal.training.run_folder import CARD, RunFolder


def write_export_card(folder: Path, run: RunFolder, about: dict) -> None:
    """Writes the card of a version, after all its other files.

    Args:
        folder: The version's.
        run: What was exported.
        about: What `signatures.json` says of the version.
    """
    model = about["model"] if about["batchable"] else about["model"].removesuffix("_matrix")
    card = card_of(run, model)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = files_section(folder, paths)
    # The limits stay last; the run's own files are not here.
    sections = card.sections | {"Served model": _served(about), "Files": files}
    sections |= {"Limits": sections.pop("Limits")}
    tags = [*card.front["tags"], "tensorflow-serving"]
    front = card.front | {"tags": tags}
    card = replace(card, front=front, title=about["model"], sections=sections)
    (folder / CARD).write_bytes(card.encode())


def _served(about: dict) -> str:
    rows = [
        (f"`{name}`", each["does"], *(", ".join(each[side]) for side in ("inputs", "outputs")))
        for name, each in about["signatures"].items()
    ]
    gallery = about["gallery"] or {}
    searched = ", ".join(f"{size:,} {kind}" for kind, size in gallery.items() if size)
    batching = "may batch requests" if about["batchable"] else "must not batch requests"
    operations = ", with the operations of TensorFlow Text" * about["tensorflow_text"]
    return f"""\
- TensorFlow Serving {about["min_server"]} or newer{operations}; it {batching}
- Exported from the run `{about["run"]}` by tfxmodal {about["tfxmodal"]}
- Weights: {about["weights"]}
- Searched: {searched or "nothing; it embeds and scores"}
- On bad input: {about["on_bad_input"]}

{table(["signature", "what it does", "inputs", "outputs"], rows)}"""
