"""The values that pass between the stages: segments, readouts, answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from jaxtyping import Float, Int8

from larimar_memory.errors import LatentsUnavailableError

DEFAULT_NAMESPACE = "default"

Metadata: TypeAlias = Mapping[str, Any]
"""JSON object kept with a document: string keys, JSON values."""

Where: TypeAlias = Mapping[str, Any]
"""A metadata filter; see `larimar_memory.stores.filters`."""

Message: TypeAlias = Mapping[str, str]
"""One message of a chat: its `content`, and its `role`: "system", "user" or "assistant"."""

Grounding: TypeAlias = Literal["text", "latent", "none"]
"""What an answer rests on: recalled text, recalled latents, or nothing (not in memory)."""

Grounds: TypeAlias = Grounding | Literal["auto"]
"""The grounding to use; "auto" is text or latents, whichever is better."""

Style: TypeAlias = Literal["brief", "full"]
"""How long an answer is: as brief as possible, or in whole sentences."""

WhenKeys: TypeAlias = Literal["lazy", "eager"]
"""When segments get fine keys: "lazy", when they are read or indexed; "eager", while writing."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence-sized piece of a document: `text == document[start:end]`, offsets in characters."""

    index: int
    start: int
    end: int
    text: str


Latents: TypeAlias = tuple[Int8[np.ndarray, " _"] | None, ...]
"""Stored latents of consecutive segments, in the order of the text; None where there is none."""


@dataclass(frozen=True, slots=True)
class Why:
    """Why a segment was recalled.

    Attributes:
        features: by name (see `larimar_memory.recall.features`), the value of each feature and its part
            of the segment's rank; the parts add up to the rank.
        by_key, by_words: its place in what each search found, from 1; None if it was not found.
        asked: the question, or the part of it, that the segment was ranked for.
    """

    features: Mapping[str, tuple[float, float]]
    by_key: int | None
    by_words: int | None
    asked: str

    @property
    def rank_score(self) -> float:
        """The segment's rank: the sum of all parts."""
        return sum(part for _, part in self.features.values())

    @property
    def told(self) -> list[tuple[str, float, float]]:
        """Names, values and parts of the features that are not zero, the largest parts first."""
        said = [(name, *both) for name, both in self.features.items() if any(both)]
        return sorted(said, key=lambda one: -abs(one[2]))

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-serialisable values; features that are zero are left out."""
        told = {name: [value, part] for name, value, part in self.told}
        return {
            "asked": self.asked,
            "rank_score": self.rank_score,
            "by_key": self.by_key,
            "by_words": self.by_words,
            "features": told,
        }


Reason: TypeAlias = Literal["nothing stored", "nothing near", "below the threshold"]
"""Why a readout is empty."""


@dataclass(frozen=True, slots=True)
class RecalledSegment:
    """A stored segment as a read returns it.

    Attributes:
        id: `"<document_id>#<index>"`, unique within the namespace.
        score: how well it matches the question: their cosine, in [0, 1]; if the encoder cannot read one
            of the two, the share of the question's words that the segment holds; 0 if it was not found.
        weight: its part of the readout; the weights of a readout sum to 1. It is the address weight w_k
            (arXiv 2403.11901, Eq. 7), or with slots its share of what they returned.
        before, after: the text around it, if the read asked for it, or an answer was given it.
        latents: stored latents of the segments in `context`, one each, in the order of the text.
        why: why it was recalled, if the read was asked to explain.
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
    latents: Latents = field(default=(), compare=False, repr=False)
    why: Why | None = field(default=None, compare=False, repr=False)

    @property
    def context(self) -> str:
        """The segment's text with its neighbours, as it stands in the document."""
        return f"{self.before}{self.text}{self.after}"

    def to_dict(self) -> dict[str, Any]:
        """The segment as JSON-serialisable values, without latents."""
        told = {f.name for f in fields(self)} - {"latents", "why"}
        values = {f.name: deepcopy(getattr(self, f.name)) for f in fields(self) if f.name in told}
        return values if self.why is None else {**values, "why": self.why.to_dict()}


class ReadoutCodec(Protocol):
    """Makes a key/value prefix from a readout's latents; `Larimar.latents` is one."""

    def condition(self, readout: Readout, decoder: Any = None) -> Any:
        """The prefix that goes in front of a prompt, so that the decoder answers from the readout."""
        ...


