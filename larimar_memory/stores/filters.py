"""Metadata filters: one small language, translated into the SQL of a store.

`{"source": "a.txt"}` compares for equality; `{"year": {"$gte": 2020, "$lt": 2024}}` uses operators;
several keys must all hold; `$and`, `$or` take lists of filters and `$not` takes one. Values compare
only within their own kind (text, number, boolean, null); dates and times compare as the text that
metadata hold for them (`larimar_memory.system.plain`). A missing key satisfies `$ne`, `$nin` and
`{"$exists": False}` only. Keys are literal names of top-level metadata entries.

`$since`, `$until`, `$after` and `$before` compare times (`larimar_memory.system.moments`). A day
compares with the day that the entry states, whatever its time zone. A moment compares with the entry's
moment; for an entry that is a day, its first moment. `$since` and `$until` include equal times. An
entry that is not a time satisfies none of the four.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from larimar_memory.errors import InputError
from larimar_memory.stores.base import Where
from larimar_memory.system.moments import is_day, written
from larimar_memory.system.plain import scalar
from larimar_memory.types import ReadOptions
from larimar_memory.validate import lone_surrogate

ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
TIMES = {"$since": ">=", "$until": "<=", "$after": ">", "$before": "<"}
OPERATORS = ("$eq", "$ne", "$in", "$nin", "$exists", *ORDER, *TIMES)
MAX_DEPTH = 30
"""How many levels deep `$and`, `$or` and `$not` may be nested."""

Condition: TypeAlias = tuple[str, list[Any]]
"""A condition in SQL, and its parameters."""

_DAY = "[0-9]".join(["", "", "", "", "-", "", "-", "", ""])
_DATED = (
    f"(e.atom || ' ') GLOB '{_DAY}[^0-9]*' "
    "AND date(substr(e.atom, 1, 10), '+0 days') = substr(e.atom, 1, 10)"
)
"""An entry begins with a day that exists: SQLite takes 30 February for 2 March."""

_MAX_HEIGHT = 62
"""How many of the 100 symbols on the stack of SQLite's parser a filter may take; the statement and a
comparison take the others."""


def filter_of(options: ReadOptions) -> Where | None:
    """The filter of a read: its `where`, and the conditions that its times put on `said_at`."""
    times = list[Where]()
    if options.since is not None:
        times.append({"said_at": {"$since": options.since}})
    if options.until is not None:
        times.append({"said_at": {"$until": options.until}})
    if options.as_of is not None:
        # A document that does not say when it was said counts as there.
        times.append({"$not": {"said_at": {"$after": options.as_of}}})
    return also(options.where, times)


def also(where: Where | None, conditions: Sequence[Where]) -> Where | None:
    """A filter with further conditions that must hold, nested no deeper than before."""
    if not conditions or (where is not None and not isinstance(where, Mapping)):
        return where
    given = dict(where or {})
    held = given.get("$and", [])
    # A filter that is wrong stays as it is: its translation into SQL raises the error.
    sound = isinstance(held, Sequence) and not isinstance(held, str) and (held or "$and" not in given)
    return {**given, "$and": [*held, *conditions]} if sound else where


class _Condition(NamedTuple):
    """A condition in SQL, its parameters, and its height on the stack of SQLite's parser."""

    sql: str
    values: list[Any]
    height: int = 0


Compare: TypeAlias = Callable[[str, str, Any], tuple[str, list[Any]]]
"""A function of an operator ("$eq", "$in", "$exists", or one in `ORDER` or `TIMES`), an entry's name
and a checked operand. It returns the condition, in SQL, that the entry is there and satisfies the
operator, and its parameters."""


def to_sql(where: Where | None, column: str) -> tuple[str, list[Any]]:
    """The filter as an SQLite condition over a JSON column; values go into parameters only.

    Raises:
        InputError: if it cannot be used.
    """
    return condition(where, partial(_in_sqlite, column))


def condition(where: Where | None, compare: Compare) -> tuple[str, list[Any]]:
    """The filter as a condition in SQL, and its parameters.

    Args:
        compare: makes the SQL of a single comparison.

    Raises:
        InputError: if it cannot be used.
    """
    made = _all(where, compare, 0)
    if made.height > _MAX_HEIGHT:
        raise _bad("long filters are nested too deep")
    return made.sql, made.values


def _all(where: Where | None, compare: Compare, depth: int) -> _Condition:
    if where is None:
        return _Condition("TRUE", [])
    if not isinstance(where, Mapping):
        raise _bad(f"it is a {type(where).__name__}")
    if depth > MAX_DEPTH:
        raise _bad(f"filters are nested more than {MAX_DEPTH} levels deep")
    for name in where:
        if not isinstance(name, str):
            raise _bad(f"{name!r} is no name of an entry")
        _check_storable(name)
    return _joined("AND", [_condition(name, wanted, compare, depth) for name, wanted in where.items()])


