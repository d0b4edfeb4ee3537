"""Two memory files merged into one, and a file copied to a database and back: exact, and how fast."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from benchmarks import database
from benchmarks.haystack import Part
from benchmarks.result import Bar, Figures, bar
from benchmarks.session import Session
from larimar_memory import moving
from larimar_memory.stores import Span, Store
from larimar_memory.stores.opening import open_as_written
from larimar_memory.stores.pouring import Poured
from larimar_memory.stores.sqlite.integrity import check

PACKAGES = database.PACKAGES

_TOKENS = 30
"""More than a segment has on average: so much prose is enough."""

_KEYED = 1_000
"""Segments of each file that have the encoder's key, as some that were read have."""

_DOCUMENTS = 16
"""Written at once."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many segments each file has at least."""

    segments: int


FULL = Size(100_000)
QUICK = Size(1_000)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Write two files, merge them twice, and copy one to a database and back."""
    parts = iter(session.prose(2 * size.segments * _TOKENS).parts())
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as name, database.served() as new:
        folder, address = Path(name), new("copied")
        files = [folder / "one.larimar", folder / "two.larimar"]
        held = [_write(session, file, parts, size.segments) for file in files]
        into, back = folder / "both.larimar", folder / "back.larimar"
        session.note("merging")
        seconds = {"merge": _timed(lambda: moving.merge(files, into))[0]}
        seconds["merge again"], again = _timed(lambda: moving.merge(files, into))
        session.note("copying to a database and back")
        seconds["copy to a database"] = _timed(lambda: moving.copy(files[0], address))[0]
        seconds["copy from a database"] = _timed(lambda: moving.copy(address, back))[0]
        session.note("comparing")
        off = _differing([*files], into), _differing(files[:1], back)
        unsound = sum(not check(file).sound for file in (into, back))
        figures: Figures = {
            "segments": held,
            "bytes": [file.stat().st_size for file in (*files, into)],
            "seconds": seconds,
            "merged_segments_per_second": sum(held) / seconds["merge"],
            "copied_segments_per_second": held[0] / seconds["copy to a database"],
            "copied_back_segments_per_second": held[0] / seconds["copy from a database"],
        }
    return report(figures, *off, again, unsound)


def report(
    figures: Figures, off: int, off_back: int, again: Poured, unsound: int
) -> tuple[Figures, list[Bar]]:
    """The bars: all is exact, whatever time it took."""
    of = f"two files of {min(figures['segments']):,} segments"
    return figures, [
        bar(f"documents that differ after {of} were merged", off, "<= 0"),
        bar("documents written when they are merged again", again.written + again.replaced, "<= 0"),
        bar("documents that differ after a file was copied to a database and back", off_back, "<= 0"),
        bar("files that are unsound then", unsound, "<= 0"),
    ]


def _write(session: Session, file: Path, parts: Iterator[Part], segments: int) -> int:
    """Write parts to a file until it has so many segments; returns how many it has."""
    session.note(f"writing {file.name}")
    with session.open(file) as memory:
        held = 0
        while held < segments:
            some = [part for part, _ in zip(parts, range(_DOCUMENTS), strict=False)]
            memory.write([p.text for p in some], [f"{file.stem} {p.id}" for p in some])
            held = memory.stats().segments
        rows = memory.store.lacking("default", 0, min(_KEYED, segments // 10))
        texts = [segment.text for segment in memory.store.fetch("default", rows)]
        memory.store.attach("default", rows, keys=session.encoder.encode(texts))
        return held


def _timed(work: Callable[[], Poured]) -> tuple[float, Poured]:
    started = time.perf_counter()
    done = work()
    return time.perf_counter() - started, done


def _differing(sources: list[Path], target: Path) -> int:
    """Documents that are not, in their order, what the sources hold, to the last bit."""
    wanted = [digest for file in sources for digest in _digests(file)]
    return sum(a != b for a, b in zip_longest(wanted, _digests(target)))


def _digests(file: Path) -> list[bytes]:
    with open_as_written(file, read_only=True) as store:
        return [_digest(store, space, id) for space in store.namespaces() for id in _ids(store, space)]


def _ids(store: Store, space: str) -> Iterator[str]:
    return (document.id for document in store.documents(space))


def _digest(store: Store, space: str, id: str) -> bytes:
    """Of all that is kept of a document."""
    document = store.document(space, id)
    made = hashlib.blake2b(repr((space, document, document and document.written_at)).encode())
    for s in store.spans(space, [Span(id)], latents=True)[0]:
        made.update(repr((s.index, s.start, s.end, s.text)).encode())
        for numbers in (s.coarse, s.key, s.latent):
            made.update(b"-" if numbers is None else numbers.tobytes())
    return made.digest()
