"""Write documents: cut, tokenise, encode and commit, each stage working while the next one does."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int8

from larimar_memory import validate
from larimar_memory.encoders.keys import KeyEncoder
from larimar_memory.errors import InputError, LarimarError
from larimar_memory.stores.base import Document, Store, StoredSegment, WriteBatch
from larimar_memory.text.blocks import Measure, Text, blocks_of, measured
from larimar_memory.text.segments import MAX_CHARS, MIN_CHARS, segment
from larimar_memory.types import Metadata, OnProgress, Segment, WriteProgress

log = logging.getLogger(__name__)

BATCH_SEGMENTS = 1024
"""Segments encoded and committed together: about a second of work on two cores."""

MakeLatents = Callable[
    [str, Sequence[tuple[str, Sequence[Segment]]]], Sequence[Sequence[Int8[np.ndarray, " n"]]]
]
"""Of a namespace, and of ids of documents with consecutive segments of each."""


def content_id(text: str) -> str:
    """The id of a text that was given none: a hash of what it says."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()


def check_texts(
    texts: str | Iterable[str], ids: Sequence[str] | None, metadatas: Sequence[Metadata] | None
) -> list[Text]:
    """The texts of a write with their ids and metadata, all sound.

    Raises:
        InputError: if one of them cannot be used, or their numbers differ.
    """
    listed = [texts] if isinstance(texts, str) else list(texts)
    for name, given in (("ids", ids), ("metadatas", metadatas)):
        if given is not None and (isinstance(given, str) or len(given) != len(listed)):
            raise InputError(
                "Nothing was written.",
                f"There are {len(listed)} texts and "
                f"{'a single str' if isinstance(given, str) else len(given)} for {name}.",
                f"Give one of {name} per text, or none.",
            )
    checked = [validate.check_text(t, f"Text {n}") for n, t in enumerate(listed, start=1)]
    names = [content_id(t) for t in checked] if ids is None else list(ids)
    return [
        Text(
            validate.check_name(name, "document id"),
            text,
            validate.check_metadata(metadatas[i] if metadatas is not None else {}),
        )
        for i, (name, text) in enumerate(zip(names, checked, strict=True))
    ]


def write_texts(
    store: Store,
    encoder: KeyEncoder,
    namespace: str,
    texts: Iterable[Text],
    *,
    language: str | None,
    on_progress: OnProgress | None = None,
    latents: MakeLatents | None = None,
) -> None:
    """Commit the texts batch by batch. What is already there, whole and equal, is not written again.

    A text whose writing was interrupted goes on after the last segment that was committed: it is cut
    again from its beginning, which is quick, and only what follows is encoded.

    Args:
        texts: read as they are written, a few batches ahead.
        language: for cutting sentences; without one, each text is one segment.
        latents: makes the segments' latents, where they are to have some.
    """
    known = [item.text for item in texts] if isinstance(texts, list) else []
    done = Progress(sum(len(text) for text in known if isinstance(text, str)), on_progress)
    reader = Reader(store, namespace, texts, language, done)
    pending: list[list[Piece]] = []

    def encoder_input() -> Iterator[list[str]]:
        while batch := reader.next_batch():
            pending.append(batch)
            yield [s.text for piece in batch for s in piece.segments]

    try:
        with ThreadPoolExecutor(1, thread_name_prefix="larimar-commit") as pool:
            commit: Future[None] | None = None
            for keys, tokens in encoder.encode_stream(encoder_input()):
                batch, at = pending.pop(0), 0
                runs = [(piece.document.id, piece.segments) for piece in batch]
                made = [None] * len(batch) if latents is None else latents(namespace, runs)
                writes = list[WriteBatch]()
                for piece, of_piece in zip(batch, made, strict=True):
                    upto = at + len(piece.segments)
                    found = keys[at:upto]
                    writes.append(
                        WriteBatch(piece.document, piece.segments, found, piece.replace, of_piece)
                    )
                    at = upto
                if commit is not None:
                    commit.result()
                commit = pool.submit(_commit, store, namespace, batch, writes, tokens, reader, done)
            if commit is not None:
                commit.result()
    finally:
        reader.stop()


