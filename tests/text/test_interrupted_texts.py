"""Texts interrupted anywhere, which end as if they had not been."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larimar_memory import write
from larimar_memory.encoders.base import TokenizingEncoder
from larimar_memory.larimar import Larimar
from larimar_memory.text import segments
from larimar_memory.text.blocks import Text, measured
from larimar_memory.types import WriteProgress
from tests.quick import contents
from tests.text.long_texts import ROOT, in_blocks, open_quick, sentences


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
            for block in in_blocks(text, 500)():
                if stop is not None:
                    stop()
                yield block

        yield Text(name, again, {"of": name}, measured(in_blocks(text)()) if name == "three" else None)


@cache
def uninterrupted(tokens: bool) -> list[Any]:
    """What a memory of the three texts holds."""
    with open_quick(tokens=tokens) as memory:
        memory.write_each(three_texts())
        return contents(memory)


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
        expected = uninterrupted(tokens)
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
            memory.write_each([Text("d", in_blocks(text), {})], on_progress=Interruption(2))
        kept = memory.stats().segments
        assert kept >= write.BATCH_SEGMENTS
        encoded, seen = list[int](), list[WriteProgress]()
        tokenize = memory.encoder.tokenize  # type: ignore[attr-defined]

        def counted(texts: Any) -> Any:
            encoded.append(len(texts))
            return tokenize(texts)

        memory.encoder.tokenize = counted  # type: ignore[attr-defined]
        memory.write_each([Text("d", in_blocks(text), {})], on_progress=seen.append)
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


SLOW_INGEST = """
import signal, sys
sys.path[:0] = [sys.argv.pop(1)]
# As at a terminal: what a shell runs in the background starts with interrupts ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.text.long_texts import ROOT, in_blocks, open_quick, sentences
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
