"""Lines of text files, compressed or not."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_OPENERS: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}


def unpacked_lines(path: Path) -> Iterator[str]:
    """The lines of a text file in UTF-8, which may be compressed by xz, gzip or bzip2."""
    opened = _OPENERS.get(path.suffix, open)
    with opened(path, "rt", encoding="utf-8") as lines:
        yield from lines
