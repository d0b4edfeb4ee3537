"""Where tests write: files in memory, where there is room, for no disk has to be waited for there.

A store waits at each commit until the disk has it, some milliseconds: in all, minutes of the tests.
What a power cut would cost is not tried here, and a process that is killed finds its files either way.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil

_SHARED = Path("/dev/shm")
_ROOM = 4 << 30
"""Bytes that are free before files of tests take some of them; a run takes about one gigabyte."""


def in_memory() -> None:
    """Have pytest make its folders in memory, unless it was told of another place."""
    if (
        os.access(_SHARED, os.W_OK)
        and shutil.disk_usage(_SHARED).free >= _ROOM
        and psutil.virtual_memory().available >= _ROOM
    ):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_SHARED))
