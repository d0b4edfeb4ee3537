"""One text of many megabytes in a memory file, without a model: RAM, resuming, what is held."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.peak import Peak
from benchmarks.result import Figures
from benchmarks.writer import DIMENSION, key_of
from larimar_memory.encoders.base import Kind
from larimar_memory.larimar import Larimar
from larimar_memory.text.blocks import Text
from larimar_memory.text.files import Files
from larimar_memory.types import OnProgress, WriteProgress

_WORDS_PER_SENTENCE = 25
_WARM = 20
_AGAIN = 10_000


class HashEncoder:
    """Keys of 32 numbers that follow from a text's hash: no model's work and no model's RAM."""

    dimension, fingerprint = DIMENSION, "hash"

    def encode(self, texts: Sequence[str], kind: Kind = "segment") -> Float[np.ndarray, "n d"]:
        """Keys of segments and questions."""
        keys = [key_of(text.strip()) for text in texts]
        return np.array(keys, dtype=np.float32).reshape(len(texts), DIMENSION)


class StoppedError(Exception):
    """Ends a writing in its middle, as Ctrl-C would."""


def write_one_text(folder: Path, megabytes: int, seed: int) -> Figures:
    """Write a file of so many megabytes (1e6 bytes), stopped in the middle once, and written on.

    Returns:
        RAM in MB that it took at most beyond what a twentieth of it had taken, seconds, and how many of
        the sentences are held more or less often than once.
    """
    small, large = folder / "small.txt", folder / "large.txt"
    _fill(small, max(1, megabytes // _WARM), seed)
    sentences = _fill(large, megabytes, seed + 1)
    with Larimar.open(folder / "m.larimar", encoder=HashEncoder(), decoder="none") as memory:
        memory.write_each(Files([str(small)]), namespace="small")
        started = time.perf_counter()
        with Peak() as peak:
            stopped = False
            try:
                memory.write_each(Files([str(large)]), on_progress=_stop_after(sentences // 2))
            except StoppedError:
                stopped = True
            memory.write_each(Files([str(large)]))
        seconds = time.perf_counter() - started
        held = memory.stats("default")
        (document,) = memory.documents()
    return {
        "megabytes": megabytes,
        "sentences": sentences,
        "segments": held.segments,
        "documents": held.documents,
        "was_stopped": stopped,
        "missing_or_twice": abs(held.segments - sentences)
        + abs(document.characters - large.stat().st_size),
        "seconds": seconds,
        "ram_mb": peak.megabytes,
        "bytes_on_disk": held.bytes_on_disk,
        "key_dimension": DIMENSION,
    }


def write_tiny(folder: Path, count: int, seed: int) -> Figures:
    """Write so many documents of one short sentence each, and at last some of them again.

    Returns:
        RAM in MB that the second half took at most beyond what the first had taken, seconds, and how
        many documents are held more or less often than once.
    """
    with Larimar.open(folder / "m.larimar", encoder=HashEncoder(), decoder="none") as memory:
        started = time.perf_counter()
        half = count // 2
        memory.write_each(_tiny(0, half, seed))
        with Peak() as peak:
            memory.write_each(_tiny(half, count, seed))
        seconds = time.perf_counter() - started
        memory.write_each(_tiny(0, min(half, _AGAIN), seed))
        held = memory.stats("default")
        wanted = {text.id for text in _tiny(0, count, seed)} if count <= _AGAIN else set[str]()
        missing = sum(document.id in wanted for document in memory.documents()) - len(wanted)
    return {
        "documents": count,
        "held": held.documents,
        "segments": held.segments,
        "missing_or_twice": abs(held.documents - count) + abs(held.segments - count) + abs(missing),
        "seconds": seconds,
        "documents_per_second": count / seconds,
        "ram_mb": peak.megabytes,
        "bytes_on_disk": held.bytes_on_disk,
    }


def _tiny(first: int, last: int, seed: int) -> Iterator[Text]:
    for n in range(first, last):
        yield Text(f"{seed}-{n}", f"Number {n} of {seed}.", {})


def _fill(path: Path, megabytes: int, seed: int) -> int:
    """Sentences that differ, each about 190 characters, a blank line after every tenth; how many."""
    draw = random.Random(seed)  # noqa: S311 - no secrets are drawn
    words = ["".join(draw.choices("abcdefghilmnoprstuv", k=draw.randint(3, 9))) for _ in range(4000)]
    written = count = 0
    with path.open("w", encoding="ascii") as file:
        while written < megabytes * 1_000_000:
            said = " ".join(draw.choices(words, k=_WORDS_PER_SENTENCE))
            count += 1
            written += file.write(f"Line {count} says {said}.{' ' if count % 10 else chr(10) * 2}")
    return count


def _stop_after(segments: int) -> OnProgress:
    def look(progress: WriteProgress) -> None:
        if progress.segments >= segments:
            raise StoppedError

    return look
