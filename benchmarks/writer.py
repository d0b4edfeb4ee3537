"""A process that uses a memory file without a model, and says after each step that it is done.

Run as `python -m benchmarks.writer KIND FILE NAME SEED FIRST SECONDS`, KIND of `KINDS`.
Before a step it writes `try STEP`, after it `ack STEP`, a step being a number, a word and a document.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from larimar_memory.errors import MemoryBusyError
from larimar_memory.stores import Document, SQLiteStore, WriteBatch
from larimar_memory.stores.sqlite import parts, vectors
from larimar_memory.types import Segment

ENCODER, DIMENSION, SPACE = "none", 32, "default"
DOCUMENTS, PIECES, THREADS = 12, 3, 16
_MANY = 1000
_FORGET_EVERY = 4


def key_of(text: str) -> Float[np.ndarray, " d"]:
    """A unit key that follows from the text alone."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    key = np.random.default_rng(seed).standard_normal(DIMENSION)
    return np.asarray(key / np.linalg.norm(key), dtype=np.float32)


def pieces(name: str, version: int) -> list[str]:
    """What a version of a document says: words that no other version has."""
    said = hashlib.blake2b(f"{name} {version}".encode(), digest_size=8).hexdigest()
    return [f"{name} says {said}x{i} in version {version}. " for i in range(PIECES)]


def batch(name: str, version: int) -> WriteBatch:
    """A version of a document with keys and latents."""
    texts, at, segments = pieces(name, version), 0, list[Segment]()
    for n, text in enumerate(texts):
        segments.append(Segment(n, at, at + len(text), text))
        at += len(text)
    keys = np.array([key_of(text) for text in texts])
    latents = [np.frombuffer(text.encode()[:24], dtype=np.int8) for text in texts]
    document = Document(name, str(version), at, {"version": version})
    return WriteBatch(document, segments, keys, replace=True, latents=latents)


def opened(path: Path, busy_seconds: float = 30.0) -> SQLiteStore:
    """The memory file."""
    return SQLiteStore(path, encoder=ENCODER, dimension=DIMENSION, busy_seconds=busy_seconds)


def small_parts() -> None:
    """Let few keys make an index, so that parts are filled, saved and made anew all the time."""
    vectors.EXACT_LIMIT, vectors._TAIL_LIMIT, parts.LIMIT = 16, 4, 48


def edit(path: Path, name: str, seed: int, first: int, seconds: float) -> None:
    """Write, replace, forget and save the index, one after the other, until it is killed."""
    small_parts()
    draw, until = random.Random(seed), time.monotonic() + seconds  # noqa: S311 - no secrets are drawn
    store = opened(path)
    number = first
    while time.monotonic() < until:
        number += 1
        document = f"{name}{draw.randrange(DOCUMENTS)}"
        what = draw.choices(("write", "forget", "save"), (8, 2, 1))[0]
        _say(f"try {number} {what} {document}")
        if what == "write":
            store.write(SPACE, [batch(document, number)])
        elif what == "forget":
            store.delete(SPACE, ids=[document], to_purge=True)
            store.purge()
        else:
            store.close()
            store = opened(path)
            store.nearest(SPACE, key_of(document), 1)
        _say(f"ack {number} {what} {document}")
    store.close()


def write(path: Path, name: str, seed: int, first: int, seconds: float) -> None:
    """Write, and forget now and then, beside others; ends with its times and errors as JSON."""
    with_times(path, [_writing(f"{name}{seed}", first, {})], seconds)


def read(path: Path, name: str, seed: int, first: int, seconds: float) -> None:
    """Ask question after question, beside others; ends with its times and errors as JSON."""
    with_times(path, [_reading(seed, {})], seconds)


def both(path: Path, name: str, seed: int, first: int, seconds: float) -> None:
    """Four threads that write and twelve that read, on one memory; ends as the others do."""
    done = dict[str, int]()
    writing = [_writing(f"{name}{seed}t{n}", first, done) for n in range(THREADS // 4)]
    reading = [_reading(n, done) for n in range(THREADS - len(writing))]
    with_times(path, writing + reading, seconds)


Step = Callable[[SQLiteStore, dict[str, list[float]]], None]


def with_times(path: Path, steps: Sequence[Step], seconds: float) -> None:
    """Repeat each step in a thread of its own for so long, and print what it took."""
    small_parts()
    store, until = opened(path), time.monotonic() + seconds
    times: dict[str, list[float]] = {"read": [], "write": [], "busy": []}
    errors = list[str]()

    def repeat(step: Step) -> None:
        while time.monotonic() < until and not errors:
            try:
                step(store, times)
            except MemoryBusyError:
                times["busy"].append(0.0)
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=repeat, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    _say("end " + json.dumps({**times, "errors": errors}))


def _writing(name: str, first: int, done: dict[str, int]) -> Step:
    version = first

    def step(store: SQLiteStore, times: dict[str, list[float]]) -> None:
        nonlocal version
        version += 1
        document = f"{name}-{version % DOCUMENTS}"
        done.pop(document, None)
        started = time.perf_counter()
        store.write(SPACE, [batch(document, version)])
        times["write"].append(time.perf_counter() - started)
        done[document] = version
        _say(f"ack {version} write {document}")
        if version % _FORGET_EVERY == 0:
            store.write(SPACE, [batch(f"{name}-passing", version)])
            store.delete(SPACE, ids=[f"{name}-passing"])

    return step


def _reading(seed: int, done: dict[str, int]) -> Step:
    draw = random.Random(seed)  # noqa: S311 - no secrets are drawn

    def step(store: SQLiteStore, times: dict[str, list[float]]) -> None:
        known = draw.choice([*done.copy().items(), None])
        text = str(draw.random()) if known is None else pieces(*known)[1]
        started = time.perf_counter()
        hits = store.nearest(SPACE, key_of(text), 5)
        found = store.fetch(SPACE, [hit.row for hit in hits])
        store.lexical(SPACE, ["says", "version"], 5)
        times["read"].append(time.perf_counter() - started)
        for segment in found:
            version = int(segment.metadata["version"])
            if segment.text != pieces(segment.document_id, version)[segment.index]:
                raise ValueError(f"{segment.text!r} was never written")
        # What was written before, and that nobody has begun to replace since, is found. The index is
        # approximate: what it does not reach with a few it must reach with many.
        if known is not None and text not in [segment.text for segment in found]:
            hits = store.nearest(SPACE, key_of(text), _MANY)
            many = [segment.text for segment in store.fetch(SPACE, [hit.row for hit in hits])]
            if done.get(known[0]) == known[1] and text not in many:
                raise ValueError(f"{text!r} was written and not found")

    return step


def _say(line: str) -> None:
    # One call, so that lines of several threads do not mix.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


KINDS: dict[str, Callable[[Path, str, int, int, float], None]] = {
    "edit": edit,
    "write": write,
    "read": read,
    "both": both,
}

if __name__ == "__main__":
    kind, file, name, *numbers = sys.argv[1:]
    KINDS[kind](Path(file), name, int(numbers[0]), int(numbers[1]), float(numbers[2]))
