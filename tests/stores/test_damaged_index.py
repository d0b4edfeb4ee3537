"""A damaged vector index is noticed, and made again."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.repair import repair
from larimar_memory.testing.writes import found, key_of
from tests.damage import flip, places, told, with_index
from tests.stores.test_laws import open_file


@pytest.fixture
def indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A memory with an index file, and the index file."""
    return with_index(tmp_path, monkeypatch, [f"fact {i} about zebra{i}" for i in range(100)])


def reads_right(path: Path) -> bool:
    store = open_file(path)
    texts = [f"fact {i} about zebra{i}" for i in range(0, 100, 9)]
    right = sum(found(store, "n", text, 1) == [text] for text in texts)
    store.close()
    return right >= len(texts) - 1


def test_a_sound_index_is_used(indexed: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    path, index = indexed
    stamp = index.stat().st_mtime_ns
    assert check(path).index_files == 1
    assert check(path).sound
    assert reads_right(path)
    assert index.stat().st_mtime_ns == stamp
    assert caplog.text == ""


def test_a_flipped_byte_anywhere_in_the_index_is_noticed(
    indexed: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    path, index = indexed
    before, memory = index.read_bytes(), path.read_bytes()
    for at in places(len(before), 25):
        flip(index, at, 1 << at % 8)
        assert told(check(path)) == [("vector index", "files that are not what was written")]
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="larimar_memory.stores.sqlite.vectors"):
            assert reads_right(path)
        assert f"the index {index} is damaged and will be made again: its checksum" in caplog.text
        (new,) = index.parent.iterdir()
        assert check(path).sound
        new.unlink()
        index.write_bytes(before)
        path.write_bytes(memory)


@pytest.mark.parametrize("left", [0, 1, 64, 1000, -1])
def test_a_torn_index_is_noticed(indexed: tuple[Path, Path], left: int) -> None:
    path, index = indexed
    os.truncate(index, left if left >= 0 else index.stat().st_size - 1)
    assert not check(path).sound
    done = repair(path)
    assert done.lost == {}
    assert done.after is not None
    assert done.after.sound
    assert done.after.index_files == 1
    assert reads_right(path)


def test_an_index_of_an_earlier_release_is_not_used_and_goes(indexed: tuple[Path, Path]) -> None:
    path, index = indexed
    old = index.with_name(f"{index.stem.rpartition('-')[0]}-0.keys")
    index.rename(old)
    assert told(check(path)) == [("vector index", "not erased: files of another state")]
    assert reads_right(path)
    # An index made again may link its keys otherwise: only its checksum differs then.
    (new,) = index.parent.iterdir()
    assert new.name.rpartition("-")[0] == index.name.rpartition("-")[0]
    assert check(path).findings == []


def test_what_a_killed_process_left_of_an_index_is_erased(indexed: tuple[Path, Path]) -> None:
    path, index = indexed
    left = index.with_name("1-99999-7.tmp")
    left.write_bytes(key_of("fact 3 about zebra3").astype("<f2").tobytes())
    report = check(path)
    assert told(report) == [("vector index", "not erased: unfinished files")]
    assert (report.sound, report.damaged) == (False, False)
    store = open_file(path)
    store.delete("n", ids=["d"])
    store.purge()
    assert list(index.parent.iterdir()) == []
    store.close()


def test_an_index_that_cannot_be_saved_is_no_error(
    indexed: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    path, index = indexed
    shutil.rmtree(index.parent)
    index.parent.write_text("a file where the folder should be")
    assert reads_right(path)
    assert "cannot be saved, and is made again" in caplog.text


def test_a_row_that_the_index_of_rows_lost_is_not_forgotten_in_silence(
    indexed: tuple[Path, Path],
) -> None:
    path, _ = indexed
    with closing(sqlite3.connect(path)) as db:
        row, text = db.execute("SELECT id, text FROM segments WHERE position = 42").fetchone()
        whole = "CREATE INDEX segments_by_namespace ON segments (namespace_id, id)"
        # As a flipped byte would leave it: complete by its words, and one row short.
        db.execute("DROP INDEX segments_by_namespace")
        db.execute(f"{whole} WHERE id <> {row}")
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'segments_by_namespace'", (whole,))
        db.commit()
    with closing(open_file(path)) as store:
        lost = rf"stored for row {row} is not what was written: an index lacks it\."
        with pytest.raises(MemoryFileError, match=lost):
            store.nearest("n", key_of(text), 1)
    assert not check(path).sound
