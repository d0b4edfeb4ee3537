"""The memory file: durable, checked when opened, rebuilt where it can be, erased when asked."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from larimar_memory.errors import ClosedError, EncoderMismatchError, MemoryBusyError, MemoryFileError
from larimar_memory.stores import SQLiteStore
from larimar_memory.stores.sqlite import vectors as vectors_module
from larimar_memory.testing.writes import DIMENSION, batch, found, key_of
from tests.stores.test_laws import open_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "m.larimar"


@pytest.fixture
def small_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_module, "EXACT_LIMIT", 16)
    monkeypatch.setattr(vectors_module, "_TAIL_LIMIT", 8)


def written(path: Path, count: int = 40) -> list[str]:
    texts = [f"fact {i} about zebra{i}" for i in range(count)]
    with_store = open_file(path)
    with_store.write("n", [batch("d", texts)])
    with_store.close()
    return texts


def files_of(path: Path) -> list[Path]:
    return [p for p in path.parent.rglob("*") if p.is_file()]


def test_a_file_is_opened_again(path: Path) -> None:
    texts = written(path)
    store = open_file(path)
    assert found(store, "n", texts[7], 1) == [texts[7]]
    assert store.stats().bytes_on_disk >= path.stat().st_size
    store.close()
    store.close()
    with pytest.raises(ClosedError, match=r"cannot be used\. It has been closed\. Open it again"):
        store.namespaces()


def test_the_file_survives_kill_9(path: Path) -> None:
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from larimar_memory.testing.writes import batch\n"
        "from tests.stores.test_laws import open_file\n"
        "store = open_file(Path(sys.argv[2]))\n"
        "store.write('n', [batch('d', ['kept for good'])])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", script, root, str(path)], check=False, cwd=root)
    assert done.returncode == -9
    store = open_file(path)
    assert found(store, "n", "kept for good", 1) == ["kept for good"]
    store.close()


def test_another_encoder_is_refused(path: Path) -> None:
    written(path)
    with pytest.raises(
        EncoderMismatchError,
        match=r"cannot be opened with this sentence encoder\. It was written with encoder test-encoder "
        r"\(8 numbers a key\), and this one is other \(8\)",
    ):
        SQLiteStore(path, encoder="other", dimension=DIMENSION)


def test_files_that_are_no_memory(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("just some notes, longer than nothing at all")
    with pytest.raises(
        MemoryFileError, match=r"notes\.txt cannot be opened\. It is not a Larimar memory"
    ):
        open_file(text)
    other = tmp_path / "other.db"
    database = sqlite3.connect(other)
    database.execute("CREATE TABLE t (x)")
    database.close()
    with pytest.raises(MemoryFileError, match="It is a SQLite database, but not a Larimar memory"):
        open_file(other)
    with pytest.raises(MemoryFileError, match=r"cannot be opened\. It is a folder"):
        open_file(tmp_path)


def test_a_truncated_file_is_named(path: Path) -> None:
    written(path, 2000)
    size = path.stat().st_size
    os.truncate(path, size // 2)
    with pytest.raises(
        MemoryFileError, match=rf"The file was cut off: it holds {size // 2} of {size} bytes"
    ):
        open_file(path)


def test_a_newer_format_is_refused(path: Path) -> None:
    written(path)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(MemoryFileError, match=r"Its format is version 99, .* Upgrade larimar-memory"):
        open_file(path)


def test_a_locked_file_is_busy_and_still_read(path: Path) -> None:
    texts = written(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = open_file(path, busy_seconds=0.05)
    with pytest.raises(MemoryBusyError, match=r"is busy\. Another process .* larger `busy_seconds`"):
        store.write("n", [batch("e", ["more"])])
    assert found(store, "n", texts[3], 1) == [texts[3]]
    other.execute("ROLLBACK")
    store.write("n", [batch("e", ["more"])])
    assert found(store, "n", "more", 1) == ["more"]
    store.close()
    other.close()


def test_a_full_disk_is_named_and_nothing_is_lost(path: Path) -> None:
    texts = written(path)
    store = open_file(path)
    with store._db.maintaining() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(
        MemoryFileError, match=r"Nothing more can be written .* The disk is full\. Free"
    ):
        store.write("n", [batch("e", [f"long text {i} " * 50 for i in range(500)])])
    assert store.document("n", "e") is None
    assert found(store, "n", texts[0], 1) == [texts[0]]
    store.close()


def test_read_only_reads_and_refuses_to_write(path: Path) -> None:
    texts = written(path)
    before = {p: p.read_bytes() for p in files_of(path)}
    store = open_file(path, read_only=True)
    assert found(store, "n", texts[5], 1) == [texts[5]]
    with pytest.raises(MemoryFileError, match=r"cannot be changed\. It was opened read-only"):
        store.write("n", [batch("e", ["more"])])
    store.close()
    assert {p: p.read_bytes() for p in files_of(path)} == before


def test_forgotten_and_purged_is_gone_from_every_byte(path: Path, small_index: None) -> None:
    store = open_file(path)
    secret, kept = "quixotic zymurgy secret", "plain words that stay"
    store.write("n", [batch("s", [secret], {"owner": "mallory-metadata"}), batch("k", [kept] * 1)])
    store.write("n", [batch("many", [f"filler {i}" for i in range(60)])])
    store.close()
    key = key_of(secret).astype("<f2").tobytes()
    traces = [secret.encode(), b"zymurgy", key, b"mallory-metadata"]
    raw = b"".join(p.read_bytes() for p in files_of(path))
    assert all(trace in raw for trace in traces)
    assert list(path.parent.glob("*-vectors/*.keys"))
    store = open_file(path)
    assert store.delete("n", ids=["s"]) == 1
    store.purge()
    during = b"".join(p.read_bytes() for p in files_of(path))
    store.close()
    after = b"".join(p.read_bytes() for p in files_of(path))
    for raw in (during, after):
        assert not [trace for trace in traces if trace in raw]
    store = open_file(path)
    assert found(store, "n", kept, 1) == [kept]
    assert secret not in found(store, "n", secret, 60)
    store.close()


def test_the_index_is_used_saved_and_mapped(path: Path, small_index: None) -> None:
    texts = written(path, 100)
    (file,) = path.parent.glob("*-vectors/*.keys")
    store = open_file(path)
    assert found(store, "n", texts[50], 1) == [texts[50]]
    vectors = store._indexes._vectors[1]
    assert [(part.file.path, part.mapped) for part in vectors.parts] == [(file, True)]
    assert vectors._count == 0
    store.write("n", [batch("e", ["after the index"])])
    assert found(store, "n", "after the index", 1) == ["after the index"]
    assert [(part.file.path, part.mapped) for part in vectors.parts] == [(file, True)]
    store.close()


@pytest.mark.parametrize("damage", ["torn", "absent", "stale"])
def test_a_bad_index_is_rebuilt_from_the_rows(path: Path, small_index: None, damage: str) -> None:
    texts = written(path, 100)
    (file,) = path.parent.glob("*-vectors/*.keys")
    if damage == "torn":
        os.truncate(file, file.stat().st_size // 3)
    elif damage == "absent":
        shutil.rmtree(file.parent)
    else:
        held = file.read_bytes()
        store = open_file(path)
        store.write("n", [batch("d", texts[:50])])
        store.close()
        for newer in path.parent.glob("*-vectors/*.keys"):
            newer.unlink()
        file.write_bytes(held)
        texts = texts[:50]
    store = open_file(path)
    # The index is approximate, and threads build it: of so few rows of so few numbers it may not reach
    # some, and which ones differs from run to run.
    assert sum(found(store, "n", text, 1) == [text] for text in texts) >= 0.9 * len(texts)
    assert set(found(store, "n", "fact", 200)) <= set(texts)
    store.close()


def test_an_index_whose_file_another_process_deleted_goes_on(path: Path, small_index: None) -> None:
    texts = written(path, 100)
    mine, other = open_file(path), open_file(path)
    assert found(mine, "n", texts[4], 1) == [texts[4]]
    other.write("n", [batch("d", texts[:50])])
    other.close()
    assert found(mine, "n", texts[4], 1) == [texts[4]]
    assert set(found(mine, "n", texts[60], 200)) <= set(texts[:50])
    mine.close()


def test_a_file_whose_log_was_half_folded_in_is_no_torn_one(path: Path, tmp_path: Path) -> None:
    store = open_file(path)
    texts = [f"text {n} " + "and more " * 40 for n in range(200)]
    with store._db.maintaining() as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
    store.write("n", [batch("d", texts)])
    shutil.copytree(path.parent, tmp_path / "killed")
    store.close()
    # What a checkpoint writes first is the first page, with the new length.
    half = tmp_path / "killed" / path.name
    half.write_bytes(path.read_bytes()[: 3 * 4096])
    store = open_file(half)
    assert len(store.segments("n", "d")) == 200
    store.close()
    assert half.stat().st_size == path.stat().st_size


def test_rows_deleted_by_another_process_are_not_returned(path: Path) -> None:
    texts = written(path)
    mine, other = open_file(path), open_file(path)
    assert found(mine, "n", texts[4], 1) == [texts[4]]
    other.delete("n", ids=["d"])
    other.write("n", [batch("new", ["a new fact"])])
    assert found(mine, "n", texts[4], 5) == ["a new fact"]
    mine.close()
    other.close()


def test_a_failed_write_leaves_no_trace(path: Path) -> None:
    store = open_file(path)
    broken = batch("d", ["fine", "bad"])
    broken.segments[1] = broken.segments[0]  # type: ignore[index]
    with pytest.raises(MemoryFileError, match="UNIQUE constraint failed"):
        store.write("n", [batch("first", ["one"]), broken])
    assert store.namespaces() == []
    assert found(store, "n", "one") == []
    store.write("n", [batch("d", ["fine"])])
    assert found(store, "n", "fine") == ["fine"]
    store.close()


def test_keys_are_kept_as_float16(path: Path) -> None:
    written(path, 1)
    (blob,) = sqlite3.connect(path).execute("SELECT key FROM segments").fetchone()
    np.testing.assert_array_equal(
        np.frombuffer(blob, "<f2"), key_of("fact 0 about zebra0").astype("<f2")
    )


def test_a_generation_counts_deletions_and_nothing_else(tmp_path: Path) -> None:
    for path in (tmp_path / "m.larimar", None):
        store = open_file(path)
        store.write("n", [batch("d", ["one", "two"])])
        before = store.generation("n")
        store.write("n", [batch("e", ["three"])])
        assert store.generation("n") == before
        # The rows are those of before; that there were others in between is known.
        store.delete("n", ids=["e"])
        assert store.generation("n") != before
        store.close()
