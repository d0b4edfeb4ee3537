"""Stores of segments: one contract; SQLite in a file or in RAM, and `postgres` for PostgreSQL."""

from larimar_memory.stores.base import Document, Hit, Span, Store, StoredSegment, StoreStats, WriteBatch
from larimar_memory.stores.sqlite.store import SQLiteStore

__all__ = [
    "Document",
    "Hit",
    "SQLiteStore",
    "Span",
    "Store",
    "StoreStats",
    "StoredSegment",
    "WriteBatch",
]