def _commit(
    store: Store,
    namespace: str,
    batch: list[Piece],
    writes: list[WriteBatch],
    tokens: int,
    reader: Reader,
    done: Progress,
) -> None:
    store.write(namespace, writes)
    reader.committed(batch)
    segments = [s for write in writes for s in write.segments]
    # Numbers only: neither texts nor the names of documents are for a log.
    log.debug("committed %d segments of %d documents", len(segments), len(writes))
    done.add(sum(s.end - s.start for s in segments), len(segments), tokens)


class Content:
    """What a document is to hold; compared by identity."""

    def __init__(self, digest: str, metadata: Metadata) -> None:
        self.digest, self.metadata = digest, metadata
        # Not compared as mappings: to Python, True is 1.
        self.canonical = _canonical(metadata)

    def says(self, digest: str, metadata: Metadata) -> bool:
        return self.digest == digest and self.canonical == _canonical(metadata)


@dataclass(slots=True)
class Piece:
    """Consecutive segments of one document inside a batch."""

    document: Document
    segments: list[Segment]
    replace: bool
    content: Content


class Progress:
    """Counts what was read and committed, from several threads, and reports it."""

    def __init__(self, total: int, report: OnProgress | None) -> None:
        self.total, self.report = total, report
        self.started = time.perf_counter()
        self.characters = self.segments = self.tokens = 0
        self._lock = threading.Lock()

    def add(self, characters: int, segments: int = 0, tokens: int = 0) -> None:
        """Count some more."""
        with self._lock:
            self.characters += characters
            self.segments += segments
            self.tokens += tokens
            if self.report is not None:
                seconds = time.perf_counter() - self.started
                total = max(self.total, self.characters)
                self.report(WriteProgress(self.characters, total, self.segments, self.tokens, seconds))


