"""What validation chose a run from: forms of a method, or several methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tfxmodal.training.model_card import choice_command, train_command
from tfxmodal.training.run_folder import TRIED, RunFolder
from tfxmodal.training.settings import Settings


@dataclass(frozen=True)
class Choice:
    """The candidates of a run; one that is no choice has itself alone.

    Attributes:
        candidates: Their settings, by their names in order.
        minutes: The time that was given for all together; None where none is recorded.
    """

    candidates: Mapping[str, Settings]
    minutes: float | None = None

    @classmethod
    def of(cls, run: RunFolder) -> Choice:
        """The choice of which a folder holds the winner."""
        if not (run.path / TRIED).exists():
            settings = Settings.from_json(run.config)
            return cls({settings.method: settings})
        tried = run.read_json(TRIED)
        found = {each["name"]: Settings.from_json(each["settings"]) for each in tried["candidates"]}
        return cls(dict(sorted(found.items())), tried.get("minutes"))

    @property
    def method(self) -> str:
        """The method's name; `auto` of several."""
        methods = {each.method for each in self.candidates.values()}
        return methods.pop() if len(methods) == 1 else "auto"

    @property
    def facts(self) -> dict[str, object]:
        """The settings that decide it but for the seed, by name.

        They are a tuple of the candidates' values where these differ. `minutes` are those of all
        together, since the share of each is what the others left.
        """
        found: dict[str, list] = {}
        for each in self.candidates.values():
            groups = each.deciding()
            for part in ("data", each.method, "training"):
                for name, value in groups[part].items():
                    found.setdefault(name, []).append(value)
        del found["seed"]
        facts: dict[str, object] = {
            name: values[0] if all(each == values[0] for each in values) else tuple(values)
            for name, values in found.items()
        }
        if len(self.candidates) > 1:
            facts["candidates"] = ", ".join(self.candidates)
        return facts if self.minutes is None else facts | {"minutes": self.minutes}

    @property
    def command(self) -> str:
        """The line that makes it."""
        if self.minutes is None:
            (settings, *_) = self.candidates.values()
            return train_command(settings)
        return choice_command(self.candidates, self.minutes)
