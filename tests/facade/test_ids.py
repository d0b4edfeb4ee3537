"""Ids of another type: refused wherever they are given, so that no erasure fails in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.slots import GrowingMemory, SlotMemory
from larimar_memory.stores import SQLiteStore
from larimar_memory.stores.sqlite.queries import chosen
from tests.quick import QuickEncoder

WRONG: list[tuple[Any, str]] = [
    (7, r"The ids are a int, and not a list of str\. Give a list of ids, such as"),
    (7.0, "The ids are a float, and not"),
    (b"7", "The ids are a bytes, and not"),
    ({"7": 1}, "The ids are a dict, and not"),
    (object(), "The ids are a object, and not"),
    ([7], r"The id 7 is a int, and ids are str\. Give the ids that were written"),
    ([None], "The id None is a NoneType, and ids are str"),
    (["7", 8], "The id 8 is a int"),
    ((n for n in [7]), "The id 7 is a int"),
    ({7}, "The id 7 is a int"),
    (np.array([7]), "is a int64, and ids are str"),
    ([b"7"], "The id b'7' is a bytes"),
    ([["7"]], r"The id \['7'\] is a list"),
    ([UUID(int=7)], "is a UUID, and ids are str"),
    ([True], "The id True is a bool"),
    (np.array("7"), "The ids are a ndarray, and not"),
    (memoryview(b"7"), "The id 55 is a int"),
    (float("nan"), "The ids are a float, and not"),
]

RIGHT: list[tuple[Any, int]] = [
    ("7", 1),
    (["7"], 1),
    (("7", "8"), 2),
    ({"7", "8"}, 2),
    (iter(["7", "8"]), 2),
    ((id for id in ["7", "8"]), 2),
    (np.array(["7", "8"]), 2),
    ({"7": 1, "8": 2}.keys(), 2),
    (["7", "7"], 1),
    (["7", "unknown", "x\0", "", "\ud800", "y" * 5000], 1),
    (["unknown"], 0),
    ([], 0),
    ("", 0),
    (iter([]), 0),
    (np.array([], dtype=str), 0),
]


@pytest.fixture(params=["ram", "file"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Larimar]:
    path = None if request.param == "ram" else tmp_path / "m.larimar"
    with Larimar.open(path, encoder=QuickEncoder()) as opened:
        opened.write(["Seven.", "Eight.", "Nine."], ["7", "8", "9"], [{"n": n} for n in (7, 8, 9)])
        yield opened


def ids_of(wrong: Any) -> Any:
    """The same again where it can be used up."""
    return iter([7]) if hasattr(wrong, "__next__") else wrong


@pytest.mark.parametrize(("ids", "message"), WRONG)
def test_ids_that_are_none(memory: Larimar, ids: Any, message: str) -> None:
    for more in ({}, {"where": {"n": 7}}, {"namespace": "default"}, {"purge": False}):
        with pytest.raises(InputError, match=r"Nothing was forgotten\. .*" + message):
            memory.forget(ids=ids_of(ids), **more)
    assert memory.stats().documents == 3


@pytest.mark.parametrize(("given", "count"), [(n, count) for n, (_, count) in enumerate(RIGHT)])
def test_ids_that_are_some(memory: Larimar, given: int, count: int) -> None:
    ids = RIGHT[given][0]
    ids = iter(["7", "8"][:count]) if hasattr(ids, "__next__") else ids
    assert memory.forget(ids=ids) == count
    assert memory.stats().documents == 3 - count


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda m: m.forget(where=7), r"cannot be used\. A filter is a mapping, and it is a int"),
        (lambda m: m.forget(where=[("n", 7)]), "A filter is a mapping, and it is a list"),
        (lambda m: m.forget(namespace=7), "7 cannot be a namespace"),
        (lambda m: m.forget(ids=["7"], namespace=""), "'' cannot be a namespace"),
        (lambda m: m.forget(), r"Nothing was forgotten\. Neither ids, nor a filter, nor a namespace"),
        (lambda m: m.update(7, "Text."), "7 cannot be a document id"),
        (lambda m: m.update(None, "Text."), "None cannot be a document id"),
        (lambda m: m.update("7", 7), r"Text 1 cannot be written\. It is a int"),
        (lambda m: m.text(7), "7 cannot be a document id"),
        (lambda m: m.text(["7"]), r"\['7'\] cannot be a document id"),
        (lambda m: m.documents(namespace=7), "7 cannot be a namespace"),
        (lambda m: m.documents(where=7), "A filter is a mapping, and it is a int"),
        (lambda m: m.stats(7), "7 cannot be a namespace"),
        (lambda m: m.write(["a"], [7]), "7 cannot be a document id"),
        (lambda m: m.write(["a"], 7), r"There are 1 texts and a single int for ids\. Give one of ids"),
        (lambda m: m.write(["a"], ["x"], {"n": 1}), "a single dict for metadatas"),
        (lambda m: m.write(["a"], metadatas=7), "a single int for metadatas"),
        (lambda m: m.write(7), r"Nothing was written\. The texts are a int, and not a list of str"),
        (lambda m: m.write(b"bytes"), "The texts are a bytes, and not a list of str"),
        (lambda m: m.write({"a": "b"}), "The texts are a dict, and not a list of str"),
        (lambda m: m.write(np.array("a")), "The texts are a ndarray, and not a list of str"),
        (lambda m: m.write(["a"], np.array("x")), "a single ndarray for ids"),
        (lambda m: m.read("One.", where=7), "A filter is a mapping, and it is a int"),
        (lambda m: m.search("One.", where=[7]), "A filter is a mapping, and it is a list"),
        (lambda m: chosen(None, [7]), r"The documents cannot be chosen\. The id 7 is a int"),
    ],
)
def test_what_names_no_document(memory: Larimar, use: Callable[[Larimar], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        use(memory)
    assert memory.stats().documents == 3


def test_ids_and_metadata_are_read_once(memory: Larimar) -> None:
    ids = memory.write(iter(["A.", "B."]), (id for id in "ab"), (m for m in [{"v": 1}, {"v": 2}]))
    assert ids == ["a", "b"]
    assert memory.write(["C."], {"c"}, ({"v": 3},)) == ["c"]
    assert [d.metadata for d in memory.documents(where={"v": {"$exists": True}})] == [
        {"v": n} for n in (1, 2, 3)
    ]


@pytest.mark.parametrize(("ids", "message"), WRONG)
def test_slots_refuse_them_as_well(ids: Any, message: str) -> None:
    keys = np.eye(4, dtype=np.float32)[:2]
    store = SQLiteStore(None, encoder="test", dimension=4)
    growing, fixed = GrowingMemory(store), SlotMemory(4, 4, 4)
    for slots in (growing, fixed):
        slots.write(["7", "8"], keys, keys)
        with pytest.raises(InputError, match=r"Nothing was forgotten\. .*" + message):
            slots.forget(ids_of(ids))
        assert slots.forget("7") == 1
        assert slots.forget([]) == 0
