"""Write documents: read, tokenise, make keys and commit; the stages overlap in time.

A lazy store's keys come from the encoder's coarse table; the encoder runs only if `fine` asks for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar, cast

import numpy as np
from jaxtyping import Float, Int8

from larimar_memory import validate
from larimar_memory.encoders.base import (
    Encoder,
    TokenBatch,
    TokenizingEncoder,
    checked_keys,
    coarse_table,
    keys_of,
)
from larimar_memory.encoders.none import NoEncoder
from larimar_memory.errors import InputError, LarimarError
from larimar_memory.stores.base import Document, Store, StoredSegment, WriteBatch
from larimar_memory.system.groups import in_groups
from larimar_memory.text.blocks import Measure, Text, blocks_of, checked_measure, measured, unwritable
from larimar_memory.text.normal import normalised
from larimar_memory.text.segments import MAX_CHARS, MIN_CHARS, segment
from larimar_memory.types import OnProgress, Segment, WriteProgress

log = logging.getLogger(__name__)

BATCH_SEGMENTS = 1024
"""Segments encoded and committed together: about a second of work on two cores."""

LAZY_BATCHES = 4
"""A batch has this many times the segments if nothing is encoded; it then takes half as long."""

NO_KEYS = np.empty((0, 0), dtype=np.float32)
"""The keys of a write that changes a document, but no segments."""

MakeLatents = Callable[
    [str, Sequence[tuple[str, Sequence[Segment]]]], Sequence[Sequence[Int8[np.ndarray, " n"]]]
]
"""Makes latents, given a namespace, and ids of documents with consecutive segments of each."""

_WHOLE = "|whole"
"""Stands in a document's hash for a text kept as one segment; the hash covers how a text is cut."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive segments of one document inside a batch.

    Attributes:
        document: the same object in all its runs; it is complete once the last run is committed.
        first: whether the run replaces what the document held before.
        last: whether the document ends with the run.
    """

    document: Document
    segments: list[Segment]
    first: bool
    last: bool


def write_texts(
    store: Store,
    encoder: Encoder,
    namespace: str,
    texts: Iterable[Text],
    *,
    language: str | None,
    on_progress: OnProgress | None = None,
    latents: MakeLatents | None = None,
    fine: bool = False,
) -> None:
    """Commit the texts batch by batch; a document that is already stored, whole and equal, is skipped.

    An interrupted text resumes after its last committed segment: it is cut again from its beginning,
    which is quick, and only the rest gets keys.

    Args:
        texts: read while they are written; if the encoder tokenises, ahead of it in another thread.
        language: its rules cut sentences; with None, each text is one segment.
        latents: makes the segments' latents; with None, they get none.
        fine: make fine keys even if the store is lazy.

    Raises:
        InputError: if the store is lazy and the encoder has no table of coarse keys.
    """
    known = texts if isinstance(texts, list) else []
    total = sum(len(item.text) for item in known if isinstance(item.text, str))
    progress = _Progress(total, on_progress)
    make = _KeyMaker(store, encoder, fine)
    documents = _Documents(store, namespace, language, progress, make.batch)

    def read() -> Generator[tuple[list[Run], TokenBatch | None], None, None]:
        for runs in _batches(documents.runs(texts), make.batch):
            yield runs, make.tokens(runs)

    with (
        ThreadPoolExecutor(1, "larimar-commit") as committing,
        closing(_ahead(read(), documents.stopped) if make.tokenizes else read()) as batches,
    ):
        commit: Future[None] | None = None
        for runs, tokens in batches:
            keys = make(runs, tokens)
            spans = [(run.document.id, run.segments) for run in runs]
            if commit is not None:
                # Before the latents: to make them, the segments before a run may be read in the store.
                commit.result()
            made = [None] * len(runs) if latents is None else latents(namespace, spans)
            commit = committing.submit(documents.commit, runs, keys, made, tokens)
        if commit is not None:
            commit.result()


def is_whole(store: Store, namespace: str, document: Document) -> bool:
    """Whether a document was written as one segment, according to its hash.

    Raises:
        MemoryFileError: if its text is damaged, so that the hash cannot be compared.
    """
    if document.segments != 1:
        return False
    held = store.segments(namespace, document.id)
    return measured(found.text for found in held).digest(_WHOLE) == document.content_hash


class _Keys(NamedTuple):
    """The keys that a store searches by, and the fine keys if a lazy store gets them at once."""

    searched: Float[np.ndarray, "n d"]
    fine: Float[np.ndarray, "n d"] | None = None


class _KeyMaker:
    """Makes the keys that a store needs.

    Attributes:
        batch: most segments that are committed together.
        tokenizes: whether the encoder tokenises; if not, `tokens` returns None.
    """

    def __init__(self, store: Store, encoder: Encoder, fine: bool) -> None:
        self._encoder = encoder
        self._tokenizing = encoder if isinstance(encoder, TokenizingEncoder) else None
        self._table = coarse_table(encoder) if store.lazy else None
        self._fine = fine or not store.lazy
        self.tokenizes = self._tokenizing is not None
        self.batch = BATCH_SEGMENTS if self._fine else BATCH_SEGMENTS * LAZY_BATCHES
        if store.lazy and self._table is None:
            if isinstance(encoder, NoEncoder):
                # Its own error says what is lacking.
                encoder.encode([])
            raise InputError(
                "Nothing was written.",
                f"The memory is searched by coarse keys, and encoder {encoder.fingerprint[:12]} has no "
                "table of them.",
                "Put back the table that it was begun with, or make one with `larimar train-keys`.",
            )

    def tokens(self, runs: list[Run]) -> TokenBatch | None:
        return None if self._tokenizing is None else self._tokenizing.tokenize(_texts_of(runs))

    def __call__(self, runs: list[Run], tokens: TokenBatch | None) -> _Keys:
        if self._tokenizing is None or tokens is None:
            return _Keys(keys_of(self._encoder, [s.text for run in runs for s in run.segments]))
        keys = None
        if self._fine:
            keys = checked_keys(self._encoder, self._tokenizing.encode_tokens(tokens), len(tokens.ids))
        if self._table is not None:
            return _Keys(self._table.keys(tokens.ids, tokens.unread), keys)
        return _Keys(cast("np.ndarray", keys))


def _ahead(items: Generator[_T, None, None], stopped: threading.Event) -> Generator[_T, None, None]:
    """The items, each made in a thread while the one before is used; no more are made once closed."""
    pool = ThreadPoolExecutor(1, "larimar-read")
    try:
        upcoming = pool.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = pool.submit(next, items, None)
            yield item
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
        items.close()


def _batches(runs: Iterable[Run], most: int) -> Iterator[list[Run]]:
    """The runs in batches of at most `most` segments; a run without segments counts as one."""
    failed = list[LarimarError]()

    def read() -> Iterator[Run]:
        try:
            yield from runs
        except LarimarError as error:
            # Raised after the last batch: what was read before the faulty text is still written.
            failed.append(error)

    yield from in_groups(read(), lambda run: max(len(run.segments), 1), most)
    if failed:
        raise failed[0]


def _texts_of(runs: Iterable[Run]) -> list[str]:
    """The segments' texts, normalised as keys are made from them."""
    return [normalised(found.text) for run in runs for found in run.segments]


