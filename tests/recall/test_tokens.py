"""Token ids of what is read, made once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.encoders.base import TokenBatch
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.recall.tokens import HELD, LONGEST, Tokens
from tests.quick import QuickTokens


class Counting(QuickTokens):
    """Counts the texts that it tokenises, and cannot read those that begin with a digit."""

    count = 0

    def tokenize(self, texts: list[str]) -> TokenBatch:
        self.count += len(texts)
        unread = [n for n, text in enumerate(texts) if text[:1].isdigit()]
        return TokenBatch(super().tokenize(texts).ids, 0, unread)


TEXTS = st.lists(st.text("ab1", max_size=3), max_size=8)


@given(st.lists(TEXTS, max_size=4))
def test_they_are_those_of_the_encoder_each_made_once(calls: list[list[str]]) -> None:
    encoder = Counting()
    tokens = Tokens(encoder)
    for texts in calls:
        expected, found = Counting().tokenize(texts), tokens.of(texts)
        assert (found.ids, set(found.unread)) == (expected.ids, set(expected.unread))
    assert encoder.count == len({text for texts in calls for text in texts})


def test_of_many_texts_the_last_are_held_and_of_long_ones_none() -> None:
    encoder = Counting()
    tokens, texts = Tokens(encoder), [f"t{n}" for n in range(2 * HELD)]
    tokens.of(texts)
    tokens.of(texts[HELD:])
    assert encoder.count == 2 * HELD
    tokens.of(texts[:1])
    assert encoder.count == 2 * HELD + 1
    for _ in range(2):
        tokens.of(["t" * (LONGEST + 1)])
    assert encoder.count == 2 * HELD + 3


def test_keys_of_them_are_the_encoders(encoder: SentenceEncoder) -> None:
    texts = ["The ﬁrst lamp.", "", "ሰላም ለዓለም", "The ﬁrst lamp.", " Spaces around. "]
    tokens = Tokens(encoder)
    keys = [tokens.keys(texts) for _ in range(2)]
    np.testing.assert_array_equal(*keys)
    np.testing.assert_allclose(
        keys[0], encoder.encode([t.replace("ﬁ", "fi") for t in texts]), atol=1e-6
    )
    assert not keys[0][2].any()
