"""Fine keys of the segments that are read: made on reading, and kept from then on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from larimar_memory.encoders.base import Encoder, keys_of
from larimar_memory.errors import MemoryFileError
from larimar_memory.recall.tokens import Tokens
from larimar_memory.stores.base import Store, StoredSegment
from larimar_memory.system import forking

log = logging.getLogger(__name__)

MOST_WAITING = 20_000
"""The most keys that wait in RAM for a file that is busy or read-only: some 30 MB of MiniLM's."""


class FineKeys:
    """Gives segments the encoder's keys; thread-safe.

    A read waits for no writer: keys that the store cannot keep at once wait in RAM, and are used from
    there, until it can.

    Args:
        tokens: of the encoder, if it tokenises.
    """

    def __init__(self, store: Store, encoder: Encoder, tokens: Tokens | None = None) -> None:
        self._store, self._encoder, self._tokens = store, encoder, tokens
        self._waiting: dict[tuple[str, int], Float[np.ndarray, " d"]] = {}
        self._lock = forking.Lock()

    def given(self, namespace: str, segments: Sequence[StoredSegment]) -> list[StoredSegment]:
        """The segments, each with the encoder's key; all that lack one get it in one batch."""
        with self._lock:
            held = {s.row: self._waiting.get((namespace, s.row)) for s in segments if s.key is None}
        known = {row: key for row, key in held.items() if key is not None}
        lacking = [s for s in segments if s.key is None and s.row not in known]
        if lacking:
            texts = [s.text for s in lacking]
            tokens = self._tokens
            made = keys_of(self._encoder, texts) if tokens is None else tokens.keys(texts)
            # Rounded as a store returns them, so that an answer does not depend on who asked before.
            made = made.astype(np.float16).astype(np.float32)
            known |= {s.row: key for s, key in zip(lacking, made, strict=True)}
            with self._lock:
                self._waiting |= {(namespace, s.row): known[s.row] for s in lacking}
                while len(self._waiting) > MOST_WAITING:
                    del self._waiting[next(iter(self._waiting))]
        if self._waiting:
            self.keep()
        return [replace(s, key=known[s.row]) if s.key is None else s for s in segments]

    def keep(self) -> None:
        """Put the waiting keys into the store, if no other writer is active."""
        with self._lock:
            waiting = dict(self._waiting)
        for namespace in {namespace for namespace, _ in waiting}:
            of = {row: key for (space, row), key in waiting.items() if space == namespace}
            try:
                kept = self._store.attach(
                    namespace, list(of), keys=np.stack([*of.values()]), wait=False
                )
            except MemoryFileError as error:
                # A full disk is no reason not to answer: the answer itself needs no room.
                log.warning("keys that were made wait in RAM: %s", error)
                return
            if kept:
                with self._lock:
                    for row in of:
                        self._waiting.pop((namespace, row), None)

    def close(self) -> None:
        """Put the waiting keys into the store if that is possible at once; else they are made again."""
        self.keep()
        with self._lock:
            self._waiting.clear()
