"""Where segments live: one contract, a store in RAM and one in a file."""

from larimar_memory.stores.base import Document, Hit, Store, StoredSegment, StoreStats, WriteBatch
from larimar_memory.stores.ram import RamStore
from larimar_memory.stores.sqlite.store import SQLiteStore

__all__ = [
    "Document",
    "Hit",
    "RamStore",
    "SQLiteStore",
    "Store",
    "StoreStats",
    "StoredSegment",
    "WriteBatch",
]
