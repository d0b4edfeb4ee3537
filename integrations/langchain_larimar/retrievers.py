"""A memory as a LangChain retriever."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables.config import run_in_executor
from pydantic import ConfigDict, Field

from langchain_larimar.blank import is_blank, read_passing
from langchain_larimar.documents import RecalledDocuments, to_documents
from langchain_larimar.given_memory import check_memory
from langchain_larimar.read_fields import ReadFields, reading
from larimar_memory.errors import InputError
from larimar_memory.stores.filters import filter_of
from larimar_memory.types import Grounds, ReadOptions

if TYPE_CHECKING:
    from larimar_memory import Larimar

__all__ = ["READ_OPTIONS", "LarimarRetriever", "RecalledDocuments"]

READ_OPTIONS = (*ReadFields.model_fields, "grounding")
"""Fields of the retriever that a call can override."""


class LarimarRetriever(ReadFields, BaseRetriever):
    """Documents that a memory recalls for a question, best first.

    They come as `RecalledDocuments`: a list that also has their `scores` in [0, 1] and the `readout`,
    for a chain that conditions a decoder of its own on latents. What depends on the question is not
    part of a document, so the same document is equal for every question. Its metadata is the text's
    own, plus the document's place: `larimar_document_id`, `larimar_index`, `larimar_start` and
    `larimar_end`; a filter sees only the text's own. All documents are marked `larimar_untrusted`.
    `content_blocks` and `citations` of the list give the sources in the form of LangChain's messages.

    A blank query is refused, unless there is a filter or a time: then the retriever returns up to k
    documents that pass it, in the order of writing, with the score 1.

    A call can override every field but `memory`, as in `retriever.invoke(question, k=2)`, and so can
    `retriever.bind(namespace="ana")`. A dump leaves the memory out: set `memory` after loading.

    Args:
        memory: the memory to read, a `Larimar`.
        k: most documents to return; if there are fewer, all of them.
        namespace: the namespace to read.
        where: a metadata filter.
        hybrid: search by words as well as by key.
        neighbours: segments of context to add on either side of each.
        explain: say why each document was recalled, as `larimar_why` in its metadata, which then
            depends on the question as well. Off by default.
        since, until, as_of: only what was said from then on, up to then, or known by then; see
            `ReadOptions`.
        score_threshold: drop documents that score less; 0 drops none. None leaves it to the memory,
            which gives all k documents, or none if the question is out of scope.
        grounding: for a decoder that answers from the documents, here or in a `LarimarRetrievalQA`:
            "text", "latent" (every document must have a latent), or "auto".

    Raises:
        InputError: if a field cannot be used.
        LatentsUnavailableError: from a call with "latent", if what was found has no latents.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    # Any: the class of the memory imports torch, and this module must not.
    memory: Any = Field(default=None, exclude=True, repr=False)
    score_threshold: float | None = 0.0
    grounding: Literal["text", "latent", "auto"] = "text"

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        if self.memory is not None:
            self.options({})
            self.larimar()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Its settings can be dumped and loaded; the memory is not part of them."""
        return True

    def larimar(self) -> Larimar:
        """The memory that is read.

        Raises:
            InputError: if none was set, as after loading a dump, or it is not a memory.
        """
        if self.memory is None:
            raise InputError(
                "The retriever cannot read.",
                "It has no memory; a retriever loaded from a dump starts without one.",
                "Set `retriever.memory` to an open Larimar.",
            )
        return check_memory(self.memory, "The retriever cannot read.")

    def options(self, overrides: dict[str, Any]) -> tuple[ReadOptions, Grounds]:
        """The read options and the grounding of one call.

        Args:
            overrides: fields that hold for this call only.

        Raises:
            InputError: if a call cannot override such a field, or its value cannot be used.
        """
        settings = self.settings(READ_OPTIONS, overrides, "The retriever")
        return reading(settings, "The retriever", ("text", "latent", "auto")), settings["grounding"]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return self._read(query, kwargs)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return await run_in_executor(None, self._read, query, kwargs)

    def _read(self, query: str, overrides: dict[str, Any]) -> list[Document]:
        # LangChain's own switch, which it leaves among the arguments of a call.
        overrides.pop("verbose", None)
        options, grounding = self.options(overrides)
        memory = self.larimar()
        if is_blank(query) and filter_of(options) is not None:
            readout = read_passing(memory, query, options)
        else:
            least = options.threshold
            if least is not None:
                # In a retriever, the threshold drops single documents, each by its own score.
                options = replace(options, threshold=0.0)
            readout = memory.read(query, options=options).scoring(least or 0.0)
        if grounding == "latent" and readout.segments:
            memory.latents.check(readout)
        documents = to_documents(memory.store, options.namespace, readout.segments)
        return RecalledDocuments(documents, readout)

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = LangSmithRetrieverParams(
            ls_retriever_name="larimar", ls_vector_store_provider="larimar"
        )
        if self.memory is not None:
            params["ls_embedding_model"] = self.larimar().encoder.fingerprint
        return params
