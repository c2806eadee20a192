"""Markdown files with YAML front matter, the form of model cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Document:
    """A page.

    Attributes:
        front: The front matter: strings, numbers, lists and dicts; what is None or empty is left
            out.
        title: The page's heading.
        sections: Markdown by heading.
    """

    front: Mapping[str, Any]
    title: str
    sections: Mapping[str, str]

    def encode(self) -> bytes:
        """The file; half of a surrogate pair, which UTF-8 cannot hold, becomes `?`."""
        parts = [f"{front_matter(self.front)}\n# {one_line(self.title)}"]
        parts += [f"## {heading}\n\n{text.strip()}" for heading, text in self.sections.items()]
        return ("\n\n".join(parts) + "\n").encode("utf-8", "replace")


def front_matter(values: Mapping[str, Any]) -> str:
    """Values as YAML between two lines `---`."""
    import yaml

    given = {name: value for name, value in values.items() if value not in (None, "", [], ())}

    class Dumper(yaml.SafeDumper):
        """Escapes line ends of all kinds, which YAML otherwise folds."""

        def represent_str(self, text: str):
            style = None if text.isprintable() else '"'
            return self.represent_scalar("tag:yaml.org,2002:str", text, style)

    Dumper.add_representer(str, Dumper.represent_str)
    options = {"allow_unicode": True, "sort_keys": False, "width": float("inf")}
    return f"---\n{yaml.dump(given, Dumper=Dumper, **options)}---\n"


def table(headings: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A table; a cell of several lines becomes one line."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def cell(value) -> str:
    """A value for a table's cell."""
    return one_line(value).replace("|", "\\|")


def one_line(value) -> str:
    """A value as one line of text that no reader takes for HTML."""
    return " ".join(str(value).split()).replace("<", "&lt;")


def code(lines: Iterable[str]) -> str:
    """Lines of code."""
    return "\n".join(["```", *lines, "```"])
