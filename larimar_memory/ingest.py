"""Write documents: cut, tokenise, encode and commit, each stage working while the next one does."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int8

from larimar_memory import checks
from larimar_memory.errors import InputError
from larimar_memory.keys import KeyEncoder
from larimar_memory.segments import MAX_CHARS, MIN_CHARS, segment
from larimar_memory.store.base import Document, Store, WriteBatch
from larimar_memory.types import Metadata, Segment, WriteProgress

BATCH_SEGMENTS = 1024
"""Segments encoded and committed together: about a second of work on two cores."""

OnProgress = Callable[[WriteProgress], None]
MakeLatents = Callable[[Sequence[str]], Sequence[Int8[np.ndarray, " n"]]]


@dataclass(frozen=True, slots=True)
class Text:
    """A text to be written under an id."""

    id: str
    text: str
    metadata: Metadata


@dataclass(slots=True)
class _Piece:
    """Consecutive segments of one document inside a batch."""

    document: Document
    segments: list[Segment]
    replace: bool


def content_id(text: str) -> str:
    """The id of a text that was given none: a hash of what it says."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()


def check_texts(
    texts: str | Iterable[str],
    ids: Sequence[str] | None,
    metadatas: Sequence[Metadata] | None,
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
    checked = [checks.check_text(t, f"Text {n}") for n, t in enumerate(listed, start=1)]
    names = [content_id(t) for t in checked] if ids is None else list(ids)
    return [
        Text(
            checks.check_name(name, "document id"),
            text,
            checks.check_metadata(metadatas[i] if metadatas is not None else {}),
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
    total_characters: int,
    on_progress: OnProgress | None = None,
    latents: MakeLatents | None = None,
) -> None:
    """Commit the texts batch by batch. What is already there, whole and equal, is not written again.

    A text whose writing was interrupted goes on where the last commit left it.

    Args:
        language: for cutting sentences; without one, each text is one segment.
        total_characters: of all texts, for the progress reports.
        latents: makes the segments' latents, where they are to have some.
    """
    started = time.perf_counter()
    done = _Progress(total_characters, started, on_progress)
    batches = _batches(_pieces(store, namespace, texts, language, done))
    pending: list[list[_Piece]] = []

    def encoder_input() -> Iterator[list[str]]:
        for batch in batches:
            pending.append(batch)
            yield [s.text for piece in batch for s in piece.segments]

    with ThreadPoolExecutor(1, thread_name_prefix="larimar-commit") as pool:
        commit: Future[None] | None = None
        for keys, tokens in encoder.encode_stream(encoder_input()):
            batch, at = pending.pop(0), 0
            writes = list[WriteBatch]()
            for piece in batch:
                upto = at + len(piece.segments)
                made = latents([s.text for s in piece.segments]) if latents is not None else None
                writes.append(
                    WriteBatch(piece.document, piece.segments, keys[at:upto], piece.replace, made)
                )
                at = upto
            if commit is not None:
                commit.result()
            commit = pool.submit(_commit, store, namespace, writes, tokens, done)
        if commit is not None:
            commit.result()


class _Progress:
    def __init__(self, total: int, started: float, report: OnProgress | None) -> None:
        self.total, self.started, self.report = total, started, report
        self.characters = self.segments = self.tokens = 0

    def add(self, characters: int, segments: int = 0, tokens: int = 0) -> None:
        self.characters += characters
        self.segments += segments
        self.tokens += tokens
        if self.report is not None:
            seconds = time.perf_counter() - self.started
            total = max(self.total, self.characters)
            self.report(WriteProgress(self.characters, total, self.segments, self.tokens, seconds))


def _commit(
    store: Store, namespace: str, writes: list[WriteBatch], tokens: int, done: _Progress
) -> None:
    store.write(namespace, writes)
    segments = [s for write in writes for s in write.segments]
    done.add(sum(s.end - s.start for s in segments), len(segments), tokens)


def _pieces(
    store: Store, namespace: str, texts: Iterable[Text], language: str | None, done: _Progress
) -> Iterator[_Piece]:
    written = dict[str, tuple[str, str]]()
    for item in texts:
        digest, metadata = _content_hash(item.text, language), _canonical(item.metadata)
        known = store.document(namespace, item.id)
        if item.id in written:
            known = None
            if written[item.id] == (digest, metadata):
                continue
        written[item.id] = digest, metadata
        if known and known.content_hash == digest and known.complete:
            if _canonical(known.metadata) != metadata:
                store.set_metadata(namespace, item.id, item.metadata)
            done.add(len(item.text))
            continue
        resumed = bool(known and known.content_hash == digest)
        skip = store.segment_count(namespace, item.id) if resumed else 0
        document = Document(item.id, digest, len(item.text), item.metadata, complete=False)
        yield from _document_pieces(document, item.text, language, skip, not resumed, done)


def _document_pieces(
    document: Document, text: str, language: str | None, skip: int, fresh: bool, done: _Progress
) -> Iterator[_Piece]:
    """The document's pieces of at most a batch each; only the last one calls it complete."""
    held: list[Segment] = []
    whole = [Segment(0, 0, len(text), text)]
    for found in whole if language is None else segment(text, language=language):
        if found.index < skip:
            done.add(found.end - found.start)
            continue
        if len(held) == BATCH_SEGMENTS:
            yield _Piece(document, held, fresh)
            held, fresh = [], False
        held.append(found)
    yield _Piece(replace(document, complete=True), held, fresh)


def _batches(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    batch, size = list[_Piece](), 0
    for piece in pieces:
        if batch and size + len(piece.segments) > BATCH_SEGMENTS:
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += len(piece.segments)
    if batch:
        yield batch


def _canonical(metadata: Metadata) -> str:
    # Not compared as mappings: to Python, True is 1.
    return json.dumps(metadata, sort_keys=True)


def _content_hash(text: str, language: str | None) -> str:
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=16)
    digest.update(b"|whole" if language is None else f"|{language}|{MIN_CHARS}|{MAX_CHARS}".encode())
    return digest.hexdigest()
