"""Recalled segments as documents, the same from every face and for every question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from langchain_core.documents import Document
from langchain_core.messages.content import (
    Citation,
    TextContentBlock,
    create_citation,
    create_text_block,
)

from larimar_memory.decoders.prompt import disarmed
from larimar_memory.recall.contexts import context_start

if TYPE_CHECKING:
    from larimar_memory.stores.base import Store
    from larimar_memory.types import Readout, RecalledSegment

PREFIX = "larimar_"
"""Beginning of the entries that are added to the metadata a document was written with."""

UNTRUSTED = f"{PREFIX}untrusted"
"""The entry that marks a document as recalled: data from outside, whatever it says of itself."""

CITATION = f"{PREFIX}citation"
"""The entry, in a tool's artifact, that says where a document is from and how well it matched."""

_WEB = ("http://", "https://")


class ScoredDocuments(list[Document]):
    """A list of documents, with what depends on the question beside them instead of in them.

    A slice is of the same class. If the list is changed in place, documents and scores no longer match.

    Attributes:
        segments: the segment of each document, with its score, weight and latents.
    """

    def __init__(self, documents: Iterable[Document], segments: Iterable[RecalledSegment]) -> None:
        super().__init__(documents)
        self.segments = tuple(segments)

    @property
    def scores(self) -> list[float]:
        """How well each document matches the question, in [0, 1]."""
        return [segment.score for segment in self.segments]

    @property
    def content_blocks(self) -> list[TextContentBlock]:
        """The documents as LangChain's content blocks of text, each with its source.

        The text is the document's, except that a bracket that would spell a control token of a chat
        model becomes a round one. Each block has one annotation, a `Citation`; both have `untrusted` in
        their `extras`. See `citations`.
        """
        return [
            create_text_block(
                disarmed(document.page_content),
                id=segment.id,
                annotations=[citation],
                **{"untrusted": True},
            )
            for document, segment, citation in zip(self, self.segments, self.citations, strict=True)
        ]

    @property
    def citations(self) -> list[Citation]:
        """The source of each document, as a citation of LangChain's content blocks.

        `id` is the segment's id. `title` is the text's own `title` or `source`, or else its id. `url`
        is there if the text was written with one, as `url` or `source`. `cited_text` is the document's
        text, and `start_index` and `end_index` are its span in the annotated text. `extras` hold
        `document_id`, `index`, `start` and `end` of the source; `score`; `said_at` and `speaker` if the
        text has them; and `untrusted`, True.
        """
        return [_citation(d, s) for d, s in zip(self, self.segments, strict=True)]

    def cited(self) -> ScoredDocuments:
        """The same documents, each with its citation in its metadata, as `larimar_citation`.

        This is for what is kept of a single question, such as a tool's artifact: a checkpointer keeps
        the documents of a list, and nothing beside them.
        """
        made = list[Document]()
        for document, citation in zip(self, self.citations, strict=True):
            metadata = {**document.metadata, CITATION: dict(citation)}
            made.append(document.model_copy(update={"metadata": metadata}))
        return ScoredDocuments(made, self.segments)

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> Document: ...

    @overload
    def __getitem__(self, at: slice, /) -> ScoredDocuments: ...

    def __getitem__(self, at: SupportsIndex | slice, /) -> Document | ScoredDocuments:
        if isinstance(at, slice):
            return ScoredDocuments(super().__getitem__(at), self.segments[at])
        return super().__getitem__(at)


class RecalledDocuments(ScoredDocuments):
    """The documents that a retriever found, best first, with scores, and the readout they are from.

    Attributes:
        readout: scores, weights and latents of all that was read, with `past_key_values(decoder)`.
            If a score threshold drops documents, their segments are dropped from the readout too.
    """

    def __init__(self, documents: Iterable[Document], readout: Readout) -> None:
        super().__init__(documents, readout.segments)
        self.readout = readout


def to_documents(store: Store, namespace: str, segments: Sequence[RecalledSegment]) -> ScoredDocuments:
    """Recalled segments as documents, in the same order, each with its text and its place.

    `page_content` is the source's text from `larimar_start` to `larimar_end`, neighbours included. A
    text of one segment comes as it was written; other texts lose the blanks at their ends.

    The metadata is what the text was written with, plus `larimar_document_id`, `larimar_index`,
    `larimar_start` and `larimar_end`, and `larimar_why` if it was asked for. If the text was written
    with an entry of one of these names, that entry stays. Only `larimar_untrusted` is always True,
    whatever the text was written with.

    Args:
        store, namespace: the store and the namespace that were read.
    """
    as_written = _single(store, namespace, segments)
    return ScoredDocuments([_document(s, s.document_id in as_written) for s in segments], segments)


def document_id_of(document: Document) -> str:
    """The id of the text that a document of `to_documents` is from, whatever its metadata says."""
    return str(document.id).rpartition("#")[0]


def _single(store: Store, namespace: str, segments: Sequence[RecalledSegment]) -> set[str]:
    """Ids of the texts that are one segment, among those for which it makes a difference."""
    blank = {s.document_id for s in segments if s.context == s.text != s.text.strip() and not s.index}
    if not blank:
        return set()
    known = store.documents(namespace, ids=sorted(blank))
    return {document.id for document in known if document.segments == 1}


def _document(segment: RecalledSegment, as_written: bool) -> Document:
    content = segment.context if as_written else segment.context.strip()
    place = _place(segment, content)
    if segment.why is not None:
        place["why"] = segment.why.to_dict()
    added = {f"{PREFIX}{name}": value for name, value in place.items()}
    metadata = {**added, **segment.metadata, UNTRUSTED: True}
    return Document(id=segment.id, page_content=content, metadata=metadata)


def _place(segment: RecalledSegment, content: str) -> dict[str, Any]:
    """The place of a document's text in its source."""
    start = context_start(segment) + segment.context.index(content)
    return {
        "document_id": segment.document_id,
        "index": segment.index,
        "start": start,
        "end": start + len(content),
    }


def _citation(document: Document, segment: RecalledSegment) -> Citation:
    # What a text says of itself comes from its own metadata, and the rest from the memory.
    own, text = segment.metadata, document.page_content
    return create_citation(
        id=segment.id,
        url=_text(own, "url", "source", web=True),
        title=_text(own, "title", "source") or segment.document_id,
        start_index=0,
        end_index=len(text),
        cited_text=text,
        **_place(segment, text),
        score=float(segment.score),
        said_at=_text(own, "said_at"),
        speaker=_text(own, "speaker"),
        untrusted=True,
    )


def _text(metadata: Mapping[str, Any], *names: str, web: bool = False) -> str | None:
    found = (metadata.get(name) for name in names)
    return next(
        (v for v in found if isinstance(v, str) and v and (not web or v.lower().startswith(_WEB))), None
    )
