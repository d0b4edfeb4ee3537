"""A memory as a LangChain vector store."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore

from langchain_larimar.blank import SCORE, is_blank
from langchain_larimar.diversity import marginal_relevance
from langchain_larimar.open_memory import open_memory, to_embeddings
from larimar_memory.encoders.keys import check_key
from larimar_memory.errors import InputError
from larimar_memory.text.blocks import one_per_text
from larimar_memory.validate import check_ids, check_k, check_metadata, check_name, read_options

if TYPE_CHECKING:
    from larimar_memory import Larimar
    from larimar_memory.recall.found import Candidate
    from larimar_memory.stores.base import StoredSegment, Where

_OF_MMR = ("fetch_k", "lambda_mult")
"""Options of choosing by difference; other searches ignore them, as those of other stores do."""


class LarimarVectorStore(VectorStore):
    """Documents in a namespace of a memory; each is one entry and comes back whole, with its metadata.

        store = LarimarVectorStore(path="notes.larimar")
        store.add_documents(documents)
        store.similarity_search("What is the pass key?", k=2, filter={"source": "ops.md"})

    Documents are ranked by the cosine of their vector with the query's, so the same text comes first.
    No threshold applies: a search returns k documents if there are that many. The score is that cosine,
    or 0 if it is negative: it is in [0, 1], and higher is better. The relevance score is the same. With
    `hybrid`, the query's words and phrases count in the ranking as well, which finds rare names better;
    the scores are then not sorted. A blank query returns what passes the filter, in the order of
    writing, each with the score 1. If k or `fetch_k` exceeds what is there, the search uses all of it.

    The async methods work off the event loop. Close the store with `store.memory.close()`. Texts of
    several segments, written to the memory in another way, are found by segment, under the segment's
    id, with the text that a `LarimarRetriever` gives it.

    Args:
        embedding: makes vectors; by default the encoder of the memory, or the bundled one.
        memory: an open memory to use.
        path: a memory's file, made if it does not exist; without `memory` and `path`, it is in RAM.
        namespace: the namespace of the documents; those of other namespaces are never seen.
        hybrid: search by words as well as by vector.

    Attributes:
        memory: the memory; if the store opened it with `embedding`, its threshold is 0, because the
            meaning of such a cosine is not known.

    Raises:
        InputError: if an argument cannot be used.
        EncoderMismatchError: if the memory was written with another encoder.
    """

    def __init__(
        self,
        embedding: Embeddings | None = None,
        *,
        memory: Larimar | None = None,
        path: str | os.PathLike[str] | None = None,
        namespace: str = "default",
        hybrid: bool = False,
    ) -> None:
        self.namespace = check_name(namespace, "namespace")
        self.hybrid = hybrid
        self.memory = open_memory(embedding, memory, path)
        self._embeddings = to_embeddings(self.memory.encoder) if embedding is None else embedding

    @property
    def embeddings(self) -> Embeddings:
        """The embeddings that make the vectors."""
        return self._embeddings

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> LarimarVectorStore:
        """A store with these texts in it; `kwargs` are arguments of the class."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    def from_documents(
        cls, documents: list[Document], embedding: Embeddings | None = None, **kwargs: Any
    ) -> LarimarVectorStore:
        """A store with these documents in it; `kwargs` are `ids` and arguments of the class."""
        ids = kwargs.pop("ids", None)
        store = cls(embedding, **kwargs)
        store.add_documents(documents, ids=ids)
        return store

    @classmethod
    async def afrom_documents(
        cls, documents: list[Document], embedding: Embeddings | None = None, **kwargs: Any
    ) -> LarimarVectorStore:
        """As `from_documents`, off the event loop."""
        return await run_in_executor(None, cls.from_documents, documents, embedding, **kwargs)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[dict[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        episode: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, one entry each; on return they are durable.

        Args:
            texts: of any length; a vector represents as much of a text as the encoder reads.
            metadatas: a JSON object per text; `larimar_memory.system.plain` converts dates and such.
            ids: an id per text, by default a new one; an entry with the same id is replaced.
            episode: name of the episode that they belong to, in the order of first writing.
            kwargs: `batch_size` changes nothing, nor does the `current_time` that
                `TimeWeightedVectorStoreRetriever` passes on.

        Returns:
            The ids of what was added, in the order of the texts. Blank texts, such as empty pages, are
            skipped.

        Raises:
            InputError: if a text, id, metadata or episode cannot be used; then nothing was written.
        """
        _refuse("add texts with", kwargs, known=("batch_size", "current_time"))
        listed = [texts] if isinstance(texts, str) else list(texts)
        names = one_per_text("ids", ids, len(listed)) or [None] * len(listed)
        given = one_per_text("metadatas", metadatas or None, len(listed)) or [{}] * len(listed)
        # Checked here: an error must not name an id that is made here, for the caller does not know it.
        whose = [f"text {n}" if id is None else f"document {id!r}" for n, id in enumerate(names, 1)]
        plain = [check_metadata(one or {}, of) for one, of in zip(given, whose, strict=True)]
        kept = [n for n, text in enumerate(listed) if not isinstance(text, str) or text.strip()]
        return self.memory.write(
            [listed[n] for n in kept],
            [uuid.uuid4().hex if names[n] is None else names[n] for n in kept],
            [plain[n] for n in kept],
            namespace=self.namespace,
            episode=episode,
            whole=True,
        )

    def add_documents(
        self, documents: list[Document], *, ids: Sequence[str | None] | None = None, **kwargs: Any
    ) -> list[str]:
        """As `add_texts`; by default under the documents' own ids, if they have any."""
        listed = list(documents)
        texts, metadatas = [d.page_content for d in listed], [d.metadata for d in listed]
        names = [d.id for d in listed] if ids is None else ids
        return self.add_texts(texts, metadatas, ids=names, **kwargs)

    def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        filter: Where | None = None,
        purge: bool = True,
        **kwargs: Any,
    ) -> bool:
        """Delete entries by id or by metadata; without either, everything in the namespace.

        Args:
            ids: ids of entries; unknown ids are skipped.
            filter: a metadata filter; with `ids`, both must hold.
            purge: also erase every trace from the files, as in `Larimar.forget`.

        Returns:
            True: on return, all of them are gone.

        Raises:
            InputError: if an id is not a str, or names a segment of a longer text, which cannot be
                deleted alone.
        """
        _refuse("delete with", kwargs)
        ids = None if ids is None else check_ids(ids, "Nothing was deleted.")
        for id in ids or ():
            if self._segment(id):
                raise InputError(
                    f"{id!r} cannot be deleted.",
                    f"It is a segment of the text {id.rpartition('#')[0]!r}, and cannot go alone.",
                    "Delete or update the whole text.",
                )
        self.memory.forget(ids=ids, where=filter, namespace=self.namespace, purge=purge)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The entries with those ids, in that order; missing ones are left out.

        Raises:
            InputError: if an id is not a str.
        """
        found = list[Document]()
        for id in dict.fromkeys(check_ids(ids, "The entries cannot be given.")):
            # One read, so that text and metadata match.
            if held := self.memory.store.segments(self.namespace, id):
                text = "".join(segment.text for segment in held)
                found.append(_document(id, text, held[0]))
            elif segment := self._segment(id):
                found.append(_document(id, self._said([segment])[0], segment))
        return found

    def similarity_search(
        self, query: str, k: int = 4, filter: Where | None = None, **kwargs: Any
    ) -> list[Document]:
        """The k entries that match a query best, best first.

        Args:
            query: any text.
            k: how many to return; fewer only if there are fewer.
            filter: a metadata filter.
            kwargs: `hybrid` overrides the store's own; `fetch_k` and `lambda_mult` change nothing.
        """
        return self._documents(self._search(query, k, filter, kwargs))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Where | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """As `similarity_search`, with scores in [0, 1], higher is better."""
        found = self._search(query, k, filter, kwargs)
        scores = [candidate.score for candidate in found]
        return list(zip(self._documents(found), scores, strict=True))

    def similarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: Where | None = None, **kwargs: Any
    ) -> list[Document]:
        """As `similarity_search`, for a vector of d numbers, of any length; words do not count."""
        return self._documents(self._search(self._key(embedding, kwargs), k, filter, {}))

    def max_marginal_relevance_search(
        self,
        query: str | Float[np.ndarray, " d"],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Where | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """From the `fetch_k` entries that match a query best, k that differ from one another.

        Args:
            query: any text, or a key.
            k: how many to return.
            fetch_k: how many to choose from, at least k.
            lambda_mult: weight of likeness to the query against difference, in [0, 1].
            filter: a metadata filter.
            kwargs: `hybrid` overrides the store's own, for the entries to choose from.
        """
        k, fetch_k = check_k(k), check_k(fetch_k, "fetch_k", "to choose from")
        if not 0 <= lambda_mult <= 1:
            raise InputError(
                f"The vector store cannot search with lambda_mult={lambda_mult}.",
                "It lies between 0, all difference, and 1, all likeness.",
                "Use 0.5, the default, or another number in that range.",
            )
        found = self._search(query, max(k, fetch_k), filter, kwargs)
        if not found:
            return []
        relevance = np.array([candidate.cosine for candidate in found])
        keys = np.stack([candidate.segment.best_key for candidate in found])
        return self._documents([found[n] for n in marginal_relevance(relevance, keys, k, lambda_mult)])

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Where | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, for a vector of d numbers, of any length."""
        key = self._key(embedding, kwargs)
        return self.max_marginal_relevance_search(key, k, fetch_k, lambda_mult, filter)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return float

    def _key(self, embedding: Sequence[float], options: dict[str, Any]) -> Float[np.ndarray, " d"]:
        # With a vector, words cannot count: `hybrid` is refused with the unknown options.
        _refuse("search with", options, known=_OF_MMR)
        return check_key(embedding, self.memory.encoder.dimension)

    def _search(
        self, query: str | Float[np.ndarray, " d"], k: int, where: Where | None, options: dict[str, Any]
    ) -> list[Candidate]:
        _refuse("search with", options, known=("hybrid", *_OF_MMR))
        if is_blank(query):
            return self._passing(k, where)
        hybrid = options.get("hybrid")
        hybrid = self.hybrid if hybrid is None else hybrid
        return self.memory.search(query, k, namespace=self.namespace, where=where, hybrid=hybrid)

    def _passing(self, k: int, where: Where | None) -> list[Candidate]:
        """The segments that pass a filter, in the order of writing, for a query that asks no more."""
        from larimar_memory.recall.found import Candidate
        from larimar_memory.recall.passing import passing

        options = read_options(k, {"namespace": self.namespace, "where": where})
        return [Candidate(s, SCORE, SCORE) for s in passing(self.memory.store, options)]

    def _segment(self, id: str) -> StoredSegment | None:
        """The segment that a search returned under this id, from a text written in another way."""
        name, _, index = id.rpartition("#")
        if not name or not index.isdecimal() or self.memory.store.document(self.namespace, id):
            return None
        held = self.memory.store.segments(self.namespace, name, int(index), int(index))
        return held[0] if held else None

    def _documents(self, found: Iterable[Candidate]) -> list[Document]:
        segments, documents = [candidate.segment for candidate in found], list[Document]()
        ids = list({segment.document_id for segment in segments})
        counts = {d.id: d.segments for d in self.memory.store.documents(self.namespace, ids=ids)}
        parts = [s for s in segments if s.index or counts.get(s.document_id, 0) > 1]
        said = dict(zip([s.row for s in parts], self._said(parts), strict=True))
        for segment in segments:
            name, text = segment.document_id, segment.text
            if segment.row in said:
                name, text = f"{name}#{segment.index}", said[segment.row]
            documents.append(_document(name, text, segment))
        return documents

    def _said(self, parts: Sequence[StoredSegment]) -> list[str]:
        """Texts of segments of longer texts, as a retriever has them: a heading with what follows."""
        if not parts:
            return []
        from larimar_memory.recall.contexts import contexts

        around = contexts(self.memory.store, self.namespace, parts, 0)
        return ["".join(s.text for s in near).strip() for near in around]


def _document(id: str, text: str, segment: StoredSegment) -> Document:
    # A copy, so that changes by the caller do not reach a memory in RAM.
    return Document(id=id, page_content=text, metadata=deepcopy(dict(segment.metadata)))


def _refuse(use: str, unknown: dict[str, Any], known: Sequence[str] = ()) -> None:
    # `verbose` is LangChain's own switch, which it leaves among the arguments of a retriever's call.
    if names := [name for name in unknown if name not in (*known, "verbose")]:
        raise InputError(
            f"The vector store cannot {use} {', '.join(map(repr, names))}.",
            "It knows no argument of that name.",
            "Leave it out, or correct its name.",
        )
