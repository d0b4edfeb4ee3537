"""The laws of encoders hold of every encoder there is; and what is none is refused."""

from __future__ import annotations

import doctest
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from larimar_memory import Larimar
from larimar_memory.encoders import NoEncoder, base, check_encoder, unit
from larimar_memory.encoders.base import Encoder, Kind, TokenizingEncoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.testing import EncoderLaws
from tests.quick import QuickCoarse, QuickEncoder, QuickTokens


class TestSentenceEncoder(EncoderLaws):
    @pytest.fixture(autouse=True)
    def _given(self, encoder: SentenceEncoder) -> None:
        self._encoder = encoder

    def encoder(self) -> SentenceEncoder:
        return self._encoder


class TestQuickEncoder(EncoderLaws):
    def encoder(self) -> QuickEncoder:
        return QuickEncoder()


class TestQuickTokens(EncoderLaws):
    def encoder(self) -> QuickTokens:
        return QuickTokens()


class TestQuickCoarse(EncoderLaws):
    def encoder(self) -> QuickCoarse:
        return QuickCoarse()


def test_the_example_runs() -> None:
    ran = doctest.testmod(base)
    assert ran.attempted
    assert not ran.failed


def test_what_is_an_encoder(encoder: SentenceEncoder) -> None:
    for one in (encoder, QuickEncoder(), QuickTokens(), NoEncoder("any", 3)):
        assert check_encoder(one) is one
    assert isinstance(encoder, TokenizingEncoder)
    assert not isinstance(QuickEncoder(), TokenizingEncoder)


def test_what_is_no_encoder_is_refused() -> None:
    for use in (check_encoder, lambda value: Larimar.open(encoder=value)):
        with pytest.raises(
            InputError,
            match=r"^The encoder cannot be used\. It is a int, which has no fingerprint and no "
            r"dimension and no encode\. Pass an object with fingerprint, dimension and encode",
        ):
            use(3)
        with pytest.raises(InputError, match="It is the class QuickEncoder, not an object of it"):
            use(QuickEncoder)


class Broken(QuickEncoder):
    """Breaks one law at a time."""

    def __init__(self, change: Callable[[np.ndarray, Sequence[str]], np.ndarray]) -> None:
        self.change = change

    def encode(self, texts: Sequence[str], kind: Kind = "segment") -> np.ndarray:
        return self.change(super().encode(texts), texts)


def _by_place(keys: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    return unit(keys + np.arange(len(keys))[:, None])


_FAULTS: dict[str, tuple[str, Callable[[np.ndarray, Sequence[str]], np.ndarray]]] = {
    "longer": ("of_unit_length", lambda keys, _: keys * 2),
    "not finite": ("of_unit_length", lambda keys, _: keys * np.float32("nan")),
    "float64": ("of_unit_length", lambda keys, _: keys.astype(np.float64)),
    "no shape of none": ("no_texts", lambda keys, _: keys if len(keys) else np.zeros(0, np.float32)),
    "another order": ("in_the_order", lambda keys, _: keys[np.lexsort(keys.T)]),
    "company": ("one_by_one", _by_place),
    "unequal": ("equal_texts", _by_place),
    "all alike": ("equal_texts", lambda keys, _: np.full_like(keys, 0.25)),
}


@pytest.mark.parametrize("fault", _FAULTS)
def test_a_law_that_is_broken_is_named(fault: str) -> None:
    name, change = _FAULTS[fault]

    class Laws(EncoderLaws):
        def encoder(self) -> Encoder:
            return Broken(change)

    laws = Laws()
    (test,) = [getattr(laws, law) for law in dir(laws) if law.startswith("test_") and name in law]
    with pytest.raises(AssertionError):
        test()


def test_a_fingerprint_that_changes_is_named() -> None:
    class Laws(EncoderLaws):
        made = 0

        def encoder(self) -> Any:
            self.made += 1
            encoder = QuickEncoder()
            encoder.fingerprint = hashlib.md5(bytes([self.made])).hexdigest()
            return encoder

    with pytest.raises(AssertionError):
        Laws().test_a_fingerprint_is_stable()
