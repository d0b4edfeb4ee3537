"""How much RAM a stretch of work takes at most, seen from inside the process."""

from __future__ import annotations

import threading
from types import TracebackType

from benchmarks.resident import megabytes

_SECONDS = 0.05


class Peak:
    """Watches the resident set from another thread, as a context manager.

    What was freed earlier and is used again is not seen, so of several stretches in one process the
    first is judged most strictly.

    Attributes:
        megabytes: the most it rose above where it began, in MB (1e6 bytes).
    """

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before = 0.0

    def __enter__(self) -> Peak:
        self._before = megabytes()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_SECONDS):
            self.megabytes = max(self.megabytes, megabytes() - self._before)
