"""The tables of a memory in a database, and the migration of older versions.

They are in the schema `larimar`: a database holds one memory. Names are found by their digest, since an
index entry has no room for the longest names. Rows belong to a namespace. A role that does not own the
tables sees the rows of one namespace at a time: the one that the owner bound it to, or else the one
that it names in the setting `larimar.namespace`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors

from larimar_memory.stores.postgres.failures import newer, no_memory, not_changeable, unfit

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
_PGVECTOR = (0, 8)
"""The first version that continues an index search until it has as many rows as are asked for."""

_LOCK = 0x4C41524D
"""The lock for making or migrating the tables."""

UPKEEP_LOCK = _LOCK + 1
"""The lock for erasing, and for making or dropping an index: two of these would wait for each other."""

_TABLES = """
CREATE TABLE meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE namespaces (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    name text COLLATE "C" NOT NULL,
    generation bigint NOT NULL DEFAULT 0,
    segments bigint NOT NULL DEFAULT 0,
    words bigint NOT NULL DEFAULT 0
);
CREATE TABLE documents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace_id bigint NOT NULL REFERENCES namespaces,
    digest bytea NOT NULL,
    name text COLLATE "C" NOT NULL,
    content_hash text NOT NULL,
    characters bigint NOT NULL,
    metadata text NOT NULL,
    facts jsonb NOT NULL,
    complete boolean NOT NULL,
    written_at text NOT NULL,
    episode text COLLATE "C",
    UNIQUE (namespace_id, digest),
    UNIQUE (namespace_id, id)
);
CREATE INDEX documents_by_episode ON documents (namespace_id, hashtextextended(episode, 0), id)
    WHERE episode IS NOT NULL;
CREATE INDEX documents_by_fact ON documents USING gin (facts jsonb_path_ops);
CREATE TABLE segments (
    id bigint NOT NULL,
    namespace_id bigint NOT NULL,
    document_id bigint NOT NULL,
    position bigint NOT NULL,
    start bigint NOT NULL,
    "end" bigint NOT NULL,
    text text NOT NULL,
    raw bytea,
    key halfvec NOT NULL,
    PRIMARY KEY (namespace_id, id),
    UNIQUE (document_id, position),
    FOREIGN KEY (namespace_id, document_id) REFERENCES documents (namespace_id, id)
);
CREATE SEQUENCE segments_row OWNED BY segments.id;
CREATE TABLE fine_keys (
    id bigint NOT NULL,
    namespace_id bigint NOT NULL,
    key halfvec NOT NULL,
    PRIMARY KEY (namespace_id, id)
);
CREATE TABLE latents (
    id bigint NOT NULL,
    namespace_id bigint NOT NULL,
    latent bytea NOT NULL,
    PRIMARY KEY (namespace_id, id)
);
CREATE TABLE terms (
    namespace_id bigint NOT NULL,
    stem text COLLATE "C" NOT NULL,
    segments bigint NOT NULL,
    PRIMARY KEY (namespace_id, stem)
) WITH (fillfactor = 80);
CREATE TABLE postings (
    namespace_id bigint NOT NULL,
    stem text COLLATE "C" NOT NULL,
    first bigint NOT NULL,
    entries bytea NOT NULL,
    PRIMARY KEY (namespace_id, stem, first)
);
CREATE TABLE parts (
    namespace_id bigint NOT NULL,
    after bigint NOT NULL,
    upto bigint NOT NULL,
    segments bigint NOT NULL,
    PRIMARY KEY (namespace_id, after, upto)
);
CREATE TABLE erasures (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, due boolean NOT NULL);
CREATE TABLE roles (role name PRIMARY KEY, namespace text NOT NULL);
"""
"""A text with a NUL, which `text` cannot hold, is in `raw` as it is; its `text` is for people to read.
Primary keys begin with the namespace, so that a row of one role never blocks another role's row. Keys
that are searched by are float16; coarse ones are whole numbers up to 127, which float16 holds exactly.
The `entries` of a posting are of the type `words.ENTRY`."""

CONTENT = ("namespaces", "documents", "segments", "fine_keys", "latents", "terms", "postings")
"""The tables that hold what was written."""

_POLICIES = """
CREATE FUNCTION allowed() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(
        (SELECT namespace FROM larimar.roles WHERE role = session_user),
        current_setting('larimar.namespace', true))
$$;
CREATE FUNCTION space() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT id FROM larimar.namespaces WHERE name = larimar.allowed()
        AND digest = sha256(convert_to(larimar.allowed(), 'UTF8'))
$$;
ALTER TABLE namespaces ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON namespaces USING (name = (SELECT allowed()));
""" + "".join(
    f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\n"
    f"CREATE POLICY own ON {table} USING (namespace_id = (SELECT space()));\n"
    for table in (*CONTENT[1:], "parts")
)

_MIGRATIONS: dict[int, str] = {}
"""The SQL that migrates the tables of a version to the next."""


def digest(name: str) -> bytes:
    """The digest by which a name is found; that of an invalid name matches no stored name."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()


def storable(text: str) -> bool:
    """Whether PostgreSQL can hold a text: it takes no NUL."""
    return "\0" not in text


