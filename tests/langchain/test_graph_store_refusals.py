"""What the LangGraph store does not take: values, operations, namespaces."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)

from langchain_larimar import LarimarStore
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar

from .graph_items import plain

DEEP: Any = {}
for _ in range(100):
    DEEP = {"d": DEEP}


CYCLE: Any = {}
CYCLE["self"] = CYCLE


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"The value of 'k' cannot be kept\. A value is a JSON object, and it is a list\. Use str"),
        ("text", "it is a str"),
        ({1: 2}, "has the key 1, which is no str"),
        ({"a": [{None: 2}]}, "has the key None, which is no str"),
        ({"a": {1, 2}}, "set is not JSON serializable"),
        ({"a": object()}, "object is not JSON serializable"),
        ({"a": b"x"}, "bytes is not JSON serializable"),
        ({"a": float("nan")}, "not JSON compliant"),
        ({"a": float("inf")}, "not JSON compliant"),
        ({"a": "\ud800"}, "half of a surrogate pair"),
        (DEEP, "more than 100 levels deep"),
        (CYCLE, "more than 100 levels deep"),
    ],
)
async def test_values_that_are_no_json_objects(items: LarimarStore, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        items.batch([PutOp(("a",), "good", {"n": 1}), PutOp(("a",), "k", value)])
    with pytest.raises(InputError, match=message):
        await items.aput(("a",), "k", value)
    assert items.search(()) == []


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (PutOp(("a",), "", {}), "'' cannot be a key"),
        (PutOp(("a",), "k" * 1001, {}), "cannot be a key"),
        (PutOp(("a",), 5, {}), "5 cannot be a key"),  # type: ignore[arg-type]
        (GetOp(("a",), "a\0b"), "cannot be a key"),
        (GetOp(("a",), "\ud800"), "half of a surrogate pair"),
        (PutOp(("\udfff",), "k", {}), "cannot be a namespace. At character 6"),
        (PutOp(("a" * 600, "b" * 600), "k", {}), "cannot be a namespace"),
        (PutOp("users", "k", {}), "A namespace is a tuple of labels, and this is a str"),  # type: ignore[arg-type]
        (SearchOp(["a"]), "'a'. cannot be a namespace"),  # type: ignore[arg-type]
        (ListNamespacesOp((MatchCondition("prefix", None),)), "None cannot be a namespace"),  # type: ignore[arg-type]
        (ListNamespacesOp((MatchCondition("middle", ("a",)),)), "by 'middle'"),  # type: ignore[arg-type]
        (ListNamespacesOp(max_depth=-1), "max_depth=-1"),
        (ListNamespacesOp(limit=True), "limit=True"),
        (SearchOp(("a",), limit=-1), "limit=-1"),
        (SearchOp(("a",), offset=10**10), "from 0 to 1,000,000,000"),
        (SearchOp(("a",), query="  "), "question"),
        (SearchOp(("a",), filter=["n"]), "it is a list"),  # type: ignore[arg-type]
        (SearchOp(("a",), filter={"n": {"$in": [1]}}), r"In it, '\$in' is no operator"),
        (SearchOp(("a",), filter={"n": {"$eq": 1, "x": 2}}), "'x' is no operator"),
        (SearchOp(("a",), filter={"n": [{"x": {"$gt": "red"}}]}), r"\$gt is given 'red', and only num"),
        (SearchOp(("a",), filter={"n": {"$lt": None}}), r"\$lt is given None"),
        (PutOp(("a",), "k", {}, True), "cannot index True"),  # type: ignore[arg-type]
        (PutOp(("a",), "k", {}, "text"), "cannot index 'text'"),  # type: ignore[arg-type]
        (PutOp(("a",), "k", {}, ttl=0), "ttl=0"),
        (PutOp(("a",), "k", {}, ttl=float("nan")), "ttl=nan"),
        (PutOp(("a",), "k", {}, ttl=True), "ttl=True"),
        (PutOp(("a",), "k", {}, ttl="1"), "ttl='1'"),  # type: ignore[arg-type]
        (PutOp(("a",), "k", {}, ttl=1e10), "at most 1,000,000,000"),
        ("get", "cannot carry out a str"),
    ],
)
async def test_operations_that_cannot_be_carried_out(
    items: LarimarStore, op: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        items.batch([PutOp(("a",), "good", {"n": 1}), op])
    with pytest.raises(InputError, match=message):
        await items.abatch([op])
    assert items.search(()) == []


@pytest.mark.parametrize("label", ["", "a.b", "a\0", 5, None])
async def test_every_operation_checks_its_namespace(items: LarimarStore, label: Any) -> None:
    wrong = ("a", label)
    items.put(("a", "b"), "k", {"n": 1})
    for op in (
        GetOp(wrong, "k"),
        PutOp(wrong, "k", {"n": 2}),
        PutOp(wrong, "k", None),
        SearchOp(wrong),
        ListNamespacesOp((MatchCondition("suffix", wrong),)),
    ):
        with pytest.raises(InvalidNamespaceError):
            items.batch([PutOp(("c",), "k", {}), op])
        with pytest.raises(InvalidNamespaceError):
            await items.abatch([op])
    assert plain(items.search(())) == [(("a", "b"), "k", {"n": 1})]


def test_roots_that_only_a_batch_can_reach(items: LarimarStore) -> None:
    for namespace in ((), ("langgraph", "x")):
        with pytest.raises(InvalidNamespaceError):
            items.put(namespace, "k", {})
        items.batch([PutOp(namespace, "k", {"n": 1})])
        assert items.get(namespace, "k") is not None
    assert items.list_namespaces() == [(), ("langgraph", "x")]
    assert [i.namespace for i in items.search(())] == [(), ("langgraph", "x")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"memory": "notes.larimar"},
            r"The store cannot be made\. Its memory is a str, not a Larimar\.",
        ),
        ({"fields": "text"}, "cannot index 'text'"),
        ({"fields": [""]}, "cannot index"),
    ],
)
def test_a_store_that_cannot_be_made(store: Larimar, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LarimarStore(**{"memory": store, **arguments})
