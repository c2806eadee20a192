"""Metrics as a table on the terminal."""

from rich.table import Table

from tfxmodal.commands.terminal import show
from tfxmodal.evaluation.protocol import DIRECTIONS

METRICS = (
    ("mAP@all", lambda metrics, way: (metrics["map_all"] or {}).get(way)),
    ("mAP@50", lambda metrics, way: (metrics["map_50"] or {}).get(way)),
    ("R@1", lambda metrics, way: metrics["recall_at"][way]["1"]),
    ("R@5", lambda metrics, way: metrics["recall_at"][way]["5"]),
    ("R@10", lambda metrics, way: metrics["recall_at"][way]["10"]),
)
"""Of each column the heading, and its value in what `evaluate` returned, for a direction."""


def print_table(metrics: dict[str, dict], title: str):
    """Of each split (or method) both directions and their average, in three rows."""
    table = Table("", "", *(heading for heading, _ in METRICS), title=title, title_justify="left")
    for name, of_split in metrics.items():
        for first, way in zip((name, "", ""), (*DIRECTIONS, "average"), strict=True):
            cells = (_cell(read(of_split, way)) for _, read in METRICS)
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
