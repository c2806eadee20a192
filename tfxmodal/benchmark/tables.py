"""Tables of a benchmark as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress, groupby

import numpy as np

from tfxmodal.benchmark.results import COLUMNS, LEVEL, Comparison, Result, Row, Table
from tfxmodal.evaluation.per_query import DIRECTIONS
from tfxmodal.evaluation.protocol import MORE, OF_COCO, SHOWN
from tfxmodal.io.markdown import code, one_line, table

HEADINGS = (
    *("method", "image to text", "text to image", "average"),
    *("p", "seconds", "parameters", "dimensions", "seeds", "settings"),
)
PRINTED = ("printed", "difference")
"""Of the averages, where a paper prints them."""
PRINTED_SECONDS = ("printed seconds", "printed test seconds")
"""Of the training and of the test, likewise; `TEST_SECONDS` stands beside them."""
TEST_SECONDS = "test seconds"

NOTE = (
    "{measure} on the test split, mean and standard deviation over seeds. The best of a column is "
    f"bold, the second {{second}} where it is not significantly worse (p of {LEVEL} or more by a "
    "paired randomisation test over queries, seeds averaged, with Holm's correction over all pairs "
    "of rows). The test takes the trained models as they are: other seeds may differ by more (see "
    "the ±; a row of one seed has none)."
)
"""What stands below a table."""

OF_P = "The column p is that of the average against the best one."
"""What stands there, too, where a table has this column."""

OF_OTHERS = "Seconds are of the training. Settings are the preset, and those that differ from it."

OF_TEST = "Test seconds are of embedding, scoring and measuring the test split."
"""What stands there where a paper prints these."""

OTHER_METRICS = {name: read for name, read in (SHOWN | MORE | OF_COCO).items() if name != "mAP@all"}
"""What stands in a table of its own, as `OF_OTHER_METRICS` says."""

OF_OTHER_METRICS = "Other metrics, mean of both directions"

Failures = Mapping[str, Sequence[str]]
"""What is not in the tables: by reason the cells."""


def results_csv(tables: Sequence[Table]) -> bytes:
    """All runs, one a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    facts = ("seconds", "test_seconds", "epochs", "parameters", "embedding_dim")
    names = ("dataset", "setting", "method", "variant", "seed", "settings", "measure")
    printed = [f"printed {name}" for name in COLUMNS] + [*PRINTED_SECONDS]
    writer.writerow([*names, *COLUMNS, *printed, *OTHER_METRICS, *facts, "run", "versions"])
    for each in tables:
        for row in each.rows:
            for result, scores in zip(row.results, row.scores, strict=True):
                variant = "; ".join(f"{name}={value}" for name, value in row.variant.items())
                who = each.name, row.setting, row.method, variant, result.seed
                how = row.settings_of(result), each.measure
                there = [*(row.printed or [""] * 3), *(row.printed_seconds or [""] * 2)]
                others = (_both_ways(result, read) for read in OTHER_METRICS.values())
                others = ("" if value is None else value for value in others)
                numbers = (result.metrics.get(fact, "") for fact in facts)
                run = result.folder.name, result.versions
                ours = map(float, scores)
                writer.writerow([*who, *how, *ours, *there, *others, *numbers, *run])
    return text.getvalue().encode()


def markdown(tables: Sequence[Table], failures: Failures) -> bytes:
    """All tables as a page."""
    parts = []
    for each in tables:
        rows = []
        for setting, of_setting in numbered_by_setting(each):
            rows.append([f"*{setting}*", *[""] * (len(headings(each)) - 1)])
            rows += [cells(each, number, "**{}**", "*{}*") for number in of_setting]
        commands = code(row.command for row in each.rows)
        lines, below = table(headings(each), rows), note(each, "in italics")
        others = f"{OF_OTHER_METRICS}:\n\n{table(*other_metrics(each))}"
        parts.append(f"## {each.name}\n\n{lines}\n\n{below}\n\n{others}\n\n{commands}\n")
    if failures:
        told = (f"- {reason} ({'; '.join(left)})" for reason, left in failures.items())
        parts.append("## Not in the tables\n\n" + "\n".join(told) + "\n")
    return "\n".join(parts).encode()


