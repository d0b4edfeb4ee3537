"""Segments that pass a filter, for a read without a question."""

from __future__ import annotations

from larimar_memory.stores.base import Span, Store, StoredSegment
from larimar_memory.stores.filters import filter_of
from larimar_memory.types import ReadOptions


def passing(store: Store, options: ReadOptions) -> list[StoredSegment]:
    """The first k segments of the documents that satisfy the filter, in the order of their writing.

    Raises:
        InputError: if the filter cannot be used.
    """
    spans, room = list[Span](), options.k
    for document in store.documents(options.namespace, filter_of(options)):
        if document.segments:
            count = min(document.segments, room)
            spans.append(Span(document.id, 0, count - 1))
            room -= count
        if not room:
            break
    return [segment for span in store.spans(options.namespace, spans) for segment in span]
