"""What a memory file says about itself: which encoder its keys are of, twice, each with a checksum."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from larimar_memory.store import checksums


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
    if set(held) == {"encoder", "dimension"} and held["dimension"].isdigit():
        # Of version 1, or shown as such.
        return About(held["encoder"], int(held["dimension"]), True)
    for encoder, dimension in _said(held):
        return About(encoder, dimension, held == rows_about(encoder, dimension))
    return About(None, 0, not held)


def _said(held: dict[str, str]) -> list[tuple[str, int]]:
    said = list[tuple[str, int]]()
    try:
        encoder, dimension, seal = json.loads(held.get("again", ""))
        if checksums.of_values(encoder, dimension) == seal:
            said.append((encoder, dimension))
    except (ValueError, TypeError):
        pass
    first = held.get("encoder", ""), held.get("dimension", "")
    if first[1].isdigit() and str(checksums.of_values(first[0], int(first[1]))) == held.get("checksum"):
        said.append((first[0], int(first[1])))
    return said
