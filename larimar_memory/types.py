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
"""One message of a chat: its `content`, and whose it is: `role` "system", "user" or "assistant"."""

Grounding: TypeAlias = Literal["text", "latent", "none"]
"""What controlled the decoder: recalled text, recalled latents, or nothing (not in memory)."""

Grounds: TypeAlias = Grounding | Literal["auto"]
"""What is asked to control it; "auto" is text or latents, whichever is better."""

Style: TypeAlias = Literal["brief", "full"]
"""How an answer is put: as briefly as it can be, or in whole sentences."""

WhenKeys: TypeAlias = Literal["lazy", "eager"]
"""When segments get the encoder's keys: once they are read, or there is time; or while writing."""


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
        features: by name (see `larimar_memory.recall.features`), each one's value and its part of the
            score that the segment was ranked by, which is their sum.
        by_key, by_words: its place in what each search brought back, from 1; None where it did not.
        asked: the question, or the part of it, that it was ranked for.
    """

    features: Mapping[str, tuple[float, float]]
    by_key: int | None
    by_words: int | None
    asked: str

    @property
    def rank_score(self) -> float:
        """What the segment was ranked by."""
        return sum(part for _, part in self.features.values())

    @property
    def told(self) -> list[tuple[str, float, float]]:
        """Names, values and parts of the features that say something, the largest parts first."""
        said = [(name, *both) for name, both in self.features.items() if any(both)]
        return sorted(said, key=lambda one: -abs(one[2]))

    def to_dict(self) -> dict[str, Any]:
        """As JSON-serialisable values; features that say nothing are left out."""
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
        score: how well it matches the question, in [0, 1]; comparable with the scope threshold.
        weight: its part of the readout, the parts of one readout summing to 1: the address weight w_k
            (arXiv 2403.11901, Eq. 7), or with slots its share of what they returned.
        before, after: text of the neighbouring segments, empty unless the read asked for it.
        latents: stored latents of what `context` holds, one a segment, in the order of the text.
        why: why it was recalled, where the read was asked to explain.
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
        """The segment as JSON-serialisable values, latents left out."""
        told = {f.name for f in fields(self)} - {"latents", "why"}
        values = {f.name: deepcopy(getattr(self, f.name)) for f in fields(self) if f.name in told}
        return values if self.why is None else {**values, "why": self.why.to_dict()}


class ReadoutCodec(Protocol):
    """Makes a key/value prefix of a readout's latents: `Larimar.latents` is one."""

    def condition(self, readout: Readout, decoder: Any = None) -> Any:
        """What stands in front of a prompt so that the decoder answers from the readout."""
        ...


@dataclass(frozen=True, slots=True)
class Readout:
    """What a question addressed in memory: segments with their latents, weights, provenance.

    Attributes:
        segments: best first; empty when the question is out of scope.
        in_scope: whether `probability` reached `threshold`; if not, the memory does not know.
        best_score: score of the best candidate, in [0, 1], also when it is out of scope.
        probability: that the answer is in what was found, in [0, 1], calibrated on questions whose
            answer was taken out.
        reason: why nothing was read; None where something was.
        signs: what the probability follows from, by name, where the read was asked to explain.
        seconds: time the read took.
        codec: makes a prefix of the segments' latents; None where the memory has no latents.
        slot_weights: address weights w over the K slots, float64, where the memory has slots.
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
        """How far the probability is above the threshold; below 0, nothing is read."""
        return self.probability - self.threshold

    def past_key_values(self, decoder: Any = None) -> Any:
        """The latents as a new cache of the decoder's, for a generation loop of one's own.

        What is read after it must be read inside `Larimar.latents.condition(readout).attached()`, where
        the adapters act. The first position after it is the cache's length.

        Args:
            decoder: a loaded decoder of the same model, in place of the memory's own.

        Raises:
            LatentsUnavailableError: if no codec is known for the decoder, or a segment has no latent of
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
        """The readout with only those of its segments that score so much; their weights stay."""
        return replace(self, segments=tuple(s for s in self.segments if s.score >= least))

    def to_dict(self) -> dict[str, Any]:
        """The readout as JSON-serialisable values, latents and slot weights left out."""
        names = (
            *("question", "namespace", "in_scope", "reason", "probability"),
            *("threshold", "margin", "best_score", "seconds"),
        )
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
        k: most segments to return; all, where it is more than there are.
        namespace: texts of others are never seen.
        where: a metadata filter.
        neighbours: segments of context to add on either side of each.
        hybrid: search by words as well as by key.
        threshold: probability that the answer is there, under which the question is out of scope; None
            is the memory's own, and 0 returns the best segments whatever it is.
        explain: say of each segment why it was recalled, and what the probability follows from.
        since, until: only what was said then or later, or earlier, by its `said_at`; days are whole.
        as_of: as if it were then: nothing that was said later, and "last week" is the one before.
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
        grounding: "text" puts recalled text in the prompt; "latent" attaches readouts; "auto" is the
            one that was measured to be better for what was recalled, and text where nothing was.
        context_tokens: most prompt tokens spent on recalled text.
        max_tokens: most tokens to write.
        stop: texts at which to end; they are not part of the answer.
        temperature: 0 is greedy; above, tokens are sampled.
        seed: makes sampling repeatable.
        fallback: when the question is out of scope, let the plain decoder answer instead of saying that
            it is not in memory; the answer's grounding is "none" either way.
        history: the chat before the question, oldest first. It goes to the decoder, and the memory is
            read with the question alone.
        history_tokens: most prompt tokens spent on the history, whose latest messages are used.
        begin: words put in the decoder's mouth: the answer begins with them and goes on from there. A
            small model that is to list several things, or to answer in a certain form, does so more
            often when it is begun for it.
        style: "brief", or "full" for whole sentences. Of a question that lists things, or asks several,
            a brief answer that is not begun is a list: each part is asked alone, a line each.
        cite: mark which source each sentence of the answer is from, as in "It is red. [1]".
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
    """Which source a sentence of an answer is from.

    Attributes:
        start, end: of the sentence in the answer's text; the mark, as in " [1]", stands behind it.
        source: number of the source, from 1, in the order of `Answer.sources`.
        document_id, document_start, document_end: where the source's segment stands, in characters.
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
        reason, probability, threshold: of the readout; a plain answer, for which nothing is read, has
            neither a reason nor a probability.
        citations: where it was to cite, which source each sentence is from.
        confidence: probability that the answer is right, in [0, 1], calibrated on questions of which a
            third have no answer; None where nothing was read, or the decoder tells no probabilities.
        choice: why it is grounded so, where that was left to "auto" and the read was to explain.
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
    """What a memory holds; sizes in bytes, lengths in characters.

    Attributes:
        keys: "lazy" where texts are written with coarse keys and given the encoder's own later.
        keyed: segments that have the encoder's key.
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
