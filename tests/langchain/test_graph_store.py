"""The LangGraph store does what `InMemoryStore` does, without its oddities, and keeps it in a file."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.store import memory as reference_module
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from langchain_larimar import LarimarStore
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from tests.postgres import Server

from .conftest import PLACES, place


class Reference(InMemoryStore):
    """`InMemoryStore` without the oddities that show where nothing is searched by meaning.

    - Namespaces are searched in the order in which they were first touched, if only by a read.
    - Namespaces that are empty are listed, even those that were only read from.
    - To order what is no number breaks off the search with a TypeError or a ValueError.

    Not shown here, and not ours either: `created_at` changes with every put; items share their values
    with the caller; and, with an index, two equal texts in one batch are an error, a put with
    `index=False` leaves the old vector, and items without a score are repeated on every page.
    """

    def _filter_items(self, op: SearchOp) -> Any:
        self._data = defaultdict(dict, sorted(self._data.items()))
        with patch.object(reference_module, "_apply_operator", _tolerant):
            return super()._filter_items(op)

    def _handle_list_namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        self._data = defaultdict(dict, {ns: items for ns, items in self._data.items() if items})
        return super()._handle_list_namespaces(op)


_apply_operator = reference_module._apply_operator


def _tolerant(value: Any, operator: str, operand: Any) -> bool:
    try:
        return _apply_operator(value, operator, operand)
    except (TypeError, ValueError):
        return False


LABELS = st.sampled_from(["a", "b", "ab"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
PREFIXES = st.lists(LABELS, max_size=2).map(tuple)
LIMITS, OFFSETS = st.sampled_from([10, 10, 10, 2, 1, 0]), st.sampled_from([0, 0, 0, 1, 2, 5])
KEYS = st.sampled_from(["k", "K", "k#1"])
SCALARS = st.sampled_from([None, True, False, 0, 1, 2.5, "1", "red", "nan"])
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "n": SCALARS,
        "m": SCALARS | st.lists(SCALARS, max_size=2),
        "d": st.dictionaries(st.sampled_from(["x", "y"]), SCALARS | st.lists(SCALARS, max_size=1)),
    },
)
CONDITIONS = (
    st.fixed_dictionaries({"$eq": SCALARS})
    | st.fixed_dictionaries({"$ne": SCALARS})
    | st.dictionaries(
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]),
        st.sampled_from([0, 1, 2.5, "1", True]),
        min_size=1,
        max_size=2,
    )
)
FILTERS = st.dictionaries(
    st.sampled_from(["n", "n", "m", "d", "absent"]),
    SCALARS
    | st.lists(SCALARS | CONDITIONS, max_size=2)
    | CONDITIONS
    | st.dictionaries(st.sampled_from(["x", "y"]), SCALARS | CONDITIONS),
    min_size=1,
    max_size=2,
)
PATHS = st.lists(LABELS | st.just("*"), max_size=3).map(tuple)
MATCHES = st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), PATHS)


def ops(kind: Any, *fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Op]:
    """Operations with these fields, the others as they are by default."""
    return st.tuples(*fields).map(lambda given: kind(*given))


PUTS = ops(PutOp, NAMESPACES, KEYS, VALUES, st.sampled_from([False, False, False, None, ["n"]]))
OPS = st.one_of(
    PUTS,
    ops(PutOp, NAMESPACES, KEYS, st.none()),
    ops(GetOp, NAMESPACES, KEYS),
    ops(SearchOp, PREFIXES, st.none(), LIMITS, OFFSETS),
    ops(SearchOp, st.just(()), FILTERS, LIMITS, OFFSETS),
    ops(
        ListNamespacesOp,
        st.lists(MATCHES, max_size=2).map(tuple),
        st.none() | st.integers(0, 3),
        LIMITS,
        OFFSETS,
    ),
)
FIRST = st.lists(PUTS, min_size=4, max_size=10)
BATCHES = st.builds(
    lambda first, more: [first, *more],
    FIRST,
    st.lists(st.lists(OPS, min_size=2, max_size=6), min_size=1, max_size=6),
)
EVERYTHING: list[Op] = [SearchOp((), limit=1000), ListNamespacesOp(limit=1000)]


def plain(result: Any) -> Any:
    """A result without its times, which two stores do not share."""
    if isinstance(result, list):
        return [plain(part) for part in result]
    return (result.namespace, result.key, result.value) if isinstance(result, Item) else result


@given(BATCHES)
@settings(max_examples=100)
def test_batches_do_what_they_do_in_the_reference(
    encoder: SentenceEncoder, batches: list[list[Op]]
) -> None:
    with Larimar.open(None, encoder=encoder) as memory:
        ours, reference = LarimarStore(memory), Reference()
        for batch in batches:
            assert plain(ours.batch(batch)) == plain(reference.batch(batch))
        assert plain(ours.batch(EVERYTHING)) == plain(reference.batch(EVERYTHING))


@given(BATCHES)
@settings(max_examples=25)
def test_a_file_keeps_it_all(
    tmp_path_factory: pytest.TempPathFactory, encoder: SentenceEncoder, batches: list[list[Op]]
) -> None:
    keeps_it_all(tmp_path_factory.mktemp("store") / "m.larimar", encoder, batches)


@given(BATCHES)
@settings(max_examples=25)
def test_a_database_keeps_it_all(
    server: Server, encoder: SentenceEncoder, batches: list[list[Op]]
) -> None:
    keeps_it_all(server.empty("larimar_tests"), encoder, batches)


def keeps_it_all(path: Path | str, encoder: SentenceEncoder, batches: list[list[Op]]) -> None:
    reference = Reference()
    for batch in batches:
        with Larimar.open(path, encoder=encoder) as memory:
            assert plain(LarimarStore(memory).batch(batch)) == plain(reference.batch(batch))
    with Larimar.open(path, encoder=encoder) as memory:
        found, listed = LarimarStore(memory).batch(EVERYTHING)
        assert plain([found, listed]) == plain(reference.batch(EVERYTHING))
        assert [LarimarStore(memory).get(i.namespace, i.key) for i in found] == found


@pytest.fixture(params=PLACES)
def items(request: pytest.FixtureRequest, encoder: SentenceEncoder) -> Iterator[Any]:
    with Larimar.open(place(request), encoder=encoder) as memory:
        yield LarimarStore(memory)


def test_a_put_replaces_the_value_and_keeps_the_creation(items: LarimarStore) -> None:
    items.put(("a",), "k", {"text": "one", "n": 1})
    first = items.get(("a",), "k")
    assert first is not None
    assert first.created_at == first.updated_at
    assert first.created_at.utcoffset() is not None
    items.put(("a",), "k", {"text": "two"}, index=False)
    second = items.get(("a",), "k")
    assert second is not None
    assert second.value == {"text": "two"}
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at
    items.delete(("a",), "k")
    items.put(("a",), "k", {"text": "three"})
    third = items.get(("a",), "k")
    assert third is not None
    assert third.created_at == third.updated_at > second.updated_at
    assert type(third) is Item


def test_an_item_is_kept_as_it_was_put_by_whoever_changes_it(items: LarimarStore) -> None:
    said = "The ferry leaves at nine. It takes an hour to the island, and another one back to the quay."
    value = {"text": f"{said}\n\n{said}"}
    items.put(("a",), "k", value)
    (space,) = items.memory.namespaces()
    before = [segment.text for segment in items.memory.store.segments(space, "k")]
    items.memory.update("k", items.memory.text("k", namespace=space), namespace=space)
    items.put(("a",), "k", value)
    assert [segment.text for segment in items.memory.store.segments(space, "k")] == before
    assert len(before) > 1


def test_a_batch_reads_what_was_there_before_it_and_its_last_put_counts(items: LarimarStore) -> None:
    items.put(("a",), "k", {"n": 1})
    results = items.batch(
        [
            PutOp(("a",), "k", {"n": 2}),
            GetOp(("a",), "k"),
            PutOp(("a",), "new", {"n": 9}),
            SearchOp(("a",)),
            PutOp(("a",), "k", {"n": 3}),
            ListNamespacesOp(),
            PutOp(("b",), "gone", {"n": 4}),
            PutOp(("b",), "gone", None),
            PutOp(("b",), "back", None),
            PutOp(("b",), "back", {"n": 5}),
        ]
    )
    before = (("a",), "k", {"n": 1})
    assert plain(results) == [None, before, None, [before], None, [("a",)], None, None, None, None]
    assert plain(items.search(())) == [
        (("a",), "k", {"n": 3}),
        (("a",), "new", {"n": 9}),
        (("b",), "back", {"n": 5}),
    ]


def test_values_are_copies(items: LarimarStore) -> None:
    value: dict[str, Any] = {"tags": ["x"], "pair": (1, 2)}
    items.put(("a",), "k", value)
    value["tags"].append("y")
    for found in (items.get(("a",), "k"), items.search(("a",))[0]):
        assert found is not None
        assert found.value == {"tags": ["x"], "pair": [1, 2]}
        found.value["tags"].append("z")
    assert items.search(("a",), filter={"tags": ["x"], "pair": [1, 2]}) != []


LOOKALIKES = [
    ("a", "b"),
    ("a b",),
    ("ab",),
    ("a", "b", "c"),
    ("a:b",),
    ("a/b",),
    ("a|b",),
    ("a,b",),
    ('a", "b',),
    ("store:a",),
    ("A", "b"),
    ("*",),
    ("a", "*"),
    ("%",),
    ("a", "_"),
    ("a'; DROP TABLE documents; --",),
    ("a ",),
    (" a",),
    ("\u00e9",),
    ("e\u0301",),
    ("\uff41",),
    ("\U0001f98a", "b"),
    ("a\n", "b"),
    ("a", "b\u200b"),
]


def test_namespaces_never_meet(items: LarimarStore) -> None:
    for namespace in LOOKALIKES:
        items.put(namespace, "same key", {"of": "|".join(namespace)})
    assert items.list_namespaces(limit=99) == sorted(LOOKALIKES)
    for namespace in LOOKALIKES:
        found = items.get(namespace, "same key")
        assert found is not None
        assert found.value == {"of": "|".join(namespace)}
        beneath = [ns for ns in sorted(LOOKALIKES) if ns[: len(namespace)] == namespace]
        for query in (None, "same"):
            assert sorted(i.namespace for i in items.search(namespace, query=query)) == beneath
    for namespace in LOOKALIKES:
        items.delete(namespace, "same key")
        assert items.get(namespace, "same key") is None
    assert items.list_namespaces() == []


def test_other_texts_of_the_memory_are_no_items(items: LarimarStore) -> None:
    memory = items.memory
    memory.write(["The vault opens at noon."], ["k"])
    memory.write(["The vault opens at noon."], ["k"], namespace="store:a")
    assert items.search((), query="When does the vault open?") == []
    assert items.list_namespaces() == []
    assert items.get(("a",), "k") is None
    items.put(("a",), "j", {"text": "The vault opens at nine."})
    assert [i.key for i in items.search((), query="When does the vault open?")] == ["j"]
    assert [s.document_id for s in memory.read("When does the vault open?").segments] == ["k"]


def test_the_memory_reads_items(items: LarimarStore) -> None:
    items.put(("users", "ana"), "pet", {"kind": "parrot", "name": "Rio"})
    (found,) = items.memory.read("What is the parrot called?", namespace="store:users.ana").segments
    assert found.text == "kind: parrot\nname: Rio"
    assert found.metadata["value"] == {"kind": "parrot", "name": "Rio"}


@pytest.mark.parametrize("index", [None, False])
def test_a_delete_erases_the_files(tmp_path: Path, encoder: SentenceEncoder, index: Any) -> None:
    def traces() -> int:
        files = [p for p in tmp_path.rglob("*") if p.is_file()]
        return sum(p.read_bytes().count(b"Zanzibar") for p in files)

    with Larimar.open(tmp_path / "m.larimar", encoder=encoder) as memory:
        items = LarimarStore(memory)
        items.put(("kept",), "k", {"text": "Nothing of note."})
        items.put(("Zanzibar",), "Zanzibar", {"text": "The code is Zanzibar."}, index=index)
        assert traces() > 0
        items.delete(("Zanzibar",), "Zanzibar")
        assert traces() == 0
        later = LarimarStore(memory, purge=False)
        later.put(("kept",), "j", {"text": "The code is Zanzibar."}, index=index)
        later.delete(("kept",), "j")
        assert later.get(("kept",), "j") is None
        memory.purge()
    assert traces() == 0


def test_what_is_not_there_is_deleted_without_a_write(
    items: LarimarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    items.put(("a",), "k", {"n": 1})
    for name in ("delete", "purge", "write", "set_metadata"):
        monkeypatch.setattr(items.memory.store, name, None)
    items.delete(("a",), "absent")
    items.delete(("absent",), "k")
    assert items.get(("a",), "k") is not None


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


async def test_async_twins(items: LarimarStore) -> None:
    await items.aput(("a", "b"), "k", {"text": "The vault opens at noon.", "n": 1})
    await items.aput(("a", "c"), "k", {"text": "Parrots are lively company.", "n": 2}, index=["text"])
    found = await items.aget(("a", "b"), "k")
    assert found is not None
    assert found == items.get(("a", "b"), "k")
    ranked = await items.asearch(("a",), query="When does the vault open?", limit=1)
    assert [i.namespace for i in ranked] == [("a", "b")]
    assert plain(await items.asearch(("a",), filter={"n": {"$gt": 1}})) == [
        (("a", "c"), "k", {"text": "Parrots are lively company.", "n": 2})
    ]
    assert await items.alist_namespaces(suffix=("*", "b")) == [("a", "b")]
    await items.adelete(("a", "b"), "k")
    assert await items.aget(("a", "b"), "k") is None
    assert await items.asweep_ttl() == 0


async def test_the_event_loop_does_no_work(
    items: LarimarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, batch = list[int](), LarimarStore.batch

    def watched(self: LarimarStore, ops: Any) -> Any:
        threads.append(threading.get_ident())
        return batch(self, ops)

    monkeypatch.setattr(LarimarStore, "batch", watched)
    await items.aput(("a",), "k", {"n": 1})
    await items.aget(("a",), "k")
    await items.asearch(("a",), query="n")
    await items.alist_namespaces()
    await items.adelete(("a",), "k")
    assert len(threads) == 5
    assert threading.get_ident() not in threads


async def test_sixteen_tasks_at_once(items: LarimarStore) -> None:
    async def work(n: int) -> None:
        await items.aput(("tasks", f"t{n}"), "k", {"text": f"Task {n} is about parrots."})
        (best,) = await items.asearch(("tasks", f"t{n}"), query="parrots")
        assert best.value["text"] == f"Task {n} is about parrots."
        await items.aput(("tasks", f"t{n}"), "j", {"n": n}, index=False)

    await asyncio.gather(*(work(n) for n in range(16)))
    assert len(await items.asearch(("tasks",), limit=99)) == 32


def test_sixteen_callers_at_once(tmp_path: Path, encoder: SentenceEncoder) -> None:
    failures, ready = list[str](), threading.Barrier(16)

    def work(memory: Larimar, n: int) -> None:
        items, mine = LarimarStore(memory, purge=n % 8 == 0), ("users", f"u{n}")
        try:
            ready.wait(30)
            for turn in range(3):
                note = {"text": f"User {n} keeps note {turn} under the red stone.", "n": turn}
                items.put(mine, f"k{turn}", note)
                items.put(("shared",), "same", {"by": n, "again": n})
                (best,) = items.search(mine, query=f"Where is note {turn}?", filter={"n": turn})
                found, shared = items.get(mine, f"k{turn}"), items.get(("shared",), "same")
                if best.value != note or found is None or found.value != note:
                    failures.append(f"{n}: {best} {found}")
                if shared is None or shared.value["by"] != shared.value["again"]:
                    failures.append(f"{n}: {shared}")
            items.delete(mine, "k0")
        except Exception as error:
            failures.append(repr(error))

    with Larimar.open(tmp_path / "m.larimar", encoder=encoder, busy_seconds=60.0) as memory:
        threads = [threading.Thread(target=work, args=(memory, n)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        items = LarimarStore(memory)
        (shared,) = items.search(("shared",))
        text = memory.read("by again", namespace="store:shared").segments[0].text
        assert text == f"by: {shared.value['by']}\nagain: {shared.value['by']}"
        for n in range(16):
            assert [i.key for i in items.search(("users", f"u{n}"))] == ["k1", "k2"]
