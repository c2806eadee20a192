"""`MODEL_CARD.md` of a run: what others need to know before they use the model.

It repeats what the run's folder holds already, and is written anew with every change of it. Its
front matter has the form of Hugging Face's model cards.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tfxmodal.data import DATASETS
from tfxmodal.evaluation.protocol import DIRECTIONS, SHOWN
from tfxmodal.inputs.config import DataConfig
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.hashing import hash_files, sha256_of
from tfxmodal.io.markdown import Document, code, one_line
from tfxmodal.io.names import plain_name
from tfxmodal.training import card_sections
from tfxmodal.training.card_sections import Measured
from tfxmodal.training.presets import preset_of, recommended_forms
from tfxmodal.training.run_folder import CARD, METRICS, MODEL, RunFolder
from tfxmodal.training.settings import Settings

PIPELINE = "feature-extraction"
"""The task under which Hugging Face lists what embeds."""

METRIC = {"R": "recall", "m": "mean_average_precision"}
"""What a metric is called there, by the first letter of its name here."""

WEIGHTS = ("networks", "best")
"""Folders of a run's networks: of a method in closed form, or trained by gradients."""


def versions() -> dict[str, str]:
    """The versions of what trains, for `model.json`; of this library with a hash of its sources."""
    found = {name: version(name) for name in ("tfxmodal", "tensorflow", "keras")}
    return found | {"tfxmodal": f"{found['tfxmodal']} ({sources_hash()})"}


@cache
def sources_hash() -> str:
    """A hash of the library's own sources, as they are when it is first asked for."""
    return hash_files(Path(__file__).parents[1], {".py", ".yaml"})[:8]


def weights_hash(run: RunFolder) -> str | None:
    """A hash of the run's networks: results that tell another are of other weights."""
    there = (run.path / name for name in WEIGHTS)
    return next((hash_files(folder) for folder in there if folder.is_dir()), None)


def write_card(run: RunFolder) -> None:
    """Writes `MODEL_CARD.md` into the folder of a run that came to its end."""
    with whole_file(run.path / CARD) as file:
        file.write(card_of(run).encode())


def card_of(run: RunFolder, model: str | None = None) -> Document:
    """The card of a run, also of one of an earlier version, which recorded less.

    Args:
        run: Its folder.
        model: The name under which it is exported, by default that of the folder.
    """
    settings, about = Settings.from_json(run.config), run.read_json(MODEL)
    dataset = about.get("dataset", {})
    name = dataset.get("name") or settings.data.dataset
    measured = list(_measured(run, settings.method, name, about))
    title = run.path.resolve().name
    front = {
        "language": dataset.get("language"),
        **_license(dataset.get("model_license", "")),
        "library_name": "tfxmodal",
        "pipeline_tag": PIPELINE,
        "tags": ["cross-modal-retrieval", "image-text-retrieval", "keras", settings.method],
        "datasets": [plain_name(name)],
        "metrics": list(METRIC.values()) if about["class_names"] else [METRIC["R"]],
        "model-index": [{"name": title, "results": _results(measured, settings.method, about)}],
    }
    sections = {
        "Data": card_sections.data(name, settings, about),
        "Encoders": card_sections.encoders(settings, about),
        "Method": card_sections.method(run, settings, about),
        "Settings": card_sections.settings_table(settings),
        "Metrics": card_sections.metrics(measured, settings),
        "Commands": code(_commands(title, model or title, settings, about)),
        "Files": files_section(run.path, [*_files(run)]),
        "Limits": card_sections.limits(dataset, about),
    }
    return Document(front, title, sections)


def files_section(folder: Path, paths: list[Path]) -> str:
    """The SHA-256 of files, in lines that `sha256sum -c` takes."""
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}" for path in paths]
    check = f"grep -E '^[0-9a-f]{{64}}  ' {CARD} | sha256sum -c"
    return f"`{check}` compares them with what is there.\n\n{code(lines)}"


def command(name: str, *words: str, **flags) -> str:
    """A line for the shell: `tfxmodal NAME WORDS --flag value`."""
    return shlex.join(["tfxmodal", name, *words, *flag_words(flags)])


def flag_words(flags: Mapping[str, Any]) -> list[str]:
    """Arguments as words of a command line; None is no word."""
    words: list[str] = []
    for flag, value in flags.items():
        spelled = flag.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{spelled}")
        elif value is not None:
            values = value if isinstance(value, (tuple, list)) else [value]
            words += [f"--{spelled}", *map(str, values)]
    return words


