"""Larimar with its defaults, with more text around what it recalls, and answering from latents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.session import Session
from benchmarks.systems.base import ANSWER_TOKENS, Piece, Reply
from larimar_memory.types import Grounding


class LarimarText:
    """The memory in a file; recalled text in the prompt.

    Args:
        session: has the models.
        folder: where the file is made.
    """

    grounding: Grounding = "text"
    neighbours = 0

    def __init__(self, session: Session, folder: Path) -> None:
        latents = self.grounding == "latent"
        self.memory = session.open(folder / "memory.larimar", latents=latents)

    def write(self, documents: Mapping[str, str]) -> None:
        self.memory.write(list(documents.values()), list(documents))

    def update(self, id: str, text: str) -> None:
        self.memory.write([text], [id])

    def forget(self, id: str) -> None:
        self.memory.forget(ids=[id])

    def read(self, question: str, k: int) -> list[Piece]:
        found = self.memory.read(question, k, neighbours=self.neighbours).segments
        return [Piece(segment.document_id, segment.context) for segment in found]

    def ask(self, question: str, max_tokens: int = ANSWER_TOKENS, begin: str = "") -> Reply:
        answer = self.memory.answer(
            question,
            grounding=self.grounding,
            neighbours=self.neighbours,
            max_tokens=max_tokens,
            begin=begin,
        )
        times = answer.timings
        return Reply(answer.text, answer.usage.prompt_tokens, times.first_token, times.total)

    def close(self) -> None:
        self.memory.close()


class LarimarWide(LarimarText):
    """Two segments more on either side of each: still less text than a vector store's chunk."""

    neighbours = 2


class LarimarLatent(LarimarText):
    """A latent beside every segment; no recalled text in the prompt."""

    grounding = "latent"
