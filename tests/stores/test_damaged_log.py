"""A damaged log is read as SQLite reads it, told, and repaired."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.repair import repair
from larimar_memory.stores.sqlite.wal import lost_commits
from tests.damage import contents, copied, flip, places, told, whole
from tests.stores.test_laws import open_file


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Path, list[object]]:
    """A memory as a killed process leaves it, with six writes in its log, and its states."""
    store = open_file(tmp_path / "alive" / "m.larimar")
    states: list[object] = []
    for n in range(6):
        store.write("one", [whole(f"d{n}", [f"text {n} {i}" for i in range(8)])])
        states.append(contents(store))
    file = copied(tmp_path / "alive" / "m.larimar", tmp_path / "killed")
    store.close()
    return file, states


def test_the_log_is_read_as_sqlite_reads_it(killed: tuple[Path, list[object]]) -> None:
    file, states = killed
    assert lost_commits(file) == 0
    assert check(file).sound
    store = open_file(file)
    assert contents(store) == states[-1]
    store.close()
    assert lost_commits(file) == 0


def test_a_flipped_byte_in_the_log_is_refused_or_costs_the_last_write_with_a_warning(
    killed: tuple[Path, list[object]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, states = killed
    size = file.with_name(file.name + "-wal").stat().st_size
    refused = warned = 0
    for at in places(size, 60):
        copy = copied(file, tmp_path / "flipped")
        flip(copy.with_name(copy.name + "-wal"), at, 1 << at % 8)
        caplog.clear()
        try:
            store = open_file(copy)
            read = contents(store)
            store.close()
            if read != states[-1]:
                warned += 1
                assert read == states[-2]
                assert "is incomplete and is left out" in caplog.text
        except MemoryFileError:
            refused += 1
            assert ("log", "commits that cannot be read") in told(check(copy))
            assert not check(copy).sound
        shutil.rmtree(copy.parent)
    assert refused > 30
    assert warned > 0


def test_a_damaged_log_is_repaired_to_what_was_before(killed: tuple[Path, list[object]]) -> None:
    file, states = killed
    log = file.with_name(file.name + "-wal")
    whole_log = log.read_bytes()
    flip(log, len(whole_log) // 2)
    damaged_log = log.read_bytes()
    done = repair(file)
    assert Path(f"{done.backup}-wal").read_bytes() == damaged_log
    store = open_file(file)
    assert contents(store) in states[:-1]
    store.close()