def latex(tables: Sequence[Table], failures: Failures) -> bytes:
    """All tables for `booktabs`; comments name what is in none."""
    parts = []
    for each in tables:
        left_out = ("p",) if each.uneven else ("p", "seeds")
        shown = [name not in left_out for name in headings(each)]
        lines = [[name.capitalize() for name in compress(headings(each), shown)]]
        for setting, numbers in numbered_by_setting(each):
            lines.append([rf"\midrule \multicolumn{{{sum(shown)}}}{{l}}{{\emph{{{setting}}}}}"])
            for number in numbers:
                found = cells(each, number, r"\textbf{{{}}}", r"\underline{{{}}}")
                lines.append([*map(_escaped, compress(found, shown))])
        caption = _note(each, "underlined")
        parts += [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            rf"\caption{{{_escaped(f'{each.name}. {caption}')}}}",
            rf"\begin{{tabular}}{{l{'c' * (sum(shown) - 1)}}}",
            r"\toprule",
            *(" & ".join(line) + r" \\" for line in lines),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    for reason, left in failures.items():
        told = _escaped(one_line(f"{reason} ({'; '.join(left)})"))
        parts.append(f"% not in the tables: {told}\n")
    return "\n".join(parts).encode()


def headings(each: Table) -> list[str]:
    """The columns of a table."""
    seconds = (TEST_SECONDS, *PRINTED_SECONDS) if each.printed_seconds else ()
    return [*HEADINGS, *seconds, *(PRINTED if each.printed else ())]


def note(each: Table, second: str) -> str:
    """What stands below a table; `second` tells how the second best is shown."""
    return _note(each, second, OF_P)


def _note(each: Table, second: str, *others: str) -> str:
    about = NOTE.format(measure=each.measure, second=second)
    of_test = OF_TEST if each.printed_seconds else ""
    told = [about, each.uneven, *others, OF_OTHERS, of_test, each.about, each.inputs, each.mixed]
    return " ".join(filter(None, told))


def numbered_by_setting(each: Table) -> Iterator[tuple[str, list[int]]]:
    """The numbers of a table's rows, by setting."""
    for setting, group in groupby(range(len(each.rows)), lambda row: each.rows[row].setting):
        yield setting, list(group)


def cells(each: Table, number: int, best: str, second: str) -> list[str]:
    """A row as texts; `best` and `second` are put around the numbers that are those."""
    row, found = each.rows[number], []
    for column in range(len(COLUMNS)):
        first, next_one = each.best(column)
        mark = {first: best, next_one: second}.get(number, "{}")
        deviation = "" if row.deviations is None else f" ± {row.deviations[column]:.3f}"
        found.append(mark.format(f"{row.means[column]:.3f}") + deviation)
    best_row, _ = each.best()
    two = min(best_row, number), max(best_row, number)
    p = "–" if number == best_row else told_p(each.comparisons[two])
    seconds = f"{row.mean_of('seconds'):.0f}"
    facts = (f"{row.results[0].metrics[name]:,}" for name in ("parameters", "embedding_dim"))
    texts = [row.title, *found, p, seconds, *facts, str(len(row.results)), row.settings]
    if each.printed_seconds:
        of_test = [each.metrics.get("test_seconds") for each in row.results]
        texts.append("–" if None in of_test else f"{np.mean(of_test):.3f}")
        texts += map(str, row.printed_seconds or ("–", "–"))
    if each.printed:
        texts += ["–", "–"] if row.printed is None else _beside(row)
    return texts


def _beside(row: Row) -> list[str]:
    """The average that a paper prints of a row, and how far ours is from it."""
    printed = row.printed[-1]
    return [f"{printed:.3f}", f"{row.means[-1] - printed:+.3f}"]


def other_metrics(each: Table) -> tuple[list[str], list[list[str]]]:
    """The table of `OTHER_METRICS`, means over seeds: its headings and its rows.

    Those of COCO stand there only where rows have them.
    """
    headings, columns = ["method"], [[row.title for row in each.rows]]
    for name, read in OTHER_METRICS.items():
        values = [[_both_ways(result, read) for result in row.results] for row in each.rows]
        if name not in OF_COCO or any(None not in of_row for of_row in values):
            headings.append(name)
            columns.append(["–" if None in row else f"{np.mean(row):.3f}" for row in values])
    return headings, [list(row) for row in zip(*columns, strict=True)]


def _both_ways(result: Result, read) -> float | None:
    """The mean of a metric of the test split over both directions, if both have it."""
    values = [read(result.test, way) for way in DIRECTIONS]
    return None if None in values else float(np.mean(values))


def told_p(found: Comparison, digits: int = 3) -> str:
    """The p of two averages; it may be below the smallest that the sign patterns can tell."""
    p, least = float(found.p[-1]), 10**-digits
    return f"< {least:.{digits}f}" if p < least else f"{'≤ ' * found.least}{p:.{digits}f}"


def _escaped(text: str) -> str:
    """Text for LaTeX; the commands in it are left as they are."""
    signs = {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "±": r"$\pm$"}
    return "".join(signs.get(sign, sign) for sign in text)
