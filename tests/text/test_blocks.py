"""Texts in blocks: the same segments, flat memory, and interruptions that change nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larimar_memory import write
from larimar_memory.encoders.base import TokenizingEncoder
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.text import segments
from larimar_memory.text.blocks import Blocks, Text, measured
from larimar_memory.text.files import Files
from larimar_memory.text.segments import segment
from larimar_memory.types import WriteProgress
from tests.quick import CountingStore, QuickEncoder, QuickTokens, contents

ROOT = Path(__file__).parents[2]
PARTS = [
    "Hello there. ",
    "a",
    "\r\n",
    "\n\n",
    "\n",
    "\u3002",
    " ",
    "x" * 300,
    " " * 300,
    "Mr. ",
    "No! ",
]
PROSE = st.lists(st.sampled_from(PARTS), max_size=40).map("".join)


def cut(text: str, places: list[int]) -> list[str]:
    at = [0, *sorted(p % (len(text) + 1) for p in places), len(text)]
    return [text[a:b] for a, b in pairwise(at)]


def blocks(text: str, size: int = 1000) -> Blocks:
    return lambda: (text[at : at + size] for at in range(0, len(text), size))


def sentences(count: int, seed: int = 0) -> str:
    words = ("tower", "harbour", "lamp", "winter", "copper", "letter", "garden", "engine")
    return " ".join(
        f"The {words[(i * 7 + seed) % 8]} number {i} stands near the {words[i * i % 8]}."
        + ("\n\n" if i % 9 == 8 else "")
        for i in range(count)
    )


def open_quick(path: Path | None = None, **options: Any) -> Larimar:
    encoder = QuickTokens() if options.pop("tokens", True) else QuickEncoder()
    return Larimar.open(path, encoder=encoder, **options)


@given(PROSE | st.text(), st.lists(st.integers(0, 10_000), max_size=8), st.integers(5, 500))
@settings(max_examples=300)
def test_blocks_have_no_say_in_where_a_text_is_cut(text: str, places: list[int], window: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "WINDOW_CHARS", window)
        assert list(segment(cut(text, places))) == list(segment(text))


@given(PROSE.filter(str.strip), st.integers(1, 700), st.integers(2, 5))
def test_a_text_in_blocks_is_written_as_the_whole_one(text: str, size: int, batch: int) -> None:
    with pytest.MonkeyPatch.context() as patch, open_quick() as one, open_quick() as other:
        patch.setattr(write, "BATCH_SEGMENTS", batch)
        one.write([text, "Another text."], ["d", "e"], [{"n": 1}, {}])
        other.write_each(
            [Text("d", blocks(text, size), {"n": 1}), Text("e", blocks("Another text."), {})]
        )
        assert contents(one) == contents(other)
        assert one.text("d") == text


def test_what_is_written_again_in_blocks_is_known(tmp_path: Path) -> None:
    text = sentences(50)
    with open_quick(tmp_path / "m.larimar") as memory:
        memory.write([text], ["d"])
        memory.store.write = None  # type: ignore[assignment, method-assign]
        seen = list[WriteProgress]()
        memory.write_each([Text("d", blocks(text), {})], on_progress=seen.append)
        assert seen[-1].characters == len(text)


def test_one_id_again_and_again_ends_with_the_last() -> None:
    texts = [sentences(3, seed) for seed in (0, 1)]
    order = [0, 1, 0, 0, 1, 1, 0, 1, 0]
    for tokens in (True, False):
        with open_quick(tokens=tokens) as memory, pytest.MonkeyPatch.context() as patch:
            patch.setattr(write, "BATCH_SEGMENTS", 2)
            for last in (0, 1):
                memory.write_each(Text("d", texts[n], {}) for n in [*order, last])
                assert memory.text("d") == texts[last]
                assert memory.stats().documents == 1


class AtOnce:
    """An executor that has done what it is given before it says so."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> AtOnce:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, work: Any, *given: Any) -> Future[Any]:
        done = Future[Any]()
        done.set_result(work(*given))
        return done


