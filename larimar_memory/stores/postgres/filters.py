"""Metadata filters over the column `documents.facts`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from larimar_memory.stores.base import Where
from larimar_memory.stores.filters import ORDER, condition, kind
from larimar_memory.stores.postgres.schema import digest, storable
from larimar_memory.types import Metadata
from larimar_memory.validate import check_ids

Condition: TypeAlias = tuple[str, list[Any]]
"""A condition in SQL, and its parameters."""

ALL: Condition = ("TRUE", [])


def facts(metadata: Metadata) -> str:
    """What filters see of metadata, as JSON: names with their values, and a list for what is no scalar.

    The metadata themselves are kept as text: `jsonb` changes numbers, and takes no NUL.
    """
    seen = {name: _fact(value) for name, value in metadata.items() if storable(name)}
    return json.dumps(seen, ensure_ascii=False)


def _fact(value: Any) -> Any:
    plain = not isinstance(value, Mapping | list) and (not isinstance(value, str) or storable(value))
    return value if plain else []


def chosen(where: Where | None, ids: Sequence[str] | None = None) -> Condition:
    """The condition that a document `d` satisfies a filter, and is one of those.

    Raises:
        InputError: if the filter cannot be used, or an id is no str.
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
        # A CASE: nothing else says that the type is looked at first.
        is_text = kind(operand) == "text"
        form, type, order = ("string", "text", ' COLLATE "C"') if is_text else ("number", "numeric", "")
        sql = (
            f"(CASE WHEN jsonb_typeof(d.facts -> %s) = '{form}' "
            f"THEN (d.facts ->> %s)::{type}{order} {ORDER[op]} %s::{type} ELSE FALSE END)"
        )
        return sql, [name, name, operand if is_text else json.dumps(operand)]
    operands = operand if op == "$in" else [operand]
    listed = [json.dumps(value, ensure_ascii=False) for value in operands]
    return "coalesce(d.facts -> %s = ANY(%s::text[]::jsonb[]), FALSE)", [name, listed]
