"""Index files fit the rows beside them, whatever was killed, put back or read meanwhile, and erase."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from larimar_memory.encoders import NoEncoder
from larimar_memory.encoders.keys import coded
from larimar_memory.larimar import Larimar
from larimar_memory.stores import SQLiteStore
from larimar_memory.stores.sqlite import parts as parts_module
from larimar_memory.stores.sqlite import vectors as vectors_module
from larimar_memory.stores.sqlite.files import index_folder
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.opening import backup
from larimar_memory.stores.sqlite.parts import IndexFile, Part
from larimar_memory.testing.writes import batch, found, key_of
from tests.forks import needs_fork, status_of_child
from tests.stores.test_laws import open_file

ROOT = str(Path(__file__).parents[2])
LIMITS = {"EXACT_LIMIT": 16, "_TAIL_LIMIT": 8}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a memory that will have a part for some twenty segments."""
    for name, limit in LIMITS.items():
        monkeypatch.setattr(vectors_module, name, limit)
    monkeypatch.setattr(parts_module, "LIMIT", 20)
    return tmp_path / "m" / "m.larimar"


def texts_of(name: str) -> list[str]:
    return [f"{name} says {n}" for n in range(5)]


def write(path: Path, *names: str) -> None:
    store = open_file(path)
    for name in names:
        store.write("n", [batch(name, texts_of(name))])
    store.close()


def misses(store: SQLiteStore, names: list[str]) -> int:
    """Texts that are not nearest to themselves."""
    texts = [text for name in names for text in texts_of(name)]
    return sum(found(store, "n", text, 1) != [text] for text in texts)


def elsewhere(path: Path, lines: str) -> int:
    """Run lines in a new process, with a `store` and the same limits; returns its status."""
    script = (
        "from pathlib import Path\n"
        "from larimar_memory.stores.sqlite import parts, vectors\n"
        "from larimar_memory.testing.writes import batch\n"
        "from tests.stores.test_laws import open_file\n"
        f"vectors.EXACT_LIMIT, vectors._TAIL_LIMIT, parts.LIMIT = 16, 8, 20\n"
        f"store = open_file(Path({str(path)!r}))\n{lines}\n"
    )
    return subprocess.run([sys.executable, "-c", script], check=False, cwd=ROOT).returncode


def is_killed(path: Path, work: Callable[[SQLiteStore], object], at: str = "") -> bool:
    """Whether a process, in which `vectors` has another function that kills it, is killed at work."""

    def work_there() -> None:
        if at:
            setattr(vectors_module, at, lambda *_: os._exit(9))
        work(open_file(path))
        os._exit(0 if at else 9)

    return status_of_child(work_there) == 9


def holds(path: Path, text: str) -> bool:
    key = coded(key_of(text)).tobytes()
    return any(key in file.read_bytes() for file in index_folder(path).glob("*"))


OLD = [f"old{n}" for n in range(8)]
LATER = [f"later{n}" for n in range(8)]
NEW = [f"new{n}" for n in range(12)]


@pytest.mark.parametrize("deleting", [False, True])
def test_a_backup_that_is_put_back_is_what_is_answered_from(path: Path, deleting: bool) -> None:
    write(path, *OLD)
    copy = path.with_name("copy")
    backup(path, copy)
    store = open_file(path)
    if deleting:
        store.delete("n", ids=["old3"])
    for name in LATER:
        store.write("n", [batch(name, texts_of(name))])
    store.close()
    shutil.move(copy, path)
    assert {f.what for f in check(path).findings} == {"not erased: files of another state"}
    store = open_file(path)
    if deleting:
        store.delete("n", ids=["old5"])
    for name in NEW:
        store.write("n", [batch(name, texts_of(name))])
    names = [name for name in [*OLD, *NEW] if not (deleting and name == "old5")]
    assert misses(store, names) == 0
    store.close()
    assert check(path).findings == []
    store = open_file(path)
    assert misses(store, names) == 0
    store.close()


@needs_fork
def test_a_part_is_used_again_after_a_write_and_a_crash(path: Path) -> None:
    write(path, *OLD)
    before = {p.name for p in index_folder(path).iterdir()}
    assert len(before) > 1
    assert is_killed(path, lambda store: store.delete("n", ids=["old7"]))
    left = {p.name for p in index_folder(path).iterdir()}
    assert left
    assert left < before
    assert check(path).findings == []
    store = open_file(path)
    assert misses(store, OLD[:4]) == 0
    assert {part.file.path.name for part in store._indexes._vectors[1].parts if part.file} >= left
    store.close()


@needs_fork
@pytest.mark.parametrize("all_of_it", [False, True])
def test_what_a_crash_leaves_of_a_forgotten_key_is_told_and_erased(path: Path, all_of_it: bool) -> None:
    write(path, *OLD)
    ids = None if all_of_it else ["old2"]
    assert is_killed(path, lambda store: store.delete("n", ids=ids), "unlink")
    assert holds(path, "old2 says 1")
    report = check(path)
    assert [f.what for f in report.findings] == ["not erased: files of another state"]
    assert not report.sound
    assert not report.damaged
    store = open_file(path)
    assert "old2 says 1" not in found(store, "n", "old2 says 1", 50)
    store.purge()
    assert not holds(path, "old2 says 1")
    store.close()
    assert check(path).findings == []
    assert not holds(path, "old2 says 1")


@needs_fork
def test_forgetting_what_is_gone_still_clears_the_index_files(path: Path) -> None:
    write(path, *OLD)
    assert is_killed(path, lambda store: store.delete("n"), "unlink")
    store = open_file(path)
    memory = Larimar(store, encoder=NoEncoder("none", 1), decoder="none")
    assert memory.forget(ids=["old2"], namespace="n") == 0
    assert list(index_folder(path).iterdir()) == []
    memory.close()


