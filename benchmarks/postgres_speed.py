"""What a read and a write take in PostgreSQL, in a file, and in LangChain's PGVector.

All in one process, on the same text, with weights of the same encoder. Questions are more than those
whose keys a memory keeps, so that each is encoded by everyone; every memory was asked each of them once
before it is timed. PGVector makes no index of its own, and is also timed with one made by hand.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.baselines import CHUNK_CHARS, OVERLAP_CHARS
from benchmarks.latency import ask_about
from benchmarks.result import Bar, Figures, bar, percentile
from benchmarks.session import Session
from larimar_memory.larimar import Larimar

PACKAGES = ("langchain-huggingface", "langchain-postgres", "langchain-text-splitters")

INDEXED = "PGVector with an index"
_BATCH = 1_000
"""Chunks that PGVector is given at once: a statement has so many parameters at most."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: tokens, different questions, and times that each is asked."""

    tokens: int
    questions: int
    rounds: int


FULL = Size(1_000_000, 96, 3)
QUICK = Size(6_000, 4, 1)


def measure(session: Session, size: Size, new: Callable[[str], str]) -> tuple[Figures, list[Bar]]:
    """Write the same text to all, then ask them in turn.

    Args:
        new: gives the address of an empty database of a name.
    """
    haystack = session.prose(size.tokens)
    parts = haystack.parts()
    ids, texts = [part.id for part in parts], [part.text for part in parts]
    questions = ask_about(session, haystack, size.questions, "postgres")
    vectors = PGVector(session, new("vectors"))
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder:
        places = {"file": str(Path(folder) / "m.larimar"), "postgres": new("speed")}
        both = {name: _write(session, place, ids, texts) for name, place in places.items()}
        seconds = {name: written for name, (written, _) in both.items()}
        closing = {name: closed for name, (_, closed) in both.items()}
        session.note(f"wrote {', '.join(f'{name} in {s:.1f} s' for name, s in seconds.items())}")
        seconds["PGVector"] = vectors.write(texts)
        session.note(f"PGVector wrote in {seconds['PGVector']:.1f} s")
        memories = {
            name: Larimar.open(place, encoder=session.encoder) for name, place in places.items()
        }
        try:
            asked = {name: _reader(memory) for name, memory in memories.items()}
            times = _times({**asked, "PGVector": vectors.read}, questions, size.rounds)
            stats = {name: memory.stats() for name, memory in memories.items()}
        finally:
            for memory in memories.values():
                memory.close()
    disk = {name: one.bytes_on_disk / haystack.total for name, one in stats.items()}
    disk["PGVector"] = vectors.bytes_on_disk() / haystack.total
    session.note("making an index for PGVector")
    closing["PGVector"] = vectors.index(session.encoder.dimension)
    times |= _times({INDEXED: vectors.read}, questions, size.rounds)
    vectors.close()
    figures: Figures = {
        "tokens": haystack.total,
        "segments": stats["postgres"].segments,
        "chunks": vectors.chunks,
        "questions": len(questions),
        "write_seconds": seconds,
        "index_seconds": closing,
        "bytes_per_token": disk,
    }
    return report(figures, times)


def report(figures: Figures, times: dict[str, list[float]]) -> tuple[Figures, list[Bar]]:
    """Medians, ratios and bars.

    Args:
        figures: with "tokens", and by system "write_seconds", after which all is found, and
            "index_seconds", after which it is found by an index.
        times: seconds of reads by system.
    """
    tokens, seconds, after = (figures[name] for name in ("tokens", "write_seconds", "index_seconds"))
    middle = {name: statistics.median(some) for name, some in times.items()}
    written = {name: tokens / some for name, some in seconds.items()}
    indexed = {name: tokens / (some + after[name]) for name, some in seconds.items()}
    figures = {
        **figures,
        "tokens_per_second": written,
        "indexed_tokens_per_second": indexed,
        "read_p50_seconds": middle,
        "read_p99_seconds": {name: percentile(some, 99) for name, some in times.items()},
        "read_over_indexed": middle["postgres"] / middle[INDEXED],
    }
    where = f"at {tokens:,} tokens"
    over = middle["postgres"] / middle["file"], middle["postgres"] / middle["PGVector"]
    return figures, [
        bar(f"read p50 of PostgreSQL over a file's, {where}", over[0], "<= 2"),
        bar(f"read p50 over PGVector's of langchain-postgres, {where}", over[1], "<= 1"),
        *(
            bar(
                f"tokens a second into PostgreSQL over langchain-postgres, {how} with an index",
                rates["postgres"] / rates["PGVector"],
                ">= 20",
            )
            for how, rates in (("neither", written), ("both", indexed))
        ),
    ]


