"""What is particular of a store in RAM: it keeps to RAM, and one connection serves all threads."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from larimar_memory.errors import ClosedError
from larimar_memory.stores.base import Span
from larimar_memory.testing.writes import batch, found, said
from tests.stores.test_laws import open_file


def test_threads_see_whole_writes_and_never_a_lock() -> None:
    store, wrong, done = open_file(None), list[object](), threading.Event()
    store.write("n", [batch("a", ["text 0"] * 3), batch("b", ["text 0"] * 3)])

    def read() -> None:
        try:
            while not done.is_set():
                one, two = store.spans("n", [Span("a"), Span("b")])
                if len({*said(one), *said(two)}) != 1 or len(one) != 3:
                    wrong.append((said(one), said(two)))
                if len(store.lexical("n", ["text"], 99)) != 6 or store.stats("n").segments != 6:
                    wrong.append("a part")
                with store.snapshot():
                    if list(store.documents("n")) != list(store.documents("n")):
                        wrong.append("two moments")
        except Exception as error:
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    for n in range(150):
        store.write("n", [batch(name, [f"text {n}"] * 3) for name in ("a", "b")])
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    store.close()


def test_a_purge_leaves_nothing_of_what_was_deleted(tmp_path: Path) -> None:
    store = open_file(None)
    store.write("n", [batch(f"d{n}", [f"secret{n} of many words {n} " * 30]) for n in range(300)])
    store.write("n", [batch("kept", ["harmless text"]), batch("d0", ["replaced"])])
    assert store.delete("n", ids=[f"d{n}" for n in range(300)], to_purge=True) == 300
    store.purge()
    with closing(sqlite3.connect(tmp_path / "copy")) as copy, store._db.reading() as db:
        db.backup(copy)
    held = (tmp_path / "copy").read_bytes()
    assert b"secret" not in held
    assert b"words" not in held
    assert b"harmless" in held
    assert len(held) < 300_000
    assert found(store, "n", "harmless text") == ["harmless text"]


def test_nothing_reaches_the_disk_and_errors_name_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_file(None, read_only=True)
    store.write("n", [batch("d", ["text"])])
    store.purge()
    store.clear()
    assert (store.path, store.stats().bytes_on_disk) == (None, 0)
    store.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(
        ClosedError, match=r"The memory in RAM cannot be used\. It has been closed\. Open a new"
    ):
        store.stats()
