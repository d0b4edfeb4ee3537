"""The encoder contract: an encoder makes the keys of segments and of questions.

An encoder is any object with three members; it needs no base class. This one is complete:

    >>> import hashlib
    >>> import numpy as np
    >>> from larimar_memory import Larimar
    >>> from larimar_memory.encoders.keys import unit
    >>> class Hashing:
    ...     fingerprint, dimension = "hashing-1", 64
    ...
    ...     def encode(self, texts, kind="segment"):
    ...         hashes = [hashlib.blake2b(text.strip().encode()).digest() for text in texts]
    ...         numbers = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, 64)
    ...         return unit(numbers - 127.5)
    >>> with Larimar.open(encoder=Hashing()) as memory:
    ...     _ = memory.write(["red", "green", "blue"])
    ...     memory.read("green", k=1).segments[0].text
    'green'

An encoder that also tokenises may have `coarse`, a `CoarseTable` or None. With a table, writing does
not wait for the encoder's own keys.

The writer handles batches, threads and progress. `larimar_memory.testing.EncoderLaws` tests an encoder.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float

from larimar_memory.errors import InputError
from larimar_memory.text.normal import normalised

if TYPE_CHECKING:
    from larimar_memory.encoders.coarse import CoarseTable

Kind: TypeAlias = Literal["segment", "question"]
"""The role of a text: a model may encode questions differently from the segments that answer them."""

_MEMBERS = ("fingerprint", "dimension", "encode")


@runtime_checkable
class Encoder(Protocol):
    """Makes keys of texts; thread-safe."""

    @property
    def fingerprint(self) -> str:
        """Identifies the model: a memory opens only with the one it was written with."""

    @property
    def dimension(self) -> int:
        """d, numbers in a key."""

    def encode(self, texts: Sequence[str], kind: Kind = "segment") -> Float[np.ndarray, "n d"]:
        """Keys of unit length, float32, in the order of the texts; of shape (0, d) for no texts.

        A text that the model cannot read gets a key of zeros, which is near no question; its words find
        it.
        """


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Token ids of segments in their order, special tokens included.

    Attributes:
        unread: indices of segments that the model cannot read.
    """

    ids: list[list[int]]
    special: int
    unread: Collection[int] = ()

    @property
    def tokens(self) -> int:
        """Source tokens, special ones not counted."""
        return sum(map(len, self.ids)) - self.special * len(self.ids)


@runtime_checkable
class TokenizingEncoder(Encoder, Protocol):
    """An encoder in two steps: the writer tokenises the next batch meanwhile, and counts tokens.

    `encode_tokens(tokenize(texts))` equals `encode(texts)`. If the encoder has `coarse`, a
    `CoarseTable`, a writer may make coarse keys from the tokens now, and fine keys later.
    """

    def tokenize(self, texts: Sequence[str]) -> TokenBatch:
        """Token ids of segments."""

    def encode_tokens(self, batch: TokenBatch) -> Float[np.ndarray, "n d"]:
        """Keys of tokenised segments, as `encode` makes them."""


def coarse_table(encoder: Encoder) -> CoarseTable | None:
    """The table of coarse keys of an encoder that tokenises and has one; None for any other.

    Raises:
        ModelError: if the table cannot be used.
    """
    made: CoarseTable | None = getattr(encoder, "coarse", None)
    return made if isinstance(encoder, TokenizingEncoder) else None


def check_encoder(value: Any) -> Encoder:
    """The value, if it is an encoder.

    Raises:
        InputError: if it is not.
    """
    if isinstance(value, type) or not isinstance(value, Encoder):
        lacking = [name for name in _MEMBERS if not hasattr(value, name)]
        raise InputError(
            "The encoder cannot be used.",
            f"It is the class {value.__name__}, not an object of it."
            if isinstance(value, type)
            else f"It is a {type(value).__name__}, which has no {' and no '.join(lacking)}.",
            "Pass an object with fingerprint, dimension and encode(texts, kind), or a model's name.",
        )
    parameters = inspect.signature(value.encode).parameters
    if "kind" not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise InputError(
            "The encoder cannot be used.",
            f"The `encode` of this {type(value).__name__} takes no `kind`.",
            'Give it a second parameter: `encode(texts, kind="segment")`.',
        )
    return value


def keys_of(encoder: Encoder, texts: Sequence[str], kind: Kind = "segment") -> Float[np.ndarray, "n d"]:
    """The keys of texts in their normal form, checked against the encoder's contract.

    Raises:
        InputError: if they break the contract.
    """
    return checked_keys(encoder, encoder.encode([*map(normalised, texts)], kind=kind), len(texts))


def checked_keys(encoder: Encoder, keys: Any, count: int) -> Float[np.ndarray, "n d"]:
    """The keys that an encoder made of `count` texts, checked to be finite and of the right shape.

    Raises:
        InputError: if they are not.
    """
    wanted = (count, encoder.dimension)
    if not isinstance(keys, np.ndarray) or keys.shape != wanted or not np.isfinite(keys).all():
        found = f"of shape {keys.shape}" if isinstance(keys, np.ndarray) else type(keys).__name__
        raise InputError(
            "The encoder cannot be used.",
            f"Its keys are {found}, where finite numbers of shape {wanted} are wanted.",
            "Test it with `larimar_memory.testing.EncoderLaws`.",
        )
    return keys
