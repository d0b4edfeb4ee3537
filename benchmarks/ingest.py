"""Source text made durable per second, against LangChain's documented pipeline, in one process.

With lazy keys, as a memory is opened, and with eager ones, for which the encoder runs while writing.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from benchmarks import baselines
from benchmarks.large import HashEncoder
from benchmarks.matmul import EncoderShape, dtype_name, product_rate
from benchmarks.result import Bar, Figures, bar
from benchmarks.session import Session
from larimar_memory.larimar import Larimar
from larimar_memory.models import finding
from larimar_memory.stores import Document, SQLiteStore, WriteBatch
from larimar_memory.text.segments import segment
from larimar_memory.types import Segment, WhenKeys
from larimar_memory.write import BATCH_SEGMENTS

PACKAGES = baselines.PACKAGES

_COMMITS = 15
"""Repeats of writing rows, which takes a twentieth of a second."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: source tokens in each repeat, and repeats of both pipelines."""

    tokens: int
    repeats: int


FULL = Size(60_000, 5)
QUICK = Size(6_000, 2)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Write the same text with both, taking turns, and compare with the bare matrix products."""
    haystack = session.prose(size.tokens)
    texts = [part.text for part in haystack.parts()]
    shape = EncoderShape.of(finding.resolve(finding.DEFAULT_ENCODER))
    session.note("loading LangChain's pipeline")
    langchain = baselines.LangChainPipeline.default()
    pieces = [s.text for text in texts for s in segment(text)]
    tokenised = session.encoder.tokenize(pieces)
    distinct = sum(map(len, {tuple(ids) for ids in tokenised.ids}))

    _larimar_seconds(session, texts[:1], "lazy")
    langchain.write(texts[:1])
    ours, eager, theirs = list[float](), list[float](), list[float]()
    encoding, products = list[float](), list[float]()
    chunks = 0
    for repeat in range(size.repeats):
        ours.append(haystack.total / _larimar_seconds(session, texts, "lazy"))
        eager.append(haystack.total / _larimar_seconds(session, texts, "eager"))
        started = time.perf_counter()
        chunks = langchain.write(texts)
        theirs.append(haystack.total / (time.perf_counter() - started))
        products.append(product_rate(shape))
        started = time.perf_counter()
        session.encoder.encode_tokens(tokenised)
        encoding.append(shape.flop_per_token * distinct / (time.perf_counter() - started))
        session.note(
            f"repeat {repeat + 1} of {size.repeats}: Larimar {ours[-1]:,.0f} tokens/s, "
            f"with eager keys {eager[-1]:,.0f}, LangChain {theirs[-1]:,.0f}"
        )
    session.note("writing rows with batch commits and with one")
    batched, once = commit_seconds(pieces, _COMMITS)
    figures, bars = report(
        {
            "tokens": haystack.total,
            "distinct_tokens": haystack.distinct_tokens,
            "larimar_segments": len(pieces),
            "langchain_chunks": chunks,
            "encoder_tokens": distinct,
            "dtype": dtype_name(),
        },
        ours,
        eager,
        theirs,
        encoding,
        products,
    )
    over = statistics.median(batched) / statistics.median(once)
    figures |= {"batch_commits_seconds": batched, "one_commit_seconds": once}
    figures["batch_over_one_commit"] = over
    return figures, [*bars, bar("time of writing with batch commits over one commit", over, "<= 1.1")]


def commit_seconds(pieces: Sequence[str], repeats: int) -> tuple[list[float], list[float]]:
    """Seconds to write the segments' rows to a file: with the commits of `write`, and with one for all.

    The keys follow from hashes, made before; the rows, the text index and the file are the same.
    """
    batched, once = list[float](), list[float]()
    batches = _batches(pieces)
    _write_seconds([[batch] for batch in batches])
    for _ in range(repeats):
        batched.append(_write_seconds([[batch] for batch in batches]))
        once.append(_write_seconds([batches]))
    return batched, once


def _batches(pieces: Sequence[str]) -> list[WriteBatch]:
    """One document of all of the segments, cut as `write` cuts what it commits together."""
    encoder, ends = HashEncoder(), list(accumulate(map(len, pieces)))
    spans = [Segment(n, ends[n] - len(piece), ends[n], piece) for n, piece in enumerate(pieces)]
    made = list[WriteBatch]()
    for first in range(0, len(pieces), BATCH_SEGMENTS):
        last = min(first + BATCH_SEGMENTS, len(pieces))
        document = Document("d", "hash", ends[-1], complete=last == len(pieces))
        keys = encoder.encode(pieces[first:last])
        made.append(WriteBatch(document, spans[first:last], keys, replace=not first))
    return made


def _write_seconds(commits: Sequence[Sequence[WriteBatch]]) -> float:
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder:
        started = time.perf_counter()
        file = Path(folder) / "rows.larimar"
        store = SQLiteStore(file, encoder=HashEncoder.fingerprint, dimension=HashEncoder.dimension)
        for batches in commits:
            store.write("default", batches)
        store.close()
        return time.perf_counter() - started


def report(
    what: Figures,
    ours: Sequence[float],
    eager: Sequence[float],
    theirs: Sequence[float],
    encoding: Sequence[float],
    products: Sequence[float],
) -> tuple[Figures, list[Bar]]:
    """Medians, ratios and bars.

    Args:
        ours, eager, theirs: source tokens per second of Larimar with lazy and with eager keys, and of
            LangChain, per repeat.
        encoding: FLOP per second in the encoder's linear layers while it encodes, per repeat.
        products: FLOP per second of such products alone, per repeat; the fastest is the machine's.
    """
    ratio = statistics.median(ours) / statistics.median(theirs)
    share = statistics.median(encoding) / max(products)
    figures: Figures = {
        **what,
        "larimar_tokens_per_second": statistics.median(ours),
        "larimar_eager_tokens_per_second": statistics.median(eager),
        "langchain_tokens_per_second": statistics.median(theirs),
        "ratio": ratio,
        "eager_ratio": statistics.median(eager) / statistics.median(theirs),
        "larimar_repeats": list(ours),
        "larimar_eager_repeats": list(eager),
        "langchain_repeats": list(theirs),
        "encoder_gflops": statistics.median(encoding) / 1e9,
        "matrix_product_gflops": max(products) / 1e9,
        "encoder_share": share,
        "encoder_gflops_repeats": [rate / 1e9 for rate in encoding],
        "matrix_product_gflops_repeats": [rate / 1e9 for rate in products],
    }
    return figures, [bar("ingest: Larimar's tokens per second over LangChain's", ratio, ">= 40")]


def _larimar_seconds(session: Session, texts: Sequence[str], keys: WhenKeys) -> float:
    """Seconds from no file to a closed one that holds the texts."""
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder:
        started = time.perf_counter()
        # Without the session's decoder, which writing does not need.
        file = Path(folder) / "ingest.larimar"
        with Larimar.open(file, encoder=session.encoder, keys=keys) as memory:
            memory.write(texts)
        return time.perf_counter() - started
