"""Locks on a memory file outlast whatever else reads the file in the same process."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from larimar_memory.larimar import Larimar
from larimar_memory.stores.sqlite.connection import check_length
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.opening import written_with
from larimar_memory.system import locked_files
from larimar_memory.system.locked_files import identity, reading
from tests.quick import QuickEncoder

ELSEWHERE = """
import sqlite3, sys
from contextlib import closing
with closing(sqlite3.connect(sys.argv[1])) as db:
    print(db.execute("SELECT count(*) FROM documents").fetchone()[0])
"""
"""Another process reads; where it takes itself for the last one, it deletes the log as it leaves."""


def read_elsewhere(path: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(path)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def open_again(path: Path) -> None:
    with Larimar.open(path, encoder=QuickEncoder()) as again:
        again.read("anything")


def read_all(path: Path) -> None:
    with reading(path) as file:
        assert file.read()


@pytest.mark.parametrize("what", [open_again, check_length, check, written_with, read_all])
def test_what_is_written_after_a_file_was_read_is_not_lost(
    tmp_path: Path, what: Callable[[Path], object]
) -> None:
    path = tmp_path / "m.larimar"
    with Larimar.open(path, encoder=QuickEncoder()) as memory:
        memory.write(["one"], ["a"])
        what(path)
        assert read_elsewhere(path) == 1
        memory.write(["two"], ["b"])
        assert read_elsewhere(path) == 2
        what(path)
    assert read_elsewhere(path) == 2


def test_descriptors_are_closed_with_the_last_user(tmp_path: Path) -> None:
    path = tmp_path / "m.larimar"
    with Larimar.open(path, encoder=QuickEncoder()) as memory:
        memory.write(["one"], ["a"])
        known = identity(path)
        for _ in range(5):
            check_length(path)
            with reading(path) as first, reading(path) as second:
                assert first is not second
        assert known is not None
        kept = list(locked_files._kept[known])
        assert len(kept) == 2
    assert known not in locked_files._kept
    assert all(descriptor.closed for descriptor in kept)


def test_a_file_in_another_s_place_is_read_anew(tmp_path: Path) -> None:
    path, other = tmp_path / "m.larimar", tmp_path / "other"
    with Larimar.open(path, encoder=QuickEncoder()) as memory:
        memory.write(["one"], ["a"])
        read_all(path)
        other.write_bytes(b"other")
        other.replace(path)
        with reading(path) as file:
            assert file.read() == b"other"


def test_a_plain_file_is_closed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_bytes(b"text")
    with reading(path) as file:
        assert file.read() == b"text"
    assert file.closed


def test_a_memory_that_cannot_be_made_is_used_by_nobody(tmp_path: Path) -> None:
    path = tmp_path / "m.larimar"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE other (a)")
    with pytest.raises(Exception, match=r"m\.larimar"):
        Larimar.open(path, encoder=QuickEncoder())
    assert identity(path) not in locked_files._users
