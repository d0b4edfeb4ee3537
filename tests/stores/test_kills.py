"""What a killed process said was done is done, and nothing is half done; a full disk costs nothing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks import damage, kills, reliability, strangers
from benchmarks.session import Session
from benchmarks.writer import SPACE, batch, key_of, opened, pieces
from larimar_memory.errors import MemoryFileError
from larimar_memory.larimar import Larimar
from larimar_memory.stores import Hit, SQLiteStore
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.testing.writes import found
from larimar_memory.types import Readout
from tests.damage import SPACES, contents, filled, whole
from tests.stores.test_laws import open_file

ROOT = str(Path(__file__).parents[2])


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    outcome = kills.kill_often(tmp_path / "m.larimar", 6, seed=0)
    assert outcome.kills == 6
    assert outcome.acknowledged > 60
    assert (outcome.lost, outcome.torn, outcome.unsound, outcome.traces) == (0, 0, 0, 0)


def test_what_is_lost_or_torn_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "m.larimar"
    store = opened(path)
    store.write(SPACE, [batch(f"d{n}", n) for n in range(4)])
    store.close()

    def compared(**said: int | None) -> tuple[int, int]:
        outcome = kills.Outcome(versions={**{f"d{n}": n for n in range(4)}, **said})
        kills._compare(path, outcome, None)
        return outcome.lost, outcome.torn

    assert compared() == (0, 0)
    assert compared(d7=5) == (1, 0)
    assert compared(d2=5) == (1, 0)
    assert compared(d3=None) == (1, 0)
    store = opened(path)
    half = batch("d1", 1)
    store.write(SPACE, [type(half)(half.document, half.segments[:2], half.keys[:2], True)])
    store.close()
    assert compared() == (0, 1)


def test_what_a_purge_left_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "m.larimar"
    store = opened(path)
    store.write(SPACE, [batch("d1", 1)])
    store.close()
    assert kills._traces(path, {("d1", 1), ("d1", 2)}) == 3
    left = tmp_path / "m.larimar-vectors" / "1-2-3.tmp"
    left.parent.mkdir()
    left.write_bytes(key_of(pieces("d1", 2)[0]).astype("<f2").tobytes())
    assert kills._traces(path, {("d1", 1), ("d1", 2)}) == 4


SMALL = reliability.Size(
    kills=1,
    flips=12,
    cuts=3,
    documents=12,
    seconds=1.5,
    megabytes=1,
    tenant_steps=60,
    hostile=120,
    tiny=300,
)


def test_reliability_is_measured(tmp_path: Path) -> None:
    figures, bars = reliability.measure(Session(0, None, lambda _: None), SMALL)
    assert figures["many at once"]["errors"] == []
    assert [bar["measure"] for bar in bars if not bar["holds"]] == []
    assert [bar["measure"] for bar in bars] == [
        "acknowledged steps lost in 1 kills",
        "torn documents in 1 kills",
        "unsound files after 1 kills",
        "traces of forgotten texts after 1 kills",
        "wrong answers from 45 damaged files",
        "damage of 45 that lost something and was not noticed",
        "writes lost, or not refused by an error of ours, on a full disk",
        "writes lost of processes beside one another",
        "errors of processes beside one another, other than busy",
        "traces left of 54 that were forgotten",
        f"leaks between {len(strangers.NAMES)} namespaces",
        "hostile inputs of 120 that raised an error which is not ours",
        "RAM to write 1 MB of text beyond that of a twentieth of it, MB",
        "sentences missing or twice of 1 MB of text",
        "RAM to write the second half of 300 tiny documents beyond the first, MB",
        "documents missing or twice of 300 tiny documents",
    ]
    for what in damage.PARTS:
        assert sum(n for name, n in figures["damage"][what].items() if name != "bytes") == 15
    assert figures["damage"]["index"]["flip: noticed, nothing lost"] == 12
    assert any("refused" in name for name in figures["damage"]["log"])
    assert figures["full disk"]["told"]
    many = figures["many at once"]
    assert many["reads"] > 0
    assert many["writes"] > 0
    assert many["sound"]
    assert figures["forgotten"]["there before"] == figures["forgotten"]["looked for"] == 54
    assert sum(figures["tenants"][what] for what in ("write", "search", "update", "forget")) == 60
    asked = figures["hostile"]
    assert sum(asked["taken"].values()) + sum(asked["refused"].values()) == 120
    assert figures["many tiny documents"]["held"] == 300


def test_damage_that_is_answered_from_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = damage.filled(tmp_path / "m", 8)
    held = damage.contents(path)
    assert damage.outcome(path, held) == "nothing changed"
    other = {**held, "d3": ["something else", *held["d3"][1:]]}
    assert damage.outcome(path, other) == "wrong"
    assert damage.outcome(path, {**held, "d9": ["lost"]}) == "less, and not noticed"
    assert damage.outcome(path, {**held, "d8": ["lost"]}, last="d8") == "as after a power cut"
    assert damage.outcome(path, {**held, "d9": ["lost"]}, last="d10") == "less, and not noticed"
    for search in ("nearest", "lexical"):
        with monkeypatch.context() as patch:
            patch.setattr(SQLiteStore, search, lambda *_: [Hit(2, 1.0)])
            assert damage.outcome(path, held) == "wrong"
            patch.setattr(SQLiteStore, search, lambda *_: [])
            assert damage.outcome(path, held) == "less, and not noticed"


def test_leaks_and_other_errors_would_be_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError("no error of ours")

    def everyones(self: Larimar, question: str, k: int, *, namespace: str, **rest: object) -> Readout:
        return read(self, question, k, namespace=strangers.NAMES[0], **rest)

    read = Larimar.read
    monkeypatch.setattr(Larimar, "read", everyones)
    assert strangers.live_together(tmp_path / "a", random.Random(0), 60)["leaks"] > 0
    monkeypatch.setattr(Larimar, "read", fails)
    assert strangers.ask_badly(tmp_path / "b", random.Random(0), 60)["raised"] > 0


# --- a full disk, and one that cannot be written ---

FULL = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from larimar_memory.errors import MemoryFileError
from tests.damage import contents, whole
from tests.stores.test_laws import open_file
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[2])
store = open_file(path)
before = contents(store)
size = path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
written = 0
try:
    for n in range(1000):
        store.write("one", [whole(f"big{n}", [f"{n} {i} " + "filling " * 60 for i in range(40)])])
        written = n + 1
except MemoryFileError as error:
    print(error)
after = contents(store)
assert {k: v for k, v in after.items() if not k[1].startswith("big")} == before
assert len(after) == len(before) + written, (len(after), written)
try:
    store.close()
except MemoryFileError as error:
    print("close:", error)
print(written)
"""


