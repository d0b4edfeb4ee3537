"""Checks of a LangGraph store's operations; each failure says what, why, and what to do."""

from __future__ import annotations

from typing import Any

from langgraph.store.base import GetOp, ListNamespacesOp, Op, PutOp, SearchOp, validate_op_namespace

from langchain_larimar.blank import is_blank
from langchain_larimar.graph_store_filters import check_filter
from langchain_larimar.graph_store_items import to_space
from larimar_memory.errors import InputError
from larimar_memory.system.plain import NotPlainError
from larimar_memory.validate import check_name, check_question, json_object, whole_number

MAX_DEPTH = 100
"""Deepest nesting of a value, in levels."""

_MAX_MINUTES = 1_000_000_000
_MAX_COUNT = 1_000_000_000


def check_op(op: Op) -> None:
    """Raise unless an operation can be carried out.

    Raises:
        InvalidNamespaceError: if a label of its namespace cannot be used.
        InputError: if anything else cannot be used.
    """
    if not isinstance(op, GetOp | SearchOp | PutOp | ListNamespacesOp):
        raise InputError(
            f"The store cannot carry out a {type(op).__name__}.",
            "It gets, searches, puts and lists namespaces.",
            "Give a GetOp, SearchOp, PutOp or ListNamespacesOp.",
        )
    for path in _paths(op):
        _check_namespace(path)
    validate_op_namespace(op)
    if isinstance(op, GetOp | PutOp):
        check_name(to_space(op.namespace), "namespace")
        check_name(op.key, "key")
        if isinstance(op, PutOp) and op.value is not None:
            _check_put(op)
        return
    _check_count("limit", op.limit)
    _check_count("offset", op.offset)
    if isinstance(op, SearchOp):
        check_filter(op.filter)
        if (query := asked(op)) is not None:
            check_question(query)
    else:
        _check_count("max_depth", op.max_depth or 0)
        for condition in op.match_conditions or ():
            _check_match(condition.match_type)


def check_place(namespace: Any, key: Any) -> str:
    """The key of an item, unchanged: LangGraph would turn any key into text, and ask for another item.

    Raises:
        InputError: if the key is not a str, or the namespace is not a tuple.
    """
    _check_namespace(namespace)
    return check_name(key, "key")


def asked(op: SearchOp) -> str | None:
    """The query of a search; None if it has none, or a blank one beside a filter."""
    return None if not op.query or (op.filter and is_blank(op.query)) else op.query


def check_value(key: str, value: Any) -> dict[str, Any]:
    """A copy of an item's value, which is a JSON object.

    Raises:
        InputError: if it is not.
    """
    try:
        return json_object(value, "value", MAX_DEPTH)
    except NotPlainError as error:
        raise InputError(
            f"The value of {key!r} cannot be kept.",
            f"A value is a JSON object, and {error.why}.",
            error.remedy,
        ) from error


def check_paths(paths: Any) -> tuple[str, ...]:
    """The paths to index.

    Raises:
        InputError: if they are not a list of str.
    """
    if not isinstance(paths, list | tuple) or not all(isinstance(p, str) and p for p in paths):
        raise InputError(
            f"The store cannot index {paths!r}.",
            "What is indexed is a list of paths into the value.",
            'Give a list such as ["text", "tags[*]"], or an empty one to index nothing.',
        )
    return tuple(paths)


def _check_namespace(path: Any) -> None:
    if not isinstance(path, tuple):
        raise InputError(
            f"{path!r} cannot be a namespace.",
            f"A namespace is a tuple of labels, and this is a {type(path).__name__}.",
            'Give a tuple such as ("users", "ana").',
        )


def _paths(op: Op) -> list[Any]:
    if isinstance(op, ListNamespacesOp):
        return [condition.path for condition in op.match_conditions or ()]
    return [op.namespace_prefix if isinstance(op, SearchOp) else op.namespace]


def _check_put(op: PutOp) -> None:
    if op.index is not None and op.index is not False:
        check_paths(op.index)
    ttl = op.ttl
    number = isinstance(ttl, int | float) and not isinstance(ttl, bool)
    if ttl is not None and not (number and 0 < ttl <= _MAX_MINUTES):
        raise InputError(
            f"The item {op.key!r} cannot be kept with ttl={ttl!r}.",
            f"A time to live is a number of minutes above 0, at most {_MAX_MINUTES:,}.",
            "Give such a number, or None to keep the item.",
        )


def _check_count(name: str, number: Any) -> None:
    whole = whole_number(number)
    if whole is None or not 0 <= whole <= _MAX_COUNT:
        raise InputError(
            f"The store cannot be read with {name}={number!r}.",
            f"It is a whole number from 0 to {_MAX_COUNT:,}.",
            "Use such a number, or leave it out.",
        )


def _check_match(match_type: Any) -> None:
    if match_type not in ("prefix", "suffix"):
        raise InputError(
            f"Namespaces cannot be matched by {match_type!r}.",
            "A condition is on how they begin or how they end.",
            'Use "prefix" or "suffix".',
        )
