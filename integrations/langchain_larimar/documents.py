"""Recalled segments as documents: the same for every face that recalls them, whatever was asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from langchain_core.documents import Document

if TYPE_CHECKING:
    from larimar_memory.stores.base import Store
    from larimar_memory.types import Readout, RecalledSegment

PREFIX = "larimar_"
"""How entries begin that are added to the metadata a document was written with."""


class ScoredDocuments(list[Document]):
    """Documents, and beside them what depends on the question, which is no part of a document.

    A slice of it is of the same kind. Changed in place, it no longer says what belongs to what.

    Attributes:
        segments: what each document was made of, with its score, weight and latents.
    """

    def __init__(self, documents: Iterable[Document], segments: Iterable[RecalledSegment]) -> None:
        super().__init__(documents)
        self.segments = tuple(segments)

    @property
    def scores(self) -> list[float]:
        """How well each matches the question, in [0, 1]."""
        return [segment.score for segment in self.segments]

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> Document: ...

    @overload
    def __getitem__(self, at: slice, /) -> ScoredDocuments: ...

    def __getitem__(self, at: SupportsIndex | slice, /) -> Document | ScoredDocuments:
        if isinstance(at, slice):
            return ScoredDocuments(super().__getitem__(at), self.segments[at])
        return super().__getitem__(at)


class RecalledDocuments(ScoredDocuments):
    """What a retriever found, best first, with scores, and the readout it is from.

    Attributes:
        readout: scores, weights and latents of all that was read, with `past_key_values(decoder)`.
            Where a score threshold drops documents, their segments are dropped from it too.
    """

    def __init__(self, documents: Iterable[Document], readout: Readout) -> None:
        super().__init__(documents, readout.segments)
        self.readout = readout


def to_documents(store: Store, namespace: str, segments: Sequence[RecalledSegment]) -> ScoredDocuments:
    """Recalled segments as documents, in the same order: what they say, and where that stands.

    `page_content` is the source's text from `larimar_start` to `larimar_end`, neighbours included. A
    text of one segment comes as it was written; of others, blanks at the ends are left out.

    The metadata is what the text was written with, and beside it `larimar_document_id`,
    `larimar_index`, `larimar_start` and `larimar_end`; where the read was asked to explain, there is
    `larimar_why` too, JSON-serialisable, as `Why.to_dict` has it. An entry of one of these names that
    the text was written with stays, in place of what would be added.

    Args:
        store, namespace: where they were read.
    """
    as_written = _single(store, namespace, segments)
    return ScoredDocuments([_document(s, s.document_id in as_written) for s in segments], segments)


def document_id_of(document: Document) -> str:
    """The id of the text that a document of `to_documents` is from; metadata may say anything."""
    return str(document.id).rpartition("#")[0]


def _single(store: Store, namespace: str, segments: Sequence[RecalledSegment]) -> set[str]:
    """Which of the texts are one segment, among those where it makes a difference."""
    blank = {s.document_id for s in segments if s.context == s.text != s.text.strip() and not s.index}
    if not blank:
        return set()
    known = store.documents(namespace, ids=sorted(blank))
    return {document.id for document in known if document.segments == 1}


def _document(segment: RecalledSegment, as_written: bool) -> Document:
    text = segment.context
    content = text if as_written else text.strip()
    start = segment.start - len(segment.before) + text.index(content)
    place: dict[str, Any] = {
        "document_id": segment.document_id,
        "index": segment.index,
        "start": start,
        "end": start + len(content),
    }
    if segment.why is not None:
        place["why"] = segment.why.to_dict()
    added = {f"{PREFIX}{name}": value for name, value in place.items()}
    return Document(id=segment.id, page_content=content, metadata={**added, **segment.metadata})
