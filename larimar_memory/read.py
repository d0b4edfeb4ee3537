"""Read: from a question to its readout, and a document's text."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from larimar_memory import validate
from larimar_memory.encoders.base import Encoder, keys_of
from larimar_memory.encoders.keys import check_key
from larimar_memory.errors import InputError
from larimar_memory.recall import search as recall
from larimar_memory.recall.search import Candidate
from larimar_memory.slots import Slots, address
from larimar_memory.stores.base import Document, Store
from larimar_memory.stores.sqlite.failures import damaged
from larimar_memory.types import ReadOptions, Readout, ReadoutCodec, RecalledSegment

MANY = 1_000
"""Segments up to which k is taken as it is, without counting what is there."""


def read(
    store: Store,
    encoder: Encoder,
    question: str,
    options: ReadOptions,
    threshold: float,
    slots: Slots | None,
    codec: ReadoutCodec | None,
) -> Readout:
    """The readout of a question: the segments it addresses, weighted, or none if out of scope.

    Args:
        threshold: score under which the question is out of scope, where the options name none.
        slots: what is read through, where segments share slots.
        codec: makes a prefix of the readout's latents.
    """
    started = time.perf_counter()
    question, options = validate.check_question(question), _within(store, options)
    key = keys_of(encoder, [question], "question")[0]
    held = None if slots is None else slots.read(options.namespace, key)
    probe = None if held is None else held.key
    found = recall.search(store, question, key, options, probe=probe)
    best = max((candidate.score for candidate in found), default=0.0)
    threshold = float(threshold if options.threshold is None else options.threshold)
    in_scope = bool(found) and best >= threshold
    if held is not None:
        weights = held.shares([c.segment.row for c in found])
    else:
        weights = address(
            key, np.array([c.segment.best_key for c in found], np.float32).reshape(-1, len(key))
        )
    segments = list[RecalledSegment]()
    if in_scope:
        hits = [candidate.segment for candidate in found]
        around = recall.contexts(store, options.namespace, hits, options.neighbours)
        for candidate, weight, near in zip(found, weights, around, strict=True):
            segments.append(recall.recalled(candidate.segment, candidate.score, float(weight), near))
    return Readout(
        question,
        options.namespace,
        tuple(segments),
        in_scope,
        best,
        threshold,
        time.perf_counter() - started,
        codec,
        slot_weights=None if held is None else held.weights,
    )


def search(
    store: Store,
    encoder: Encoder,
    question: str | Float[np.ndarray, " d"],
    options: ReadOptions,
    slots: Slots | None,
) -> list[Candidate]:
    """The segments that match a text, or a key of any length, best, whatever they score.

    With a key, words do not count.
    """
    if isinstance(question, str):
        asked = validate.check_question(question)
        key = keys_of(encoder, [asked], "question")[0]
    else:
        asked, key = "", check_key(question, encoder.dimension)
    probe = None if slots is None else slots.read(options.namespace, key).key
    return recall.search(store, asked, key, _within(store, options), probe=probe)


def _within(store: Store, options: ReadOptions) -> ReadOptions:
    """The options with a k of no more than there is: indexes make room for k before they look."""
    if options.k <= MANY:
        return options
    return replace(options, k=max(1, min(options.k, store.stats(options.namespace).segments)))


def known(store: Store, namespace: str, id: str) -> Document:
    """The document of that id.

    Raises:
        InputError: if there is none.
    """
    document = store.document(namespace, validate.check_name(id, "document id"))
    if document is None:
        raise InputError(
            f"There is no document {id!r}.",
            f"Nothing of that id was written to namespace {namespace!r}, or it was forgotten.",
            "List the ids with `documents()`, or write it with `write`.",
        )
    return document


def text(store: Store, namespace: str, id: str, path: Path | None) -> str:
    """A document's text, exactly as it was written.

    Args:
        path: of the memory file, for an error.

    Raises:
        InputError: if there is no document of that id.
        MemoryFileError: if a part of it is damaged.
    """
    while True:
        document = known(store, namespace, id)
        found = "".join(s.text for s in store.segments(namespace, id))
        if not document.complete or len(found) == document.characters:
            return found
        # Unless it was changed or forgotten while it was read.
        if store.document(namespace, id) == document:
            raise damaged(path, f"document {id!r}")
