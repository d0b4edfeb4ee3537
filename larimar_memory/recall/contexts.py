"""Segments found, in the form of a readout, with the text around them."""

from __future__ import annotations

from collections.abc import Sequence

from larimar_memory.stores.base import Span, Store, StoredSegment
from larimar_memory.text.segments import is_heading
from larimar_memory.types import RecalledSegment, Why


def contexts(
    store: Store, namespace: str, stored: Sequence[StoredSegment], reach: int
) -> list[list[StoredSegment]]:
    """Each segment with `reach` neighbours on either side, in the order of the text, with latents.

    A heading always comes with what follows it. All contexts take one call of the store.
    """
    onwards = [max(reach, 1) if is_heading(s.text) else reach for s in stored]
    spans = [
        Span(s.document_id, s.index - reach, s.index + more)
        for s, more in zip(stored, onwards, strict=True)
    ]
    found = store.spans(namespace, spans, latents=True)
    # A segment that was replaced since it was found stands alone: its neighbours belong to another
    # text.
    return [
        near if any(s.row == of.row for s in near) else [of]
        for of, near in zip(stored, found, strict=True)
    ]


def context_start(segment: RecalledSegment) -> int:
    """Where a segment's context starts in its document, in characters."""
    return segment.start - len(segment.before)


def recalled(
    stored: StoredSegment,
    score: float,
    weight: float,
    around: Sequence[StoredSegment],
    why: Why | None = None,
) -> RecalledSegment:
    """A stored segment as a readout holds it, with its context."""
    return RecalledSegment(
        id=f"{stored.document_id}#{stored.index}",
        document_id=stored.document_id,
        index=stored.index,
        text=stored.text,
        start=stored.start,
        end=stored.end,
        metadata=stored.metadata,
        score=score,
        weight=weight,
        before="".join(s.text for s in around if s.index < stored.index),
        after="".join(s.text for s in around if s.index > stored.index),
        latents=tuple(s.latent for s in around),
        why=why,
    )
