"""What a metadata filter means, in Python: SQL is compared with it, and a store of dicts uses it."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from larimar_memory.stores.filters import to_sql
from larimar_memory.system.moments import day_of, is_day, moment_of

_MISSING = object()
_TIMES = {"$since": operator.ge, "$until": operator.le, "$after": operator.gt, "$before": operator.lt}
_ORDER = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}


def matches(where: Mapping[str, Any] | None, metadata: Mapping[str, Any]) -> bool:
    """Whether metadata satisfies a filter.

    Raises:
        InputError: if the filter cannot be used.
    """
    to_sql(where, "refused here")
    return _matches(where or {}, metadata)


def _matches(where: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    return all(_condition(name, wanted, metadata) for name, wanted in where.items())


def _condition(name: str, wanted: Any, metadata: Mapping[str, Any]) -> bool:
    if name == "$not":
        return not _matches(wanted or {}, metadata)
    if name in ("$and", "$or"):
        return (all if name == "$and" else any)(_matches(part or {}, metadata) for part in wanted)
    value = metadata.get(name, _MISSING)
    operations = wanted.items() if isinstance(wanted, Mapping) else [("$eq", wanted)]
    return all(_compare(op, value, operand) for op, operand in operations)


def _compare(op: str, value: Any, operand: Any) -> bool:
    if op == "$exists":
        return (value is not _MISSING) is operand
    if op in ("$in", "$nin"):
        return any(_equal(value, o) for o in operand) == (op == "$in")
    if op in ("$eq", "$ne"):
        return _equal(value, operand) == (op == "$eq")
    if op in _TIMES:
        read = day_of if is_day(operand) else moment_of
        said = read(value)
        return said is not None and bool(_TIMES[op](said, read(operand)))
    return _kind(value) == _kind(operand) and bool(_ORDER[op](value, operand))


def _equal(value: Any, operand: Any) -> bool:
    return _kind(value) == _kind(operand) and bool(value == operand)


def _kind(value: Any) -> str:
    kinds = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "text"}
    return kinds.get(type(value), "other")