def _joined(by: str, parts: list[_Condition]) -> _Condition:
    if len(parts) < 2:
        return parts[0] if parts else _Condition("TRUE", [])
    # The parser stacks what is open to the left of what it reads, so the highest part goes first.
    parts.sort(key=lambda part: -part.height)
    height = max(parts[0].height, parts[1].height + 2) + 1
    values = [value for part in parts for value in part.values]
    return _Condition("(" + f" {by} ".join(part.sql for part in parts) + ")", values, height)


def _not(part: _Condition) -> _Condition:
    return _Condition(f"NOT {part.sql}", part.values, part.height + 1)


def _condition(name: str, wanted: Any, compare: Compare, depth: int) -> _Condition:
    if name in ("$and", "$or"):
        return _joined(name[1:], [_all(part, compare, depth + 1) for part in _parts(name, wanted)])
    if name == "$not":
        return _not(_all(wanted, compare, depth + 1))
    return _joined("AND", [_compare(op, name, of, compare) for op, of in _operations(name, wanted)])


def _compare(op: str, name: str, operand: Any, compare: Compare) -> _Condition:
    said = {"$ne": "$eq", "$nin": "$in"}.get(op, op)
    found = _Condition(*compare(said, name, operand))
    return _not(found) if said != op or (op == "$exists" and not operand) else found


def _in_sqlite(column: str, op: str, name: str, operand: Any) -> tuple[str, list[Any]]:
    if op == "$exists":
        test, values = "1", list[Any]()
    elif op in ORDER:
        kinds = {"text": "('text')", "number": "('integer', 'real')"}
        test, values = f"e.type IN {kinds[kind(operand)]} AND e.atom {ORDER[op]} ?", [operand]
    elif op in TIMES:
        # A moment that cannot be read is NULL, and satisfies no comparison.
        side = "substr({}, 1, 10)" if is_day(operand) else "julianday({})"
        compared = f"{side.format('e.atom')} {TIMES[op]} {side.format('?')}"
        test, values = f"e.type = 'text' AND {_DATED} AND {compared}", [operand]
    else:
        # A list is one parameter: SQLite limits the number of parameters and the length of a condition.
        same = "replace({0}type, 'real', 'integer'), ifnull({0}atom, '')"
        test = f"({same.format('e.')}) IN (SELECT {same.format('')} FROM json_each(?))"
        operands = operand if op == "$in" else [operand]
        values = [json.dumps(list(operands), ensure_ascii=False)]
    # json_each binds the key as a parameter, where a JSON path would have to be quoted by hand.
    sql = f"EXISTS (SELECT 1 FROM json_each({column}) AS e WHERE e.key = ? AND {test})"
    return sql, [name, *values]


def kind(value: Any) -> str:
    """The kind of a value; values of different kinds are never equal, and have no order."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "other"


def _operations(name: str, wanted: Any) -> list[tuple[str, Any]]:
    if name.startswith("$"):
        raise _bad(f"{name!r} is no operator between filters")
    if not isinstance(wanted, Mapping):
        wanted = {"$eq": wanted}
    operations = [(op, _plain(operand)) for op, operand in wanted.items()]
    if not operations:
        raise _bad(f"{name!r} has no operator")
    for op, operand in operations:
        if op not in OPERATORS:
            raise _bad(f"{op!r} is no operator")
        if op in ("$in", "$nin"):
            if not isinstance(operand, Sequence) or isinstance(operand, str):
                raise _bad(f"{op} takes a list")
            for value in operand:
                _check_scalar(op, value)
        elif op == "$exists":
            if not isinstance(operand, bool):
                raise _bad("$exists takes True or False")
        else:
            _check_scalar(op, operand)
            if op in ORDER and kind(operand) not in ("text", "number"):
                raise _bad(f"{op} takes text or a number")
            if op in TIMES and written(operand) is None:
                raise _bad(f"{op} takes a day or a moment in ISO 8601")
    return operations


def _plain(operand: Any) -> Any:
    """An operand, or a list of operands, with dates and NumPy scalars in their metadata form."""
    if isinstance(operand, list | tuple):
        return [scalar(value) for value in operand]
    return scalar(operand)


def _check_storable(text: str) -> None:
    if lone_surrogate(text) is not None:
        raise _bad("there is half of a surrogate pair, which is no Unicode text")
    if "\0" in text:
        raise _bad("there is a NUL, which no entry can hold")


def _check_scalar(op: str, value: Any) -> None:
    if isinstance(value, str):
        _check_storable(value)
    if kind(value) == "other":
        raise _bad(f"{op} was given a {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise _bad(f"{op} was given {value}")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise _bad(f"{op} was given an integer of more than 64 bits")


def _parts(name: str, wanted: Any) -> Sequence[Where]:
    if not isinstance(wanted, Sequence) or isinstance(wanted, str) or not wanted:
        raise _bad(f"{name} takes a list of filters")
    return wanted


def _bad(why: str) -> InputError:
    return InputError(
        "The metadata filter cannot be used.",
        f"In it, {why}." if not why.startswith("it is") else f"A filter is a mapping, and {why}.",
        f"Use values, or the operators {', '.join(OPERATORS)} and $and, $or, $not.",
    )