def _write(
    session: Session, place: str, ids: Sequence[str], texts: Sequence[str]
) -> tuple[float, float]:
    """Seconds until all is written, and from there until the memory is closed, with an index."""
    with Larimar.open(place, encoder=session.encoder) as memory:
        started = time.perf_counter()
        memory.write(list(texts), list(ids))
        written = time.perf_counter()
    return written - started, time.perf_counter() - written


def _reader(memory: Larimar) -> Callable[[str], object]:
    return lambda question: memory.read(question, threshold=0.0)


def _times(
    readers: dict[str, Callable[[str], object]], questions: Sequence[str], rounds: int
) -> dict[str, list[float]]:
    """Seconds of reads; all are asked a question, then all the next. The first round is not timed."""
    times: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(rounds + 1):
        for question in questions:
            for name, read in readers.items():
                started = time.perf_counter()
                read(question)
                if turn:
                    times[name].append(time.perf_counter() - started)
    return times


class PGVector:
    """LangChain's store of vectors in PostgreSQL, as its documentation has it.

    Attributes:
        chunks: that were written.
    """

    def __init__(self, session: Session, address: str) -> None:
        self._address, self.chunks = address, 0
        self._splitter = import_module("langchain_text_splitters").RecursiveCharacterTextSplitter(
            chunk_size=CHUNK_CHARS, chunk_overlap=OVERLAP_CHARS
        )
        self._store: Any = import_module("langchain_postgres").PGVector(
            embeddings=session.langchain_embeddings,
            collection_name="notes",
            connection=address.replace("postgresql://", "postgresql+psycopg://", 1),
        )

    def write(self, texts: Sequence[str]) -> float:
        """Cut, embed and add texts; returns the seconds it took."""
        started = time.perf_counter()
        chunks = [chunk for text in texts for chunk in self._splitter.split_text(text)]
        for at in range(0, len(chunks), _BATCH):
            self._store.add_texts(chunks[at : at + _BATCH])
        self.chunks = len(chunks)
        return time.perf_counter() - started

    def read(self, question: str) -> object:
        """The nearest chunks, as many as it gives by default."""
        return self._store.similarity_search(question)

    def bytes_on_disk(self) -> int:
        """Bytes of its table, and of the table's indexes."""
        import psycopg

        with psycopg.connect(self._address) as db:
            row = db.execute("SELECT pg_total_relation_size('langchain_pg_embedding')").fetchone()
        return int(row[0]) if row else 0

    def index(self, dimension: int) -> float:
        """Make an index as pgvector's documentation does; returns the seconds it took.

        The column has to be told its dimension.
        """
        import psycopg

        started = time.perf_counter()
        with psycopg.connect(self._address, autocommit=True) as db:
            table, kind = "langchain_pg_embedding", f"vector({int(dimension)})"
            db.execute(f"ALTER TABLE {table} ALTER COLUMN embedding TYPE {kind}".encode())
            db.execute(f"CREATE INDEX ON {table} USING hnsw (embedding vector_cosine_ops)".encode())
            db.execute(f"ANALYZE {table}".encode())
        return time.perf_counter() - started

    def close(self) -> None:
        """Close its connections."""
        self._store._engine.dispose()
