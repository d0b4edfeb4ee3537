"""The laws of an encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float

from larimar_memory.encoders.base import Encoder, Kind, TokenizingEncoder, check_encoder, coarse_table

_TEXTS = (
    "The ferry to Ren leaves at noon.",
    "When does the ferry leave?",
    "x",
    " \n",
    "",
    "\0\x01\x1b[2J\x7f\u200b\ufeff\ufffe",
    "\u4eca\u65e5\u306f\u826f\u3044\u5929\u6c17\u3067\u3059\u3002",
    "\U0001f9d1\u200d\U0001f680\U0001f1e9\U0001f1ea e\u0301\u0302\u0303 \u202eabc",
    "One sentence is much longer than the others, " * 20,
    "word " * 5000,
    "\u00e9" * 20_000,
)
_KINDS: tuple[Kind, ...] = ("segment", "question")


class EncoderLaws(ABC):
    """The laws of an encoder, as pytest-style tests: subclass it as `Test...` and give the encoder.

    Attributes:
        tolerance: most that a cosine may lose to rounding if the same text is encoded along with other
            texts, as in batches of another shape.
    """

    tolerance = 1e-3

    @abstractmethod
    def encoder(self) -> Encoder:
        """An encoder of the model under test; it may be the same object each time."""

    def test_it_is_an_encoder(self) -> None:
        """It has the contract's members."""
        assert check_encoder(self.encoder()).dimension > 0

    def test_keys_are_of_unit_length_whatever_the_text(self) -> None:
        """Any Unicode text has a finite key of unit length, float32, or zeros if it cannot be read."""
        for kind in _KINDS:
            keys = self._keys(_TEXTS, kind)
            assert np.isfinite(keys).all()
            assert keys.any()
            lengths = np.linalg.norm(keys, axis=1)
            np.testing.assert_allclose(lengths[lengths > 0], 1.0, atol=1e-3)

    def test_no_texts_have_no_keys(self) -> None:
        """For no texts, the keys are an array of shape (0, d)."""
        for kind in _KINDS:
            self._keys([], kind)

    def test_keys_come_in_the_order_of_the_texts(self) -> None:
        """Texts in another order have the same keys, in that order."""
        for kind in _KINDS:
            self._same(self._keys(_TEXTS, kind)[::-1], self._keys(_TEXTS[::-1], kind))

    def test_a_batch_is_its_texts_one_by_one(self) -> None:
        """A text's key does not depend on the other texts of a call."""
        for kind in _KINDS:
            alone = [self._keys([text], kind) for text in _TEXTS]
            self._same(self._keys(_TEXTS, kind), np.concatenate(alone))

    def test_equal_texts_have_equal_keys(self) -> None:
        """Bit for bit within a call, up to rounding between calls; other texts have other keys."""
        first, other, again = keys = self._keys([_TEXTS[0], _TEXTS[1], _TEXTS[0]], "segment")
        np.testing.assert_array_equal(first, again)
        assert first @ other < 1 - self.tolerance
        self._same(keys, self._keys([_TEXTS[0], _TEXTS[1], _TEXTS[0]], "segment"))

    def test_a_fingerprint_is_stable(self) -> None:
        """It names the model: the same before and after use, and in every object of the model."""
        encoder = self.encoder()
        fingerprint = encoder.fingerprint
        assert isinstance(fingerprint, str)
        assert fingerprint
        encoder.encode(_TEXTS[:1])
        assert encoder.fingerprint == self.encoder().fingerprint == fingerprint

    def test_threads_share_an_encoder(self) -> None:
        """Several threads at once make the same keys as one."""
        encoder = self.encoder()
        expected = encoder.encode(_TEXTS)
        with ThreadPoolExecutor(4) as pool:
            for keys in pool.map(lambda _: encoder.encode(_TEXTS), range(8)):
                self._same(expected, keys)

    def test_two_steps_are_one(self) -> None:
        """If the encoder tokenises, `encode_tokens(tokenize(texts))` equals `encode(texts)`."""
        encoder = self.encoder()
        if isinstance(encoder, TokenizingEncoder):
            for texts in (_TEXTS, ()):
                batch = encoder.tokenize(texts)
                assert len(batch.ids) == len(texts)
                assert batch.tokens >= 0
                self._same(encoder.encode_tokens(batch), encoder.encode(texts))

    def test_coarse_keys_are_keys(self) -> None:
        """Coarse keys, if there is a table of them, have unit length, or are zeros for what cannot be
        read and for no tokens. A text's key depends neither on other texts nor on the tokens' order.
        """
        encoder = self.encoder()
        table = coarse_table(encoder)
        if table is None or not isinstance(encoder, TokenizingEncoder):
            return
        assert (table.fingerprint, table.dimension) == (encoder.fingerprint, encoder.dimension)
        batch = encoder.tokenize(_TEXTS)
        keys = table.keys(batch.ids, batch.unread)
        assert keys.dtype == np.float32
        assert keys.shape == (len(_TEXTS), encoder.dimension)
        assert keys.any()
        assert not keys[list(batch.unread)].any()
        lengths = np.linalg.norm(keys, axis=1)
        np.testing.assert_allclose(lengths[lengths > 0], 1.0, atol=1e-3)
        alone = [table.keys([own], {0} if n in batch.unread else ()) for n, own in enumerate(batch.ids)]
        self._same(keys, np.concatenate(alone))
        self._same(keys, table.keys([own[::-1] for own in batch.ids], batch.unread))
        assert table.keys([]).shape == (0, encoder.dimension)
        assert not table.keys([[]]).any()

    def _keys(self, texts: Sequence[str], kind: Kind) -> Float[np.ndarray, "n d"]:
        encoder = self.encoder()
        keys = encoder.encode(texts, kind=kind)
        assert isinstance(keys, np.ndarray)
        assert keys.dtype == np.float32
        assert keys.shape == (len(texts), encoder.dimension)
        return keys

    def _same(self, keys: Float[np.ndarray, "n d"], others: Float[np.ndarray, "n d"]) -> None:
        assert keys.shape == others.shape
        assert (keys.any(axis=1) == others.any(axis=1)).all()
        read = keys.any(axis=1)
        np.testing.assert_allclose((keys * others).sum(axis=1)[read], 1.0, atol=self.tolerance)
