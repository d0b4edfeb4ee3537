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

    They come as `RecalledDocuments`, a list that also has their `scores` in [0, 1], and the `readout`,
    for a chain that conditions a decoder of its own on its latents. What depends on the question is no
    part of a document: recalled by two questions, it is the same. Its metadata is the text's own, and
    beside it where the document stands: `larimar_document_id`, `larimar_index`, `larimar_start`,
    `larimar_end`; a filter sees the text's own alone. All are marked `larimar_untrusted`, and
    `content_blocks` and `citations` of the list say where they are from as LangChain's messages do.

    A blank query is refused, unless there is a filter or a time: then what passes it is returned, up to
    k, in the order of its writing, with the score 1.

    Every field but `memory` can be overridden in a call, as in `retriever.invoke(question, k=2)`, or
    with `retriever.bind(namespace="ana")`. A dump leaves the memory out: set `memory` after loading.

    Args:
        memory: the memory to read, a `Larimar`.
        k: most documents to return; all, where it is more than there are.
        namespace: where to read.
        where: a metadata filter.
        hybrid: search by words as well as by key.
        neighbours: segments of context to add on either side of each.
        explain: say of each document why it was recalled, as `larimar_why` in its metadata: then that
            depends on the question as well. It is off by default.
        since, until, as_of: only what was said then or later, then or earlier, or known by then; see
            `ReadOptions`.
        score_threshold: documents that score less are dropped; 0 drops none. None leaves it to the
            memory: all k documents, or none for a question that is out of its scope.
        grounding: what is to control a decoder that answers from what is found, here or in a
            `LarimarRetrievalQA`: "text", "latent", where every document must have a latent, or "auto".

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
            InputError: if none was set, as after loading a dump, or it is none.
        """
        if self.memory is None:
            raise InputError(
                "The retriever cannot read.",
                "It has no memory; a retriever loaded from a dump starts without one.",
                "Set `retriever.memory` to an open Larimar.",
            )
        return check_memory(self.memory, "The retriever cannot read.")

    def options(self, overrides: dict[str, Any]) -> tuple[ReadOptions, Grounds]:
        """How to read for one call, and what is to control the decoder.

        Args:
            overrides: fields that hold for this call only.

        Raises:
            InputError: if one of them is no field that can be overridden, or cannot be used.
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
        # LangChain's own switch, left among the arguments of a call.
        overrides.pop("verbose", None)
        options, grounding = self.options(overrides)
        memory = self.larimar()
        if is_blank(query) and filter_of(options) is not None:
            readout = read_passing(memory, query, options)
        else:
            least = options.threshold
            if least is not None:
                # Of a retriever, it is documents that are dropped, each by its own score.
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
