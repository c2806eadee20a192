"""Trains or fits a method, measures what validation preferred on the test split, and draws.

The steps: load the pairs; turn images and texts into what the method reads (cached); train or fit;
keep what validation prefers; measure it on the test split; draw curves and retrieved items.
Everything ends up in one folder under runs/. Watch a training with: tensorboard --logdir runs
"""

from __future__ import annotations

import sys
import typing
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path

from rich.table import Column, Table

from tfxmodal.commands import auto, cli
from tfxmodal.commands.terminal import Terminal, show
from tfxmodal.errors import InputError, choose
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS, MethodSpec
from tfxmodal.training.presets import Preset, forms_of, preset_of
from tfxmodal.training.run_folder import RunFolder, newest_run_dir
from tfxmodal.training.settings import CannotGoOn, Settings, begun_settings, training_config


@dataclass(frozen=True)
class Flags:
    """Flags of every training; those of the method and of its training come on top."""

    data: DataConfig = field(default_factory=DataConfig)

    preset: Preset | None = None
    """The defaults of the method and of its training. paper: the paper's, or the released code's,
    for the dataset. recommended: what measures best; where that is several forms, all are trained,
    --minutes together (10 by default), and validation chooses. Flags given change every form. By
    default recommended for pairs and features, and paper for benchmarks."""

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
    _check_strategy(method, words)
    if method == "auto":
        auto.main(words)
        return
    spec = METHODS[method]
    flags, forms, left_out = parse(spec, words)

    from tfxmodal.commands.tables import print_run, print_tried
    from tfxmodal.training.candidates import run_forms
    from tfxmodal.training.interrupts import stop_signals

    with stop_signals() as stop_asked:
        reporter = Terminal()
        for name, reason in left_out.items():
            reporter.say(f"{name} is left out: {reason}")
        result = run_forms(
            forms, flags.run_dir, flags.resume, reporter=reporter, stop_asked=stop_asked
        )
    if result.finished and len(forms) > 1:
        print_tried(result)
    print_run(result, stop_asked())


def _check_strategy(method: str, words: list[str]):
    """Checks that a method that is given a strategy has one.

    Raises:
        InputError: If it is fitted on one machine.
    """
    given = next((word for word in words if word.partition("=")[0] == "--strategy"), None)
    if given and (method == "auto" or METHODS[method].fit):
        learning = ", ".join(name for name, spec in METHODS.items() if spec.learner)
        raise InputError(
            f"--strategy is for methods that gradients train ({learning}), and {method} has no use "
            "for more than one machine: leave it out."
        )


def parse(
    spec: MethodSpec, words: list[str]
) -> tuple[Flags, dict[str, Settings], dict[str, InputError]]:
    """The flags, the settings of each form of the preset that goes with them, why others do not.

    Raises:
        InputError: If no form does, or a run is to go on that began with another preset.
    """
    given = cli.look(words, **auto.LOOKED_AT, preset={"choices": typing.get_args(Preset)})
    parts = (
        f"{spec.title} ({spec.setting}). {__doc__}",
        *preset_lines(spec, given.dataset, given.preset),
        examples(spec),
    )
    begun = begun_with(spec, given)
    data = next((each.data for each in begun.values()), DataConfig.for_dataset(given.dataset))
    of_preset = forms_of(spec.name, data, given.preset)
    flags, forms, left_out = _changed(spec, begun or of_preset, words, "\n".join(parts))
    if begun and given.preset:
        _, asked, _ = _changed(spec, of_preset, words, "\n".join(parts))
        if not all(any(_continues(a, each) for a in asked.values()) for each in forms.values()):
            raise InputError(
                f"`preset` {given.preset} has other settings than the run began with: leave it out "
                "to go on with the run's own, or name another folder."
            )
    return flags, forms, left_out


def _changed(
    spec: MethodSpec, forms: dict[str, Settings], words: list[str], description: str
) -> tuple[Flags, dict[str, Settings], dict[str, InputError]]:
    """The flags, forms as the flags change them, and why some cannot be changed so.

    Raises:
        InputError: If none can.
    """
    flags, changed, left_out = None, {}, {}
    for name, form in forms.items():
        groups = {spec.name: form.config, "training": form.training}
        default = replace(flags_class(spec)(), data=form.data, **groups)
        try:
            flags = cli.parse(flags_class(spec), description, words, lambda _, d=default: d)
            settings = Settings(spec.name, flags.data, getattr(flags, spec.name), flags.training)
        except InputError as error:
            left_out[name] = error
            continue
        if settings not in changed.values():
            changed[name] = settings
    if flags is None:
        raise next(reversed(left_out.values()))
    return flags, changed, left_out


def _continues(settings: Settings, begun: Settings) -> bool:
    try:
        return bool(settings.continuing(begun))
    except CannotGoOn:
        return False


def flags_class(spec: MethodSpec) -> type:
    """The flags of a method's training: `Flags`, the method's config, and its training's."""
    groups = {spec.name: spec.config, "training": training_config(spec)}
    fields = [(name, kind, field(default_factory=kind)) for name, kind in groups.items()]
    return make_dataclass("Flags", fields, bases=(Flags,), frozen=True)


def begun_with(spec: MethodSpec, given) -> dict[str, Settings]:
    """The settings of the run that goes on; empty where there is none.

    Raises:
        InputError: If it is of another method.
    """
    if not given.resume:
        return {}
    newest = newest_run_dir(f"{spec.name}-{given.dataset}")
    run = RunFolder(newest if given.run_dir is None else given.run_dir)
    if begun := begun_settings(run):
        methods = {each.method for each in begun.values()}
        choose(f"method for {run.path}", spec.name, methods if len(methods) == 1 else ["auto"])
    return begun


def preset_lines(spec: MethodSpec, dataset: str, preset: Preset | None) -> list[str]:
    """What is in force for a dataset, and of each preset its defaults and where they come from."""
    lines = [f"In force for --dataset {dataset}: --preset {preset or preset_of(dataset)}.", ""]
    for name, groups in spec.presets.items():
        of = f"paper, --dataset {name}" if name else "paper, any dataset"
        lines.append(f"  {of}: {_told(groups)} ({spec.preset_sources[name]})")
    for name, groups in spec.recommended.items():
        lines.append(f"  recommended{', ' * bool(name)}{name}: {_told(groups)}")
    return [*lines, ""]


def _told(groups: dict) -> str:
    values = {name: value for group in groups.values() for name, value in group.items()}
    return ", ".join(f"{name} {value}" for name, value in values.items())


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


def examples(spec: MethodSpec) -> str:
    """Command lines that `--help` shows."""
    lines = ("", "--dataset coco --data-dir COCO", "--dataset pairs --data-dir my/pairs.jsonl")
    lines += spec.examples
    if spec.learner:
        lines += ("--strategy multi_worker --run-dir SHARED/run  # docs/scale.md",)
    commands = [f"  python trainers/train.py {spec.name} {line}" for line in lines]
    return "\n".join(["Examples:", *commands])
