"""Pour one store's documents into another, exactly; pouring them again changes nothing.

Some thousands of segments are committed at once. A longer document is there in part, and not complete,
until its last segments are committed. After an interruption, pouring continues where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, zip_longest
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from larimar_memory.stores.base import Document, Key, Span, Store, StoredSegment, WriteBatch
from larimar_memory.stores.packing import pack
from larimar_memory.system.groups import in_groups
from larimar_memory.types import Segment

Same: TypeAlias = Literal["exact", "refuse", "newer", "first"]
"""What happens if two documents of one id differ: "exact" and "refuse" raise an error, "newer" keeps
the one that was written last, "first" keeps the one that was there. For "exact", two documents are the
same only if they are equal in everything; for the others, if they say the same, whenever they were
written."""

BATCH_SEGMENTS = 4096

_ROUNDING = 2.0**-8
"""The largest difference between numbers of two keys that an encoder made of the same text."""

_Reading: TypeAlias = Callable[[Document], Iterable[StoredSegment]]

_Lack: TypeAlias = tuple[int, StoredSegment]
"""A row that lacks a fine key or a latent, and a segment with only what the row lacks."""


@dataclass(slots=True)
class Poured:
    """Counts of what was done.

    Attributes:
        written: documents that were not there before.
        replaced: documents that took the place of another of their id.
        kept: documents that were there, in whole or in part, or gave way to another of their id.
        segments: of all these documents.
    """

    written: int = 0
    replaced: int = 0
    kept: int = 0
    segments: int = 0


class _Met(NamedTuple):
    """A document, the one of its id in the other store, and how many segments they share.

    Attributes:
        shared: None if they differ, and neither is the beginning of the other.
    """

    given: Document
    known: Document | None
    shared: int | None


def clash(source: Store, target: Store, spaces: Sequence[str], same: Same) -> tuple[str, str] | None:
    """Namespace and id of the first document that differs between the stores; None if there is none.

    Args:
        spaces: the namespaces to look at.
    """
    for space in spaces:
        for group in _groups(source, space):
            met, _, _ = _meet(source, target, space, group, same)
            for given, known, shared in met:
                if known is not None and shared is None:
                    return space, given.id
    return None


def pour(
    source: Store,
    target: Store,
    spaces: Sequence[str],
    same: Same,
    clashed: Callable[[str, str], Exception],
    done: Poured,
    on_segments: Callable[[int], None],
) -> None:
    """Write what the target lacks; both stores have the same encoder.

    Args:
        spaces: the namespaces to pour.
        clashed: makes the error for the namespace and id of a document that may not be replaced.
        done: the counts so far, to which this adds.
        on_segments: called with the segments done so far, after every few thousand.
    """
    for space in spaces:
        for group in _groups(source, space):
            met, of_source, of_target = _meet(source, target, space, group, same)
            runs, lacking = list[Iterator[WriteBatch]](), list[Iterator[_Lack]]()
            for given, known, shared in met:
                if known is None or (shared is None and _wins(given, known, same)):
                    runs.append(_runs(target, given, of_source(given), replacing=True))
                    done.written += known is None
                    done.replaced += known is not None
                    continue
                if shared is None and same in ("exact", "refuse"):
                    raise clashed(space, given.id)
                done.kept += 1
                if shared is not None:
                    said, rest = _joined(given, known, same), given.segments > known.segments
                    if rest or _facts(said) != _facts(known):
                        after = islice(of_source(given), shared, None) if rest else ()
                        runs.append(_runs(target, said, after, replacing=False))
                    lacking.append(_lacking(of_source(given), of_target(known)))
            _commit(target, space, runs)
            _attach(target, space, chain.from_iterable(lacking))
            done.segments += sum(document.segments for document in group)
            on_segments(done.segments)


# --- which documents meet ---


def _groups(store: Store, space: str) -> Iterator[list[Document]]:
    """Documents in groups of as many segments as are committed at once; a longer document is alone."""
    return in_groups(store.documents(space), lambda one: max(one.segments, 1), BATCH_SEGMENTS)


def _meet(
    source: Store, target: Store, space: str, group: Sequence[Document], same: Same
) -> tuple[list[_Met], _Reading, _Reading]:
    """The documents with those of the target, and functions that read the segments of both stores."""
    known = {d.id: d for d in target.documents(space, ids=[d.id for d in group])}
    readings = _reading(source, space, group), _reading(target, space, [*known.values()])
    met = list[_Met]()
    for given in group:
        other = known.get(given.id)
        shared = None if other is None else _shared(given, other, *readings, same == "exact")
        met.append(_Met(given, other, shared))
    return met, *readings


def _reading(store: Store, space: str, documents: Sequence[Document]) -> _Reading:
    """A function that reads documents' segments: all at its first call, or each in turn if many."""
    if sum(document.segments for document in documents) > BATCH_SEGMENTS:
        return partial(_windows, store, space)
    held = dict[str, list[StoredSegment]]()

    def read(document: Document) -> list[StoredSegment]:
        if not held:
            found = store.spans(space, [Span(d.id) for d in documents], latents=True)
            held.update(zip((d.id for d in documents), found, strict=True))
        return held[document.id]

    return read


