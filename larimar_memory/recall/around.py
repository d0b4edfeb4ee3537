"""The text around the best segment: what stands beside it often says what it alone does not.

A sentence leans on those before it ("It was built by ..."), and a turn of a conversation answers the
one before it. A sentence that has every word of the question leans on none: more text only hides it.
Questions about prose and dialogues, none of those that are reported, gave the numbers below and that
rule: of 56 whose every word the best sentence had, 7 were answered otherwise by it alone, 6 of them
better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from larimar_memory.recall.contexts import recalled
from larimar_memory.recall.question import Asked
from larimar_memory.recall.stems import stems_of
from larimar_memory.recall.stop_words import POINTING, stop_words
from larimar_memory.stores.base import Document, Span, Store, StoredSegment, Where, speaker_of
from larimar_memory.text.segments import is_heading
from larimar_memory.text.words import words
from larimar_memory.types import Metadata, RecalledSegment

QUESTION_MARKS = ("?", "\uff1f", "\u061f")

SENTENCES = 3
"""Segments on either side, of the same document."""

TURNS = 6
"""Documents on either side, of the same conversation."""

TOKENS = 256
"""The most tokens of a segment and what is around it."""

TOKEN_CHARS = 16
"""More characters than a token of any text has on average: what is longer need not be counted."""

Size: TypeAlias = Callable[[str, Metadata], int]
"""The tokens of a text as a prompt shows it, with what its document's metadata put in front."""


@dataclass(frozen=True, slots=True)
class Surrounded:
    """A segment with what is around it, in the order of the text.

    Attributes:
        best: the segment; its `before` and `after` are text of its document.
        before, after: what was said before and after it, in its conversation.
    """

    best: RecalledSegment
    before: tuple[RecalledSegment, ...] = ()
    after: tuple[RecalledSegment, ...] = ()

    @property
    def turns(self) -> tuple[RecalledSegment, ...]:
        """What was said before and after it."""
        return (*self.before, *self.after)

    @property
    def whole(self) -> tuple[RecalledSegment, ...]:
        """All of it."""
        return (*self.before, self.best, *self.after)


class Surroundings:
    """Finds what is around a segment that a read found.

    Args:
        asked: the question that it was found by.
        where: the read's filter, with its times: documents that do not pass it are not shown.
    """

    def __init__(self, store: Store, namespace: str, asked: Asked, where: Where | None) -> None:
        self._store, self._namespace, self._asked, self._where = store, namespace, asked, where

    def of(self, best: RecalledSegment, size: Size, most: int = TOKENS) -> Surrounded:
        """As much of the text around the segment as fits; none if it stands alone.

        It reaches alike to both sides, or where that does not fit, to what follows, or what precedes.

        Args:
            most: tokens of all of it.
        """
        spoken = bool(speaker_of(best.metadata))
        if not spoken and stands_alone(best.text, self._asked):
            return Surrounded(best)
        talk = self._store.beside(self._namespace, [best.document_id], TURNS)[0] if spoken else []
        passing = self._passing([document.id for document in talk] or [best.document_id])
        if best.document_id not in passing:
            return Surrounded(best)
        turns = _short([turn for turn in talk if turn.id in passing], best.document_id, most)
        spans = [Span(best.document_id, best.index - SENTENCES, best.index + SENTENCES)]
        spans += [Span(turn.id) for turn in turns if turn.id != best.document_id]
        own, *others = self._store.spans(self._namespace, spans, latents=True)
        at = next((n for n, one in enumerate(own) if one.index == best.index), None)
        if at is None or own[at].text != best.text:
            # It was replaced since it was found: what is around it now belongs to another text.
            return Surrounded(best)
        room = most - size("", best.metadata)
        back, on = _reach([size(one.text, {}) for one in own], at, SENTENCES, room)
        if back or on:
            near = own[max(at - back, 0) : at + on + 1]
            best = recalled(own[at], best.score, best.weight, near, best.why)
        if len(turns) < 2:
            return Surrounded(best)
        return self._talk(best, [turn.id for turn in turns], others, size, most)

    def _passing(self, ids: Sequence[str]) -> set[str]:
        """Those of some documents that pass the filter."""
        if self._where is None:
            return set(ids)
        return {document.id for document in self._store.documents(self._namespace, self._where, ids)}

    def _talk(
        self,
        best: RecalledSegment,
        ids: Sequence[str],
        others: Sequence[Sequence[StoredSegment]],
        size: Size,
        most: int,
    ) -> Surrounded:
        at = ids.index(best.document_id)
        beside = iter(others)
        turns = [best if id == best.document_id else _turn(next(beside)) for id in ids]
        sizes = [0 if turn is None else size(turn.context, turn.metadata) for turn in turns]
        back, on = _reach(sizes, at, TURNS, most)
        before, after = turns[max(at - back, 0) : at], turns[at + 1 : at + on + 1]
        return Surrounded(
            best,
            tuple(turn for turn in before if turn is not None),
            tuple(turn for turn in after if turn is not None),
        )


def stands_alone(text: str, asked: Asked) -> bool:
    """Whether a text has every word that a question asks with, says more, and does not point back.

    Headings and questions name what others say. Which words point back is known for English alone.
    """
    if asked.language != "en" or is_heading(text) or text.rstrip().endswith(QUESTION_MARKS):
        return False
    said, idle = words(text), stop_words(asked.language)
    if POINTING.intersection(said[:1]):
        return False
    return set(stems_of(asked.terms)) < set(stems_of([word for word in said if word not in idle]))


def was_found(segment: RecalledSegment) -> bool:
    """Whether a question found a segment; a turn that is only around one that it found was not."""
    return bool(segment.weight or segment.score)


def _turn(held: Sequence[StoredSegment]) -> RecalledSegment | None:
    """A whole turn, which the question did not find; None if it was forgotten meanwhile."""
    return recalled(held[0], 0.0, 0.0, held) if held else None


def _short(turns: Sequence[Document], id: str, most: int) -> Sequence[Document]:
    """The turns around a document up to the nearest ones that are too long to be shown."""
    at = next((n for n, turn in enumerate(turns) if turn.id == id), 0)
    long = [n for n, turn in enumerate(turns) if turn.characters > most * TOKEN_CHARS]
    start = max((n + 1 for n in long if n < at), default=0)
    return turns[start : min((n for n in long if n > at), default=len(turns))]


def _reach(sizes: Sequence[int], at: int, most_reach: int, most: int) -> tuple[int, int]:
    """How far back and on pieces of these sizes fit around the one at `at`.

    A long one on one side does not hide what stands on the other: the reply to a question, first.
    """
    for back, on in ((1, 1), (0, 1), (1, 0)):
        for reach in range(most_reach, 0, -1):
            if sum(sizes[max(at - back * reach, 0) : at + on * reach + 1]) <= most:
                return back * reach, on * reach
    return 0, 0
