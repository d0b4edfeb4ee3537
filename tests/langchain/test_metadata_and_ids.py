"""Metadata of dates and NumPy's scalars, and ids of other types, in the faces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from langchain_core.documents import Document

from langchain_larimar import (
    LarimarChatMessageHistory,
    LarimarMemory,
    LarimarRetriever,
    LarimarStore,
    LarimarVectorStore,
)
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from tests.quick import QuickEncoder

MOMENT = datetime(2026, 3, 1, 8, 30)


@pytest.fixture(params=["ram", "file"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Larimar]:
    path = None if request.param == "ram" else tmp_path / "m.larimar"
    with Larimar.open(path, encoder=QuickEncoder()) as opened:
        yield opened


@pytest.fixture
def store(memory: Larimar) -> LarimarVectorStore:
    made = LarimarVectorStore(memory=memory)
    made.add_texts(["Seven.", "Eight."], [{"n": 7}, {"n": 8}], ids=["7", "8"])
    return made


def test_metadata_and_filters_of_a_vector_store(store: LarimarVectorStore, memory: Larimar) -> None:
    at = [date(2026, 2, 1), MOMENT, np.datetime64("2026-03-02T00:00")]
    documents = [Document(f"Text {n}.", metadata={"at": a, "n": np.int64(n)}) for n, a in enumerate(at)]
    ids = store.add_documents(iter(documents))  # type: ignore[arg-type]
    assert documents[1].metadata == {"at": MOMENT, "n": np.int64(1)}
    (second,) = store.get_by_ids([ids[1]])
    assert second.metadata == {"at": "2026-03-01T08:30:00", "n": 1}
    found = store.similarity_search("Text", 9, filter={"at": {"$gte": date(2026, 3, 1)}})
    assert {document.metadata["n"] for document in found} == {1, 2}
    retriever = LarimarRetriever(memory=memory, score_threshold=0.0)
    (only,) = retriever.invoke("Text 1.", where={"at": MOMENT})
    assert only.page_content == "Text 1."
    assert store.delete(filter={"at": {"$lt": MOMENT}})
    assert [document.id for document in store.get_by_ids(ids)] == ids[1:]


@pytest.mark.parametrize("bad", [float("nan"), UUID(int=5), Path("x"), {1}, Document("inner")])
def test_metadata_that_cannot_be_kept_is_named(store: LarimarVectorStore, bad: Any) -> None:
    metadatas = [{"fine": 1}, {"a": {"b": [1, bad]}}]
    bad_one = metadatas[1]
    path = r"metadata\['a'\]\['b'\]\[1\]"
    for add, whose in (
        (lambda: store.add_texts(["One.", "Two."], metadatas), "text 2"),
        (lambda: store.add_texts(["", "Two."], metadatas), "text 2"),
        (lambda: store.add_texts(["One.", "Two."], metadatas, ids=["x", "y"]), "document 'y'"),
        (
            lambda: store.add_documents([Document("Two.", id="z", metadata=metadatas[1])]),
            "document 'z'",
        ),
        (lambda: store.add_documents([Document("Two.", metadata=bad_one)]), "text 1"),
    ):
        with pytest.raises(InputError, match=rf"The metadata of {whose} cannot be kept\. .*{path}"):
            add()
    assert store.memory.stats().documents == 2


USES: list[tuple[Callable[[LarimarVectorStore], Any], str]] = [
    (
        lambda s: s.delete(ids=[7]),
        r"Nothing was deleted\. The id 7 is a int, and ids are str\. Give the",
    ),
    (lambda s: s.delete([None]), r"Nothing was deleted\. The id None is a NoneType"),
    (
        lambda s: s.delete(ids=7),
        r"Nothing was deleted\. The ids are a int, and not a list of str\. Give",
    ),
    (lambda s: s.delete(ids=b"7"), r"Nothing was deleted\. The ids are a bytes"),
    (lambda s: s.delete(ids={"7": 1}), r"Nothing was deleted\. The ids are a dict"),
    (lambda s: s.delete(ids=np.array([7])), "The id .* is a int64"),
    (lambda s: s.delete(ids=["7", 8]), "The id 8 is a int"),
    (lambda s: s.delete(filter=7), "A filter is a mapping, and it is a int"),
    (
        lambda s: s.get_by_ids([None]),
        r"entries cannot be given\. The id None is a NoneType, and ids are",
    ),
    (lambda s: s.get_by_ids([7]), r"The entries cannot be given\. The id 7 is a int"),
    (lambda s: s.get_by_ids(7), r"The entries cannot be given\. The ids are a int"),
    (lambda s: s.get_by_ids(None), "The ids are a NoneType"),
    (lambda s: s.add_texts(["a"], ids=[7]), "7 cannot be a document id"),
    (lambda s: s.add_texts(["a"], ids=7), "There are 1 texts and a single int for ids"),
    (lambda s: s.add_texts(["a"], ids="a"), "There are 1 texts and a single str for ids"),
    (lambda s: s.add_texts(["a"], {"n": 1}), "There are 1 texts and a single dict for metadatas"),
    (lambda s: asyncio.run(s.adelete([7])), "Nothing was deleted. The id 7 is a int"),
    (lambda s: asyncio.run(s.aget_by_ids([None])), "The entries cannot be given. The id None is"),
    (lambda s: LarimarChatMessageHistory(s.memory, 7).clear(), "No session is named by 7"),
    (lambda s: LarimarMemory(s.memory, 7).clear(), "No session is named by 7"),
    (lambda s: LarimarStore(s.memory).delete("users", "7"), "'users' cannot be a namespace"),
    (lambda s: s.delete(np.array("7")), r"Nothing was deleted\. The ids are a ndarray, and not"),
    (lambda s: s.get_by_ids(np.array("7")), r"cannot be given\. The ids are a ndarray, and not"),
    (lambda s: s.add_texts(["a"], ids=np.array("7")), "There are 1 texts and a single ndarray for ids"),
]


@pytest.mark.parametrize(("use", "message"), USES)
def test_ids_of_another_type(
    store: LarimarVectorStore, use: Callable[[LarimarVectorStore], Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        use(store)
    assert len(store.get_by_ids(["7", "8"])) == 2


@pytest.mark.parametrize("key", [7, None, ["7"], b"7", UUID(int=7), Path("7"), np.array("7"), True])
def test_keys_of_a_graph_store(memory: Larimar, key: Any) -> None:
    items, space = LarimarStore(memory), ("notes",)
    for kept in ("7", str(key), "other"):
        items.put(space, kept, {"text": kept})
    for use in (
        lambda: items.delete(space, key),
        lambda: asyncio.run(items.adelete(space, key)),
        lambda: items.get(space, key),
        lambda: asyncio.run(items.aget(space, key)),
        lambda: items.put(space, key, {"text": "new"}),
        lambda: asyncio.run(items.aput(space, key, {"text": "new"})),
    ):
        with pytest.raises(InputError, match=r"cannot be a key\. A key is a str"):
            use()
    with pytest.raises(InputError, match="7 cannot be a namespace"):
        items.delete(7, "7")  # type: ignore[arg-type]
    assert {found.value["text"] for found in items.search(space)} == {"7", str(key), "other"}
    items.delete(space, "7")
    assert items.get(space, "7") is None


def test_ids_of_any_number(store: LarimarVectorStore) -> None:
    wanted = ["7", "8"]
    odd = ["unknown", "", "x\0", "\ud800", "7#0\ud800", "\ud800#1", "7#9", "7#" + "9" * 40, "y" * 5000]
    for ids in (wanted, iter(wanted), tuple(wanted), np.array(wanted), dict.fromkeys(wanted).keys()):
        assert [document.id for document in store.get_by_ids(ids)] == wanted  # type: ignore[arg-type]
    assert [document.id for document in store.get_by_ids("7")] == ["7"]
    assert store.get_by_ids([]) == store.get_by_ids(odd) == []
    assert store.delete(odd)
    assert store.delete([])
    assert len(store.get_by_ids(wanted)) == 2
    assert store.delete("7")
    assert store.delete(id for id in ["8"])
    assert store.get_by_ids(wanted) == []


def test_values_of_a_graph_store(memory: Larimar) -> None:
    items = LarimarStore(memory)
    items.put(("notes",), "a", {"at": MOMENT, "n": np.float32(0.5), "of": [date(2026, 3, 1)]})
    item = items.get(("notes",), "a")
    assert item is not None
    assert item.value == {"at": "2026-03-01T08:30:00", "n": 0.5, "of": ["2026-03-01"]}
    for wanted in ({"at": MOMENT}, {"n": np.float64(0.5)}, {"at": {"$eq": MOMENT}}, {"n": {"$lt": 1}}):
        assert [found.key for found in items.search(("notes",), filter=wanted)] == ["a"]
    assert items.search(("notes",), filter={"at": {"$ne": MOMENT}}) == []
    listed = {"of": {"$eq": (date(2026, 3, 1),)}, "n": {"$ne": [MOMENT]}}
    assert [found.key for found in items.search(("notes",), filter=listed)] == ["a"]
    with pytest.raises(InputError, match=r"The value of 'b' cannot be kept\. .*value\['a'\]\[0\]"):
        items.put(("notes",), "b", {"a": [UUID(int=5)]})


@pytest.mark.parametrize(
    ("bad", "shown"),
    [
        (float("nan"), "there is nan"),
        (np.float32("inf"), "there is inf"),
        (UUID(int=5), "there is a UUID"),
        (Path("x"), "there is a PosixPath"),
        (b"x", "there is a bytes"),
        ({1}, "there is a set"),
        (np.arange(3), "there is a ndarray"),
        (np.timedelta64(1, "s"), "there is a timedelta64"),
        (np.datetime64("NaT"), "there is a datetime64"),
        ({None: 1}, "None is no name of an entry"),
    ],
)
def test_filters_of_a_graph_store_that_no_value_satisfies(
    memory: Larimar, bad: Any, shown: str
) -> None:
    items = LarimarStore(memory)
    items.put(("notes",), "a", {"v": 1})
    wanted: list[Any] = [{"v": bad}, {"v": [1, bad]}, {"v": {"w": bad}}]
    if not isinstance(bad, dict):
        wanted += [{"v": {"$eq": bad}}, {"v": {"$ne": [bad]}}]
    for one in wanted:
        with pytest.raises(InputError, match=rf"cannot be used\. In it, {shown}"):
            items.search(("notes",), filter=one)
    with pytest.raises(InputError, match="In it, 7 is no name of an entry"):
        items.search(("notes",), filter={7: None})
    with pytest.raises(InputError, match=r"\$lt is given nan, and only numbers are ordered"):
        items.search(("notes",), filter={"v": {"$lt": float("nan")}})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_time_weighted_retriever_in_two_rounds(memory: Larimar) -> None:
    classic = pytest.importorskip("langchain_classic.retrievers")
    store = LarimarVectorStore(memory=memory)
    retriever = classic.TimeWeightedVectorStoreRetriever(vectorstore=store, decay_rate=0.01, k=1)
    now = datetime.now()
    old = Document("The ferry leaves at nine.", metadata={"last_accessed_at": now - timedelta(days=30)})
    retriever.add_documents([old])
    retriever.add_documents([Document("The ferry leaves at ten.")])
    (held, later) = store.get_by_ids([d.id for d in memory.documents()])
    assert (held.metadata["buffer_idx"], later.metadata["buffer_idx"]) == (0, 1)
    moment = datetime.fromisoformat(held.metadata["last_accessed_at"])
    assert moment == now - timedelta(days=30)
    assert isinstance(held.metadata["created_at"], str)
    (first,) = retriever.invoke("When does the ferry leave?")
    assert first.page_content == "The ferry leaves at ten."
    assert isinstance(first.metadata["last_accessed_at"], datetime)
    retriever.add_documents([Document("The ferry leaves at noon.")], current_time=now)
    assert len(retriever.memory_stream) == 3
    assert [d.metadata["buffer_idx"] for d in memory.documents()] == [0, 1, 2]
    again = retriever.invoke("The ferry leaves at noon.")
    assert [document.page_content for document in again] == ["The ferry leaves at noon."]
    found = store.similarity_search(
        "Ferry", 9, filter={"last_accessed_at": {"$lt": now - timedelta(1)}}
    )
    assert [document.metadata["buffer_idx"] for document in found] == [0]


def test_moments_with_a_zone_are_told_in_utc(store: LarimarVectorStore) -> None:
    berlin = timezone(timedelta(hours=2))
    store.add_texts(["Zoned."], [{"at": MOMENT.replace(tzinfo=berlin)}], ids=["z"])
    (document,) = store.get_by_ids(["z"])
    assert document.metadata == {"at": "2026-03-01T06:30:00+00:00"}
    assert datetime.fromisoformat(document.metadata["at"]) == MOMENT.replace(tzinfo=berlin)


def test_moments_of_pandas(store: LarimarVectorStore) -> None:
    pandas = pytest.importorskip("pandas")
    store.add_texts(["Stamped."], [{"at": pandas.Timestamp("2026-03-01T08:30", tz="UTC")}], ids=["p"])
    assert store.get_by_ids(["p"])[0].metadata == {"at": "2026-03-01T08:30:00+00:00"}
    with pytest.raises(InputError, match=r"metadata\['at'\] is NaT"):
        store.add_texts(["Stamped."], [{"at": pandas.NaT}])
