"""What a memory file says about itself: which encoder its keys are of, twice, each with a checksum."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from larimar_memory.stores.sqlite import checksums


@dataclass(frozen=True, slots=True)
class About:
    """What keys a file holds.

    Attributes:
        encoder: fingerprint of what makes them; None where nothing was said yet, or it is lost.
        dimension: d; 0 where it is not known.
        whole: whether nothing of it is damaged. What is said once more makes up for what is.
    """

    encoder: str | None
    dimension: int
    whole: bool


def rows_about(encoder: str, dimension: int) -> dict[str, str]:
    """What the table `meta` holds."""
    seal = checksums.of_values(encoder, dimension)
    return {
        "encoder": encoder,
        "dimension": str(dimension),
        "checksum": str(seal),
        "again": json.dumps([encoder, dimension, seal]),
    }


def about(db: sqlite3.Connection) -> About:
    """What the table `meta` says.

    Raises:
        sqlite3.DatabaseError: if it cannot be read.
    """
    held = dict(db.execute("SELECT key, value FROM meta").fetchall())
    encoder, dimension = held.get("encoder"), _number(held.get("dimension"))
    if set(held) == {"encoder", "dimension"} and dimension:
        # Of version 1, or shown as such.
        known = isinstance(encoder, str)
        return About(encoder, dimension, True) if known else About(None, 0, False)
    said = [(encoder, dimension, held.get("checksum"))]
    with suppress(ValueError, TypeError, RecursionError):
        encoder, dimension, seal = json.loads(held.get("again", ""))
        said.insert(0, (encoder, _number(str(dimension)), str(seal)))
    for encoder, dimension, seal in said:
        if isinstance(encoder, str) and dimension:
            mine = rows_about(encoder, dimension)
            if mine["checksum"] == seal:
                return About(encoder, dimension, held == mine)
    return About(None, 0, not held)


def _number(text: Any) -> int:
    """Numbers in a key; 0 where the text says none that can be."""
    if not isinstance(text, str) or not re.fullmatch("[0-9]{1,7}", text):
        return 0
    return int(text)