def train_command(settings: Settings, run_dir: Path | None = None) -> str:
    """The line that trains by these settings, whatever form of a preset they were chosen from."""
    dataset = settings.data.dataset
    if dataset not in DATASETS:
        return _in_python(dataset)
    given = _given(settings, Settings.for_dataset(settings.method, dataset))
    preset = {} if preset_of(dataset) == "paper" else {"preset": "paper"}
    return command("train", settings.method, dataset=dataset, **preset, **given, run_dir=run_dir)


def choice_command(candidates: Mapping[str, Settings], minutes: float | None) -> str:
    """The line that chooses between several methods, or the recommended forms of one.

    Args:
        candidates: By their names, as in `candidates.json`.
        minutes: The time of all together.
    """
    first, *others = candidates.values()
    dataset, given = first.data.dataset, {}
    for name, each in candidates.items():
        forms = recommended_forms(each.spec, DataConfig.for_dataset(dataset))
        if name not in forms or dataset not in DATASETS:
            return _in_python(dataset)
        given |= _given(each, forms[name])
    method, preset = "auto", {}
    if all(each.method == first.method for each in others):
        method = first.method
        preset = {} if preset_of(dataset) == "recommended" else {"preset": "recommended"}
    return command("train", method, dataset=dataset, **preset, **given | {"minutes": minutes})


def _given(settings: Settings, defaults: Settings) -> dict[str, Any]:
    """The flags that make settings of defaults."""
    return {
        field.name: value
        for part in ("data", "config", "training")
        for field in fields(getattr(settings, part))
        if (value := getattr(getattr(settings, part), field.name))
        != getattr(getattr(defaults, part), field.name)
        and field.name not in ("dataset", "cache_dir", "download", "gradient_norms_every")
    }


def _in_python(dataset: str) -> str:
    return f"# trained in Python, on the pairs of {one_line(dataset)}"


def _measured(run: RunFolder, method: str, dataset: str, about: dict) -> Iterator[Measured]:
    """All that was measured of these weights."""
    metrics = run.read_json(METRICS) if (run.path / METRICS).exists() else {}
    for split in ("validation", "test"):
        if split in metrics:
            pairs = about.get("hashes", {}).get(split)
            yield Measured(method, dataset, split, METRICS, metrics[split], pairs)
    later = sorted(run.path.glob(f"evaluation/*/{METRICS}"))
    weights = weights_hash(run) if later else None
    for path in later:
        found, place = RunFolder(path.parent).read_json(METRICS), path.relative_to(run.path)
        if found.get("weights") == weights:
            for name, each in found["methods"].items():
                what = found["dataset"], found["split"], place.as_posix(), each, found.get("hash")
                yield Measured(name, *what)


def _license(given: str) -> dict[str, str]:
    """The fields of a licence; one that is no short name stands under a name of its own."""
    if not given or re.fullmatch(r"[\w.+-]+", given):
        return {"license": given.lower()}
    return {"license": "other", "license_name": given}


def _results(measured: list[Measured], method: str, about: dict) -> list[dict]:
    """The entries of `model-index`, one a direction: of the model alone, not of baselines.

    The hash of pairs that are not the run's own is their `config`, as two folders may share a name.
    """
    found: dict[tuple, dict] = {}
    for each in measured:
        own = each.pairs in (None, about.get("hashes", {}).get(each.split))
        pairs = {"name": each.dataset, "type": each.dataset, "split": each.split}
        pairs |= {} if own else {"config": each.pairs}
        for way in DIRECTIONS if each.method == method else ():
            values = {heading: read(each.metrics, way) for heading, read in SHOWN.items()}
            entry = {
                "task": {"type": PIPELINE, "name": way.replace("_", " ")},
                "dataset": dict(pairs),  # YAML would refer from one entry to another.
                "metrics": [
                    {"type": METRIC[heading[0]], "name": heading, "value": value}
                    for heading, value in values.items()
                    if value is not None
                ],
            }
            found.setdefault((way, *pairs.values()), entry)
    return list(found.values())


def _commands(title: str, name: str, settings: Settings, about: dict) -> list[str]:
    """How to train, measure, export, serve and ask again, as far as a command can."""
    run, model = Path("runs", title), Path("models", name)
    lines = [train_command(settings, run)]
    lines.append(command("evaluate", run=run))
    lines.append(command("export", run=run, to=model, gallery="test"))
    lines.append(command("serve", model=model))
    if about.get("text_encoder"):
        lines.append(command("query", model=name, text="words to search for"))
    return lines


def _files(run: RunFolder) -> Iterator[Path]:
    """The files that make the run: its networks, encoders and descriptions, not its logs."""
    for path in sorted(run.path.iterdir()):
        if path.name in WEIGHTS:
            yield from (file for file in sorted(path.rglob("*")) if file.is_file())
        elif path.is_file() and path.name != CARD and path.suffix != ".partial":
            if not path.name.startswith("."):
                yield path
