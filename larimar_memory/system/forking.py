"""Safe forks: servers load once and fork workers, and a fork copies only one of many threads.

In the child, locks that other threads held stay held for ever, and what they were changing stays half
changed. So a fork waits, for a short time, until no other thread is inside a library that cannot be
left like that. Objects given to `follow` are told before the fork, and after it in the child.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from larimar_memory.errors import LarimarError

WAIT_SECONDS = 2.0
"""How long a fork waits for other threads; after that, what they use is lost to the child."""


class Follower(Protocol):
    """An object that is told of forks."""

    def before_fork(self) -> None:
        """Let go of what a child must not have; the fork has waited for other threads already."""

    def after_fork_in_child(self) -> None:
        """Become usable, or record that it is not."""


_followers = weakref.WeakSet[Follower]()
_inside = Counter[int]()
_changed = threading.Condition()
_forking: int | None = None


def follow(follower: Follower) -> None:
    """Tell a follower of forks for as long as it lives."""
    with _changed:
        _followers.add(follower)


@contextmanager
def inside() -> Iterator[None]:
    """A block that other threads' forks wait for; a thread that is not in one yet waits for a fork."""
    thread = threading.get_ident()
    with _changed:
        _changed.wait_for(lambda: _forking in (None, thread) or _inside[thread] > 0)
        _inside[thread] += 1
    try:
        yield
    finally:
        with _changed:
            _leave(thread)


def pause() -> None:
    """Let a fork happen that waits for this thread, which is inside one such block."""
    if _forking is None:
        return
    thread = threading.get_ident()
    with _changed:
        _leave(thread)
        _changed.wait_for(lambda: _forking in (None, thread))
        _inside[thread] += 1


class Lock:
    """A re-entrant lock that is free in a forked child, unless the thread that forked holds it.

    Args:
        of: what it guards, for the error if another thread was changing it at the fork; empty if that
            can be made again.
        error: then raised when the lock is taken.

    Attributes:
        lost: whether another thread held it when this process was forked.
    """

    def __init__(self, of: str = "", error: type[LarimarError] = LarimarError) -> None:
        self.lost = False
        self._of, self._error = of, error
        self._lock = threading.RLock()
        follow(self)

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; False if another thread has it and `wait` is False."""
        if self.lost and self._of:
            raise lost(self._of, self._error)
        return self._lock.acquire(blocking=wait)

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def before_fork(self) -> None:
        """Do nothing."""

    def after_fork_in_child(self) -> None:
        """Be free if the thread that held it does not exist any more."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock, self.lost = threading.RLock(), True


def lost(what: str, error: type[LarimarError]) -> LarimarError:
    """The error for using what a fork left half changed."""
    return error(
        f"{what} cannot be used in this process.",
        "The process was forked while another thread was using it.",
        "Fork while nobody does, or start processes anew, by 'spawn' in place of 'fork'.",
    )


def _leave(thread: int) -> None:
    _inside[thread] -= 1
    if not _inside[thread]:
        del _inside[thread]
    _changed.notify_all()


def _before() -> None:
    global _forking
    thread = threading.get_ident()
    with _changed:
        # Another fork may be in progress.
        _changed.wait_for(lambda: _forking is None, WAIT_SECONDS)
        _forking = thread
        _changed.wait_for(lambda: not _inside.keys() - {thread}, WAIT_SECONDS)
        followers = list(_followers)
    for follower in followers:
        follower.before_fork()


def _after_in_parent() -> None:
    global _forking
    with _changed:
        _forking = None
        _changed.notify_all()


def _after_in_child() -> None:
    global _forking, _changed
    thread = threading.get_ident()
    _changed, _forking = threading.Condition(), None
    for other in _inside.keys() - {thread}:
        del _inside[other]
    for follower in list(_followers):
        follower.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
