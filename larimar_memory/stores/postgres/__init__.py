"""The store of a PostgreSQL database with pgvector, for many processes and machines at once."""