def test_what_is_half_written_is_under_way_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "BATCH_SEGMENTS", 2)
    # Each batch is in the store before the next is read.
    monkeypatch.setattr(write, "ThreadPoolExecutor", AtOnce)
    text = sentences(5)
    with open_quick(tokens=False) as memory:
        memory.write_each(Text("d", text, {}) for _ in range(4))
        assert memory.text("d") == text
        assert memory.stats().segments == len(list(segment(text)))


# --- interruptions ---


class Interruption:
    """Raises KeyboardInterrupt the n-th time it is passed, once."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.happened = False
        self._lock = threading.Lock()

    def __call__(self, *_: Any) -> None:
        with self._lock:
            self.left -= 1
            happens = self.left == 0
        if happens:
            self.happened = True
            raise KeyboardInterrupt


def interrupting(place: str, memory: Larimar, stop: Interruption) -> Callable[[Any], None] | None:
    """Put the interruption in its place; what it returns is given as `on_progress`."""
    encoder, store = memory.encoder, memory.store
    if place == "progress":
        return stop

    def around(owner: Any, name: str, *, after: bool = False) -> None:
        method = getattr(owner, name)

        def called(*args: Any, **options: Any) -> Any:
            if not after:
                stop()
            result = method(*args, **options)
            if after:
                stop()
            return result

        setattr(owner, name, called)

    in_steps = isinstance(encoder, TokenizingEncoder)
    if place == "tokenising":
        around(encoder, "tokenize" if in_steps else "encode")
    elif place == "encoding":
        around(encoder, "encode_tokens" if in_steps else "encode")
    elif place in ("before a commit", "after a commit"):
        around(store, "write", after=place.startswith("after"))
    elif place == "looking up":
        around(store, "document")
    return None


PLACES = (
    "tokenising",
    "encoding",
    "before a commit",
    "after a commit",
    "looking up",
    "progress",
    "text",
)


def three_texts(stop: Interruption | None = None) -> Iterator[Text]:
    """Two long texts and a short one; the interruption may be in their blocks."""
    for name, count in (("one", 120), ("two", 3), ("three", 90)):
        text = sentences(count, len(name))

        def again(text: str = text) -> Iterator[str]:
            for block in blocks(text, 500)():
                if stop is not None:
                    stop()
                yield block

        yield Text(name, again, {"of": name}, measured(blocks(text)()) if name == "three" else None)


@given(
    st.lists(st.tuples(st.sampled_from(PLACES), st.integers(1, 40)), min_size=1, max_size=4),
    st.booleans(),
)
@settings(max_examples=40)
def test_interrupted_anywhere_it_ends_as_if_it_had_not_been(
    tmp_path_factory: pytest.TempPathFactory, stops: list[tuple[str, int]], tokens: bool
) -> None:
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "BATCH_SEGMENTS", 7)
        with open_quick(tokens=tokens) as memory:
            memory.write_each(three_texts())
            expected = contents(memory)
        for place, at in stops:
            stop = Interruption(at)
            with open_quick(folder / "m.larimar", tokens=tokens, synchronous="normal") as memory:
                report = interrupting(place, memory, stop)
                texts = three_texts(stop if place == "text" else None)
                try:
                    memory.write_each(texts, on_progress=report)
                except KeyboardInterrupt:
                    assert stop.happened
                else:
                    assert not stop.happened
                    assert contents(memory) == expected
        with open_quick(folder / "m.larimar", tokens=tokens, synchronous="normal") as memory:
            memory.write_each(three_texts())
            assert contents(memory) == expected
            rows = [s.row for s in memory.store.segments("default", "one")]
            assert rows == sorted(rows)


def test_an_interrupted_text_is_not_encoded_again(tmp_path: Path) -> None:
    text = sentences(4000)
    with open_quick(tmp_path / "m.larimar") as memory:
        with pytest.raises(KeyboardInterrupt):
            memory.write_each([Text("d", blocks(text), {})], on_progress=Interruption(2))
        kept = memory.stats().segments
        assert kept >= write.BATCH_SEGMENTS
        encoded, seen = list[int](), list[WriteProgress]()
        tokenize = memory.encoder.tokenize  # type: ignore[attr-defined]

        def counted(texts: Any) -> Any:
            encoded.append(len(texts))
            return tokenize(texts)

        memory.encoder.tokenize = counted  # type: ignore[attr-defined]
        memory.write_each([Text("d", blocks(text), {})], on_progress=seen.append)
        assert sum(encoded) == memory.stats().segments - kept
        assert [p.characters for p in seen] == sorted(p.characters for p in seen)
        assert seen[-1].characters == len(text)


def test_what_another_version_cut_is_written_anew(tmp_path: Path) -> None:
    text = sentences(60)
    with pytest.MonkeyPatch.context() as patch, open_quick(tmp_path / "m.larimar") as memory:
        patch.setattr(write, "BATCH_SEGMENTS", 7)
        patch.setattr(segments, "_blank_line_follows", lambda piece: True)
        with pytest.raises(KeyboardInterrupt):
            memory.write([text], ["d"], on_progress=Interruption(2))
        assert memory.stats().segments > 0
        patch.undo()
        memory.write([text], ["d"])
        assert memory.text("d") == text
        with open_quick() as other:
            other.write([text], ["d"])
            assert contents(other) == contents(memory)


def test_a_text_that_changes_while_it_is_read_is_not_kept(tmp_path: Path) -> None:
    first, later = sentences(60), sentences(60, seed=1)
    reads = iter([first, later, first, first])
    with pytest.MonkeyPatch.context() as patch, open_quick(tmp_path / "m.larimar") as memory:
        patch.setattr(write, "BATCH_SEGMENTS", 7)
        changing = Text("d", lambda: blocks(next(reads))(), {})
        with pytest.raises(InputError, match=r"d cannot be written\. It changed while it was being"):
            memory.write_each([Text("before", "Something else.", {}), changing])
        assert memory.text("before") == "Something else."
        assert memory.text("d") == ""
        memory.write_each([changing])
        assert memory.text("d") == first


def test_texts_before_one_that_cannot_be_written_are_written() -> None:
    bad = {
        r"d cannot be written\. It is empty\. Pass text with": Text("d", blocks(" \n"), {}),
        r"d cannot be written\. At character 1 it holds half of a surrogate": Text(
            "d", blocks("a\ud800"), {}
        ),
        r"'' cannot be a document id": Text("", "text", {}),
    }
    for message, item in bad.items():
        with open_quick() as memory:
            with pytest.raises(InputError, match=message):
                memory.write_each([Text("before", "Something.", {}), item, Text("after", "More.", {})])
            assert [d.id for d in memory.documents()] == ["before"]


SLOW_INGEST = """
import signal, sys
sys.path[:0] = [sys.argv.pop(1)]
# As at a terminal: what a shell runs in the background starts with interrupts ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.quick import QuickTokens
from larimar_memory import write
from larimar_memory.encoders import sentence
from larimar_memory.cli import main
waits = sys.argv.pop(1) == "waits"
write.BATCH_SEGMENTS = 50

