"""Write documents: cut, tokenise, encode and commit, each stage working while the next one does."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from jaxtyping import Int8

from larimar_memory import checks
from larimar_memory.errors import InputError
from larimar_memory.keys import KeyEncoder
from larimar_memory.reading import OnProgress, Piece, Progress, Reader, Text
from larimar_memory.store.base import Store, WriteBatch
from larimar_memory.types import Metadata, Segment

log = logging.getLogger(__name__)

MakeLatents = Callable[
    [str, Sequence[tuple[str, Sequence[Segment]]]], Sequence[Sequence[Int8[np.ndarray, " n"]]]
]
"""Of a namespace, and of ids of documents with consecutive segments of each."""


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
