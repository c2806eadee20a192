"""Metrics as a table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from tfxmodal.commands import cli
from tfxmodal.commands.terminal import show
from tfxmodal.evaluation.protocol import DIRECTIONS, OF_COCO, SHOWN
from tfxmodal.methods import METHODS

if TYPE_CHECKING:
    from tfxmodal.training.experiment import RunResult


def print_run(result: RunResult, stopped_by: int):
    """What a training reached; one that a signal stopped ends the command, see `cli.stopped`."""
    from tfxmodal.training.experiment import MEASURED

    folder, metrics = result.folder, result.metrics
    if not result.finished:
        again = cli.with_flags(f"`run_dir` {folder} `resume`")
        cli.stopped(stopped_by, f"the state is saved. Go on with: {again}")
    title = METHODS[result.settings.method].title
    print_table({split: metrics[split] for split in MEASURED}, f"{title}, {folder}")
    print(f"{chosen(metrics)} Figures: {folder}/figures")


def print_tried(result: RunResult):
    """The candidates from which validation chose a run, the best first."""
    from tfxmodal.training.run_folder import TRIED, RunFolder

    table = Table("", "validation", "seconds", title="Candidates", title_justify="left")
    for each in RunFolder(result.folder).read_json(TRIED)["candidates"]:
        score = each["reason"] if each["score"] is None else f"{each['score']:.4f}"
        table.add_row(each["name"], score, f"{each['seconds']:.0f}")
    show(table)


def chosen(metrics: dict) -> str:
    """What validation chose, as a sentence."""
    if "selected_epoch" in metrics:
        return f"Best epoch {metrics['selected_epoch']} of {metrics['epochs']}."
    values = ", ".join(f"{name} {value}" for name, value in metrics["chosen"].items())
    return f"Chosen on validation: {values}." if len(metrics["tried"]) > 1 else f"{values}."


def print_table(metrics: dict[str, dict], title: str):
    """Of each split (or method) both directions and their average, in three rows."""
    columns = SHOWN | (OF_COCO if any("cxc" in each for each in metrics.values()) else {})
    table = Table("", "", *columns, title=title, title_justify="left")
    for name, of_split in metrics.items():
        for first, way in zip((name, "", ""), (*DIRECTIONS, "average"), strict=True):
            cells = (_cell(read(of_split, way)) for read in columns.values())
            table.add_row(first, way.replace("_", " "), *cells, end_section=way == "average")
    show(table)
    for name, of_split in metrics.items():
        for way, tied in of_split["queries_with_ties"].items():
            if tied:
                print(
                    f"{name}, {way.replace('_', ' ')}: of {of_split['queries'][way]:,} queries "
                    f"{tied:,} have a wrong item with the score of the right one; it counts as "
                    "better."
                )


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
