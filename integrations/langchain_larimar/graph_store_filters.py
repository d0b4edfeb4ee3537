"""The filters of LangGraph's stores, which choose a search's items as `InMemoryStore` does.

`{"colour": "red"}` compares for equality; `{"score": {"$gte": 3, "$lt": 5}}` uses operators. A mapping
in a filter is compared entry by entry, a list item by item, and a missing entry counts as None.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from math import isfinite, isnan
from typing import Any

from larimar_memory.errors import InputError
from larimar_memory.system.plain import scalar

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OPERATORS = ("$eq", "$ne", *_ORDER)


def check_filter(wanted: Any) -> None:
    """Refuse a filter that items cannot be compared with, before any is.

    Raises:
        InputError: if it is not a mapping, holds an unknown operator or a name that is not a str,
            orders by something that is not a number, or compares with something that no item holds.
    """
    if wanted is None:
        return
    if not isinstance(wanted, Mapping):
        raise _bad(f"A filter is a mapping, and it is a {type(wanted).__name__}.")
    for name, part in wanted.items():
        _check_name(name)
        _check_part(part)


def matches(wanted: Mapping[str, Any] | None, value: Mapping[str, Any]) -> bool:
    """Whether a value satisfies a filter that was checked."""
    return all(_fits(value.get(name), part) for name, part in (wanted or {}).items())


def _check_part(part: Any) -> None:
    if isinstance(part, list | tuple):
        for item in part:
            _check_part(item)
        return
    if not isinstance(part, Mapping):
        _check_value(part)
        return
    operators = _has_operators(part)
    for name, operand in part.items():
        _check_name(name)
        if not operators:
            _check_part(operand)
        elif name not in _OPERATORS:
            raise _bad(f"In it, {name!r} is no operator.")
        elif name not in _ORDER:
            _check_operand(operand)
        elif (number := _number(operand)) is None or isnan(number):
            raise _bad(f"In it, {name} is given {operand!r}, and only numbers are ordered.")


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise _bad(f"In it, {name!r} is no name of an entry.")


def _check_operand(operand: Any) -> None:
    """Check an operand that is compared as it stands; mappings in it hold no operators."""
    if isinstance(operand, Mapping | list | tuple):
        for part in operand.values() if isinstance(operand, Mapping) else operand:
            _check_operand(part)
    else:
        _check_value(operand)


def _check_value(value: Any) -> None:
    value = scalar(value)
    if not (value is None or isinstance(value, str | int | float | Decimal | Fraction)):
        raise _bad(f"In it, there is a {type(value).__name__}, which no value of an item holds.")
    if isinstance(value, float) and not isfinite(value):
        raise _bad(f"In it, there is {value}, which no value of an item holds.")


def _fits(value: Any, part: Any) -> bool:
    if isinstance(part, Mapping):
        if _has_operators(part):
            return all(_operate(value, name, operand) for name, operand in part.items())
        return isinstance(value, dict) and all(_fits(value.get(name), p) for name, p in part.items())
    if isinstance(part, list | tuple):
        same = isinstance(value, list) and len(value) == len(part)
        return same and all(_fits(v, p) for v, p in zip(value, part, strict=True))
    return bool(value == scalar(part))


def _operate(value: Any, name: str, operand: Any) -> bool:
    if name in _ORDER:
        number, bound = _number(value), _number(operand)
        return number is not None and bound is not None and _ORDER[name](number, bound)
    return bool(value == _plain(operand)) == (name == "$eq")


def _plain(operand: Any) -> Any:
    """An operand that is compared as it stands, in the form in which a value holds it."""
    if isinstance(operand, Mapping):
        return {name: _plain(part) for name, part in operand.items()}
    if isinstance(operand, list | tuple):
        return [_plain(part) for part in operand]
    return scalar(operand)


def _has_operators(part: Mapping[Any, Any]) -> bool:
    return any(isinstance(name, str) and name.startswith("$") for name in part)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _bad(why: str) -> InputError:
    return InputError(
        "The filter of the search cannot be used.",
        why,
        f"Use values, mappings of values, or the operators {', '.join(_OPERATORS)}.",
    )