def _windows(store: Store, space: str, document: Document) -> Iterator[StoredSegment]:
    first, left = 0, document.segments
    while left > 0:
        (held,) = store.spans(
            space, [Span(document.id, first, first + BATCH_SEGMENTS - 1)], latents=True
        )
        yield from held
        first, left = first + BATCH_SEGMENTS, left - len(held)


def _shared(
    given: Document, known: Document, of_given: _Reading, of_known: _Reading, exact: bool
) -> int | None:
    if _said(given) != _said(known) or (exact and given.written_at != known.written_at):
        return None
    count = 0
    for mine, other in zip_longest(of_given(given), of_known(known)):
        if mine is None or other is None:
            return None if (given if mine is None else known).complete else count
        if not _equal(mine, other, exact):
            return None
        count += 1
    return count


def _said(document: Document) -> tuple[Any, ...]:
    metadata = json.dumps(document.metadata, sort_keys=True)
    return document.content_hash, document.characters, metadata, document.episode


def _facts(document: Document) -> tuple[Any, ...]:
    return document.complete, document.written_at


def _equal(mine: StoredSegment, other: StoredSegment, exact: bool) -> bool:
    """Whether segments are the same; a fine key or latent that only one has makes no difference."""
    if _place(mine) != _place(other):
        return False
    for key, its in ((mine.coarse, other.coarse), (mine.key, other.key)):
        if key is not None and its is not None and not _near(key, its, exact):
            return False
    latent, its = mine.latent, other.latent
    return latent is None or its is None or pack(latent) == pack(its)


def _place(segment: StoredSegment) -> tuple[str, int, int, int]:
    return segment.text, segment.index, segment.start, segment.end


def _near(key: Key, other: Key, exact: bool) -> bool:
    off = np.abs(key - other).max(initial=0.0)
    return bool(off <= (0.0 if exact else _ROUNDING))


def _wins(given: Document, known: Document, same: Same) -> bool:
    return same == "newer" and _age(given) > _age(known)


def _age(document: Document) -> tuple[Any, ...]:
    """A key by which the same one of two documents written in one second is newer in every store."""
    return document.written_at or "", document.complete, *map(str, _said(document))


def _joined(given: Document, known: Document, same: Same) -> Document:
    """The facts of a document that both stores hold: it is complete if it is complete in either."""
    times = given.written_at or "", known.written_at or ""
    at = known.written_at if same == "first" else max(times) or None
    return replace(known, complete=given.complete or known.complete, written_at=at)


# --- what is written ---


def _runs(
    target: Store, document: Document, segments: Iterable[StoredSegment], *, replacing: bool
) -> Iterator[WriteBatch]:
    """A document's segments in batches; it is complete with the last one."""
    left = iter(segments)
    run = [*islice(left, BATCH_SEGMENTS)]
    while run and (following := [*islice(left, BATCH_SEGMENTS)]):
        yield _batch(target, replace(document, complete=False), run, replacing)
        run, replacing = following, False
    yield _batch(target, document, run, replacing)


def _batch(target: Store, document: Document, held: list[StoredSegment], replacing: bool) -> WriteBatch:
    segments = [Segment(s.index, s.start, s.end, s.text) for s in held]
    searched = [s.coarse if target.lazy else s.key for s in held]
    keys = np.array(searched, dtype=np.float32) if held else np.empty((0, 0), dtype=np.float32)
    fine = [s.key for s in held] if target.lazy else None
    return WriteBatch(document, segments, keys, replacing, [s.latent for s in held], fine)


def _commit(target: Store, space: str, runs: Iterable[Iterator[WriteBatch]]) -> None:
    batches, size = list[WriteBatch](), 0
    for run in runs:
        for batch in run:
            batches.append(batch)
            size += len(batch.segments)
            if size >= BATCH_SEGMENTS:
                target.write(space, batches)
                batches, size = [], 0
    if batches:
        target.write(space, batches)


def _lacking(mine: Iterable[StoredSegment], there: Iterable[StoredSegment]) -> Iterator[_Lack]:
    for given, known in zip(mine, there, strict=False):
        key = known.key is None and given.key is not None
        if key or (known.latent is None and given.latent is not None):
            yield (
                known.row,
                replace(
                    given,
                    key=given.key if key else None,
                    latent=given.latent if known.latent is None else None,
                ),
            )


def _attach(target: Store, space: str, lacking: Iterable[_Lack]) -> None:
    left = iter(lacking)
    while some := [*islice(left, BATCH_SEGMENTS)]:
        keys = {row: given.key for row, given in some if given.key is not None}
        latents = {row: given.latent for row, given in some if given.latent is not None}
        if keys:
            target.attach(space, [*keys], keys=np.array([*keys.values()]))
        if latents:
            target.attach(space, [*latents], [*latents.values()])