class Reader:
    """Reads texts and cuts them into batches, in whatever thread asks for the next."""

    def __init__(
        self, store: Store, namespace: str, texts: Iterable[Text], language: str | None, done: Progress
    ) -> None:
        self._store, self._namespace, self._language = store, namespace, language
        self._done = done
        self._underway: dict[str, Content] = {}
        self._underway_lock = threading.Lock()
        self._stopped = threading.Event()
        self._reading = threading.Lock()
        self._batches = _batches(self._pieces(texts))

    def next_batch(self) -> list[Piece] | None:
        """The next batch, or None after the last one, or once stopped."""
        with self._reading:
            return None if self._stopped.is_set() else next(self._batches, None)

    def stop(self) -> None:
        """Stop reading; on return, nothing is being read any more."""
        self._stopped.set()
        with self._reading:
            self._batches.close()

    def committed(self, batch: list[Piece]) -> None:
        """From now on the store itself says what these documents hold, as far as they are complete."""
        with self._underway_lock:
            for piece in batch:
                # The rest of one that is not complete is still to come.
                whole = piece.document.complete
                if whole and self._underway.get(piece.document.id) is piece.content:
                    del self._underway[piece.document.id]

    def _pieces(self, texts: Iterable[Text]) -> Iterator[Piece]:
        for item in texts:
            validate.check_name(item.id, "document id")
            measure = item.measure or self._measure(item)
            digest = measure.digest(_manner(self._language))
            # First what is under way: what is not, is in the store by then.
            with self._underway_lock:
                underway = self._underway.get(item.id)
            known = None if underway else self._store.document(self._namespace, item.id)
            if underway and underway.says(digest, item.metadata):
                self._done.add(measure.characters)
                continue
            if known and known.content_hash == digest and known.complete:
                if _canonical(known.metadata) != _canonical(item.metadata):
                    self._store.set_metadata(self._namespace, item.id, item.metadata)
                self._done.add(measure.characters)
                continue
            content = Content(digest, item.metadata)
            with self._underway_lock:
                self._underway[item.id] = content
            resumed = known is not None and known.content_hash == digest
            last = self._last_committed(known) if known is not None and resumed else None
            segments = self._segments(item, measure)
            if last is not None and not self._caught_up(segments, last):
                # Another version cut it: what is there would not fit what follows.
                segments, last = self._segments(item, measure), None
            document = Document(item.id, digest, measure.characters, item.metadata, complete=False)
            try:
                yield from _document_pieces(document, segments, last is None, content)
            except _ChangedError as error:
                # Nothing may go on from it: it is a mixture.
                yield Piece(replace(document, content_hash=""), [], True, content)
                why = "It changed while it was being read."
                raise _unwritable(item, why, "Write it again.") from error

    def _measure(self, item: Text) -> Measure:
        try:
            measure = measured(self._blocks(item))
        except UnicodeEncodeError as error:
            raise _unwritable(item, validate.NO_UNICODE, 'Decode it with errors="replace".') from error
        if not measure.visible:
            raise _unwritable(item, "It is empty.", "Leave it out.")
        return measure

    def _last_committed(self, known: Document) -> StoredSegment | None:
        at = known.segments - 1
        return next(iter(self._store.segments(self._namespace, known.id, at, at)), None)

    def _caught_up(self, segments: Iterator[Segment], last: StoredSegment) -> bool:
        """Pass over the segments up to the last one committed; False if it is not among them."""
        passed = reported = 0
        for found in segments:
            passed = found.end
            if found.index >= last.index:
                break
            if found.index % BATCH_SEGMENTS == 0:
                self._done.add(passed - reported)
                reported = passed
        fits = (found.index, found.start, found.text) == (last.index, last.start, last.text)
        self._done.add((passed if fits else 0) - reported)
        return fits

    def _segments(self, item: Text, measure: Measure) -> Iterator[Segment]:
        blocks, again = self._blocks(item), measure
        if not isinstance(item.text, str):
            again = Measure()
            blocks = again.take(blocks)
        if self._language is None:
            text = "".join(blocks)
            yield Segment(0, 0, len(text), text)
        else:
            yield from segment(blocks, language=self._language)
        if again.digest() != measure.digest():
            raise _ChangedError

    def _blocks(self, item: Text) -> Iterator[str]:
        for block in blocks_of(item.text):
            if self._stopped.is_set():
                raise _StoppedError
            yield block


class _StoppedError(Exception):
    """Nobody waits for what is being read."""


class _ChangedError(Exception):
    """A text is not what it was when it was measured."""


def _document_pieces(
    document: Document, segments: Iterator[Segment], fresh: bool, content: Content
) -> Iterator[Piece]:
    """The document's pieces of at most a batch each; only the last one calls it complete."""
    held: list[Segment] = []
    for found in segments:
        if len(held) == BATCH_SEGMENTS:
            yield Piece(document, held, fresh, content)
            held, fresh = [], False
        held.append(found)
    yield Piece(replace(document, complete=True), held, fresh, content)


def _batches(pieces: Iterable[Piece]) -> Generator[list[Piece], None, None]:
    batch, size = list[Piece](), 0
    try:
        for piece in pieces:
            if batch and size + len(piece.segments) > BATCH_SEGMENTS:
                yield batch
                batch, size = [], 0
            batch.append(piece)
            size += max(len(piece.segments), 1)
    except LarimarError:
        # What was read before a text that cannot be written is written.
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _unwritable(item: Text, why: str, remedy: str) -> InputError:
    return InputError(f"{item.id} cannot be written.", why, remedy)


def _canonical(metadata: Metadata) -> str:
    return json.dumps(metadata, sort_keys=True)


def _manner(language: str | None) -> str:
    """How a text is cut, as part of its hash."""
    return "|whole" if language is None else f"|{language}|{MIN_CHARS}|{MAX_CHARS}"
