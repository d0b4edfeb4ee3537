"""The store of one SQLite file."""
