"""All that decides a run, its `config.json`: the method, the data, and how it is trained."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tfxmodal.encoders.places import without_place
from tfxmodal.errors import InputError, choose
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS, MethodSpec
from tfxmodal.training.config import FitConfig, TrainingConfig
from tfxmodal.training.run_folder import RunFolder

WITHOUT_EFFECT = {
    "data": {"data_dir", "download", "cache_dir", "engine"},
    "training": {
        *("feed", "memory_gb", "strategy"),
        *("checkpoint_minutes", "gradient_norms_every"),
    },
}
"""Fields that change no result, on the same pairs."""

MAY_CHANGE = {
    # Encoders may have moved; options may be written otherwise: `check_same_pairs` compares pairs.
    "data": WITHOUT_EFFECT["data"] | {"image_weights", "encoders", "dataset_options"},
    "distil": {"teacher"},  # Likewise: `check_same_inputs` compares what is there.
    "training": WITHOUT_EFFECT["training"] | {"epochs", "patience", "minutes"},  # When it ends.
}
"""Fields that may be others when a run goes on: they do not change what an epoch learns."""

ENCODERS = ("image_encoder", "text_encoder")
"""Fields that name encoders, whose folders may have moved, too: `check_same_inputs` knows them."""

RENAMED = {"image_tower": "image_encoder", "towers": "encoders"}
"""Fields of runs of earlier versions, and what they are called now."""


class CannotGoOn(InputError):
    """A run is to go on with something else than it began with."""


@dataclass(frozen=True)
class Settings:
    """What decides a run.

    Attributes:
        method: The method's name in `METHODS`.
        data: Which pairs, and how they become inputs.
        config: The method's own config; by default its own defaults for the dataset.
        training: A `TrainingConfig`, or of a method in closed form a `FitConfig`; likewise.
    """

    method: str
    data: DataConfig = field(default_factory=DataConfig)
    config: Any = None
    training: Any = None

    def __post_init__(self):
        choose("method", self.method, METHODS)
        dataset = self.data.dataset
        for name, kind in (("method", self.spec.config), ("training", training_config(self.spec))):
            attribute = "config" if name == "method" else name
            if getattr(self, attribute) is None:
                object.__setattr__(self, attribute, kind(**self.spec.preset(dataset, name)))

    @property
    def spec(self) -> MethodSpec:
        """The method's record."""
        return METHODS[self.method]

    @classmethod
    def for_dataset(cls, method: str, dataset: str) -> Settings:
        """The defaults of a method on a dataset."""
        choose("method", method, METHODS)
        return cls(method, DataConfig.for_dataset(dataset))

    def having(self, **values) -> Settings:
        """These settings with fields of any of their parts replaced, by the fields' names.

        Raises:
            InputError: If no part has such a field, or a value is out of range.
        """
        parts = {name: getattr(self, name) for name in ("data", "config", "training")}
        fields = {f.name: name for name, part in parts.items() for f in dataclasses.fields(part)}
        changed: dict[str, dict] = {}
        for name, value in values.items():
            choose(f"setting of {self.method}", name, fields)
            changed.setdefault(fields[name], {})[name] = value
        # All of a part at once: some values are right only together.
        return replace(self, **{part: replaced(parts[part], changed[part]) for part in changed})

    def to_json(self) -> dict:
        """What `config.json` holds."""
        groups = {"data": self.data, self.method: self.config, "training": self.training}
        return plain({"method": self.method} | groups)

    def deciding(self) -> dict:
        """`to_json` without the fields that change no result."""
        groups = self.to_json()
        for group, fields in WITHOUT_EFFECT.items():
            groups[group] = {k: v for k, v in groups[group].items() if k not in fields}
        return groups

    @classmethod
    def from_json(cls, saved: dict) -> Settings:
        """From a run's `config.json`, of this version or one before.

        Raises:
            InputError: If the method or a field is unknown, as in a run of a later version.
        """
        choose("method of the run", saved["method"], METHODS)
        spec = METHODS[saved["method"]]
        data = {RENAMED.get(name, name): value for name, value in saved["data"].items()}
        return cls(
            spec.name,
            _from_dict(DataConfig, data),
            _from_dict(spec.config, saved[spec.name]),
            _from_dict(training_config(spec), saved["training"]),
        )

    def continuing(self, recorded: Settings) -> Settings:
        """These settings, checked against those with which the run began.

        Fields of the method that are `auto` were decided then, and stay so.

        Raises:
            CannotGoOn: If anything differs that changes what the run learns.
        """
        now = self
        if self.method == recorded.method:
            auto = [name for name, value in vars(self.config).items() if value == "auto"]
            decided = {name: getattr(recorded.config, name) for name in auto}
            now = replace(self, config=replace(self.config, **decided))
        check_continuing(recorded.to_json(), now.to_json())
        epochs = recorded.training.epochs if self.spec.learner else None
        if self.spec.follows_epochs(now.config) and now.training.epochs != epochs:
            raise CannotGoOn(
                f"`epochs` must be the {epochs} that the run began with, since {self.method} "
                f"follows a schedule over all of them; received {now.training.epochs}: leave it "
                "out, or name another folder."
            )
        return now


