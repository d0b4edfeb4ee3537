"""A memory after a fork: the child's and the parent's both work, or say at once that they cannot."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from larimar_memory.errors import LarimarError
from larimar_memory.larimar import Larimar
from larimar_memory.slots import SlotMemory
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.system import forking
from tests.forks import IN_USE, held_by_another, in_child, needs_fork
from tests.quick import QuickEncoder

pytestmark = needs_fork


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.larimar"


def opened(path: Path | None, **how: int) -> Larimar:
    return Larimar.open(path, encoder=QuickEncoder(), **how)  # type: ignore[arg-type]


def first(memory: Larimar, question: str) -> str:
    return memory.read(question, threshold=0).segments[0].text


def write_and_read(memory: Larimar, text: str) -> str:
    memory.write([text])
    return first(memory, text)


@pytest.mark.parametrize("read_first", [False, True])
@pytest.mark.parametrize("slots", [0, 64])
def test_child_and_parent_share_a_file(path: Path, read_first: bool, slots: int) -> None:
    with opened(path, **({"slots": slots} if slots else {})) as memory:
        memory.write(["of before"])
        if read_first:
            first(memory, "of before")
        for n in range(3):
            said = in_child(lambda n=n: write_and_read(memory, f"of the child {n}"))
            assert said == ("value", f"of the child {n}")
            assert write_and_read(memory, f"of the parent {n}") == f"of the parent {n}"
        assert memory.stats().documents == 7
    assert check(path).sound


def test_a_child_opens_anew(path: Path) -> None:
    def anew() -> str:
        with opened(path) as again:
            return write_and_read(again, "of the child")

    with opened(path) as memory:
        memory.write(["of before"])
        assert in_child(anew) == ("value", "of the child")
        assert in_child(lambda: in_child(anew)) == ("value", ["value", "of the child"])
        assert write_and_read(memory, "of the parent") == "of the parent"
        assert memory.stats().documents == 3


def test_a_child_has_a_copy_of_a_memory_in_ram() -> None:
    with opened(None) as memory:
        memory.write(["of before"])
        assert in_child(lambda: write_and_read(memory, "of the child")) == ("value", "of the child")
        assert in_child(lambda: first(memory, "of before")) == ("value", "of before")
        assert memory.stats().documents == 1


def test_what_a_child_closes_stays_open_in_the_parent(path: Path, small_parts: None) -> None:
    def close() -> int:
        memory.close()
        return 0

    with opened(path) as memory:
        memory.write([f"fact {n}" for n in range(70)])
        first(memory, "fact 3")
        assert in_child(close) == ("value", 0)
        assert in_child(lambda: write_and_read(memory, "more")) == ("value", "more")
        assert first(memory, "fact 3") == "fact 3"
        assert write_and_read(memory, "and more") == "and more"
    report = check(path)
    assert report.sound
    assert report.documents == 72


def test_what_a_child_writes_outlives_its_parents_close(path: Path) -> None:
    """As long as SQLite knows what each of them has locked."""
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()

    def child() -> None:
        first(memory, "of before")
        ready.set()
        go.wait(30)
        memory.write(["of the child"])
        os._exit(0)

    memory = opened(path)
    memory.write(["of before"])
    process = context.Process(target=child)
    process.start()
    assert ready.wait(30)
    memory.close()
    go.set()
    process.join(30)
    assert process.exitcode == 0
    with opened(path) as memory:
        assert first(memory, "of the child") == "of the child"
        assert memory.stats().documents == 2
    assert check(path).sound


def test_a_pool_of_processes(path: Path) -> None:
    global _shared
    with opened(path) as _shared:
        _shared.write([f"fact {n}" for n in range(20)])
        with multiprocessing.get_context("fork").Pool(3) as pool:
            found = pool.map_async(_read, [f"fact {n}" for n in range(20)]).get(60)
        assert found == [f"fact {n}" for n in range(20)]


_shared: Larimar


def _read(question: str) -> str:
    return first(_shared, question)


@pytest.mark.parametrize("in_file", [True, False])
def test_a_fork_while_another_thread_writes(
    path: Path, monkeypatch: pytest.MonkeyPatch, in_file: bool
) -> None:
    monkeypatch.setattr(forking, "WAIT_SECONDS", 0.1)
    memory = opened(path if in_file else None)
    memory.write(["of before"])
    database = memory.store._db  # type: ignore[attr-defined]
    inside, leave = threading.Event(), threading.Event()

    def write() -> None:
        with database.writing():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=write)
    thread.start()
    assert inside.wait(10)
    name = f"The memory {path}" if in_file else "The memory in RAM"
    assert in_child(lambda: first(memory, "x")) == ("MemoryFileError", name + IN_USE)
    assert in_child(lambda: write_and_read(memory, "x")) == ("MemoryFileError", name + IN_USE)
    assert in_child(memory.close) == ("value", None)
    if in_file:
        # What SQLite knows of the file in this process is half the parent's.
        assert in_child(lambda: opened(path).close()) == ("MemoryFileError", name + IN_USE)
        assert in_child(lambda: check(path).sound) == ("MemoryFileError", name + IN_USE)
    other = path.with_name("other.larimar")
    assert in_child(lambda: write_and_read(opened(other), "y")) == ("value", "y")
    leave.set()
    thread.join()
    assert in_child(lambda: first(memory, "of before")) == ("value", "of before")
    assert write_and_read(memory, "of the parent") == "of the parent"
    memory.close()


def test_forks_while_threads_read_and_write(path: Path) -> None:
    """A fork waits until none of them is inside SQLite."""
    done, wrong = threading.Event(), list[BaseException]()

    def use(memory: Larimar, name: str) -> None:
        try:
            n = 0
            while not done.is_set():
                n += 1
                assert write_and_read(memory, f"{name} {n % 9}") == f"{name} {n % 9}"
        except BaseException as error:
            wrong.append(error)

    with opened(path) as memory, opened(None) as in_ram:
        memory.write(["of before"])
        in_ram.write(["of before"])
        users = [(memory, "a"), (memory, "b"), (in_ram, "c"), (in_ram, "d")]
        threads = [threading.Thread(target=use, args=user) for user in users]
        for thread in threads:
            thread.start()
        try:
            for n in range(8):
                for used in (memory, in_ram):
                    said = in_child(lambda n=n, used=used: write_and_read(used, f"child {n}"))
                    assert said == ("value", f"child {n}")
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert wrong == []
    assert check(path).sound


def test_a_fork_inside_a_snapshot(path: Path) -> None:
    with opened(path) as memory:
        memory.write(["of before"])
        with memory.store.snapshot():
            said = in_child(lambda: first(memory, "of before"))
            assert said == ("MemoryFileError", f"The memory {path}" + IN_USE)
            assert first(memory, "of before") == "of before"
        assert in_child(lambda: first(memory, "of before")) == ("value", "of before")


def test_a_file_that_is_gone_is_not_made_again(path: Path) -> None:
    memory = opened(path)
    memory.write(["of before"])
    in_child(lambda: None)
    path.unlink()
    for use in (lambda: memory.read("of before"), lambda: memory.write(["x"]), memory.close):
        with pytest.raises(LarimarError, match=r"cannot be opened\. The file does not exist"):
            use()
    assert not path.exists()


def test_a_read_only_memory(path: Path) -> None:
    opened(path).close()
    with Larimar.open(path, encoder=QuickEncoder(), read_only=True) as memory:
        assert in_child(lambda: memory.stats().documents) == ("value", 0)
        assert memory.stats().documents == 0


def test_slots_that_another_thread_is_changing() -> None:
    memory = SlotMemory(8, 4, 4)
    memory.write(["a"], np.eye(4)[:1], np.eye(4)[:1])
    assert in_child(lambda: len(memory)) == ("value", 1)
    with held_by_another(lambda inside: (memory._lock.__enter__(), inside.set())):
        assert in_child(lambda: memory.forget(["a"])) == ("LarimarError", "The slot memory" + IN_USE)


def test_a_lock_is_the_forking_threads_own() -> None:
    lock = forking.Lock("It")

    def again() -> bool:
        with lock:
            return lock.lost

    with lock:
        assert in_child(again) == ("value", False)


def test_who_goes_on_for_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "WAIT_SECONDS", 0.05)

    def stay(inside: threading.Event) -> None:
        forking.inside().__enter__()
        inside.set()

    with held_by_another(stay):
        assert in_child(lambda: 5) == ("value", 5)
    forking._inside.clear()


def test_a_fork_happens_where_a_thread_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "WAIT_SECONDS", 60)
    started, done = threading.Event(), threading.Event()

    def work() -> None:
        with forking.inside():
            started.set()
            while not done.is_set():
                forking.pause()

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(10)
    try:
        assert in_child(lambda: 5) == ("value", 5)
    finally:
        done.set()
        thread.join()
