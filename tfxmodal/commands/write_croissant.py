"""Describes your own pairs in the Croissant format, by which others find and load a dataset.

Beside the manifest come croissant.json (JSON-LD, format of MLCommons, 1.0) and the rows that it
describes, croissant_pairs.jsonl: each pair with its image, texts, labels and split. The latter is a
manifest, too. Write licence, source and so on into card.yaml beside the manifest:

  name: beach dogs
  description: 1,000 photos of dogs, each with five captions
  license: CC-BY-4.0
  source: https://example.org/beach-dogs
  creator: Ada Example
  date_published: 2026-01-31
  language: en

Model cards repeat it; there, model_license is the licence of models that learned from the pairs.

Examples:
  python trainers/write_croissant.py --data-dir my/pairs.jsonl
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfxmodal.commands import cli


@dataclass(frozen=True)
class Flags:
    """Flags of this command."""

    data_dir: Path
    """The manifest, or its folder; see `--dataset pairs` of the trainings."""

    dataset_options: tuple[str, ...] = ()
    """Options of the manifest: on_bad_row=skip leaves out pairs without a text or an image file."""


def main(argv: list[str] | None = None):
    """Writes as the command line says."""
    flags = cli.parse(Flags, __doc__, argv)

    from tfxmodal.data.croissant import ROWS, write_croissant
    from tfxmodal.data.dataset_card import FILE
    from tfxmodal.inputs.config import DataConfig, load

    dataset = load(DataConfig("pairs", flags.data_dir, flags.dataset_options))
    folder = flags.data_dir if flags.data_dir.is_dir() else flags.data_dir.parent
    path, lacking = write_croissant(dataset, folder)
    print(f"{path} describes {folder / ROWS} and the images.")
    if lacking:
        print(f"The format requires more: write {', '.join(lacking)} into {folder / FILE}.")
