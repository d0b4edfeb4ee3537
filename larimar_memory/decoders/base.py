"""The decoder contract: a frozen language model that answers, streaming.

class Parrot:
    name, context = "parrot", 512

    def count(self, text):
        return len(text.split())

    def chat_tokens(self, chat, begin=""):
        return [hash(word) for message in chat for word in message["content"].split()]

    def generate(self, tokens, *, max_tokens=64, stop=(), temperature=0.0, seed=None):
        return Generation(["Polly."], Usage(prompt_tokens=len(tokens), completion_tokens=1))

A decoder answers from recalled text. One that also takes latents is a `LatentDecoder`.
`larimar_memory.testing.DecoderLaws` tests either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, runtime_checkable

from jaxtyping import Int

from larimar_memory.decoders.prompt import BRIEF
from larimar_memory.errors import InputError
from larimar_memory.types import Message, Usage

if TYPE_CHECKING:
    from torch import Tensor

    from larimar_memory.decoders.packed import Updates


@dataclass
class Generation:
    """Text of one generation, as an iterator of pieces; it can be iterated once.

    Attributes:
        pieces: the parts of the text, in order.
        usage: tokens read and written; the count of written tokens is complete after the last piece.
        log_probabilities: natural, of each token written, by the model's own distribution whatever the
            temperature; complete after the last piece, and empty if the decoder does not tell.
        agreement: how far possible answers agree with the one that was chosen among them, in [0, 1];
            None before the first piece, and if tokens were chosen one after the other.
    """

    pieces: Iterable[str]
    usage: Usage
    log_probabilities: tuple[float, ...] = field(default=(), kw_only=True)
    agreement: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        # One run for all iterations: another iteration gets what is left, never another generation.
        self.pieces = iter(self.pieces)

    def __iter__(self) -> Iterator[str]:
        yield from self.pieces


@runtime_checkable
class Decoder(Protocol):
    """A language model that is never trained here; thread-safe."""

    @property
    def name(self) -> str:
        """The model's name: a folder, a hub name, any text."""

    @property
    def context(self) -> int:
        """How many tokens it can attend to, prompt and answer together."""

    def count(self, text: str) -> int:
        """The number of tokens in a text; control tokens in it count as plain text."""

    def chat_tokens(self, chat: Sequence[Message], begin: str = "") -> list[int]:
        """Token ids of a chat up to the assistant's turn, and of the words that begin the answer.

        No part of a message becomes a control token.
        """

    def generate(
        self,
        tokens: Sequence[int],
        *,
        max_tokens: int = 64,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Generation:
        """Continue a prompt; closing the generation's iterator stops the model.

        Args:
            tokens: the prompt's ids.
            max_tokens: the most tokens to write.
            stop: texts at which to end; they are left out of the result.
            temperature: 0 takes the likeliest token; above 0, tokens are sampled.
            seed: makes sampling repeatable.

        Raises:
            InputError: if prompt and answer do not fit `context`, or an argument cannot be used.
        """


class Conditioning(Protocol):
    """What acts in front of a prompt without being part of it: a readout's key/value prefix.

    If it adapts the model, it may have `adapters`, an object whose `updates()` are the low-rank updates
    that act while it is attached: for each linear layer, A (rank x inputs) and B (outputs x rank). They
    come in a mapping that is the same object as long as they are the same, or as None while they are
    being trained. With the mapping, tokens can be written in fast steps; without it, the model itself
    writes them. If it favours some tokens or disfavours them, it may have `first`: token ids, and what
    is added to their logits when the first token is chosen.

    Attributes:
        positions: how many places it takes in the model's context.
    """

    positions: int

    def inputs(self, tokens: Int[Tensor, "1 t"]) -> dict[str, Any]:
        """The arguments with which `model.generate` continues `tokens` after the prefix."""

    def attached(self) -> AbstractContextManager[None]:
        """A block in which this thread's use of the model is adapted to the prefix."""


@runtime_checkable
class LatentDecoder(Decoder, Protocol):
    """A decoder that also answers from latents; its `generate` takes `conditioning`."""

    @property
    def model(self) -> Any:
        """The causal language model, as transformers has it."""

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer, as transformers has it."""

    def plain_tokens(self, text: str) -> list[int]:
        """Token ids of a text; control tokens in it become plain text."""

    def generate(
        self,
        tokens: Sequence[int],
        *,
        max_tokens: int = 64,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
        conditioning: Conditioning | None = None,
    ) -> Generation:
        """Continue a prompt as any decoder does, with a readout in front of it."""

    def around_recalled(
        self, question: str, history: Sequence[Message] = (), begin: str = "", instruction: str = BRIEF
    ) -> tuple[list[int], list[int]]:
        """Token ids of a grounded question's chat before and after the recalled passages."""


def takes_latents(decoder: Decoder) -> TypeGuard[LatentDecoder]:
    """Whether it is a `LatentDecoder`; a model that it would load on first use stays unloaded."""
    wanted = ("model", "tokenizer", "plain_tokens", "around_recalled")
    return all(hasattr(type(decoder), name) or hasattr(decoder, name) for name in wanted)


def updates_of(conditioning: Conditioning | None) -> Updates | None:
    """The low-rank updates that act while it is attached; None if it does not tell."""
    if conditioning is None:
        return {}
    tell = getattr(getattr(conditioning, "adapters", None), "updates", None)
    return tell() if callable(tell) else None


def check_decoder(given: Any, what: str) -> Decoder:
    """The decoder, or an error that says what it lacks.

    Args:
        what: the sentence that says what cannot be done without a decoder.

    Raises:
        InputError: if it is not a decoder.
    """
    if isinstance(given, Decoder) and not isinstance(given, type):
        return given
    wanted = ("name", "context", "count", "chat_tokens", "generate")
    missing = ", ".join(name for name in wanted if not hasattr(given, name))
    raise InputError(
        what,
        f"Its decoder is the class {given.__name__}, not an object of it."
        if isinstance(given, type)
        else f"Its decoder is a {type(given).__name__}, without {missing}.",
        "Give the name of a model, `TransformersDecoder.load(name)`, or what keeps the contract "
        "`larimar_memory.Decoder`.",
    )