class _Progress:
    """Counts what was read and committed, from several threads, and reports it."""

    def __init__(self, total: int, report: OnProgress | None) -> None:
        self._total, self._report = total, report
        self._started = time.perf_counter()
        self._characters = self._segments = self._tokens = 0
        self._lock = threading.Lock()

    def add(self, characters: int, segments: int = 0, tokens: int = 0) -> None:
        """Count some more."""
        with self._lock:
            self._characters += characters
            self._segments += segments
            self._tokens += tokens
            if self._report is not None:
                seconds = time.perf_counter() - self._started
                total = max(self._total, self._characters)
                self._report(
                    WriteProgress(self._characters, total, self._segments, self._tokens, seconds)
                )


class _Documents:
    """The documents of a write: looked up and cut in one thread, committed in another.

    Args:
        batch: most segments of a run.

    Attributes:
        stopped: set once nobody waits for what is being read.
    """

    def __init__(
        self, store: Store, namespace: str, language: str | None, progress: _Progress, batch: int
    ) -> None:
        self.stopped = threading.Event()
        self._batch = batch
        self._store, self._namespace, self._language = store, namespace, language
        self._progress = progress
        self._manner = _WHOLE if language is None else f"|{language}|{MIN_CHARS}|{MAX_CHARS}"
        # Documents that were read, but not yet committed as a whole.
        self._underway: dict[str, Document] = {}
        self._lock = threading.Lock()

    def runs(self, texts: Iterable[Text]) -> Iterator[Run]:
        """The segments to commit, in runs of one document's segments, at most a batch each."""
        for item in texts:
            if self.stopped.is_set():
                return
            validate.check_name(item.id, "document id")
            measure = item.measure or checked_measure(self._blocks(item), item.id)
            digest = measure.digest(self._manner)
            metadata, episode = item.metadata, validate.check_episode(item.episode)
            if item.measure is None:
                # `check_texts` has not checked this text's metadata.
                metadata = validate.check_metadata(metadata, f"document {item.id!r}")
            document = Document(
                item.id, digest, measure.characters, metadata, complete=False, episode=episode
            )
            known, last = self._look_up(document)
            if known:
                self._progress.add(measure.characters)
            else:
                yield from self._cut(item, measure, document, last)

    def commit(
        self,
        runs: list[Run],
        keys: _Keys,
        latents: Sequence[Sequence[np.ndarray] | None],
        tokens: TokenBatch | None,
    ) -> None:
        """Commit a batch; those of its documents that are now complete are no longer under way."""
        ends = np.cumsum([len(run.segments) for run in runs])
        searched = np.split(keys.searched, ends[:-1])
        fine = [None] * len(runs) if keys.fine is None else [*map(list, np.split(keys.fine, ends[:-1]))]
        of_runs = zip(runs, searched, latents, fine, strict=True)
        writes = [
            WriteBatch(
                replace(run.document, complete=run.last), run.segments, own, run.first, made, encoded
            )
            for run, own, made, encoded in of_runs
        ]
        self._store.write(self._namespace, writes)
        with self._lock:
            for run in runs:
                # Identity, not equality: an equal document may have been read since.
                if run.last and self._underway.get(run.document.id) is run.document:
                    del self._underway[run.document.id]
        # Numbers only: texts and document ids do not belong in a log.
        segments = len(keys.searched)
        log.debug("committed %d segments of %d documents", segments, len(runs))
        characters = sum(s.end - s.start for run in runs for s in run.segments)
        self._progress.add(characters, segments, 0 if tokens is None else tokens.tokens)

    def _look_up(self, document: Document) -> tuple[bool, StoredSegment | None]:
        """Whether the whole document is known; if not, the segment to resume after, if there is one."""
        # First what is under way: a document that no longer is, is in the store by now.
        with self._lock:
            underway = self._underway.get(document.id)
        held = underway or self._store.document(self._namespace, document.id)
        same_text = held is not None and held.content_hash == document.content_hash
        if held is not None and same_text and (underway or held.complete):
            same_episode = held.episode == document.episode
            if same_episode and validate.same_json(held.metadata, document.metadata):
                return True, None
            if not underway and same_episode:
                self._store.set_metadata(self._namespace, document.id, document.metadata)
                return True, None
            if not underway and self._move(held, document):
                return True, None
        with self._lock:
            self._underway[document.id] = document
        if underway or held is None or not same_text:
            return False, None
        at = held.segments - 1
        return False, next(iter(self._store.segments(self._namespace, document.id, at, at)), None)

    def _move(self, held: Document, to: Document) -> bool:
        """Change only a document's metadata and episode; False if its segments changed meanwhile."""
        moved = replace(held, metadata=to.metadata, episode=to.episode)
        self._store.write(self._namespace, [WriteBatch(moved, [], NO_KEYS, replace=False)])
        now = self._store.document(self._namespace, held.id)
        return now is None or now.segments == held.segments

    def _cut(
        self, item: Text, measure: Measure, document: Document, last: StoredSegment | None
    ) -> Iterator[Run]:
        """The document's runs after its last committed segment, or, if another version cut it, all."""
        segments = self._segments(item, measure)
        if last is not None and not self._caught_up(segments, last):
            segments, last = self._segments(item, measure), None
        held, first = list[Segment](), last is None
        try:
            for found in segments:
                if len(held) == self._batch:
                    yield Run(document, held, first, last=False)
                    held, first = [], False
                held.append(found)
        except InputError:
            # Without a hash, no write resumes from it: what is stored is a mixture.
            yield Run(replace(document, content_hash=""), [], first=True, last=False)
            raise
        yield Run(document, held, first, last=True)

    def _caught_up(self, segments: Iterator[Segment], last: StoredSegment) -> bool:
        """Pass over the segments up to the last one committed; False if it is not among them."""
        passed = reported = 0
        for found in segments:
            passed = found.end
            if found.index >= last.index:
                break
            if found.index % BATCH_SEGMENTS == 0:
                self._progress.add(passed - reported)
                reported = passed
        fits = (found.index, found.start, found.text) == (last.index, last.start, last.text)
        self._progress.add((passed if fits else 0) - reported)
        return fits

    def _segments(self, item: Text, measure: Measure) -> Iterator[Segment]:
        again = None if isinstance(item.text, str) else Measure()
        blocks = self._blocks(item) if again is None else again.take(self._blocks(item))
        if self._language is None:
            text = "".join(blocks)
            yield Segment(0, 0, len(text), text)
        else:
            yield from segment(blocks, language=self._language)
        if again is not None and again.digest() != measure.digest():
            raise unwritable(item.id, "It changed while it was being read.", "Write it again.")

    def _blocks(self, item: Text) -> Iterator[str]:
        for block in blocks_of(item.text):
            if self.stopped.is_set():
                raise CancelledError
            yield block
