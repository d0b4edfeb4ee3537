"""The LangGraph store asynchronously, and by many callers at once."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from langchain_larimar import LarimarStore
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar

from .graph_items import plain


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