@dataclass(frozen=True, slots=True)
class About:
    """The facts about a memory's keys.

    Attributes:
        encoder: fingerprint of the encoder that makes them; "" if none is recorded yet.
        dimension: d; 0 if none is recorded yet.
        lazy: whether segments have coarse keys, with fine keys beside them.
    """

    encoder: str
    dimension: int
    lazy: bool


def about(db: psycopg.Connection[Any]) -> About:
    """The facts in the table `meta`."""
    held = dict(db.execute("SELECT key, value FROM larimar.meta").fetchall())
    return About(held.get("encoder", ""), int(held.get("dimension", 0)), held.get("keys") == "lazy")


def say(db: psycopg.Connection[Any], said: About) -> About:
    """Record the facts if none are recorded yet; returns those that hold."""
    values = {
        "encoder": said.encoder,
        "dimension": str(said.dimension),
        "keys": "lazy" if said.lazy else "eager",
    }
    with _one_at_a_time(db):
        # Another process may have been first.
        if not about(db).encoder:
            rows = [*values.items()]
            db.cursor().executemany("INSERT INTO larimar.meta VALUES (%s, %s)", rows)
    return about(db)


@contextmanager
def _one_at_a_time(db: psycopg.Connection[Any]) -> Iterator[None]:
    """A transaction that begins once no other process makes tables."""
    # Locked first: names that were not found before are looked up again when a transaction begins.
    db.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    try:
        with db.transaction():
            yield
    finally:
        if not db.closed:
            db.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def prepare(db: psycopg.Connection[Any], name: str, *, create: bool, read_only: bool) -> str:
    """Make sure that the tables of this version exist; returns the schema that pgvector is in.

    They are made, or migrated, all at once or not at all.

    Args:
        db: commits each statement.
        name: of the memory, for errors.

    Raises:
        MemoryFileError: if there are no tables and none can be made, they are of a newer release, or
            pgvector is missing.
    """
    if _version(db) is None:
        if read_only or not create:
            raise no_memory(name)
        with _one_at_a_time(db):
            if _version(db) is None:
                _make(db, name)
    version = _version(db) or 0
    if version > SCHEMA_VERSION:
        raise newer(name, version, SCHEMA_VERSION)
    if version < SCHEMA_VERSION:
        if read_only:
            raise not_changeable(name)
        with _one_at_a_time(db):
            for step in range(_version(db) or 0, SCHEMA_VERSION):
                log.info("bringing %s from version %d to %d", name, step, step + 1)
                db.execute(f"SET LOCAL search_path = larimar, {_pgvector(db, name)}")
                db.execute(_MIGRATIONS[step])
                said = (str(step + 1),)
                db.execute("UPDATE larimar.meta SET value = %s WHERE key = 'version'", said)
    return _pgvector(db, name)


def _version(db: psycopg.Connection[Any]) -> int | None:
    """The version of the tables; None if there are none."""
    (there,) = db.execute("SELECT to_regclass('larimar.meta') IS NOT NULL").fetchone() or (False,)
    if not there:
        return None
    row = db.execute("SELECT value FROM larimar.meta WHERE key = 'version'").fetchone()
    return None if row is None else int(row[0])


def _make(db: psycopg.Connection[Any], name: str) -> None:
    (encoding,) = db.execute("SHOW server_encoding").fetchone() or ("",)
    if encoding != "UTF8":
        why = f"The database's encoding is {encoding}, which cannot keep every text."
        raise unfit(name, why, "Create a database with encoding UTF8.")
    try:
        db.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except errors.InsufficientPrivilege as error:
        why = "The extension `vector` is not in the database, and the role may not create it."
        remedy = "Have a superuser run `CREATE EXTENSION vector` in it."
        raise unfit(name, why, remedy) from error
    except (errors.UndefinedFile, errors.FeatureNotSupported) as error:
        why = "The server has no extension `vector`."
        raise unfit(name, why, "Install pgvector on it, 0.8 or newer.") from error
    try:
        db.execute("CREATE SCHEMA larimar")
    except errors.InsufficientPrivilege as error:
        why = "The database holds no memory, and the role may not create a schema in it."
        remedy = "Grant it CREATE on the database, or have the database's owner open the memory first."
        raise unfit(name, why, remedy) from error
    db.execute(f"SET LOCAL search_path = larimar, {_pgvector(db, name)}")
    db.execute(_TABLES + _POLICIES)
    db.execute("INSERT INTO meta VALUES ('version', %s)", (str(SCHEMA_VERSION),))


def _pgvector(db: psycopg.Connection[Any], name: str) -> str:
    """The schema that pgvector is in, quoted."""
    row = db.execute(
        "SELECT quote_ident(n.nspname), e.extversion FROM pg_extension e "
        "JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'"
    ).fetchone()
    if row is None:
        why = "The extension `vector` was dropped from the database."
        raise unfit(name, why, "Restore the database from a backup.")
    if tuple(map(int, row[1].split(".")[:2])) < _PGVECTOR:
        why = f"The extension `vector` is of version {row[1]}, and 0.8 or newer is needed."
        remedy = "Install a newer pgvector, and run `ALTER EXTENSION vector UPDATE`."
        raise unfit(name, why, remedy)
    return str(row[0])
