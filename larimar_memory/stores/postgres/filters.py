"""Metadata filters over the column `documents.facts`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from larimar_memory.stores.base import Where
from larimar_memory.stores.filters import ORDER, TIMES, Condition, condition, kind
from larimar_memory.stores.postgres.schema import digest, storable
from larimar_memory.system.moments import is_day, moment_of
from larimar_memory.types import Metadata
from larimar_memory.validate import check_ids

ALL: Condition = ("TRUE", [])

_LEAP = r"(\d\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DAY = (
    r"^(?!0000)(\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)"
    rf"|02-(0[1-9]|1\d|2[0-8]))|{_LEAP}-02-29)"
)
_TIME = r"[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,20})?)?"
_ZONE = r"([Zz]|[+-](0\d|1[0-4]):[0-5]\d)"
_DAYS, _MOMENTS = rf"{_DAY}(?!\d)", rf"{_DAY}({_TIME} ?{_ZONE}?)?$"
"""Texts that a cast accepts: it fails for a day that does not exist, where a filter has to say no."""


def facts(metadata: Metadata) -> str:
    """The part of metadata that filters see, as JSON: scalars by name, and [] for any other value.

    The metadata themselves are kept as text: `jsonb` changes numbers, and takes no NUL.
    """
    seen = {name: _fact(value) for name, value in metadata.items() if storable(name)}
    return json.dumps(seen, ensure_ascii=False)


def _fact(value: Any) -> Any:
    plain = not isinstance(value, Mapping | list) and (not isinstance(value, str) or storable(value))
    return value if plain else []


def chosen(where: Where | None, ids: Sequence[str] | None = None) -> Condition:
    """The condition that a document `d` satisfies a filter, and has one of the ids.

    Raises:
        InputError: if the filter cannot be used, or an id is not a str.
    """
    sql, parameters = condition(where, _compare)
    if ids is None:
        return sql, parameters
    names = check_ids(ids, "The documents cannot be chosen.")
    return f"{sql} AND d.digest = ANY(%s::bytea[])", [*parameters, [digest(name) for name in names]]


def _compare(op: str, name: str, operand: Any) -> Condition:
    if op == "$exists":
        return "d.facts ? %s", [name]
    if op in ORDER:
        # A CASE: nothing else ensures that the type is checked first.
        is_text = kind(operand) == "text"
        form, type, order = ("string", "text", ' COLLATE "C"') if is_text else ("number", "numeric", "")
        sql = (
            f"(CASE WHEN jsonb_typeof(d.facts -> %s) = '{form}' "
            f"THEN (d.facts ->> %s)::{type}{order} {ORDER[op]} %s::{type} ELSE FALSE END)"
        )
        return sql, [name, name, operand if is_text else json.dumps(operand)]
    if op in TIMES:
        return _compare_times(TIMES[op], name, operand)
    operands = operand if op == "$in" else [operand]
    listed = [json.dumps(value, ensure_ascii=False) for value in operands]
    return "coalesce(d.facts -> %s = ANY(%s::text[]::jsonb[]), FALSE)", [name, listed]


def _compare_times(order: str, name: str, operand: str) -> Condition:
    """Compare by day if the operand is a day, else by moment, in UTC if no zone is given."""
    if is_day(operand):
        form, type, side = _DAYS, "date", "left(t.entry, 10)"
    else:
        form, side, type = (
            _MOMENTS,
            f"t.entry || CASE WHEN t.entry ~ '{_ZONE}$' THEN '' ELSE 'Z' END",
            "timestamptz",
        )
        operand = str(moment_of(operand))
    entry = "CASE WHEN jsonb_typeof(d.facts -> %s) = 'string' THEN d.facts ->> %s END"
    sql = (
        f"(SELECT CASE WHEN t.entry ~ %s THEN ({side})::{type} {order} %s::{type} ELSE FALSE END "
        f"FROM (SELECT {entry} AS entry) AS t)"
    )
    return sql, [form, operand, name, name]
