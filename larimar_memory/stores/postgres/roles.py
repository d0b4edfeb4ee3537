"""Let other roles use a memory, each in one namespace at a time; the server enforces it."""

from __future__ import annotations

from psycopg import sql

from larimar_memory.stores.postgres.connection import Database
from larimar_memory.stores.postgres.schema import CONTENT


def admit(database: Database, role: str, namespace: str | None) -> None:
    """Grant a role the use of a memory; only its owner can.

    Args:
        namespace: bind the role to this one, whatever it asks for. By default, it sees the one that it
            asks for, which the store names in `larimar.namespace`.
    """
    said = sql.Identifier(role)
    with database.alone() as db, db.transaction():
        grants = [
            "USAGE ON SCHEMA larimar",
            "SELECT ON meta, parts",
            f"SELECT, INSERT, UPDATE, DELETE ON erasures, {', '.join(CONTENT)}",
            "USAGE ON ALL SEQUENCES IN SCHEMA larimar",
        ]
        if db.info.server_version >= 170000:
            grants.append(f"MAINTAIN ON {', '.join(CONTENT)}")
        for grant in grants:
            db.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(grant), said))
        db.execute("DELETE FROM roles WHERE role = %s", (role,))
        if namespace is not None:
            db.execute("INSERT INTO roles VALUES (%s, %s)", (role, namespace))
