"""Keys as pgvector sends them: bytes, which are turned into numbers for all keys at once."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg
from jaxtyping import Float
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.types import TypeInfo

_NUMBER = ">f2"
_HEAD = struct.Struct(">HH")
"""How many numbers follow, and a field that is not used."""


class HalfVector(bytes):
    """A `halfvec` in pgvector's binary form: its head, then its numbers as float16, big-endian."""

    __slots__ = ()


def dumped(keys: Float[np.ndarray, "n d"]) -> list[HalfVector]:
    """Keys for columns of `halfvec`, as float16."""
    keys = np.asarray(keys)
    if not len(keys):
        return []
    head = _HEAD.pack(keys.shape[1], 0)
    numbers = np.ascontiguousarray(keys.astype(_NUMBER))
    return [HalfVector(head + row.tobytes()) for row in numbers]


def loaded(held: Sequence[HalfVector], dimension: int) -> Float[np.ndarray, "n d"]:
    """The keys that columns of `halfvec` hold, float32."""
    numbers = np.frombuffer(b"".join(held), dtype=_NUMBER)
    skipped = _HEAD.size // np.dtype(_NUMBER).itemsize
    return numbers.reshape(len(held), skipped + dimension)[:, skipped:].astype(np.float32)


def register(db: psycopg.Connection[Any], info: TypeInfo) -> None:
    """Let a connection send and receive keys, in binary form only."""
    info.register(db)
    db.adapters.register_dumper(HalfVector, type("_OwnDumper", (_Dumper,), {"oid": info.oid}))
    db.adapters.register_loader(info.oid, _Loader)


class _Dumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: HalfVector) -> Buffer | None:
        return obj


class _Loader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> HalfVector:
        return HalfVector(data)
