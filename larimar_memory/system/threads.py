"""Small products in one thread: two that wait for each other at every step take longer.

A key of a question takes a hundred small products. Between them OpenMP's threads wait by spinning, and
where another process has their core, each wait is as long as the scheduler's turn. On two idle cores, a
question's key took 16 ms in two threads and 8 in one; beside other work, 430 and 8.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """A block in which this thread's products start no others; other threads' are as before."""
    limit: AbstractContextManager[object] = _openmp("torch" in sys.modules).limit(limits=1)
    return limit


@cache
def _openmp(with_torch: bool) -> ThreadpoolController:
    """The OpenMP libraries that are loaded; looked for again when those of torch are among them."""
    return ThreadpoolController().select(user_api="openmp")
