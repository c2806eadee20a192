"""Trains or fits a method, measures what validation preferred on the test split, and draws.

The steps: load the pairs; turn images and texts into what the method reads (cached); train or fit;
keep what validation prefers; measure it on the test split; draw curves and retrieved items.
Everything ends up in one folder under runs/. Watch a training with: tensorboard --logdir runs
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path

from rich.table import Column, Table

from tfxmodal.commands import auto, cli
from tfxmodal.commands.terminal import Terminal, show
from tfxmodal.errors import choose
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS, MethodSpec
from tfxmodal.training.run_folder import RunFolder, newest_run_dir
from tfxmodal.training.settings import Settings, training_config


@dataclass(frozen=True)
class Flags:
    """Flags of every training; those of the method and of its training come on top."""

    data: DataConfig = field(default_factory=DataConfig)

    run_dir: Path | None = None
    """Folder of the run; by default a new one, runs/METHOD-DATASET, runs/METHOD-DATASET-2 and so
    on."""

    resume: bool = False
    """Go on with the run in --run-dir, by default the newest of this method and dataset, with its
    own settings; with more --epochs a run that has ended goes on, too."""


def main(argv: list[str] | None = None, method: str | None = None):
    """Trains the method that the command line names first; without one it lists them."""
    words = sys.argv[1:] if argv is None else argv
    if method is None:
        if not words or words[0] in ("-h", "--help"):
            print_methods()
            return
        method, words = words[0], words[1:]
        choose("method", method, [*METHODS, "auto"])
    if method == "auto":
        auto.main(words)
        return
    spec = METHODS[method]
    parts = f"{spec.title} ({spec.setting}). {__doc__}", *preset_lines(spec), _examples(spec)
    description = "\n".join(parts)
    flags = cli.parse(flags_class(spec), description, words, lambda _: defaults(spec, words))
    settings = Settings(method, flags.data, getattr(flags, method), flags.training)

    from tfxmodal.commands.tables import print_run
    from tfxmodal.training.experiment import run_experiment
    from tfxmodal.training.interrupts import stop_signals

    with stop_signals() as stop_asked:
        result = run_experiment(
            settings, flags.run_dir, flags.resume, reporter=Terminal(), stop_asked=stop_asked
        )
    print_run(result)


def flags_class(spec: MethodSpec) -> type:
    """The flags of a method's training: `Flags`, the method's config, and its training's."""
    groups = {spec.name: spec.config, "training": training_config(spec)}
    fields = [(name, kind, field(default_factory=kind)) for name, kind in groups.items()]
    return make_dataclass("Flags", fields, bases=(Flags,), frozen=True)


def defaults(spec: MethodSpec, words: list[str]):
    """The flags' defaults: the method's for the dataset, or those of the run that goes on."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--dataset", default="emoji_scenes")
    first.add_argument("--run-dir", type=Path)
    first.add_argument("--resume", action="store_true")
    given, _ = first.parse_known_args(words)
    settings = Settings.for_dataset(spec.name, given.dataset)
    if given.resume:
        newest = newest_run_dir(f"{spec.name}-{given.dataset}")
        run = RunFolder(newest if given.run_dir is None else given.run_dir)
        if run.begun:
            settings = Settings.from_json(run.config)
            choose(f"method for {run.path}", spec.name, [settings.method])
    groups = {spec.name: settings.config, "training": settings.training}
    return replace(flags_class(spec)(), data=settings.data, **groups)


def preset_lines(spec: MethodSpec) -> list[str]:
    """Of each preset its defaults, and where they come from."""
    lines = []
    for dataset, groups in spec.presets.items():
        values = {name: value for group in groups.values() for name, value in group.items()}
        told = ", ".join(f"{name} {value}" for name, value in values.items())
        of = f"--dataset {dataset}" if dataset else "any dataset"
        lines.append(f"  {of}: {told} ({spec.preset_sources[dataset]})")
    return ["These have defaults of their own:", *lines, ""] if lines else []


def print_methods():
    """A table of all methods: setting, what they read, source."""
    whole = (Column(name, no_wrap=True) for name in ("METHOD", "setting"))
    table = Table(*whole, "what it is", "reads", "source", title="Methods")
    for spec in METHODS.values():
        kinds = " and ".join(dict.fromkeys(spec.inputs(spec.config()).values()))
        labels = ", labels" * spec.needs_labels
        table.add_row(spec.name, spec.setting, spec.title, f"{kinds}{labels}", spec.source)
    show(table)
    print("Train several and keep the best: python trainers/train.py auto [flags]")
    print("Train one: python trainers/train.py METHOD [flags]; its flags: METHOD --help")


def _examples(spec: MethodSpec) -> str:
    lines = ("", "--dataset coco --data-dir COCO", "--dataset pairs --data-dir my/pairs.jsonl")
    commands = [f"  python trainers/train.py {spec.name} {line}" for line in lines + spec.examples]
    return "\n".join(["Examples:", *commands])
