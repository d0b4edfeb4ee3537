"""Connections to a memory file: closed while in use, kept from erasing, and reading beside a writer."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from larimar_memory.errors import ClosedError, LarimarError, MemoryBusyError, MemoryFileError
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.opening import backup
from larimar_memory.stores.sqlite.queries import CHUNK
from larimar_memory.stores.sqlite.salvage import looking
from larimar_memory.testing.writes import batch, found
from tests.stores.test_laws import open_file

ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m" / "m.larimar"
    store = open_file(path)
    store.write("n", [batch("d", [f"fact {i} about zebra{i}" for i in range(40)])])
    store.close()
    return path


def elsewhere(path: Path, lines: str) -> subprocess.Popen[str]:
    """Another process with a `store`, which says a line when it is ready and ends on a line."""
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from larimar_memory.testing.writes import batch\n"
        "from tests.stores.test_laws import open_file\n"
        f"store = open_file(Path({str(path)!r}))\n{lines}\n"
    )
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


CLOSING = """
import sys, threading
from pathlib import Path
from larimar_memory.errors import ClosedError
from larimar_memory.testing.writes import batch, key_of
from tests.stores.test_laws import open_file
store = open_file(Path(sys.argv[1]))
store.write("n", [batch("e", [f"more {i} " + "words " * 30 for i in range(3000)])])
ready, wrong = threading.Barrier(9), []
def ask():
    first = True
    try:
        while True:
            store.nearest("n", key_of("more 7"), 5, {"a": {"$exists": False}})
            store.lexical("n", ["words", "more"], 900)
            if first:
                ready.wait()
                first = False
    except ClosedError:
        pass
    except BaseException as error:
        wrong.append(error)
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads:
    thread.start()
ready.wait()
store.close()
for thread in threads:
    thread.join()
print(wrong)
"""


def test_closing_waits_for_threads_that_read(path: Path) -> None:
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", CLOSING, str(path)], capture_output=True, text=True, cwd=ROOT
        )
        assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_closing_waits_and_refuses_what_comes_after(path: Path) -> None:
    store = open_file(path)
    inside, closing, seen = threading.Event(), threading.Event(), list[object]()

    def read() -> None:
        with store._db.reading() as db:
            rows = db.execute("SELECT id FROM segments")
            inside.set()
            closing.wait()
            seen.append(len(rows.fetchall()))

    reader = threading.Thread(target=read)
    reader.start()
    inside.wait()
    closer = threading.Thread(target=store.close)
    closer.start()
    while not store._db._closed:
        pass
    with pytest.raises(ClosedError, match="It has been closed"):
        store.namespaces()
    assert closer.is_alive()
    closing.set()
    reader.join()
    closer.join()
    assert seen == [40]


def test_an_index_that_fails_at_the_end_leaves_no_connection_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_file(path)

    def fails(db: object) -> None:
        raise RuntimeError("out of paper")

    monkeypatch.setattr(store._indexes, "save", fails)
    with pytest.raises(RuntimeError, match="out of paper"):
        store.close()
    assert not path.with_name(f"{path.name}-wal").exists()
    with pytest.raises(ClosedError):
        store.namespaces()


def test_a_purge_that_a_reader_holds_up_is_told(path: Path) -> None:
    reading = (
        "with store.snapshot():\n  print('ready', flush=True)\n  sys.stdin.readline()\nstore.close()"
    )
    with elsewhere(path, reading) as other:
        store = open_file(path, busy_seconds=0.05)
        assert store.delete("n", ids=["d"]) == 1
        with pytest.raises(
            MemoryBusyError,
            match=r"is not found any more, but not yet erased\. .* Call `purge\(\)` again",
        ):
            store.purge()
        files = [p for p in path.parent.iterdir() if p.is_file()]
        assert any(b"zebra7" in p.read_bytes() for p in files)
        other.communicate("\n")
    store.purge()
    files = [p for p in path.parent.iterdir() if p.is_file()]
    assert not any(b"zebra7" in p.read_bytes() for p in files)
    store.close()


def test_going_through_keys_holds_nothing_up(path: Path) -> None:
    store = open_file(path, busy_seconds=0.05)
    store.write("n", [batch("e", [str(i) for i in range(CHUNK)])])
    keys = store.keys("n")
    rows, _ = next(keys)
    assert len(rows) == CHUNK
    store.delete("n", ids=["d"])
    store.purge()
    files = [p for p in path.parent.iterdir() if p.is_file()]
    assert not any(b"zebra7" in p.read_bytes() for p in files)
    after, _ = next(keys)
    assert [s.text for s in store.fetch("n", [int(row) for row in after])] == [
        str(i) for i in range(CHUNK - 40, CHUNK)
    ]
    assert list(keys) == []
    store.close()


def test_what_is_looked_at_is_one_moment_beside_a_writer(path: Path, tmp_path: Path) -> None:
    assert not path.with_name(f"{path.name}-wal").exists()
    with looking(path) as db:
        count = "SELECT count(*), sum(length(text)) FROM segments"
        before = db.execute(count).fetchone()
        writing = (
            "store.write('n', [batch('d', ['another ' * 400] * 30)])\n"
            "store.write('n', [batch('e', ['and more ' * 400] * 90)])\n"
            "store._db._writer.execute('PRAGMA wal_checkpoint(PASSIVE)')\n"
            "store.close()\nprint('ready', flush=True)"
        )
        with elsewhere(path, writing) as other:
            other.communicate()
        assert db.execute(count).fetchone() == before
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert check(path).findings == []
    backup(path, tmp_path / "copy")
    assert check(tmp_path / "copy").findings == []
    store = open_file(path)
    assert store.stats().segments == 120
    assert found(store, "n", "and more " * 400, 1) == ["and more " * 400]
    store.close()


def test_read_only_is_kept_from_purging(path: Path) -> None:
    before = path.read_bytes()
    store = open_file(path, read_only=True)
    with pytest.raises(MemoryFileError, match="It was opened read-only"):
        store.purge()
    with pytest.raises(LarimarError, match="It was opened read-only"):
        store.delete("n")
    store.close()
    assert path.read_bytes() == before
