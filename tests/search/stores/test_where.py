"""Conditions: what is read and what is refused, and that a mask tells what plain Python tells."""

import operator
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfxmodal.errors import InputError
from tfxmodal.search.stores.metadata import Metadata
from tfxmodal.search.stores.where import And, Compare, In, Missing, Not, Or, parse

COLUMNS = {"year": "number", "album": "text", "public": "boolean", "Größe_2": "number"}
FUNCTIONS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NUMBERS = [-2.5, 0.0, 2020.0, 1e6]
TEXTS = ["beach", "it's", 'a "b"', "", "and", "x' or 'y' = 'y"]


def comparison(column: str) -> st.SearchStrategy:
    kind = COLUMNS[column]
    values = {"number": NUMBERS, "text": TEXTS, "boolean": [True, False]}[kind]
    operators = list(FUNCTIONS) if kind == "number" else ["=", "!="]
    compared = st.builds(Compare, st.just(column), *map(st.sampled_from, (operators, values)))
    several = st.lists(st.sampled_from(values), min_size=1).map(tuple)
    return compared | st.builds(In, st.just(column), several) | st.just(Missing(column))


def several(parts: st.SearchStrategy) -> st.SearchStrategy:
    tuples = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, parts) | st.builds(And, tuples) | st.builds(Or, tuples)


trees = st.recursive(st.sampled_from(list(COLUMNS)).flatmap(comparison), several, max_leaves=6)
rows = st.fixed_dictionaries(
    {
        name: st.none()
        | st.sampled_from({"number": NUMBERS, "text": TEXTS}.get(kind, [True, False]))
        for name, kind in COLUMNS.items()
    }
)


def written(tree) -> str:
    """The text of a condition."""
    match tree:
        case And(parts) | Or(parts):
            word = " and " if isinstance(tree, And) else " OR "
            return "(" + word.join(map(written, parts)) + ")"
        case Not(part):
            return f"not ({written(part)})"
        case Missing(column):
            return f"{column} is null"
        case In(column, values):
            return f"{column} in ({', '.join(map(literal, values))})"
        case Compare(column, sign, value):
            return f"{column} {sign} {literal(value)}"


def literal(value) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def holds(tree, row: dict) -> bool:
    """Whether a row fulfils a condition, by Python's own operators."""
    match tree:
        case And(parts):
            return all(holds(part, row) for part in parts)
        case Or(parts):
            return any(holds(part, row) for part in parts)
        case Not(part):
            return not holds(part, row)
        case Missing(column):
            return row[column] is None
        case In(column, values):
            return row[column] in values
        case Compare(column, sign, value):
            return row[column] is not None and FUNCTIONS[sign](row[column], value)


@settings(max_examples=150, deadline=None)
@given(tree=trees, items=st.lists(rows, min_size=1, max_size=6))
def test_what_is_written_is_read_and_masks_what_python_finds(tree, items):
    assert parse(written(tree), COLUMNS) == tree
    table = Metadata()
    table.append(len(items), {name: [row[name] for row in items] for name in COLUMNS}, COLUMNS)
    expected = [holds(tree, row) for row in items]
    np.testing.assert_array_equal(table.fulfil(tree), expected)


@pytest.mark.parametrize(
    "text, tree",
    [
        (
            "year>2020 AND album='beach'",
            And((Compare("year", ">", 2020), Compare("album", "=", "beach"))),
        ),
        ("public = TRUE", Compare("public", "=", True)),
        ('album == "it\'s"', Compare("album", "=", "it's")),
        ("year <> -.5e3", Compare("year", "!=", -500)),
        ("year = 9007199254740992", Compare("year", "=", 2**53)),
        ("year < 1e17", Compare("year", "<", 1e17)),
        ("year in (1, 2)", In("year", (1, 2))),
        ("Größe_2 is not null", Not(Missing("Größe_2"))),
        ("not not year = 1", Compare("year", "=", 1)),
        (
            "year = 1 or year = 2 and public = true",
            Or(
                (
                    Compare("year", "=", 1),
                    And((Compare("year", "=", 2), Compare("public", "=", True))),
                )
            ),
        ),
        (
            "album not in ('a')",
            And((Not(Missing("album")), Not(In("album", ("a",))))),
        ),
    ],
)
def test_forms(text, tree):
    assert parse(text, COLUMNS) == tree


@pytest.mark.parametrize(
    "text, told",
    [
        ("yaer > 1", "names the column 'yaer'; the columns are Größe_2 (number), album (text)"),
        ("Year > 1", "names the column 'Year'"),
        ("year > '2020'", "the column year, which holds number values, with '2020': give a number"),
        ("album = 5", "give a text, as in 'beach'"),
        ("album = beach", "has 'beach' at character 9 in place of a number, a text in quotes"),
        ("public = 1", "give a boolean, true or false"),
        ("album < 'b'", "orders the column album by <, and it holds text values"),
        ("", "has its end at character 1 in place of a column"),
        ("year < 1e999", "holds 1e999, which is too large"),
        ("year = -9007199254740993", "holds -9007199254740993, and numbers are kept to 9007199254"),
        (f"year in (1, {'0' * 5000}9007199254740993)", "and numbers are kept to 9007199254740992"),
        ("year >", "has its end at character 7 in place of a number"),
        ("year 5", "has '5' at character 6 in place of one of = != < <= > >=, `in` or `is`"),
        (
            "year > 1 album = 'a'",
            "has 'album' at character 10 in place of `and` or `or`, or the end",
        ),
        ("(year > 1", "in place of )"),
        ("year in ()", "has ')' at character 10"),
        ("year > 1; drop", "has ';' at character 9 in place of `and` or `or`, or the end"),
        ("year > 1 -- x", "has '--' at character 10"),
        ("album = 'a", 'has "\'a" at character 9'),
        ("album = '\ud800'", "holds half a character"),
        ("year > 5x", "has '5x' at character 8"),
        ("(" * 5000 + "year > 1" + ")" * 5000, "holds more than 12 conditions within each other"),
    ],
)
def test_mistakes_are_told_with_what_there_is(text, told):
    with pytest.raises(InputError) as error:
        parse(text, COLUMNS)
    assert told in str(error.value) and "`where`" in str(error.value)


def test_many_values_take_no_longer_than_they_must():
    """Each was compared with each item, and the rest of the text copied for each token."""
    start = time.monotonic()
    tree = parse(f"year in ({', '.join(map(str, range(100_000)))})", COLUMNS)
    table = Metadata()
    table.append(18_000, {"year": [float(row % 9) - 4 for row in range(18_000)]}, COLUMNS)
    assert np.count_nonzero(table.fulfil(tree)) == 10_000
    assert time.monotonic() - start < 10  # It takes 0.3; and took minutes.


@pytest.mark.parametrize(
    "text",
    ["1" * 9990 + "a", "x" * 9990, "year = 1 " * 1110, f"year > '{'x' * 9990}'", "\ud800" * 9990],
)
def test_a_long_mistake_is_told_at_once_and_not_repeated(text):
    """The digits took 4 seconds, in which no other thread could run."""
    start = time.thread_time()
    with pytest.raises(InputError) as error:
        parse(text, COLUMNS)
    assert time.thread_time() - start < 1 and len(str(error.value)) < 1000


def test_a_gallery_without_metadata_says_so():
    with pytest.raises(InputError, match="the gallery has no metadata columns"):
        parse("year > 1", {})
