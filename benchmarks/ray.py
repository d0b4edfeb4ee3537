"""Two workers of Ray beside one process, and whether a memory is the same after kills of both kinds."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clusters import acknowledged, content_hash, driver, in_blocks, kill_workers
from benchmarks.result import Bar, Figures, bar
from benchmarks.session import Session
from larimar_memory.larimar import Larimar

PACKAGES = ("ray", "pyarrow")
_WORKERS = 2
_KILL_SECONDS = 0.5
"""Longest time from a commit to a kill."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        tokens: that are ingested for the rate, in `blocks`, and so often.
        rounds: ingestions with kills, of `killed_tokens` each.
        workers_killed: in each round before the driver is killed, and as many after it.
    """

    tokens: int
    blocks: int
    repeats: int
    rounds: int
    killed_tokens: int
    workers_killed: Sequence[int]


FULL = Size(5_000_000, 40, 3, 5, 2_000_000, (2, 1))
QUICK = Size(30_000, 4, 1, 1, 6_000, (1, 0))


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Both parts."""
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as name:
        folder = Path(name)
        figures, held = _rates(session, folder, size)
        killed, more = _kills(session, folder, size)
    return {"rate": figures, "kills": killed}, [*held, *more]


def _rates(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Tokens a second from an open memory to a closed one, both taking turns."""
    from larimar_memory.distributed import ingest
    from larimar_memory.distributed.session import connected

    texts, tokens = _texts(session, folder / "rate.parquet", size.tokens)
    one, many, starting = list[float](), list[float](), list[float]()
    figures: Figures = {"tokens": tokens, "workers": _WORKERS, **_parts(session, folder, texts, tokens)}
    with connected(None) as ray:
        for repeat in range(size.repeats):
            path = folder / f"one{repeat}.larimar"
            one.append(tokens / _one_process(session, path, texts))
            done = ingest(
                in_blocks(ray, folder / "rate.parquet", size.blocks),
                folder / f"many{repeat}.larimar",
                workers=_WORKERS,
                progress=False,
            )
            many.append(tokens / done.working_seconds)
            starting.append(done.seconds - done.working_seconds)
            session.note(f"one process {one[-1]:,.0f} tokens/s, {_WORKERS} workers {many[-1]:,.0f}")
    ratio = statistics.median(many) / statistics.median(one)
    figures |= {
        "one_process_tokens_per_second": statistics.median(one),
        "ray_tokens_per_second": statistics.median(many),
        "ray_starting_seconds": statistics.median(starting),
        "ratio": ratio,
        "one_process_repeats": one,
        "ray_repeats": many,
    }
    what = f"tokens a second of {_WORKERS} workers of Ray over one process, {tokens:,} tokens"
    return figures, [bar(what, ratio, ">= 0.9")]


def _parts(session: Session, folder: Path, texts: list[str], tokens: int) -> Figures:
    """Seconds of CPU of what workers do, each by itself, and of what the one who commits does."""
    from larimar_memory.distributed import merged
    from larimar_memory.distributed.shards import Recorder

    keys = {"encoder": session.encoder.fingerprint, "dimension": session.encoder.dimension}
    recorder, shard = Recorder(**keys, lazy=True), folder / "part.arrow"
    with Larimar.open(store=recorder, encoder=session.encoder) as memory, recorder.recording(shard):
        started = time.process_time()
        memory.write(texts, _ids(texts))
        making = time.process_time() - started
    with Larimar.open(folder / "part.larimar", encoder=session.encoder) as memory:
        started = time.process_time()
        merged([shard], memory.store, session.encoder.dimension, "default")
        committing = time.process_time() - started
        stats = memory.stats()
    figures: Figures = {
        "segments": stats.segments,
        "dimension": session.encoder.dimension,
        "worker_tokens_per_cpu_second": tokens / making,
        "commit_tokens_per_cpu_second": tokens / committing,
        "shard_bytes_per_token": shard.stat().st_size / tokens,
        "file_bytes_per_token": stats.bytes_on_disk / tokens,
    }
    shard.unlink()
    return figures


def _kills(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Kill workers, then the driver, start it again and kill another worker; so often."""
    texts, tokens = _texts(session, folder / "kills.parquet", size.killed_tokens)
    _one_process(session, folder / "whole.larimar", texts)
    wanted = _hash(session, folder / "whole.larimar")
    workers = drivers = different = 0
    for number in range(size.rounds):
        target = folder / f"killed{number}.larimar"
        for last, kills in enumerate(size.workers_killed):
            draw = session.draw("kills", number, last)
            killed, by_us = _ingest_and_kill(folder, target, kills, draw, size.blocks, bool(last))
            workers, drivers = workers + killed, drivers + by_us
        different += _hash(session, target) != wanted
        session.note(f"killed {workers} workers and {drivers} drivers")
    figures: Figures = {
        "tokens": tokens,
        "workers_killed": workers,
        "drivers_killed": drivers,
        "memories": size.rounds,
        "different": different,
    }
    what = f"memories of another content after {workers + drivers} kills of workers and drivers"
    return figures, [
        bar(what, different, "<= 0"),
        bar("kills of workers and drivers", workers + drivers, f">= {_wanted(size)}"),
    ]


def _wanted(size: Size) -> int:
    return size.rounds * (sum(size.workers_killed) + len(size.workers_killed) - 1)


def _ingest_and_kill(
    folder: Path, target: Path, kills: int, draw: random.Random, blocks: int, to_the_end: bool
) -> tuple[int, int]:
    """How many workers were killed, and whether the driver was.

    The first worker of a driver that is killed dies where none has worked yet; the others, and the
    driver, after so many commits as are drawn.
    """
    half = blocks // 2
    moments = sorted(
        draw.randint(half * to_the_end, half + half * to_the_end - 1) for _ in range(kills)
    )
    if not to_the_end and moments:
        moments[0] = 0
    seen = killed = 0
    with driver(folder / "kills.parquet", str(target), blocks, _WORKERS) as process:

        def ended() -> bool:
            return process.poll() is not None

        for at in moments:
            seen += acknowledged(process, at - seen)
            killed += kill_workers(process.pid, draw, 1, _KILL_SECONDS, ended)
        if to_the_end:
            acknowledged(process, 1 << 30)
        else:
            acknowledged(process, draw.randint(1, half) - seen)
            process.kill()
        return killed, int(process.wait() < 0)


def _one_process(session: Session, path: Path, texts: list[str]) -> float:
    with Larimar.open(path, encoder=session.encoder) as memory:
        started = time.perf_counter()
        memory.write(texts, _ids(texts))
    return time.perf_counter() - started


def _hash(session: Session, path: Path) -> str:
    with Larimar.open(path, encoder=session.encoder, create=False) as memory:
        return content_hash(memory.store)


def _texts(session: Session, path: Path, tokens: int) -> tuple[list[str], int]:
    """Prose of so many tokens, also put down as Parquet."""
    import pyarrow as pa
    from pyarrow import parquet

    haystack = session.prose(tokens)
    texts = [part.text for part in haystack.parts()]
    parquet.write_table(pa.table({"text": texts, "id": _ids(texts)}), path)
    return texts, haystack.total


def _ids(texts: list[str]) -> list[str]:
    return [f"d{n}" for n in range(len(texts))]
