"""The presets of a method: as its paper has it, or as it measures best."""

from __future__ import annotations

from typing import Any, Literal, get_args

from tfxmodal.errors import choose
from tfxmodal.inputs.config import DataConfig
from tfxmodal.methods import METHODS, MethodSpec
from tfxmodal.training.settings import Settings, differences, training_config

Preset = Literal["paper", "recommended"]

OWN_DATA = ("pairs", "features")
"""Datasets that a user brings: there `recommended` is the default, on benchmarks `paper`."""

MINUTES = 10.0
"""Of a method's recommended forms together."""


def preset_of(dataset: str) -> Preset:
    """The preset that is in force for a dataset unless another is named."""
    return "recommended" if dataset in OWN_DATA else "paper"


def forms_of(method: str, data: DataConfig, preset: Preset | None = None) -> dict[str, Settings]:
    """The settings that a preset stands for.

    Args:
        method: One of `METHODS`.
        data: Which pairs.
        preset: By default `preset_of` the dataset.

    Returns:
        By a name for people: one, or the recommended forms, of which validation is to choose; their
        `minutes` are then those of all together.

    Raises:
        InputError: If the method or the preset is unknown.
    """
    choose("method", method, METHODS)
    preset = preset or preset_of(data.dataset)
    choose("preset", preset, get_args(Preset))
    spec = METHODS[method]
    if preset == "paper" or not spec.recommended:
        return {method: Settings(method, data)}
    forms = recommended_forms(spec, data)
    if len(forms) == 1:
        return forms
    return {name: form.having(minutes=MINUTES) for name, form in forms.items()}


def recommended_forms(spec: MethodSpec, data: DataConfig, **training) -> dict[str, Settings]:
    """The forms in which a method is recommended; without any its defaults.

    Args:
        spec: The method's record.
        data: Which pairs.
        **training: Fields of the training that differ.
    """
    return {
        f"{spec.name}-{form}" if form else spec.name: Settings(
            spec.name,
            data,
            spec.config(**groups.get("method", {})),
            training_config(spec)(**groups.get("training", {}) | training),
        )
        for form, groups in (spec.recommended or {"": {}}).items()
    }


def nearest_preset(settings: Settings) -> tuple[str, dict[str, Any]]:
    """The form of a preset that settings are nearest to.

    Returns:
        Its name for people, and the settings that differ from it, by name as JSON has them, but for
        the seed: of all forms the fewest.
    """
    data, found = DataConfig.for_dataset(settings.data.dataset), []
    for preset in get_args(Preset):
        for name, form in forms_of(settings.method, data, preset).items():
            title = preset if name == settings.method else f"{preset} ({name})"
            parts = differences(form.deciding(), settings.deciding())
            found.append((title, {field: value for _, field, _, value in parts if field != "seed"}))
    return min(found, key=lambda each: len(each[1]))