def test_a_full_disk_is_told_and_what_was_committed_is_read(tmp_path: Path) -> None:
    path = filled(tmp_path / "m" / "m.larimar", 40)
    store = open_file(path)
    before = contents(store)
    store.close()
    done = subprocess.run(
        [sys.executable, "-c", FULL, ROOT, str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *_, written = done.stdout.strip().splitlines()
    assert "cannot be used. SQLite said: disk I/O error" in first or "The disk is full." in first
    assert check(path).sound
    store = open_file(path)
    after = contents(store)
    assert {k: v for k, v in after.items() if not k[1].startswith("big")} == before
    assert len(after) == len(before) + int(written)
    store.write("one", [whole("more", ["There is room again."])])
    assert found(store, "one", "There is room again.", 1) == ["There is room again."]
    store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_read_as_another_user(tmp_path: Path) -> None:
    path = filled(tmp_path / "m" / "m.larimar")
    path.chmod(0o444)
    path.parent.chmod(0o555)
    store = open_file(path, read_only=True)
    assert len(contents(store)) == 22
    store.close()


READ_ONLY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from larimar_memory.errors import LarimarError
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.opening import open_store
from tests.damage import contents, whole
new = whole("new", ["text"])
os.setuid(65534)
path = Path(sys.argv[2])
assert check(path).sound
store = open_store(path, encoder="test-encoder", dimension=8)
print(len(contents(store)))
try:
    store.write("one", [new])
except LarimarError as error:
    print(error)
store.close()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("folder_too", [False, True])
def test_a_read_only_file_is_read_and_not_changed(folder_too: bool) -> None:
    # pytest's own folders are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        path = filled(Path(name) / "m" / "m.larimar")
        path.chmod(0o444)
        path.parent.chmod(0o555 if folder_too else 0o777)
        before = {p: p.read_bytes() for p in path.parent.iterdir() if p.is_file()}
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, ROOT, str(path)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        count, refused = done.stdout.strip().splitlines()
        assert int(count) == 11 * len(SPACES)
        assert "cannot be changed. It was opened read-only or its file cannot be written." in refused
        assert {p: p.read_bytes() for p in path.parent.iterdir() if p.is_file()} == before


def test_a_new_memory_in_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(MemoryFileError, match=r"cannot be used\. The system said"):
        open_file(tmp_path / "file" / "m.larimar")