def test_a_row_deleted_while_a_part_is_sealed_is_not_in_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, *OLD[:3])
    other, mine = open_file(path), open_file(path)
    save, done = mine._indexes._save, []

    def forgotten_first(space: int, part: Part) -> object:
        if not done:
            done.append(other.delete("n", ids=["old1"]))
        return save(space, part)

    monkeypatch.setattr(mine._indexes, "_save", forgotten_first)
    for name in OLD[3:]:
        mine.write("n", [batch(name, texts_of(name))])
    assert done == [1]
    assert not holds(path, "old1 says 1")
    mine.close()
    other.close()
    assert not holds(path, "old1 says 1")
    assert check(path).findings == []


def test_a_part_whose_file_is_deleted_before_it_is_mapped_stays_in_ram(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, gone = Part.write, list[Path]()

    def deleted(part: Part, folder: Path, space: int) -> IndexFile:
        file = written(part, folder, space)
        file.path.unlink()
        gone.append(file.path)
        return file

    store = open_file(path)
    with monkeypatch.context() as patch:
        patch.setattr(Part, "write", deleted)
        for name in OLD:
            store.write("n", [batch(name, texts_of(name))])
    assert gone
    assert misses(store, OLD) == 0
    store.close()
    assert list(index_folder(path).glob("*.keys"))
    store = open_file(path)
    assert misses(store, OLD) == 0
    store.close()


def test_read_only_filters_and_touches_no_file(path: Path) -> None:
    write(path, *OLD)
    reader = open_file(path, read_only=True)
    assert misses(reader, OLD) == 0
    assert elsewhere(path, "store.delete('n', ids=['old1', 'old2']); store.close()") == 0
    before = {p.name: p.stat().st_mtime_ns for p in index_folder(path).iterdir()}
    assert before
    texts = found(reader, "n", "old1 says 1", 30)
    assert sorted(texts) == sorted(
        t for name in OLD if name not in ("old1", "old2") for t in texts_of(name)
    )
    assert {p.name: p.stat().st_mtime_ns for p in index_folder(path).iterdir()} == before
    reader.close()
    assert {p.name: p.stat().st_mtime_ns for p in index_folder(path).iterdir()} == before


def test_a_read_only_memory_sees_what_is_written_later(path: Path) -> None:
    write(path, *OLD[:2])
    assert not path.with_name(f"{path.name}-wal").exists()
    reader = open_file(path, read_only=True)
    assert reader.stats().documents == 2
    assert elsewhere(path, "store.write('n', [batch('new', ['new says 1'])]); store.close()") == 0
    assert reader.stats().documents == 3
    assert found(reader, "n", "new says 1", 1) == ["new says 1"]
    reader.close()
    assert [p.name for p in path.parent.iterdir() if p.is_file()] == [path.name]


def test_an_older_view_takes_nothing_newer_from_the_index(path: Path) -> None:
    write(path, *OLD)
    store = open_file(path)
    with store.snapshot():
        # Another thread, which sees what this one does not, has the same index.
        writing = (
            "store.write('n', [batch(n, [f'{n} says {i}' for i in range(5)]) for n in ('a', 'b')])"
        )
        assert elsewhere(path, f"{writing}; store.close()") == 0
        with store._db.maintaining() as db:
            store._indexes._synced(db, 1)
        assert len(found(store, "n", "a says 1", 5)) == 5
        assert "a says 1" not in found(store, "n", "a says 1", 50)
    assert misses(store, ["a", "b"]) == 0
    store.close()


def test_rewriting_again_and_again_leaves_no_more_than_there_is(path: Path) -> None:
    store = open_file(path)
    for turn in range(20):
        for n in range(20):
            store.write("n", [batch(f"d{n}", [f"d{n} says {i} in turn {turn}" for i in range(3)])])
    vectors = store._indexes._vectors[1]
    assert sum(len(part) for part in vectors.parts) + vectors._count == 60
    for n in range(20):
        assert len(found(store, "n", f"d{n} says 1 in turn 19", 5)) == 5
    store.close()
    assert check(path).findings == []


def test_deleting_nothing_changes_nothing(path: Path) -> None:
    write(path, *OLD)
    before = sorted(index_folder(path).iterdir())
    store = open_file(path)
    generation = store.generation("n")
    assert store.delete("n", ids=["unknown"]) == 0
    assert store.delete("elsewhere") == 0
    assert store.generation("n") == generation
    assert sorted(index_folder(path).iterdir()) == before
    store.close()
    assert sorted(index_folder(path).iterdir()) == before


@needs_fork
def test_a_save_cut_short_is_made_again(path: Path) -> None:
    written = batch("d", [str(i) for i in range(40)])
    assert is_killed(path, lambda store: store.write("n", [written]), "enlist")
    assert len(list(index_folder(path).iterdir())) == 1
    store = open_file(path)
    assert found(store, "n", "7", 1) == ["7"]
    store.close()
    assert check(path).findings == []


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_gone_before_the_index_takes_it_in_is_not_taken_in(
    path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    store = open_file(path)
    other = open_file(path) if elsewhere else store
    forget, told = store._indexes.forget, list[int]()

    def after_another(*given: object) -> None:
        if not told:
            told.append(1)
            other.write("n", [batch("a", ["another says so"])])
        forget(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(store._indexes, "forget", after_another)
    store.write("n", [batch("a", texts_of("a")), batch("b", texts_of("b"))])
    assert found(store, "n", "another says so", 1) == ["another says so"]
    vectors = store._indexes._vectors[1]
    assert vectors._rows[: vectors._count].tolist() == [6, 7, 8, 9, 10, 11]
    assert misses(store, ["b"]) == 0
    other.close()
    store.close()
