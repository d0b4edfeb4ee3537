"""See whether commits in SQLite's write-ahead log were damaged, before SQLite passes over them.

SQLite reads the log up to the first frame whose checksum is wrong and takes that for the end, as after
a power cut; a damaged frame would so undo, without a word, whatever was committed after it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
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
    """Raise MemoryFileError where the log beside a memory file holds commits that were damaged.

    One commit that is incomplete and the last is what a power cut leaves of a write that had not
    returned: it is passed over with a warning.
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
    """Commits in the log that SQLite would pass over because something before them is wrong.

    Where another process writes meanwhile, its log is sound, and what is seen of it half done is
    looked at again.
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
    """The most pages that the database has by any commit in the log; 0 where there is no log."""
    try:
        with path.with_name(path.name + "-wal").open("rb") as stream:
            words = np.frombuffer(stream.read(_HEADER), dtype=">u4")
            if len(words) < _HEADER // 4 or not _is_page_size(int(words[2])):
                return 0
            most = 0
            for chunk in _frames(stream, int(words[2])):
                heads = chunk[:, :_FRAME].copy().view(">u4")
                same = (heads[:, 2:4] == words[4:6]).all(axis=1)
                most = max(most, int(heads[same, 1].max(initial=0)))
            return most
    except FileNotFoundError:
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
        sums = _advance((0, 0), np.frombuffer(header[:24], dtype=order)[None])
        intact = [int(words[6]), int(words[7])] == list(sums) and int(words[0]) & ~1 == _MAGIC
        page = int(words[2])
        if not intact and not _is_page_size(page):
            # Not even where frames begin can be known; what they are is told by their number.
            return 2 if stream.read(_FRAME) else 0
        lost = 0
        for chunk in _frames(stream, page):
            heads = chunk[:, :_FRAME].copy().view(">u4")
            same = (heads[:, 2:4] == words[4:6]).all(axis=1)
            if intact:
                ends = np.flatnonzero(~same)
                known = int(ends[0]) if len(ends) else len(chunk)
                good = _intact_frames(chunk[:known], heads, order, sums)
                sums = (int(heads[good - 1, 4]), int(heads[good - 1, 5])) if good else sums
                if good < len(chunk):
                    intact = False
                chunk, heads, same = chunk[good:], heads[good:], same[good:]
            lost += int((same & (heads[:, 1] > 0)).sum())
        stream.seek(0)
        return lost if stream.read(_HEADER) == header else 0


def _frames(stream: BinaryIO, page: int) -> Iterator[np.ndarray]:
    size = _FRAME + page
    while whole := len(data := stream.read(_CHUNK_FRAMES * size)) // size:
        yield np.frombuffer(data[: whole * size], dtype=np.uint8).reshape(whole, size)
        if whole < _CHUNK_FRAMES:
            return


def _intact_frames(chunk: np.ndarray, heads: np.ndarray, order: str, sums: tuple[int, int]) -> int:
    """How many frames from the first on have their checksum, each of which goes on from the last's."""
    if not len(chunk):
        return 0
    data = np.concatenate([chunk[:, :8], chunk[:, _FRAME:]], axis=1).view(order)
    weights, power = _weights(data.shape[1] // 2)
    parts = (data.astype(np.uint32)[:, :, None] * weights[None]).sum(axis=1, dtype=np.uint32)
    for n, part in enumerate(parts):
        sums = _step(sums, part, power)
        if sums != (int(heads[n, 4]), int(heads[n, 5])):
            return n
    return len(chunk)


def _advance(sums: tuple[int, int], data: np.ndarray) -> tuple[int, int]:
    weights, power = _weights(data.shape[1] // 2)
    parts = (data.astype(np.uint32)[:, :, None] * weights[None]).sum(axis=1, dtype=np.uint32)
    return _step(sums, parts[0], power)


def _step(sums: tuple[int, int], part: np.ndarray, power: tuple[int, int, int, int]) -> tuple[int, int]:
    a, b, c, d = power
    return (
        (a * sums[0] + b * sums[1] + int(part[0])) & _MASK,
        (c * sums[0] + d * sums[1] + int(part[1])) & _MASK,
    )


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
