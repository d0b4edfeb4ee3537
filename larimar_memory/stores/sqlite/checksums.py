"""A CRC-32 beside everything that a row says, so that no answer comes from a flipped byte.

Each checksum begins with the row's number, so that a value that ends up in another row is detected as
well. A segment has three, for its place and text, its key and its latent, so that a reader of one of
them checks no more than what it reads.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Sequence
from typing import Any

_NONE = -1
_MASK = 0xFFFFFFFF
_PLACE = struct.Struct("<6q")


def of_segment(
    row: int, space: int, document: int, position: int, start: int, end: int, text: str
) -> int:
    """Checksum of a segment's place and text; -1, which never `fits`, for other types."""
    try:
        place = _PLACE.pack(row, space, document, position, start, end)
        return zlib.crc32(text.encode("utf-8", "surrogatepass"), zlib.crc32(place))
    except (struct.error, TypeError, AttributeError):
        return _NONE


def of_blob(row: int, blob: bytes | None) -> int | None:
    """Checksum of a segment's key or latent; None if there is none."""
    if blob is None:
        return None
    try:
        return zlib.crc32(blob, row & _MASK)
    except TypeError:
        return _NONE


def of_key(row: int, key: bytes) -> int:
    """Checksum of a segment's key, which every segment has."""
    made = of_blob(row, key)
    return _NONE if made is None else made


def of_document(row: Sequence[Any]) -> int:
    """Checksum of a document's columns; without an episode, the one from before there were episodes."""
    return of_values(*row[:8], *([] if row[9] is None else [row[9]]))


def of_values(*values: int | str | None) -> int:
    """Checksum of a document's or a namespace's columns."""
    said = "\0".join(f"{type(value).__name__}:{value}" for value in values)
    return zlib.crc32(said.encode("utf-8", "surrogatepass"))


def fits(made: int | None, checksum: object) -> bool:
    """Whether a checksum is that of what is stored, and what is stored is of the right type.

    Version 1 had no checksums; its migration gave damaged values -1.
    """
    return made == checksum and made != _NONE


def wrong_in(table: str, row: Sequence[Any]) -> tuple[str, ...]:
    """The parts of a row that are not what was written: "row", "key", "latent".

    A fine key has only the part "key".

    Args:
        row: all columns of its table.
    """
    seals: dict[str, tuple[int | None, Any]]
    if table == "namespaces":
        seals = {"row": (of_values(*row[:2]), row[3])}
    elif table == "receipts":
        seals = {"row": (of_values(*row[:2]), row[2])}
    elif table == "documents":
        seals = {"row": (of_document(row), row[8])}
    elif table == "fine_keys":
        seals = {"key": (of_key(row[0], row[2]), row[3])}
    else:
        number, key, latent = row[0], row[7], row[8]
        seals = {
            "row": (of_segment(*row[:7]), row[9]),
            "key": (of_key(number, key), row[10]),
            "latent": (of_blob(number, latent), row[11]),
        }
    return tuple(what for what, (made, seal) in seals.items() if not fits(made, seal))


def add_functions(db: sqlite3.Connection) -> None:
    """Let SQL on this connection make checksums."""
    for name, function in (("of_segment", of_segment), ("of_blob", of_blob), ("of_values", of_values)):
        db.create_function(name, -1, function, deterministic=True)
