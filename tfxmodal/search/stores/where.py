"""Conditions on metadata, as in `year > 2020 and album = 'beach'`.

    condition  = term {"or" term}
    term       = factor {"and" factor}
    factor     = "not" factor | "(" condition ")" | comparison
    comparison = COLUMN ("=" | "!=" | "<" | "<=" | ">" | ">=") VALUE
               | COLUMN ["not"] "in" "(" VALUE {"," VALUE} ")"
               | COLUMN "is" ["not"] "null"

A value is a number, a text in quotes (a quote in it is written twice), `true` or `false`. Words are
read in any case, columns as they are written. An item without a value in a column fulfils no
comparison of that column; `not` of it is fulfilled then.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tfxmodal.errors import InputError

TYPES = {str: "text", float: "number", bool: "boolean"}
"""Of a value the type of its column."""

LARGEST = 2**53
"""Integers up to which a float holds each."""

OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
ORDERED = ("<", "<=", ">", ">=")
"""Operators of numbers alone: texts have no order that all stores know."""

DEEPEST = 12
"""Most conditions within each other: LanceDB reads 14, and Qdrant some twenty."""

TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<number>[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?(?!\w))
    |(?P<word>[^\W\d]\w*)
    |(?P<sign><=|>=|!=|<>|==|[=<>(),]))""",
    re.VERBOSE,
)
"""Digits are taken whole (`++`): else the time of many digits before a letter is their square."""

SHOWN = 80
"""Characters of a condition that an error repeats."""


@dataclass(frozen=True)
class Compare:
    """A column compared with a value by one of `OPERATORS`."""

    column: str
    operator: str
    value: str | float | bool


@dataclass(frozen=True)
class In:
    """A column that holds one of several values, however many."""

    column: str
    values: tuple[str | float | bool, ...]


@dataclass(frozen=True)
class Missing:
    """No value in a column."""

    column: str


@dataclass(frozen=True)
class Not:
    """The contrary of a condition."""

    part: Where


@dataclass(frozen=True)
class And:
    """All of several conditions."""

    parts: tuple[Where, ...]


@dataclass(frozen=True)
class Or:
    """One or more of several conditions."""

    parts: tuple[Where, ...]


Where = Compare | In | Missing | Not | And | Or


