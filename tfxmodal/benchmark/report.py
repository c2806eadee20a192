"""The report of a benchmark: `report.html`, `tables.md`, `tables.tex`, `results.csv`, `figures`."""

from __future__ import annotations

import base64
import json
import os
import platform
from collections.abc import Iterator, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path

from tfxmodal.benchmark.figures import figures_of
from tfxmodal.benchmark.results import LEVEL, Table
from tfxmodal.benchmark.tables import (
    HEADINGS,
    OF_OTHER_METRICS,
    Failures,
    cells,
    headings,
    latex,
    markdown,
    note,
    numbered_by_setting,
    other_metrics,
    results_csv,
    told_p,
)
from tfxmodal.evaluation.figures import figure_pdf, figure_png
from tfxmodal.evaluation.results import CURVE_QUERIES
from tfxmodal.io.atomic import whole_file
from tfxmodal.io.names import plain_names
from tfxmodal.training.model_card import versions

REPORT, ENVIRONMENT, FIGURES = "report.html", "environment.json", "figures"

OF_CURVES = f"mean over queries (at most {CURVE_QUERIES:,}, drawn at random) and seeds"
CAPTIONS = {
    "scores": "Mean over seeds; the line is the standard deviation.",
    "seconds": "Score against the seconds of the training.",
    "convergence": "Validation score of each epoch. Methods in stages go through them one by one.",
    "precision_recall": f"Interpolated precision at each level of recall, {OF_CURVES}.",
    "precision_scope": f"Precision among the first K items, {OF_CURVES}.",
}
OF_DIFFERENCES = (
    "Bootstrap over queries and seeds, of a row of one seed over queries alone; p in bold where "
    "significant."
)
SURFACE = "The score over two settings, mean over seeds."
LIBRARIES = ("numpy", "scipy", "scikit-learn")
"""Beside what `versions` names."""

STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; margin: 1rem auto; max-width: 72rem;
       padding: 0 .8rem; color: #222; overflow-wrap: anywhere }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem; white-space: nowrap }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid #e3e3e3 }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff }
