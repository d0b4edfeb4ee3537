"""Namespaces of users who are not the same never meet, however alike their names look."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from langchain_larimar import LarimarStore, LarimarVectorStore
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.stores.postgres.store import PostgresStore
from larimar_memory.stores.sqlite import vectors
from tests.langchain.conftest import LOOKALIKES
from tests.postgres import Server
from tests.quick import QuickEncoder

NAMES = [
    *LOOKALIKES,
    *(
        "ANA",
        "ana\t",
        "ana\u00a0",
        "ana\u00ad",
        "\uff41\uff4e\uff41",
        "\u1d43na",
        "an\u00e0",
        "ana\u0301",
    ),
    *("a", "an%", "%", "_", "___", "*", "ana*", "[ana]", "?", "ana;", 'ana"', "ana'", "ana--", "ana\\"),
    *(
        "ana.bob",
        "ana,bob",
        "ana|bob",
        "ana\r\nbob",
        "1",
        "01",
        "1.0",
        "1-1",
        "null",
        "None",
        "default",
    ),
    *(
        "\u212a",
        "K",
        "k",
        "\u017f",
        "s",
        "S",
        "\u00df",
        "ss",
        "SS",
        "\u0130",
        "i",
        "I",
        "\u2126",
        "\u03a9",
    ),
    *("store:ana", "user:ana:", "main", "sqlite_master", "fts_1", "segments", "x" * 1000, "x" * 999),
    *(
        "\U0001f469\u200d\U0001f467",
        "\U0001f469\U0001f467",
        "\u202eana",
        "ana\ufeff",
        "ana\x1b",
        "{}",
        "$and",
    ),
]
ALIKE = st.sampled_from(NAMES) | st.text(
    alphabet="aA\u00e5\u212bn%_*'\"\\;-. \t\n\u200b\u0301\U0001f98a", min_size=1, max_size=6
)


def secret(name: str, n: int = 0) -> str:
    return f"The code of {NAMES.index(name)} is {7919 * (NAMES.index(name) + 1) + n}."


def admitted(server: Server, database: str, role: str) -> str:
    """The address of a memory for a role that sees one namespace at a time."""
    if not server.has(role):
        server.run(f"CREATE ROLE {role} LOGIN")
    store = PostgresStore(server.address(database), encoder="quick", dimension=16)
    store.admit(role)
    store.close()
    return server.address(database, role)


@pytest.fixture(scope="module", params=["ram", "exact", "index", "slots", "database", "role"])
def tenants(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Larimar]:
    """A memory of many users, each with the same ids and metadata, and a text of their own."""
    path: Any = None if request.param == "ram" else tmp_path_factory.mktemp("tenants") / "m.larimar"
    if request.param in ("database", "role"):
        path = request.getfixturevalue("server").empty("larimar_tenants")
    if request.param == "role":
        path = admitted(request.getfixturevalue("server"), "larimar_tenants", "tenant")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "index":
            patch.setattr(vectors, "EXACT_LIMIT", 1)
            patch.setattr(vectors, "_TAIL_LIMIT", 1)
        options: dict[str, Any] = {"slots": 8} if request.param == "slots" else {}
        with Larimar.open(path, encoder=QuickEncoder(), **options) as memory:
            for name in NAMES:
                memory.write(
                    [secret(name, n) for n in range(3)],
                    ["same id", "%", f"id of {NAMES.index(name)}"],
                    [{"of": name, "kind": "secret"}] * 3,
                    namespace=name,
                )
        if request.param == "index":
            assert len(list(path.parent.glob("m.larimar-vectors/*.keys"))) == len(NAMES)
        with Larimar.open(path, encoder=QuickEncoder(), **options) as again:
            if request.param == "ram":
                for name in NAMES:
                    again.write([secret(name)], ["same id"], [{"of": name}], namespace=name)
            yield again


def test_the_names_differ() -> None:
    assert len(set(NAMES)) == len(NAMES) > 60


def test_reading_finds_ones_own_only(tenants: Larimar) -> None:
    leaks = list[str]()
    for name in NAMES:
        other = NAMES[(NAMES.index(name) + 1) % len(NAMES)]
        for asked in (secret(name), other):
            for where in (None, {"of": other}, {"$not": {"of": name}}):
                read = tenants.read(asked, 50, namespace=name, threshold=0, where=where, neighbours=9)
                found = tenants.search(asked, 50, namespace=name, where=where)
                texts = [s.context for s in read.segments] + [c.segment.text for c in found]
                leaks += [t for t in texts if f"code of {NAMES.index(name)} is" not in t]
                leaks += [t for s in read.segments if s.metadata["of"] != name for t in [s.text]]
                if where:
                    assert texts == []
        if (mine := tenants.read(secret(name), 1, namespace=name, threshold=0).segments) is not None:
            assert [s.text for s in mine] == [secret(name)]
    assert leaks == []


def test_listing_and_counting(tenants: Larimar) -> None:
    # A role that sees one namespace at a time sees none where it names none.
    alone = isinstance(tenants.store, PostgresStore) and tenants.store._db.restricted
    assert sorted(tenants.store.namespaces()) == ([] if alone else sorted(NAMES))
    for name in NAMES:
        held = list(tenants.documents(namespace=name))
        assert {d.metadata["of"] for d in held} == {name}
        assert tenants.stats(name).documents == len(held)
        assert tenants.text("same id", namespace=name) == secret(name)
        with pytest.raises(InputError, match="There is no document"):
            tenants.text(f"id of {NAMES.index(name) - 1}", namespace=name)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "update", "forget", "forget where", "forget all", "same"]),
            ALIKE,
            st.sampled_from(["1", "2", "1 ", "%"]),
            st.integers(0, 99),
        ),
        max_size=25,
    ),
    st.booleans(),
)
@settings(max_examples=60)
def test_what_one_does_changes_nothing_for_others(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str, int]], file: bool
) -> None:
    path = tmp_path_factory.mktemp("steps") / "m.larimar" if file else None
    expected: dict[str, dict[str, str]] = {}
    with Larimar.open(path, encoder=QuickEncoder(), synchronous="normal") as memory:
        for what, name, id, number in steps:
            mine = expected.setdefault(name, {})
            text = f"Note {number} of {name.encode().hex()}."
            if what in ("write", "same"):
                memory.write(text, [id], [{"n": number % 3}], namespace=name)
                mine[id] = text
            elif what == "update":
                if id in mine:
                    memory.update(id, text, namespace=name)
                    mine[id] = text
                else:
                    with pytest.raises(InputError, match="There is no document"):
                        memory.update(id, text, namespace=name)
            elif what == "forget":
                assert memory.forget(ids=[id], namespace=name, purge=False) == (id in mine)
                mine.pop(id, None)
            elif what == "forget where":
                gone = {d.id for d in memory.documents(namespace=name, where={"n": number % 3})}
                memory.forget(where={"n": number % 3}, namespace=name, purge=False)
                expected[name] = {i: t for i, t in mine.items() if i not in gone}
            else:
                memory.forget(namespace=name, purge=False)
                mine.clear()
            for other, held in expected.items():
                assert {d.id for d in memory.documents(namespace=other)} == set(held)
        for other, held in expected.items():
            assert {i: memory.text(i, namespace=other) for i in held} == held
            found = memory.search("Note", 99, namespace=other)
            assert sorted(c.segment.text for c in found) == sorted(held.values())


@pytest.mark.parametrize("name", ["", "a\0b", "ana\0", "\ud800", "x" * 1001, None, 1, b"ana", ["ana"]])
def test_a_name_that_cannot_be_one_falls_back_on_no_other(name: Any) -> None:
    with Larimar.open(encoder=QuickEncoder()) as memory:
        memory.write("The code is 1.", ["d"])
        tries = [
            lambda: memory.write("x", namespace=name),
            lambda: memory.read("code", namespace=name),
            lambda: memory.search("code", namespace=name),
            lambda: memory.update("d", "x", namespace=name),
            lambda: memory.text("d", namespace=name),
            lambda: memory.documents(namespace=name),
            lambda: memory.health(name),
            lambda: memory.write_latents(namespace=name),
            lambda: memory.answer("code", namespace=name),
        ]
        # Said outright, None is "the default one" when forgetting, and "all" when counting.
        if name is not None:
            tries += [lambda: memory.forget(ids="d", namespace=name), lambda: memory.stats(name)]
        for attempt in tries:
            with pytest.raises(InputError, match="cannot be a namespace"):
                attempt()
        assert memory.text("d") == "The code is 1."


async def test_sixteen_tasks_at_once_never_meet(tmp_path: Path) -> None:
    names, leaks = random.Random(0).sample(NAMES, 16), list[str]()
    with Larimar.open(tmp_path / "m.larimar", encoder=QuickEncoder()) as memory:
        items = LarimarStore(memory)

        async def one(name: str) -> None:
            mine, label = f"code of {NAMES.index(name)} is", str(NAMES.index(name))
            documents = LarimarVectorStore(memory=memory, namespace=name)
            for n in range(4):
                await documents.aadd_texts([secret(name, n)], [{"of": name}], ids=["same id"])
                await items.aput(("users", label), "same key", {"text": secret(name, n)})
                await asyncio.to_thread(memory.write, [secret(name, 9)], ["own"], namespace=name)
                found = await documents.asimilarity_search("What is the code?", k=50)
                leaks.extend(d.page_content for d in found if mine not in d.page_content)
                got = await documents.aget_by_ids(["same id"])
                leaks.extend(d.page_content for d in got if d.page_content != secret(name, n))
                for item in await items.asearch(("users", label), query="What is the code?"):
                    leaks.extend(t for t in [item.value["text"]] if t != secret(name, n))
                read = await asyncio.to_thread(memory.read, "code", 50, namespace=name, threshold=0)
                leaks.extend(s.text for s in read.segments if mine not in s.text)
                await documents.adelete(["own", "not mine"])
                assert len(await documents.aget_by_ids(["same id", "own"])) == 1

        await asyncio.gather(*map(one, names))
    assert leaks == []


@given(ALIKE, ALIKE)
@settings(max_examples=60)
def test_two_vector_stores_of_one_memory(one: str, other: str) -> None:
    assume(one != other)
    with Larimar.open(encoder=QuickEncoder()) as memory:
        first, second = (LarimarVectorStore(memory=memory, namespace=n) for n in (one, other))
        first.add_texts(["A secret."], [{"of": "first"}], ids=["1"])
        assert second.similarity_search("A secret.", k=9) == second.get_by_ids(["1"]) == []
        assert second.similarity_search("A secret.", k=9, filter={"of": "first"}) == []
        second.delete(["1"])
        second.add_texts(["Another."], ids=["1"])
        second.delete()
        assert [d.page_content for d in first.similarity_search("A secret.", k=9)] == ["A secret."]
