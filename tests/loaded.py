"""The bundled models: loaded once for each process of the tests, or anew to try loading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.models import finding

_held = ExitStack()
_load = {kind: kind.load for kind in (SentenceEncoder, TransformersDecoder)}


@cache
def encoder() -> SentenceEncoder:
    """The bundled sentence encoder."""
    return _load[SentenceEncoder]()


@cache
def decoder() -> TransformersDecoder:
    """The bundled decoder."""
    return _load[TransformersDecoder]()


@contextmanager
def once() -> Iterator[None]:
    """While a bundled model that is asked for by its name is the one there is; others are loaded.

    Its files are looked for, and converted where they are not yet, as for a user.
    """

    def given(kind: Any, name: str, one: Any) -> Any:
        def load(asked: Any = name, **how: Any) -> Any:
            if asked != name or how:
                return _load[kind](asked, **how)
            finding.resolve(name)
            return one()

        return patch.object(kind, "load", load)

    with (
        given(SentenceEncoder, finding.DEFAULT_ENCODER, encoder),
        given(TransformersDecoder, finding.DEFAULT_DECODER, decoder),
    ):
        yield


@contextmanager
def anew() -> Iterator[None]:
    """While models are loaded as they are by users."""
    with (
        patch.object(SentenceEncoder, "load", _load[SentenceEncoder]),
        patch.object(TransformersDecoder, "load", _load[TransformersDecoder]),
    ):
        yield


@cache
def for_good() -> None:
    """As `once`, until the process ends: for one that runs several programs, such as a kernel."""
    _held.enter_context(once())
