"""Make fine keys for segments that were written without: now, or whenever some are lacking."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from larimar_memory.encoders.base import Encoder, keys_of
from larimar_memory.errors import MemoryBusyError
from larimar_memory.stores.base import Store

log = logging.getLogger(__name__)

BATCH_SEGMENTS = 512
"""Keys that are made and committed together: about half a second of work on two cores."""

OnKeys = Callable[[int, int], None]
"""Called after every commit with how many segments have a fine key, and how many there are."""


def make_keys(store: Store, encoder: Encoder, namespace: str | None, on_progress: OnKeys | None) -> int:
    """Make the fine keys that segments lack; returns how many were made.

    If it is interrupted, the keys that were committed are kept.

    Args:
        namespace: only this namespace; None for all.
    """
    held = store.stats(namespace)
    made, keyed = 0, held.keyed
    for space in store.namespaces() if namespace is None else [namespace]:
        after = 0
        while rows := store.lacking(space, after, BATCH_SEGMENTS):
            found = store.fetch(space, rows)
            keys = keys_of(encoder, [segment.text for segment in found])
            store.attach(space, [segment.row for segment in found], keys=keys)
            after, made = rows[-1], made + len(found)
            if on_progress is not None:
                on_progress(keyed + made, max(held.segments, keyed + made))
    return made


def watch(make: Callable[[], int], stop: threading.Event, seconds: float) -> int:
    """Make keys whenever some are lacking, until stopped; returns how many were made.

    Args:
        make: makes the keys that are lacking now, and returns how many.
        seconds: time between two checks.
    """
    made = 0
    while True:
        try:
            made += make()
        except MemoryBusyError as error:
            log.info("keys are made later: %s", error)
        if stop.wait(seconds):
            return made