@dataclass(frozen=True, slots=True)
class Readout:
    """What a question addressed in memory: segments with their scores, weights, spans and latents.

    Attributes:
        segments: best first; empty if the question is out of scope.
        in_scope: whether `probability` reached `threshold`; if not, the memory does not know.
        best_score: score of the best candidate, in [0, 1], even if the question is out of scope.
        probability: how likely it is that the answer is in what was found, in [0, 1]; calibrated also
            on questions whose answer was removed.
        reason: why there are no segments; None if there are some.
        signs: the signs from which the probability follows, by name, if the read was asked to explain.
        seconds: time the read took.
        codec: makes a prefix from the segments' latents; None in a readout that was pickled.
        slot_weights: address weights w over the K slots, float64, if segments share slots.
    """

    question: str
    namespace: str
    segments: tuple[RecalledSegment, ...]
    in_scope: bool
    best_score: float
    threshold: float
    seconds: float
    codec: ReadoutCodec | None = field(default=None, compare=False, repr=False)
    slot_weights: Float[np.ndarray, " K"] | None = field(default=None, compare=False)
    probability: float = 0.0
    reason: Reason | None = None
    signs: Mapping[str, float] = field(default_factory=dict, compare=False)

    @property
    def margin(self) -> float:
        """How far the probability is above the threshold; below 0, there are no segments."""
        return self.probability - self.threshold

    def past_key_values(self, decoder: Any = None) -> Any:
        """The latents as a new key/value cache for the decoder, for a generation loop of your own.

        Read what follows inside `Larimar.latents.condition(readout).attached()`, where the adapters
        are on. The first position after the prefix is the cache's length.

        Args:
            decoder: a loaded decoder of the same model, to use instead of the memory's own.

        Raises:
            LatentsUnavailableError: if there is no codec for the decoder, or a segment has no latent of
                that codec.
        """
        if self.codec is None:
            raise LatentsUnavailableError(
                "The readout cannot become a key/value prefix.",
                "It knows no memory, as one that was pickled does not.",
                "Use `memory.latents.condition(readout)` of an open memory.",
            )
        return self.codec.condition(self, decoder).past_key_values()

    def scoring(self, least: float) -> Readout:
        """The readout with only the segments that score at least `least`; their weights stay."""
        kept = tuple(s for s in self.segments if s.score >= least)
        reason = self.reason if kept else self.reason or "below the threshold"
        return replace(self, segments=kept, reason=reason)

    def to_dict(self) -> dict[str, Any]:
        """The readout as JSON-serialisable values, without latents and slot weights."""
        names = ["question", "namespace", "in_scope", "reason", "probability"]
        names += ["threshold", "margin", "best_score", "seconds"]
        signs = {"signs": dict(self.signs)} if self.signs else {}
        return {
            **{name: getattr(self, name) for name in names},
            **signs,
            "segments": [segment.to_dict() for segment in self.segments],
        }


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a question is read.

    Attributes:
        k: most segments to return.
        namespace: the namespace to read; texts of others are never seen.
        where: a metadata filter.
        neighbours: segments of context to add on either side of each.
        hybrid: search by words as well as by key.
        threshold: probability below which the question is out of scope; None is the memory's own, and
            0 always returns the best segments.
        explain: also say why each segment was recalled, and which signs the probability follows from.
        since, until: only what was said from then on, or up to then, by its `said_at`; days are whole.
        as_of: read as of this time: nothing that was said later, and "last week" is the week before it.
    """

    k: int = 5
    namespace: str = DEFAULT_NAMESPACE
    where: Where | None = None
    neighbours: int = 0
    hybrid: bool = True
    threshold: float | None = None
    explain: bool = False
    since: str | date | None = None
    until: str | date | None = None
    as_of: str | date | None = None


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How a question is answered from a readout.

    Attributes:
        grounding: "text" puts recalled text in the prompt; "latent" attaches recalled latents; "auto"
            uses whichever was measured to be better for that many tokens, or text.
        context_tokens: most prompt tokens spent on recalled text.
        max_tokens: most tokens to write.
        stop: texts at which to end; they are not part of the answer.
        temperature: 0 is greedy; above, tokens are sampled.
        seed: makes sampling repeatable.
        fallback: if the question is out of scope, the plain decoder answers; the grounding is "none".
        history: the chat before the question, oldest first. The memory is read without it.
        history_tokens: most prompt tokens spent on the history, whose latest messages are used.
        begin: the first words of the answer; they help a small model to list things or keep to a form.
        style: "brief", or "full" for whole sentences. If a question lists things, or asks several, its
            brief answer without `begin` is a list: each part is answered alone, on a line of its own.
        cite: mark which source each sentence of the answer is from, as in "It is red. [1]".
        beams: of how many answers an adapter's brief one is chosen; 1 writes it token by token.
        around: show an adapter what is around the best segment, unless the read has `neighbours`.
    """

    grounding: Grounds = "text"
    context_tokens: int = 1024
    max_tokens: int = 64
    stop: Sequence[str] = ()
    temperature: float = 0.0
    seed: int | None = None
    fallback: bool = False
    history: Sequence[Message] = ()
    history_tokens: int = 2048
    begin: str = ""
    style: Style = "brief"
    cite: bool = False
    beams: int = 8
    around: bool = True


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
class Citation:
    """Names the source that a sentence of an answer is from.

    Attributes:
        start, end: span of the sentence in the answer's text; the mark, as in " [1]", comes after it.
        source: number of the source, from 1, in the order of `Answer.sources`.
        document_id, document_start, document_end: where the source says it, or near it, in characters.
    """

    start: int
    end: int
    source: int
    document_id: str
    document_start: int
    document_end: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with what grounded it; `sources` are the segments the decoder was given.

    Attributes:
        reason, probability, threshold: of the readout; an answer by the plain decoder alone, without a
            read, has neither a reason nor a probability.
        citations: with `cite`, the source of each sentence.
        confidence: probability that the answer is right, in [0, 1], calibrated on questions of which a
            third have no answer; None if nothing was read, or the decoder gives no log-probabilities.
        choice: why this grounding was chosen, with "auto" and `explain`.
    """

    question: str
    text: str
    grounding: Grounding
    sources: tuple[RecalledSegment, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timings: Timings = field(default_factory=Timings)
    reason: Reason | None = None
    probability: float | None = None
    threshold: float | None = None
    citations: tuple[Citation, ...] = ()
    confidence: float | None = None
    choice: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The answer as JSON-serialisable values."""
        plain = asdict(replace(self, sources=()))
        return {**plain, "sources": [segment.to_dict() for segment in self.sources]}


@dataclass(frozen=True, slots=True)
class WriteProgress:
    """How far a write has come; passed to the caller's progress function after every commit."""

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
    """What a memory holds; sizes in bytes, lengths in characters.

    Attributes:
        keys: "lazy" if segments are written with coarse keys and get fine keys later, else "eager".
        keyed: segments that have a fine key.
    """

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
    keys: WhenKeys = "eager"
    keyed: int = 0