class Slow(QuickTokens):
    def encode_tokens(self, batch):
        print("encoding", file=sys.stderr, flush=True)
        if waits:
            sys.stdin.readline()
        return super().encode_tokens(batch)

sentence.SentenceEncoder.load = lambda name: Slow()
main()
"""


def slow_ingest(pace: str, *arguments: str) -> subprocess.Popen[str]:
    """The command; where it "waits", for a line before each batch is encoded."""
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_INGEST, str(ROOT), pace, "ingest", *arguments],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_command_stopped_by_ctrl_c_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for n, count in enumerate((300, 2, 2, 400)):
        (folder / f"{n}.txt").write_text(sentences(count, n))
    stopped, whole = str(tmp_path / "stopped.larimar"), str(tmp_path / "whole.larimar")
    done = slow_ingest("runs", str(folder), "-m", whole)
    _, said = done.communicate(timeout=120)
    assert done.returncode == 0, said
    for after in (4, 3):
        running = slow_ingest("waits", str(folder), "-m", stopped)
        assert running.stderr is not None
        assert running.stdin is not None
        seen = 0
        for line in running.stderr:
            seen += line.count("encoding\n")
            if seen == after:
                break
            running.stdin.write("\n" * line.count("encoding\n"))
            running.stdin.flush()
        running.send_signal(signal.SIGINT)
        _, rest = running.communicate("\n", timeout=60)
        assert running.returncode == 130
        assert "Interrupted: what was committed is kept, and the same command goes on." in rest
        assert "Traceback" not in rest
    with open_quick(Path(stopped)) as memory:
        assert memory.stats().segments > 0
        partial = memory.stats().segments
    done = slow_ingest("runs", str(folder), "-m", stopped)
    _, said = done.communicate(timeout=120)
    assert done.returncode == 0, said
    with open_quick(Path(stopped)) as one, open_quick(Path(whole)) as other:
        assert contents(one) == contents(other)
        assert partial < one.stats().segments


# --- memory ---

FLAT = """
import resource, sys
sys.path[:0] = [sys.argv[1]]
from tests.quick import CountingStore, QuickEncoder
from larimar_memory.text.files import Files
from larimar_memory.larimar import Larimar

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

