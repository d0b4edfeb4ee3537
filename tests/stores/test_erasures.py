"""What was forgotten is erased in the end, wherever the process that forgot it was killed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from larimar_memory.encoders import NoEncoder
from larimar_memory.larimar import Larimar
from larimar_memory.stores import SQLiteStore
from larimar_memory.stores.sqlite.erasures import due, erase
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.repair import repair
from larimar_memory.testing.writes import batch, found, key_of
from tests.forks import needs_fork, status_of_child
from tests.stores.test_laws import open_file

pytestmark = needs_fork

ROOT = str(Path(__file__).parents[2])

SECRET, KEPT = "quixotic zymurgy secret", "plain words that stay"
STEM = b"zymurgi"
TRACES = [SECRET.encode(), b"zymurgy", STEM, key_of(SECRET).astype("<f2").tobytes(), b"mallory"]


@pytest.fixture
def path(tmp_path: Path, small_parts: None) -> Path:
    """Of a memory that knows a secret, with an index that has it too."""
    path = tmp_path / "m" / "m.larimar"
    store = open_file(path)
    store.write("n", [batch("s", [SECRET], {"owner": "mallory"}), batch("k", [KEPT])])
    store.write("n", [batch("many", [f"filler {i}" for i in range(60)])])
    store.close()
    assert all(trace in raw(path) for trace in TRACES)
    return path


def raw(path: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(path.parent.rglob("*")) if p.is_file())


def left(path: Path) -> list[bytes]:
    held = raw(path)
    return [trace for trace in TRACES if trace in held]


def is_due(store: SQLiteStore) -> bool:
    with store._db.reading() as db:
        return due(db)


def forget_and_be_killed(path: Path, before: str, time: int = 1) -> None:
    """End this process before it does a statement of forgetting for the first or another time."""
    seen = list[str]()

    def look(sql: str) -> None:
        seen.extend([sql] * sql.startswith(before))
        if len(seen) == time:
            os._exit(9)

    store = open_file(path)
    store._db._writer.set_trace_callback(look)
    memory = Larimar(store, encoder=NoEncoder("none", 1), decoder="none")
    memory.forget(ids=["s"], namespace="n")


def forgotten_by_a_process_that_is_killed(path: Path, before: str, time: int = 1) -> None:
    assert status_of_child(lambda: forget_and_be_killed(path, before, time)) == 9


@pytest.mark.parametrize(
    ("before", "time"),
    [
        # Of the deletion, and of the purge.
        ("BEGIN IMMEDIATE", 2),
        ("INSERT INTO fts_1 (fts_1) VALUES ('optimize')", 1),
        ("VACUUM", 1),
        ("PRAGMA wal_checkpoint(TRUNCATE)", 1),
        ("DELETE FROM erasures", 1),
    ],
)
def test_a_purge_that_was_killed_is_done_by_the_next_opening(
    path: Path, before: str, time: int
) -> None:
    forgotten_by_a_process_that_is_killed(path, before, time)
    assert bool(left(path)) == (before != "DELETE FROM erasures")
    store = open_file(path)
    assert left(path) == []
    assert not is_due(store)
    assert found(store, "n", KEPT, 1) == [KEPT]
    assert SECRET not in found(store, "n", SECRET, 70)
    store.close()
    assert left(path) == []
    assert check(path).findings == []


def test_what_is_not_committed_is_not_forgotten(path: Path) -> None:
    forgotten_by_a_process_that_is_killed(path, "COMMIT")
    store = open_file(path)
    assert not is_due(store)
    assert found(store, "n", SECRET, 1) == [SECRET]
    store.close()


def test_reading_only_leaves_a_purge_that_is_due(path: Path) -> None:
    forgotten_by_a_process_that_is_killed(path, "VACUUM")
    before = path.read_bytes()
    store = open_file(path, read_only=True)
    assert SECRET not in found(store, "n", SECRET, 70)
    assert is_due(store)
    store.close()
    assert path.read_bytes() == before
    assert left(path)
    store = open_file(path)
    assert not is_due(store)
    assert left(path) == []
    store.close()


def test_a_check_tells_of_a_purge_that_is_due_and_a_repair_does_it(path: Path) -> None:
    forgotten_by_a_process_that_is_killed(path, "VACUUM")
    before = path.read_bytes()
    report = check(path)
    assert [(f.part, f.what) for f in report.findings] == [("file", "not erased: what was forgotten")]
    assert (report.sound, report.damaged) == (False, False)
    assert path.read_bytes() == before
    assert left(path)
    done = repair(path)
    assert done.after is not None
    assert done.after.findings == []
    assert (done.lost, done.backup, done.set_aside) == ({}, None, None)
    assert left(path) == []
    store = open_file(path)
    assert found(store, "n", KEPT, 1) == [KEPT]
    store.close()


def test_a_check_tells_of_notes_that_cannot_be_read_and_a_repair_erases(path: Path) -> None:
    forgotten_by_a_process_that_is_killed(path, "VACUUM")
    with closing(sqlite3.connect(path)) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'erasures'").fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    report = check(path)
    assert ("file", "notes of erasures that cannot be read") in {
        (f.part, f.what) for f in report.findings
    }
    assert report.damaged
    done = repair(path)
    assert done.after is not None
    assert done.after.findings == []
    store = open_file(path)
    assert found(store, "n", KEPT, 1) == [KEPT]
    assert SECRET not in found(store, "n", SECRET, 70)
    store.close()
    assert not any(trace in path.read_bytes() for trace in TRACES)


def test_a_purge_that_a_reader_holds_up_stays_due(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = open_file(path)
    with reader.snapshot():
        # A new process: to a forked one, the reader's locks would seem its own.
        name = forget_and_be_killed.__name__
        script = f"from {__name__} import {name}, Path; {name}(Path({str(path)!r}), 'VACUUM')"
        assert subprocess.run([sys.executable, "-c", script], check=False, cwd=ROOT).returncode == 9
        store = open_file(path, busy_seconds=0.05)
        assert "not found any more, but not yet erased" in caplog.text
        assert is_due(store)
        store.close()
        assert left(path)
    reader.close()
    store = open_file(path)
    assert left(path) == []
    assert not is_due(store)
    store.close()


def test_what_is_not_to_be_purged_stays_until_it_is(path: Path) -> None:
    with Larimar(open_file(path), encoder=NoEncoder("none", 1), decoder="none") as memory:
        assert memory.forget(ids=["s"], namespace="n", purge=False) == 1
    store = open_file(path)
    assert not is_due(store)
    assert left(path)
    store.purge()
    assert left(path) == []
    store.close()


def test_a_purge_takes_back_no_note_that_is_newer(path: Path) -> None:
    store, other = open_file(path), open_file(path)

    def forgets() -> None:
        other.purge()
        other.delete("n", ids=["s"], to_purge=True)

    erase(store._db, forgets)
    assert is_due(store)
    other.close()
    store.close()
    store = open_file(path)
    assert not is_due(store)
    assert left(path) == []
    store.close()
