"""Read: from a question to its readout, and a document's text."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from larimar_memory import validate
from larimar_memory.encoders.keys import check_key
from larimar_memory.errors import InputError
from larimar_memory.recall.contexts import contexts, recalled
from larimar_memory.recall.found import Candidate
from larimar_memory.recall.search import Recall
from larimar_memory.slots import Slots, address
from larimar_memory.stores.base import Document, Store
from larimar_memory.stores.filters import filter_of
from larimar_memory.types import ReadOptions, Readout, ReadoutCodec, Reason, RecalledSegment

MANY = 1_000
"""Up to this k, stored segments are not counted; a larger k is capped at their number."""

NEAR = 0.2
"""Score from which a segment is near a question; below it, the two have nothing in common."""


def read(
    recall: Recall,
    question: str,
    options: ReadOptions,
    threshold: float,
    slots: Slots | None,
    codec: ReadoutCodec | None,
) -> Readout:
    """The readout of a question: the segments it addresses, weighted, or none if out of scope.

    Args:
        threshold: probability below which the question is out of scope, unless the options name one.
        slots: the slots to read through; None if segments share none.
        codec: makes a prefix from the readout's latents.
    """
    started, store = time.perf_counter(), recall.store
    question, options = validate.check_question(question), _within(store, options)
    key = recall.key_of(question)
    held = None if slots is None else slots.read(options.namespace, key)
    found, probability, signs = recall.ask(question, key, options, None if held is None else held.key)
    best = max((candidate.score for candidate in found), default=0.0)
    threshold = float(threshold if options.threshold is None else options.threshold)
    in_scope = bool(found) and probability >= threshold
    reason: Reason | None = None
    if not in_scope:
        reason = "below the threshold" if best >= NEAR else "nothing near"
        reason = reason if found else "nothing stored"
    if held is not None:
        weights = held.shares([c.segment.row for c in found])
    else:
        keys = np.array([c.segment.best_key for c in found], np.float32).reshape(-1, len(key))
        weights = address(key, keys)
    segments = list[RecalledSegment]()
    if in_scope:
        hits = [candidate.segment for candidate in found]
        around = contexts(store, options.namespace, hits, options.neighbours)
        for one, weight, near_by in zip(found, weights, around, strict=True):
            segments.append(recalled(one.segment, one.score, float(weight), near_by, one.why))
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
        probability=probability,
        reason=reason,
        signs=signs if options.explain else {},
    )


def search(
    recall: Recall, question: str | Float[np.ndarray, " d"], options: ReadOptions, slots: Slots | None
) -> list[Candidate]:
    """The segments that best match a text, or a key of any length, whatever they score.

    With a key, words do not count.
    """
    options = _within(recall.store, options)
    if not isinstance(question, str):
        key = check_key(question, recall.encoder.dimension)
        return recall.nearest(key, options, _probe(slots, options, key))
    asked = validate.check_question(question)
    key = recall.key_of(asked)
    return recall.ask(asked, key, options, _probe(slots, options, key)).candidates


def _probe(
    slots: Slots | None, options: ReadOptions, key: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " d"] | None:
    return None if slots is None else slots.read(options.namespace, key).key


def _within(store: Store, options: ReadOptions) -> ReadOptions:
    """The options with their times moved into the filter, and k capped at the number of segments.

    Indexes allocate room for k before they search.
    """
    options = replace(options, where=filter_of(options), since=None, until=None)
    if options.k <= MANY:
        return options
    return replace(options, k=max(1, min(options.k, store.stats(options.namespace).segments)))


def known(store: Store, namespace: str, id: str) -> Document:
    """The document with that id.

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


def text(store: Store, namespace: str, id: str) -> str:
    """A document's text, exactly as it was written.

    Raises:
        InputError: if there is no document with that id.
        MemoryFileError: if a part of it is damaged.
    """
    while True:
        document = known(store, namespace, id)
        found = "".join(s.text for s in store.segments(namespace, id))
        if not document.complete or len(found) == document.characters:
            return found
        # It is damaged, unless it was changed or forgotten while it was read.
        if store.document(namespace, id) == document:
            raise store.damaged(f"document {id!r}", "some of it is lacking")
