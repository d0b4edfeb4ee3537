"""A copy is the same to the last bit, however often it is killed; merging is writing all to one."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larimar_memory.moving import copy, merge
from larimar_memory.slots import Slots
from larimar_memory.stores import SQLiteStore, WriteBatch
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.testing.writes import DIMENSION, batch, key_of
from tests.damage import whole
from tests.facade.moved import Held, exported, generations, made, memories, small, unordered
from tests.stores.test_laws import open_file
from tests.stores.test_postgres_laws import open_database

ROOT = str(Path(__file__).parents[2])


# --- laws ---


@given(memories, st.booleans(), st.integers(1, 6))
@settings(max_examples=40)
def test_a_copy_and_its_copy_back_are_the_same_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, held: dict, lazy: bool, size: int
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    source, there, back = made(held, lazy), open_file(None, lazy=lazy), open_file(None, lazy=lazy)
    with small(size):
        done = copy(source, there)
        assert (done.written, done.replaced, done.kept) == (len(held), 0, 0)
        before = generations(there)
        again = copy(source, there)
        assert (again.written, again.replaced, again.kept) == (0, 0, len(held))
        copy(there, back)
    assert (
        exported(source, folder / "a") == exported(there, folder / "b") == exported(back, folder / "c")
    )
    assert generations(there) == before


@given(memories, memories, st.booleans(), st.integers(1, 6))
@settings(max_examples=40)
def test_merging_is_writing_all_to_one_in_either_order(
    tmp_path_factory: pytest.TempPathFactory, one: dict, two: dict, lazy: bool, size: int
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    first, second, both = made(one, lazy, "a"), made(two, lazy, "b"), made(one, lazy, "a")
    for (space, name), document in two.items():
        document.put(both, space, f"b{name}")
    merged, turned = open_file(None, lazy=lazy), open_file(None, lazy=lazy)
    with small(size):
        merge([first, second], merged)
        merge([second, first], turned)
        assert exported(merged, folder / "a") == exported(both, folder / "b")
        assert unordered(merged) == unordered(turned)
        before = generations(merged)
        assert merge([first, second], merged).kept == len(one) + len(two)
    assert exported(merged, folder / "c") == exported(both, folder / "d")
    assert generations(merged) == before


@given(memories, memories, memories, st.booleans(), st.integers(1, 6))
@settings(max_examples=40)
def test_the_newer_wins_wherever_it_is_and_merging_again_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, one: dict, two: dict, three: dict, lazy: bool, size: int
) -> None:
    folder = tmp_path_factory.mktemp("newer")
    stores = [made(held, lazy) for held in (one, two, three)]
    merged, turned = open_file(None, lazy=lazy), open_file(None, lazy=lazy)
    with small(size):
        merge(stores, merged, same="newer")
        merge(stores[::-1], turned, same="newer")
        assert unordered(merged) == unordered(turned)
        before = exported(merged, folder / "a")
        merge(stores, merged, same="newer")
        assert exported(merged, folder / "b") == before
    for key in {*one, *two, *three}:
        latest = max(held[key].written_at for held in (one, two, three) if key in held)
        document = merged.document(*key)
        assert document is not None
        assert document.written_at == latest


@given(memories, memories, st.booleans(), st.integers(1, 6))
@settings(max_examples=25)
def test_the_first_stays_and_merging_again_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, one: dict, two: dict, lazy: bool, size: int
) -> None:
    folder = tmp_path_factory.mktemp("first")
    first, second, merged = made(one, lazy), made(two, lazy), open_file(None, lazy=lazy)
    with small(size):
        merge([first, second], merged, same="first")
        for (space, name), held in one.items():
            document = merged.document(space, name)
            assert document is not None
            assert (document.written_at, document.episode) == (held.written_at, held.episode)
            texts = [s.text for s in merged.segments(space, name)]
            assert texts == [text for text, _, _ in held.segments]
        assert {key[1] for key in unordered(merged)} == {name for _, name in {*one, *two}}
        before = exported(merged, folder / "a")
        merge([first, second], merged, same="first")
    assert exported(merged, folder / "b") == before


class StoppedError(Exception):
    pass


class Stopping(SQLiteStore):
    """A store whose process ends in front of a write."""

    left = 10**9

    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoppedError
        super().write(namespace, batches)


@pytest.mark.parametrize("lazy", [False, True])
def test_interrupted_in_front_of_any_commit_it_ends_the_same(tmp_path: Path, lazy: bool) -> None:
    long = tuple((f"sentence {n}. ", n if n % 3 else None, n % 2 == 0) for n in range(23))
    source = made({("n", "long"): Held(long, {"a": 1}, True, "2025-01-02 03:04:05", "trip")}, lazy)
    for n in range(7):
        Held(long[n : n + 2], {}, n != 3, "2025-01-02 03:04:05", None).put(
            source, "n m"[n % 2 :], f"d{n}"
        )
    Held(long[1:], {}, False, "2025-01-02 03:04:05", None).put(source, "n", "in part")
    wanted = exported(source, tmp_path / "wanted")
    with small(5):
        for writes in range(100):
            target = Stopping(None, encoder="test-encoder", dimension=DIMENSION, lazy=lazy)
            target.left = writes
            with suppress(StoppedError):
                copy(source, target)
            stopped, target.left = target.left < 0, 10**9
            copy(source, target)
            assert exported(target, tmp_path / str(writes)) == wanted
            if not stopped:
                break
    assert 10 < writes < 99


def test_slots_over_a_merged_memory_are_those_of_both(tmp_path: Path) -> None:
    texts = [f"fact {n}" for n in range(40)]
    one, two, both, merged = (open_file(None) for _ in range(4))
    for n, text in enumerate(texts):
        for store in (both, one if n % 3 else two):
            store.write("n", [batch(f"d{n}", [text, f"{text} more"])])
    merge([one, two], merged)
    sums = [Slots(store, 8, DIMENSION).memory("n") for store in (one, two, both, merged)]
    for name in ("_gram", "_cross"):
        first, second, written, held = (getattr(memory, name) for memory in sums)
        assert np.array_equal(held, written)
        assert np.array_equal(held, first + second)
    asked = key_of("fact 3")[None]
    assert sums[2].read(asked).latents.tobytes() == sums[3].read(asked).latents.tobytes()


# --- kills ---

MOVER = """
import sys; sys.path.insert(0, sys.argv[1])
from larimar_memory import moving
from larimar_memory.stores import pouring
pouring.BATCH_SEGMENTS = 8
what, into, *sources = sys.argv[2:]
tell = lambda *now: print(*now, flush=True)
if what == "copy":
    moving.copy(sources[0], into, on_progress=tell)
