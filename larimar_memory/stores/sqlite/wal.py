"""Find damaged commits in SQLite's write-ahead log, before SQLite skips them without a word.

SQLite reads the log up to the first frame whose checksum is wrong and takes that for the end, as after
a power cut. A damaged frame would thus undo, without a word, whatever was committed after it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from larimar_memory.errors import MemoryFileError

log = logging.getLogger(__name__)

_HEADER, _FRAME = 32, 24
_MAGIC = 0x377F0682
_CHUNK_FRAMES = 256
_MASK = 0xFFFFFFFF


def check_log(path: Path) -> None:
    """Raise MemoryFileError if the log beside a memory file holds damaged commits.

    A single incomplete commit at the end is what a power cut leaves of a write that had not returned:
    it is skipped with a warning.
    """
    lost = lost_commits(path)
    if lost > 1:
        raise MemoryFileError(
            f"The memory {path} is damaged.",
            f"In its log of recent writes, {path.name}-wal, {lost} commits cannot be read.",
            f"Restore a backup, or run `larimar repair {path}`, which goes on without them.",
        )
    if lost:
        log.warning("the last write in the log of %s is incomplete and is left out", path)


def lost_commits(path: Path) -> int:
    """How many commits in the log SQLite would skip because something before them is wrong.

    The log of another process that is writing is sound, but may be seen half done, so it is read again.
    """
    file = path.with_name(path.name + "-wal")
    found = 0
    for _ in range(3):
        try:
            found = _lost(file)
        except FileNotFoundError:
            return 0
        if not found:
            return 0
    return found


def logged_pages(path: Path) -> int:
    """The largest number of pages that a commit in the log states; 0 if there is no log."""
    with suppress(FileNotFoundError), path.with_name(path.name + "-wal").open("rb") as stream:
        words = np.frombuffer(stream.read(_HEADER), dtype=">u4")
        if len(words) == _HEADER // 4 and _is_page_size(int(words[2])):
            frames = _frames(stream, words)
            return max((int(heads[same, 1].max(initial=0)) for _, heads, same in frames), default=0)
    return 0


def _is_page_size(size: int) -> bool:
    return size in {512 << n for n in range(8)}


def _lost(file: Path) -> int:
    with file.open("rb") as stream:
        header = stream.read(_HEADER)
        if len(header) < _HEADER:
            return 0
        words = np.frombuffer(header, dtype=">u4")
        order = ">u4" if int(words[0]) & 1 else "<u4"
        (sums,) = _sums((0, 0), np.frombuffer(header[:24], dtype=order)[None])
        intact = (int(words[6]), int(words[7])) == sums and int(words[0]) & ~1 == _MAGIC
        if not intact and not _is_page_size(int(words[2])):
            # Not even where frames begin is known; so more than one commit counts as lost.
            return 2 if stream.read(_FRAME) else 0
        lost = 0
        for chunk, heads, same in _frames(stream, words):
            good = 0
            if intact:
                # The checksum of each frame goes on from the one before.
                data = np.concatenate([chunk[:, :8], chunk[:, _FRAME:]], axis=1).view(order)
                for fits, head, made in zip(same, heads, _sums(sums, data), strict=True):
                    if not fits or (int(head[4]), int(head[5])) != made:
                        intact = False
                        break
                    good, sums = good + 1, made
            lost += int((same & (heads[:, 1] > 0))[good:].sum())
        stream.seek(0)
        return lost if stream.read(_HEADER) == header else 0


def _frames(stream: BinaryIO, words: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Frames, some at a time: their bytes, the words of their headers, and which are of this log.

    Args:
        words: of the log's header.
    """
    size = _FRAME + int(words[2])
    while whole := len(data := stream.read(_CHUNK_FRAMES * size)) // size:
        chunk = np.frombuffer(data[: whole * size], dtype=np.uint8).reshape(whole, size)
        heads = chunk[:, :_FRAME].copy().view(">u4")
        yield chunk, heads, (heads[:, 2:4] == words[4:6]).all(axis=1)
        if whole < _CHUNK_FRAMES:
            return


def _sums(sums: tuple[int, int], data: np.ndarray) -> Iterator[tuple[int, int]]:
    """SQLite's checksums of lines of words, each of which goes on from the one before."""
    weights, (a, b, c, d) = _weights(data.shape[1] // 2)
    parts = (data.astype(np.uint32)[:, :, None] * weights[None]).sum(axis=1, dtype=np.uint32)
    for x, y in parts.tolist():
        s, t = sums
        sums = (a * s + b * t + x) & _MASK, (c * s + d * t + y) & _MASK
        yield sums


@lru_cache
def _weights(pairs: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """SQLite's checksum of so many pairs of words x, y as weights of each word.

    It repeats `s += x + t; t += y + s`, which is linear: (s, t) becomes `P (s, t) + Q (x, y)` with
    P = ((1, 1), (1, 2)) and Q = ((1, 0), (1, 1)); a word's weight is Q times P to the pairs after it.
    """
    weights = np.empty((2 * pairs, 2), dtype=np.uint32)
    a, b, c, d = 1, 0, 0, 1
    for n in reversed(range(pairs)):
        weights[2 * n] = (a + b) & _MASK, (c + d) & _MASK
        weights[2 * n + 1] = b, d
        a, b, c, d = (a + b) & _MASK, (a + 2 * b) & _MASK, (c + d) & _MASK, (c + 2 * d) & _MASK
    return weights, (a, b, c, d)
