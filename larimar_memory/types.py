"""The values that pass between the stages: segments, readouts, answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Int8

Metadata: TypeAlias = Mapping[str, Any]
"""JSON object kept with a document: string keys, JSON values."""

Grounding: TypeAlias = Literal["text", "latent", "none"]
"""What controlled the decoder: recalled text, recalled latents, or nothing (not in memory)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence-sized piece of a document: `text == document[start:end]`, offsets in characters."""

    index: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class RecalledSegment:
    """A stored segment as a read returns it.

    Attributes:
        id: `"<document_id>#<index>"`, unique within the namespace.
        score: how well it matches the question, in [0, 1]; comparable with the scope threshold.
        weight: its part of the readout, the parts of one readout summing to 1: the address weight w_k
            (arXiv 2403.11901, Eq. 7), or with slots its share of what they returned.
        before, after: text of the neighbouring segments, empty unless the read asked for it.
    """

    id: str
    document_id: str
    index: int
    text: str
    start: int
    end: int
    metadata: Metadata
    score: float
    weight: float
    before: str = ""
    after: str = ""

    @property
    def context(self) -> str:
        """The segment's text with its neighbours, as it stands in the document."""
        return f"{self.before}{self.text}{self.after}"


@dataclass(frozen=True, slots=True)
class Readout:
    """What a question addressed in memory: segments, weights, provenance and, where stored, latents.

    Attributes:
        segments: best first; empty when the question is out of scope.
        in_scope: whether the best score reached `threshold`; if not, the memory does not know.
        best_score: score of the best candidate, in [0, 1], also when it is out of scope.
        seconds: time the read took.
        latents: of each segment and what is read with it, in the order of the text, as they are
            stored; None where there is none.
        slot_weights: address weights w over the K slots, float64, where the memory has slots.
    """

    question: str
    namespace: str
    segments: tuple[RecalledSegment, ...]
    in_scope: bool
    best_score: float
    threshold: float
    seconds: float
    latents: tuple[tuple[Int8[np.ndarray, " n"] | None, ...], ...] = field(default=(), compare=False)
    slot_weights: Float[np.ndarray, " K"] | None = field(default=None, compare=False)

    def past_key_values(self, decoder: Any) -> Any:
        """The latents as a new cache of the decoder's, for a generation loop of one's own.

        What is read after it must be read inside `Larimar.latents.condition(readout).attached()`, where
        the adapters act. The first position after it is the cache's length.

        Args:
            decoder: a `Decoder` that a latent codec ships for.

        Raises:
            LatentsUnavailableError: if no codec ships for it, or a segment has no latent of that one.
        """
        from larimar_memory.latents.latent_memory import condition, shipped_codec

        return condition(shipped_codec(decoder), self).past_key_values()

    def scoring(self, least: float) -> Readout:
        """The readout with only those of its segments that score so much; their weights stay."""
        kept = [i for i, segment in enumerate(self.segments) if segment.score >= least]
        return replace(
            self,
            segments=tuple(self.segments[i] for i in kept),
            latents=tuple(self.latents[i] for i in kept if i < len(self.latents)),
        )

    def to_dict(self) -> dict[str, Any]:
        """The readout as JSON-serialisable values, latents and slot weights left out."""
        return {
            "question": self.question,
            "namespace": self.namespace,
            "in_scope": self.in_scope,
            "best_score": self.best_score,
            "threshold": self.threshold,
            "seconds": self.seconds,
            "segments": [asdict(s) for s in self.segments],
        }


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, counted by the decoder's tokenizer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds spent on one answer; `first_token` and `total` count from the call."""

    read: float = 0.0
    first_token: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with what grounded it; `sources` are the segments the decoder was given."""

    question: str
    text: str
    grounding: Grounding
    sources: tuple[RecalledSegment, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON-serialisable values."""
        return {**asdict(self), "sources": [asdict(s) for s in self.sources]}


@dataclass(frozen=True, slots=True)
class WriteProgress:
    """How far a write has come; handed to the caller's progress function after every commit."""

    characters: int
    total_characters: int
    segments: int
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Source tokens made durable per second so far."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


OnProgress: TypeAlias = Callable[[WriteProgress], None]
"""Called after every commit of a write."""


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """What a memory holds; sizes in bytes, lengths in characters."""

    path: str | None
    namespace: str | None
    namespaces: int
    documents: int
    segments: int
    characters: int
    bytes_on_disk: int
    encoder: str
    threshold: float
    slots: int | None = None