store = CountingStore()
with Larimar(store, QuickEncoder(), "none") as memory:
    memory.write_each(Files([sys.argv[2]]))
    before = peak()
    memory.write_each(Files([sys.argv[3]]))
    print(peak() - before, store.characters, store.done)
"""


def test_sixty_megabytes_are_written_in_flat_memory(tmp_path: Path) -> None:
    prose, line = sentences(9000) + "\n\n", "x" * 10_000_000
    (tmp_path / "small.txt").write_text(prose * 3 + line[:1_000_000])
    length = 0
    with (tmp_path / "large.txt").open("w") as file:
        # Lines of ten megabytes between paragraphs.
        for part in [prose, prose, line, "\n"] * 6:
            length += file.write(part)
    assert length > 60_000_000
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            FLAT,
            str(ROOT),
            str(tmp_path / "small.txt"),
            str(tmp_path / "large.txt"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    grown, characters, documents = map(int, done.stdout.split())
    assert characters == length + len(prose) * 3 + 1_000_000
    assert documents == 2
    assert grown < 30


def test_many_tiny_texts_are_written_in_flat_memory() -> None:
    def texts(count: int) -> Iterator[Text]:
        return (Text(f"d{n}", f"Note number {n} is here.", {"n": n}) for n in range(count))

    store = CountingStore()
    with Larimar(store, QuickEncoder(), "none") as memory:
        memory.write_each(texts(1_500))
        tracemalloc.start()
        try:
            memory.write_each(texts(1_500))
            _, few = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            memory.write_each(texts(12_000))
            _, many = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert store.done == 15_000
    assert many < few + 2_000_000


def test_a_million_names_are_not_held(tmp_path: Path) -> None:
    for folder in range(20):
        (tmp_path / f"f{folder:02}").mkdir()
        for n in range(20):
            (tmp_path / f"f{folder:02}" / f"{n:02}.txt").write_text(f"Text {n} of {folder}.")
    (tmp_path / "f03" / ".hidden.txt").write_text("no")
    os.symlink(tmp_path, tmp_path / "f03" / "loop")
    texts = list(Files([str(tmp_path)]))
    assert [t.id for t in texts] == sorted(t.id for t in texts)
    assert len(texts) == 400
