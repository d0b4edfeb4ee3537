"""What the LangGraph store keeps: items, their times, their namespaces, and nothing after a delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import GetOp, Item, ListNamespacesOp, PutOp, SearchOp

from langchain_larimar import LarimarStore
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar

from .graph_items import plain


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
