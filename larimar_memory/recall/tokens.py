"""Token ids of what is read: two features need them, and texts are often read again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from larimar_memory.encoders.base import TokenBatch, TokenizingEncoder, checked_keys
from larimar_memory.system import forking
from larimar_memory.text.normal import normalised

HELD = 500
"""How many texts' tokens are held: those of a dozen questions, some 1 MB."""

LONGEST = 2_000
"""The longest text, in characters, whose tokens are held."""


class Tokens:
    """Tokenises texts in their normal form, recent ones only once; thread-safe."""

    def __init__(self, encoder: TokenizingEncoder) -> None:
        self._encoder = encoder
        self._held: OrderedDict[str, tuple[list[int], bool]] = OrderedDict()
        self._special = 0
        self._lock = forking.Lock()

    def of(self, texts: Sequence[str]) -> TokenBatch:
        """The texts as `encoder.encode_tokens` takes them, in their order."""
        with self._lock:
            known = {text: self._held[text] for text in texts if text in self._held}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            made = self._encoder.tokenize([*map(normalised, new)])
            for n, (text, ids) in enumerate(zip(new, made.ids, strict=True)):
                known[text] = ids, n in made.unread
            self._special = made.special
        with self._lock:
            for text in (text for text in texts if len(text) <= LONGEST):
                self._held[text] = known[text]
                self._held.move_to_end(text)
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        unread = frozenset(n for n, text in enumerate(texts) if known[text][1])
        return TokenBatch([known[text][0] for text in texts], self._special, unread)

    def keys(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """The encoder's keys of the texts, as `encoders.base.keys_of` makes them."""
        return checked_keys(self._encoder, self._encoder.encode_tokens(self.of(texts)), len(texts))