def begun_settings(run: RunFolder) -> dict[str, Settings]:
    """The settings of the run that a folder holds; while it is choosing, of all candidates.

    Args:
        run: The folder.

    Returns:
        By the method's or the candidates' names; empty where none are recorded.
    """
    if run.choosing:
        candidates = run.choice.get("candidates", {})
        return {name: Settings.from_json(each) for name, each in candidates.items()}
    if not run.begun:
        return {}
    settings = Settings.from_json(run.config)
    return {settings.method: settings}


def plain(groups: dict) -> dict:
    """Settings by group, dataclasses among them, as JSON gives them back."""
    groups = {
        name: dataclasses.asdict(group) if dataclasses.is_dataclass(group) else group
        for name, group in groups.items()
    }
    return json.loads(json.dumps(groups, default=str))


def check_continuing(recorded: dict, now: dict):
    """Checks that a run may go on with other settings than it began with; both as JSON.

    Raises:
        CannotGoOn: If anything differs that changes what the run learns.
    """
    changed = [
        f"{group}.{name}: {old} -> {new}"
        for group, name, old, new in differences(recorded, now)
        if name not in MAY_CHANGE.get(group, ())
    ]
    if changed:
        raise CannotGoOn(
            f"The run was begun with other settings ({'; '.join(changed)}): leave them out to go "
            "on with the run's own, or name another folder."
        )


def training_config(spec: MethodSpec) -> type:
    """How a method is trained, or fitted."""
    return TrainingConfig if spec.learner else FitConfig


def differences(old: dict, new: dict):
    """Fields in which two settings as JSON differ: `(group, name, old, new)`."""
    for group in dict.fromkeys([*old, *new]):
        before, now = old.get(group), new.get(group)
        if not isinstance(before, dict) or not isinstance(now, dict):
            if before != now:
                yield "run", group, before, now
            continue
        for name in sorted(before.keys() | now.keys()):
            values = before.get(name), now.get(name)
            if name in ENCODERS and all(values):
                values = tuple(map(without_place, values))
            if values[0] != values[1]:
                yield group, name, before.get(name), now.get(name)


def _from_dict(config_class, values: dict):
    """A config dataclass from its JSON."""
    unknown = sorted(values.keys() - {field.name for field in dataclasses.fields(config_class)})
    if unknown:
        raise InputError(
            f"The run's {config_class.__name__} has unknown fields {unknown}: it was made by "
            "another version of tfxmodal; use that one."
        )
    return replaced(config_class(), values)


def replaced(config, values: dict):
    """A config with fields replaced: lists become tuples, and strings paths where it has paths."""
    types = {field.name: str(field.type) for field in dataclasses.fields(config)}

    def typed(name: str, value):
        if isinstance(value, list):
            return tuple(value)
        return Path(value) if isinstance(value, str) and "Path" in types[name] else value

    return replace(config, **{name: typed(name, value) for name, value in values.items()})
