"""A memory as a LangChain retriever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables.config import run_in_executor
from pydantic import ConfigDict, Field

from langchain_larimar.convert import to_documents
from langchain_larimar.given_memory import check_memory
from langchain_larimar.read_fields import ReadFields, reading
from larimar_memory.errors import InputError
from larimar_memory.types import Grounding, ReadOptions

if TYPE_CHECKING:
    from larimar_memory import Larimar
    from larimar_memory.types import Readout

READ_OPTIONS = (*ReadFields.model_fields, "grounding")
"""Fields of the retriever that a call can override."""


class RecalledDocuments(list[Document]):
    """What a retriever found, best first, and the readout it is from.

    Attributes:
        readout: scores, weights and latents of all that was read, with `past_key_values(decoder)`.
            Where a score threshold drops documents, their segments are dropped from it too.
    """

    def __init__(self, readout: Readout) -> None:
        super().__init__(to_documents(readout.segments))
        self.readout = readout


class LarimarRetriever(ReadFields, BaseRetriever):
    """Documents that a memory recalls for a question, best first, with their scores in [0, 1].

    They come as `RecalledDocuments`, a list that also has the `readout`, for a chain that conditions a
    decoder of its own on its latents.

    Every field but `memory` can be overridden in a call, as in `retriever.invoke(question, k=2)`, or
    with `retriever.bind(namespace="ana")`. A dump leaves the memory out: set `memory` after loading.

    Args:
        memory: the memory to read, a `Larimar`.
        k: most documents to return.
        namespace: where to read.
        where: a metadata filter.
        hybrid: search by words as well as by key.
        neighbours: segments of context to add on either side of each.
        score_threshold: documents that score less are dropped; 0 drops none. None leaves it to the
            memory: all k documents, or none for a question that is out of its scope.
        grounding: what is to control a decoder that answers from what is found, here or in a
            `LarimarRetrievalQA`: "text", or "latent", where every document must have a latent.

    Raises:
        InputError: if a field cannot be used.
        LatentsUnavailableError: from a call with "latent", if what was found has no latents.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    # Any: the class of the memory imports torch, and this module must not.
    memory: Any = Field(default=None, exclude=True, repr=False)
    score_threshold: float | None = 0.0
    grounding: Literal["text", "latent"] = "text"

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

    def options(self, overrides: dict[str, Any]) -> tuple[ReadOptions, Grounding]:
        """How to read for one call, and what is to control the decoder.

        Args:
            overrides: fields that hold for this call only.

        Raises:
            InputError: if one of them is no field that can be overridden, or cannot be used.
        """
        settings = self.settings(READ_OPTIONS, overrides, "The retriever")
        return reading(settings, "The retriever", ("text", "latent")), settings["grounding"]

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
        readout = self.larimar().read(query, options=options).scoring(options.threshold or 0.0)
        if grounding == "latent" and readout.segments:
            self.larimar().latents.check(readout)
        return RecalledDocuments(readout)

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = LangSmithRetrieverParams(
            ls_retriever_name="larimar", ls_vector_store_provider="larimar"
        )
        if self.memory is not None:
            params["ls_embedding_model"] = self.larimar().encoder.fingerprint
        return params