def parse(text: str, columns: Mapping[str, str]) -> Where:
    """A condition from its text; see the module.

    Args:
        text: The condition.
        columns: The columns that there are, each `text`, `number` or `boolean`.

    Raises:
        InputError: If it is no condition, or names other columns or values of another type.
    """
    if not is_utf8(text):
        raise InputError(f"`where` {_shown(text)} holds half a character: write it in UTF-8.")
    return _Parser(text, columns).parse()


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8: half of a surrogate pair cannot."""
    return not any("\ud800" <= each <= "\udfff" for each in text)


class _Parser:
    """Reads a condition from left to right, one token ahead."""

    def __init__(self, text: str, columns: Mapping[str, str]):
        self._text, self._columns = text, columns
        self._place, self._depth = 0, 0
        self._kind, self._token, self._start = "", "", 0  # of the token ahead
        self._next()

    def parse(self) -> Where:
        """The whole text as one condition."""
        found = self._condition()
        if self._kind:
            raise self._error("`and` or `or`, or the end")
        return found

    def _condition(self) -> Where:
        self._depth += 1
        if self._depth > DEEPEST:
            raise InputError(
                f"`where` holds more than {DEEPEST} conditions within each other; received "
                f"{len(self._text):,} characters: write a flatter one."
            )
        parts = self._joined("or", lambda: self._joined("and", self._factor, And), Or)
        self._depth -= 1
        return parts

    def _joined(self, word: str, part, kind) -> Where:
        parts = [part()]
        while self._takes(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else kind(tuple(parts))

    def _factor(self) -> Where:
        negated = False
        while self._takes("not"):
            negated = not negated
        if self._takes("("):
            found = self._condition()
            self._expect(")")
        else:
            found = self._comparison()
        return Not(found) if negated else found

    def _comparison(self) -> Where:
        if self._kind != "word":
            raise self._error("a column")
        column = self._token
        if column not in self._columns:
            raise self._unknown(column)
        self._next()
        if self._takes("is"):
            negated = self._takes("not")
            self._expect("null")
            return Not(Missing(column)) if negated else Missing(column)
        negated = self._takes("not")
        if negated or self._is("in"):
            self._expect("in")
            self._expect("(")
            values = [self._value(column, "=")]
            while self._takes(","):
                values.append(self._value(column, "="))
            self._expect(")")
            found = In(column, tuple(values))
            return And((Not(Missing(column)), Not(found))) if negated else found
        operator = {"<>": "!=", "==": "="}.get(self._token, self._token)
        if operator not in OPERATORS:
            raise self._error(f"one of {' '.join(OPERATORS)}, `in` or `is`")
        self._next()
        return Compare(column, operator, self._value(column, operator))

    def _value(self, column: str, operator: str) -> str | float | bool:
        kind, token, wanted = self._kind, self._token, self._columns[column]
        value: str | float | bool
        if kind == "text":
            value = token[1:-1].replace(token[0] * 2, token[0])
        elif kind == "number":
            value = float(token)
            if not math.isfinite(value):
                raise InputError(f"`where` holds {token[:20]}, which is too large: give a number.")
            if token.lstrip("+-").isdecimal() and abs(Decimal(token)) > LARGEST:
                raise InputError(
                    f"`where` holds {_cut(token)}, and numbers are kept to {LARGEST}: keep such "
                    "ones as texts."
                )
        elif kind == "word" and token.lower() in ("true", "false"):
            value = token.lower() == "true"
        else:
            raise self._error("a number, a text in quotes, `true` or `false`")
        if TYPES[type(value)] != wanted:
            raise InputError(
                f"`where` compares the column {column}, which holds {wanted} values, with "
                f"{_cut(token)}: give a {wanted}, {EXAMPLES[wanted]}."
            )
        if operator in ORDERED and wanted != "number":
            raise InputError(
                f"`where` orders the column {column} by {operator}, and it holds {wanted} values, "
                "not numbers: use =, != or `in`."
            )
        self._next()
        return value

    def _next(self):
        if match := TOKEN.match(self._text, self._place):
            self._kind = kind = match.lastgroup or ""
            self._token, self._start, self._place = match[kind], match.start(kind), match.end()
        else:
            rest = self._text[self._place :]
            self._start = self._place + len(rest) - len(rest.lstrip())
            word = rest.split()[:1]
            self._kind, self._token = ("sign", word[0]) if word else ("", "")

    def _is(self, token: str) -> bool:
        return self._kind in ("word", "sign") and self._token.lower() == token

    def _takes(self, token: str) -> bool:
        found = self._is(token)
        if found:
            self._next()
        return found

    def _expect(self, token: str):
        if not self._takes(token):
            raise self._error(f"`{token}`" if token.isalpha() else token)

    def _error(self, wanted: str) -> InputError:
        found = _shown(self._token) if self._kind else "its end"
        return InputError(
            f"`where` {_shown(self._text)} has {found} at character {self._start + 1} in place of "
            f"{wanted}; {_told(self._columns)}."
        )

    def _unknown(self, column: str) -> InputError:
        return InputError(f"`where` names the column {_shown(column)}; {_told(self._columns)}.")


def _shown(text: str) -> str:
    return repr(_cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


EXAMPLES = {"text": "as in 'beach'", "number": "as in 2020", "boolean": "true or false"}


def _told(columns: Mapping[str, str]) -> str:
    named: Sequence[str] = [f"{name} ({kind})" for name, kind in sorted(columns.items())]
    return f"the columns are {', '.join(named)}" if named else "the gallery has no metadata columns"
