"""A receipt says what was erased and how that was checked, and the check is real."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from larimar_memory.errors import InputError, MemoryBusyError
from larimar_memory.larimar import Larimar
from larimar_memory.stores import SQLiteStore
from tests.facade.receipted import PERSON, SECRET, TRACES, filled, left, open_memory
from tests.quick import QuickCoarse, QuickEncoder
from tests.stores.dict_store import DictStore
from tests.stores.test_erasures import ROOT


@pytest.fixture(params=[QuickEncoder, QuickCoarse])
def memory(path: Path, request: pytest.FixtureRequest) -> Iterator[Larimar]:
    with Larimar.open(path, encoder=request.param()) as opened:
        yield filled(opened)


def test_a_person_is_forgotten_everywhere_with_one_receipt(memory: Larimar, path: Path) -> None:
    texts = {id: memory.text(id, namespace=space) for space, id in (("default", "s"), ("other", "t"))}
    assert left(path)
    made = memory.forget(where=PERSON, everywhere=True, receipt=True)
    assert [(d.namespace, d.id, d.characters) for d in made.documents] == [
        ("default", "s", len(texts["s"])),
        ("other", "t", len(texts["t"])),
    ]
    assert made.documents[1].segments > 1
    assert all(made.is_of(text) for text in texts.values())
    assert not made.is_of(SECRET.strip())
    assert made.check is not None
    assert made.check.files.keys() >= {"m.larimar"}
    assert made.check.pieces > 20
    assert (made.erased, made.check.left_in, made.number) == (True, (), 1)
    assert memory.receipts(verify=True) == [made]
    assert left(path) == []
    said = json.dumps(made.to_dict()) + "".join(memory.store.receipts().lines)
    assert not any(trace.decode() in said for trace in TRACES)
    assert [d.id for d in memory.documents()] == ["k"]
    assert [d.id for d in memory.documents(namespace="other")] == ["f"]


def test_the_receipts_of_a_memory(memory: Larimar) -> None:
    first = memory.forget(ids=["s", "absent"], receipt=True)
    second = memory.forget(namespace="other", receipt=True)
    third = memory.forget(ids="absent", receipt=True)
    assert [[d.id for d in r.documents] for r in (first, second, third)] == [["s"], ["t", "f"], []]
    assert memory.forget(ids=["k"]) == 1
    assert memory.receipts(verify=True) == [first, second, third]
    assert [receipt.number for receipt in memory.receipts()] == [1, 2, 3]
    assert len({receipt.salt for receipt in memory.receipts()}) == 3
    assert all(receipt.erased for receipt in memory.receipts())


def test_what_other_documents_say_as_well_is_not_left(memory: Larimar, path: Path) -> None:
    # Its words, a part of it, and metadata are in others: nothing of it is left that is its own.
    memory.write([f"They say: {SECRET}", "segments and checksum"], ["quoted", "own"], [PERSON, {}])
    made = memory.forget(ids=["s", "own"], receipt=True)
    assert made.check is not None
    assert (made.check.left_in, made.check.shared > 3) == ((), True)
    assert left(path)


@pytest.mark.parametrize("undone", ["VACUUM", "vectors", "backup", "log"])
def test_the_check_finds_what_is_left(
    memory: Larimar, path: Path, undone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "m.larimar"
    if undone == "VACUUM":
        # As if SQLite had left its free pages as they were.
        monkeypatch.setattr(SQLiteStore, "purge", SQLiteStore.clear)
        with memory.store._db.maintaining() as db:  # type: ignore[attr-defined]
            db.execute("PRAGMA secure_delete = OFF")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    elif undone == "log":
        monkeypatch.setattr(SQLiteStore, "purge", SQLiteStore.clear)
        where = "m.larimar-wal"
    elif undone == "vectors":
        (path.parent / "m.larimar-vectors").mkdir(exist_ok=True)
        key = memory.store.segments("default", "s")[0].best_key
        where = "m.larimar-vectors/of another program"
        (path.parent / where).write_bytes(b"x" * 9 + key.astype("<f2").tobytes())
    else:
        where = "m.larimar.before-repair-1"
        (path.parent / where).write_bytes(b"\0" + SECRET.encode()[5:40])
    made = memory.forget(ids=["s", "t"], everywhere=True, receipt=True)
    assert made.check is not None
    assert where in made.check.left_in
    assert not made.erased
    assert memory.receipts(verify=True) == [made]


def test_a_file_that_cannot_be_read_is_told(memory: Larimar, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path) -> Iterator[bytes]:
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr("larimar_memory.stores.sqlite.receipts.chunks_of", fails)
    made = memory.forget(ids=["s"], receipt=True)
    assert made.check is not None
    assert (made.erased, made.check.unread[0]) == (False, "m.larimar")


def test_reading_the_files_takes_no_lock_away(memory: Larimar, path: Path) -> None:
    # POSIX would, where this process closed the file itself: SQLite holds a lock while it is open.
    memory.forget(ids=["s"], receipt=True)
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=0);"
        "db.execute('PRAGMA locking_mode = EXCLUSIVE');"
        "db.execute('PRAGMA journal_mode = DELETE').fetchall(); db.execute('BEGIN EXCLUSIVE')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, check=False)
    assert b"locked" in done.stderr


def test_what_cannot_be_asked_for(memory: Larimar) -> None:
    for arguments, why in (
        ({"ids": ["s"], "purge": False, "receipt": True}, "purge=False leaves it there"),
        ({"everywhere": True}, "Neither ids nor a filter were given for what is to be forgotten every"),
        ({"everywhere": True, "where": {}}, "Neither ids nor a filter were given"),
        ({"everywhere": True, "ids": "s", "namespace": "default"}, "A namespace was given for what"),
        ({"receipt": True}, "Neither ids, nor a filter, nor a namespace was given"),
    ):
        with pytest.raises(InputError, match=why):
            memory.forget(**arguments)
    assert memory.stats().documents == 4
    assert memory.receipts() == []
    assert memory.forget(ids=["s", "t"], everywhere=True) == 2
    with Larimar(DictStore(), QuickEncoder(), "none") as other:
        other.write(["a text"], ["a"])
        with pytest.raises(InputError, match="A DictStore keeps none"):
            other.forget(ids=["a"], receipt=True)
        assert (other.stats().documents, other.receipts(verify=True)) == (1, [])


def test_in_ram_there_are_no_files() -> None:
    with open_memory(None) as memory:
        made = filled(memory).forget(where=PERSON, everywhere=True, receipt=True)
        assert made.check is not None
        assert (made.erased, made.check.files, len(made.documents)) == (True, {}, 2)
        assert memory.receipts(verify=True) == [made]


# --- interrupted ---

FORGET = """
import os, sys
from pathlib import Path
from larimar_memory.stores import SQLiteStore
from tests.facade.receipted import PERSON, open_memory
memory = open_memory(Path(sys.argv[1]))
before = getattr(SQLiteStore, sys.argv[2])
def killed(*arguments, **named):
    if sys.argv[3] == "after":
        before(*arguments, **named)
    os._exit(9)