else:
    moving.merge(sources, into, same="newer", on_progress=tell)
print("done", flush=True)
"""


def killed(draw: random.Random, most: int, *arguments: str) -> bool:
    """Kill a copy or merge after some commits, while it does the next; whether it ended before."""
    command = [sys.executable, "-c", MOVER, ROOT, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for _ in range(draw.randrange(most)):
            if process.stdout.readline() in ("", "done\n"):
                break
        process.kill()
        return "done\n" in process.stdout.read()


@pytest.mark.parametrize("what", ["copy", "merge"])
@pytest.mark.parametrize("where", ["file", "database"])
def test_killed_at_any_moment_and_started_again_it_ends_the_same(
    tmp_path: Path, request: pytest.FixtureRequest, what: str, where: str
) -> None:
    long = [f"sentence {n} of a long text. " for n in range(60)]
    for name in "ab":
        store = open_file(tmp_path / name)
        for n in range(30):
            made_there = whole(
                f"d{n}" if n < 5 else f"{name}{n}", [f"{name} {n} {i}. " for i in range(4)]
            )
            at = f"2025-01-0{1 + (n + (name == 'b')) % 2} 00:00:00"
            store.write(
                "n", [replace(made_there, document=replace(made_there.document, written_at=at))]
            )
        latents = [np.arange(n, dtype=np.int8) for n in range(60)]
        store.write("n", [replace(whole(f"long {name}", long), latents=latents)])
        store.close()
    sources = [str(tmp_path / name) for name in ("a" if what == "copy" else "ab")]
    wanted, into = str(tmp_path / "wanted"), str(tmp_path / "into")
    if where == "database":
        into = request.getfixturevalue("address")
    copy(*sources, wanted) if what == "copy" else merge(sources, wanted, same="newer")
    draw = random.Random(f"{what} {where}")
    for _ in range(4):
        killed(draw, 12, what, into, *sources)
    last = open_database(into) if where == "database" else open_file(Path(into))
    assert last.stats().documents > 0
    last.close()
    done = subprocess.run(
        [sys.executable, "-c", MOVER, ROOT, what, into, *sources],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.stdout.endswith("done\n"), done.stderr
    ended = open_database(into) if where == "database" else open_file(Path(into))
    assert exported(ended, tmp_path / "x") == exported(open_file(Path(wanted)), tmp_path / "y")
    ended.close()
    if where == "file":
        assert check(Path(into)).sound
