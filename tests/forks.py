"""Work done in a forked child, which must come to an end."""

from __future__ import annotations

import json
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

IN_USE = (
    " cannot be used in this process. The process was forked while another thread was using it. "
    "Fork while nobody does, or start processes anew, by 'spawn' in place of 'fork'."
)


def in_child(work: Callable[[], Any], seconds: float = 60) -> tuple[str, Any]:
    """What a forked child returns, named "value", or its error's type and text; it may not hang."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said: list[Any] = ["value", work()]
        except BaseException as error:
            said = [type(error).__name__, str(error)]
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], seconds)
        assert ready, "the child hangs"
        kind, value = json.loads(os.read(reading, 1 << 16))
        return kind, value
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)


def status_of_child(work: Callable[[], Any]) -> int:
    """The status with which a forked child ends, 1 if it does not end in its work.

    It starts in milliseconds, where a new process imports for more than a second. No file that it opens
    may be open here: SQLite would take locks of this process for its own.
    """
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def held_by_another(hold: Callable[[threading.Event], None]) -> Iterator[None]:
    """While another thread is in the middle of something."""
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        hold(inside)
        leave.wait()

    # Whatever it holds, it holds until `leave` is set: `hold` enters it for good.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert inside.wait(10)
    try:
        yield
    finally:
        leave.set()
        thread.join()