setattr(SQLiteStore, sys.argv[2], killed)
memory.forget(where=PERSON, everywhere=True, receipt=True)
"""


@pytest.mark.parametrize(
    ("step", "when", "gone", "settled_by"),
    [
        ("delete", "before", [], "forget"),
        ("delete", "after", ["s"], "forget"),
        ("purge", "before", ["s", "t"], "purge"),
        ("search_files", "after", ["s", "t"], "forget"),
    ],
)
def test_a_deletion_that_was_killed_has_its_receipt(
    path: Path, step: str, when: str, gone: list[str], settled_by: str
) -> None:
    filled(open_memory(path)).close()
    command = [sys.executable, "-c", FORGET, str(path), step, when]
    assert subprocess.run(command, check=False, cwd=ROOT).returncode == 9
    with open_memory(path) as memory:
        (begun,) = memory.receipts(verify=True)
        assert ([d.id for d in begun.documents], begun.ended_at) == (["s", "t"], None)
        if settled_by == "purge":
            memory.purge()
        else:
            again = memory.forget(where=PERSON, everywhere=True, receipt=True)
            assert {d.id for d in again.documents} == {"s", "t"} - set(gone)
            assert left(path) == []
        first = memory.receipts(verify=True)[0]
        assert ([d.id for d in first.documents], first.check) == (gone, None)
        assert first.ended_at is not None
        assert not first.erased


def test_a_deletion_that_others_hold_up_ends_later(path: Path) -> None:
    filled(open_memory(path)).close()
    reader = open_memory(path)
    with open_memory(path, busy_seconds=0.05) as memory:
        with reader.store.snapshot(), pytest.raises(MemoryBusyError, match="not yet erased"):
            memory.forget(ids=["s"], receipt=True)
        assert memory.receipts()[0].ended_at is None
        reader.close()
        memory.purge()
        assert memory.receipts(verify=True)[0].ended_at is not None


def test_a_deletion_that_another_process_ends_meanwhile(
    memory: Larimar, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    purge = SQLiteStore.purge

    def slow(store: SQLiteStore) -> None:
        with Larimar.open(path, encoder=None) as other:
            monkeypatch.setattr(SQLiteStore, "purge", purge)
            other.purge()
        store.purge()

    monkeypatch.setattr(SQLiteStore, "purge", slow)
    made = memory.forget(where=PERSON, everywhere=True, receipt=True)
    assert [d.id for d in made.documents] == ["s", "t"]
    assert made.erased
    assert len(memory.store.receipts().lines) == 3
    assert memory.receipts(verify=True) == [made]


def test_files_are_found_by_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for path in (Path("m"), Path("in/m"), Path("in/../n")):
        with open_memory(path) as memory:
            made = filled(memory).forget(ids=["s"], receipt=True)
            assert made.check is not None
            assert list(made.check.files) == [path.name, f"{path.name}-wal"]


def test_files_are_found_by_a_link_and_by_any_name(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    name = "m [1]*?.larimar"
    (tmp_path / "link").symlink_to(tmp_path / "there" / name)
    open_memory(tmp_path / "there" / name).close()
    (tmp_path / "there" / "m [1]*?.larimar.txt").write_text(SECRET)
    (tmp_path / "there" / f"{name}.set-aside-1.jsonl").write_text("{}")
    with open_memory(tmp_path / "link") as memory:
        made = filled(memory).forget(where=PERSON, everywhere=True, receipt=True)
        assert made.check is not None
        beside = [f"there/{name}{ending}" for ending in ("-wal", ".set-aside-1.jsonl")]
        assert list(made.check.files) == ["link", *beside]
        assert made.erased