tr.setting td { font-style: italic; color: #555; border-bottom: 2px solid #999 }
pre { overflow-x: auto; background: #f5f5f5; padding: .6rem; font-size: .85rem;
      overflow-wrap: normal }
figure { margin: 1.2rem 0 }
figure img { max-width: 100%; min-width: 34rem; height: auto }
.planes { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)) }
.planes img { min-width: 0 }
figcaption, p.note { color: #555; font-size: .9rem }
"""
STYLE += f".results :is(th, td):nth-child({HEADINGS.index('settings') + 1}) "
STYLE += "{ text-align: left; white-space: normal; min-width: 14rem }\n"


def write_report(folder: Path, tables: Sequence[Table], failures: Failures) -> None:
    """Writes all of it.

    Args:
        folder: Where.
        tables: One a dataset.
        failures: What is not in them, by reason.
    """
    files = {
        "results.csv": results_csv(tables),
        "tables.md": markdown(tables, failures),
        "tables.tex": latex(tables, failures),
    }
    pictures = []
    for each, place in zip(tables, plain_names(each.name for each in tables), strict=True):
        pictures.append({})
        for name, figure in figures_of(each).items():
            pictures[-1][name] = figure_png(figure)
            files[f"{FIGURES}/{place}/{name}.png"] = pictures[-1][name]
            files[f"{FIGURES}/{place}/{name}.pdf"] = figure_pdf(figure)
    files[REPORT] = _page(tables, pictures, failures).encode()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(folder / name) as file:
            file.write(content)


def write_environment(folder: Path, command: str, data: dict) -> None:
    """Writes `environment.json`: what worked here, now and `earlier`, all commands, data hashes.

    Args:
        folder: Where.
        command: The command that works now.
        data: By dataset the hash of each split, now; what earlier calls recorded of others stays.
    """
    path = folder / ENVIRONMENT
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    now = {
        "versions": {"python": platform.python_version()}
        | versions()
        | {name: version(name) for name in LIBRARIES},
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        },
    }
    known = [*before.get("earlier", []), {name: before[name] for name in now if name in before}]
    about = now | {
        "earlier": [each for each in known if each not in ({}, now)],
        "commands": list(dict.fromkeys([*before.get("commands", []), command])),
        "data": before.get("data", {}) | data,
    }
    with whole_file(path) as file:
        file.write((json.dumps(about, indent=2) + "\n").encode())


def _page(tables: Sequence[Table], pictures: Sequence[dict], failures: Failures) -> str:
    sections = map(_section, tables, pictures)
    body = "\n".join(part for section in sections for part in section)
    if failures:
        items = (
            f"<li>{escape(reason)} <small>({escape('; '.join(names))})</small></li>"
            for reason, names in failures.items()
        )
        body += f"\n<h2>Not in the tables</h2>\n<ul>{''.join(items)}</ul>"
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Benchmark</title>\n<style>{STYLE}</style>\n<h1>Benchmark</h1>\n{body}\n</html>\n"
    )


def _section(each: Table, pictures: dict[str, bytes]) -> Iterator[str]:
    yield f"<h2>{escape(each.name)}</h2>"
    yield f'<div class="wide"><table class="results">{_row(headings(each), "th")}'
    for setting, numbers in numbered_by_setting(each):
        yield f'<tr class="setting"><td colspan="{len(headings(each))}">{setting}</td></tr>'
        for number in numbers:
            yield _row(cells(each, number, "<b>{}</b>", "<u>{}</u>"), safe=range(1, 4))
    yield "</table></div>"
    yield f'<p class="note">{escape(note(each, "underlined"))}</p>'
    for name, png in pictures.items():
        yield (
            f'<figure><div class="wide">{_picture(name, png)}</div>'
            f"<figcaption>{CAPTIONS.get(name, SURFACE)}</figcaption></figure>"
        )
    yield from _planes(each)
    yield f"<details><summary>{OF_OTHER_METRICS}</summary>"
    names, rows = other_metrics(each)
    yield f'<div class="wide"><table>{_row(names, "th")}'
    yield from map(_row, rows)
    yield "</table></div></details>"
    if len(each.rows) > 1:
        yield from _differences(each)
    commands = "\n".join(escape(row.command) for row in each.rows)
    yield f"<details><summary>Commands</summary><pre>{commands}</pre></details>"


def _planes(each: Table) -> Iterator[str]:
    """The common spaces of the rows side by side, where the first run of a row drew its own."""
    files = {row.title: row.results[0].folder / "figures" / "tsne.png" for row in each.rows}
    drawn = {title: file for title, file in files.items() if file.exists()}
    if not drawn:
        return
    yield '<details><summary>Common spaces, by t-SNE</summary><div class="planes">'
    for title, file in drawn.items():
        picture = _picture(title, file.read_bytes())
        yield f"<figure>{picture}<figcaption>{escape(title)}</figcaption></figure>"
    yield "</div></details>"


def _picture(name: str, png: bytes) -> str:
    data = base64.b64encode(png).decode()
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{data}">'


def _differences(each: Table) -> Iterator[str]:
    """A table of all pairs: the difference of averages, its interval, and p."""
    yield "<details><summary>Differences between any two rows</summary>"
    yield '<div class="wide"><table>'
    yield _row(["", "", "difference of averages", "95 % interval", "p"], "th")
    for (one, other), found in each.comparisons.items():
        low, high = found.interval
        p = escape(told_p(found, digits=4))
        marked = f"<b>{p}</b>" if found.p[-1] < LEVEL else p
        titles = (each.rows[number].title for number in (one, other))
        numbers = f"{found.difference:+.4f}", f"{low:+.4f} to {high:+.4f}", marked
        yield _row([*titles, *numbers], safe=[4])
    yield "</table></div>"
    yield f'<p class="note">{OF_DIFFERENCES}</p>'
    yield "</details>"


def _row(texts: Sequence[str], tag: str = "td", safe: Sequence[int] = ()) -> str:
    """A line of a table; texts at `safe` are HTML already."""
    parts = (text if place in safe else escape(text) for place, text in enumerate(texts))
    return f"<tr>{''.join(f'<{tag}>{part}</{tag}>' for part in parts)}</tr>"
