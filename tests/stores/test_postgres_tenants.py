"""A role that is held to one namespace cannot leave it, whatever it says to the server."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from larimar_memory.errors import MemoryFileError
from larimar_memory.larimar import Larimar
from larimar_memory.stores.postgres import schema
from larimar_memory.stores.postgres.store import PostgresStore
from larimar_memory.testing.writes import DIMENSION, batch, found, key_of, said, worded
from tests.postgres import Server
from tests.stores.test_postgres_laws import open_database

ROLE = "bound"


@pytest.fixture
def owner(address: str) -> Iterator[PostgresStore]:
    store = open_database(address, lazy=True)
    for name in ("ana", "ana ", "bob"):
        store.write(name, [batch("same id", [f"secret of {name!r}"], {"of": name})])
        (segment,) = store.segments(name, "same id")
        store.attach(name, [segment.row], [key_of("z")], key_of("fine")[None])
    yield store
    store.close()


@pytest.fixture
def bound(owner: PostgresStore, server: Server) -> str:
    if not server.has(ROLE):
        server.run(f"CREATE ROLE {ROLE} LOGIN")
    owner.admit(ROLE, "ana")
    return server.address("larimar_tests", ROLE)


def opened(address: str) -> PostgresStore:
    return PostgresStore(address, encoder="test-encoder", dimension=DIMENSION)


def test_every_table_of_what_was_written_has_a_policy(owner: PostgresStore, server: Server) -> None:
    rows = server.run(
        "SELECT c.relname, c.relrowsecurity, count(p.oid) FROM pg_class c "
        "LEFT JOIN pg_policy p ON p.polrelid = c.oid "
        "WHERE c.relnamespace = 'larimar'::regnamespace AND c.relkind = 'r' GROUP BY c.oid",
        database="larimar_tests",
    )
    open_to_all = {name for name, secured, policies in rows if not (secured and policies)}
    assert {name for name, *_ in rows} - open_to_all == {*schema.CONTENT, "parts"}
    assert open_to_all == {"meta", "erasures", "roles"}


def test_a_bound_role_uses_its_namespace_as_ever(bound: str, owner: PostgresStore) -> None:
    store = opened(bound)
    store.write("ana", [batch("more", ["another text"])])
    assert found(store, "ana", "another text", 1) == ["another text"]
    assert worded(store, "ana", "secret") == ["secret of 'ana'"]
    assert store.namespaces() == ["ana"]
    assert store.stats().documents == 2
    assert store.delete("ana", ids=["more"], to_purge=True) == 1
    store.purge()
    assert store.delete("ana") == 1
    store.write("ana", [batch("again", ["a new beginning"])])
    assert said(owner.segments("ana", "again")) == ["a new beginning"]
    store.close()


def test_a_bound_role_finds_nothing_of_others(bound: str, owner: PostgresStore) -> None:
    store = opened(bound)
    rows = {name: owner.segments(name, "same id")[0].row for name in ("ana", "ana ", "bob")}
    for other in ("bob", "ana "):
        assert list(store.documents(other)) == store.segments(other, "same id") == []
        assert store.fetch(other, [*rows.values()]) == store.places(other, [*rows.values()]) == []
        assert found(store, other, "secret", 9) == worded(store, other, "secret") == []
        assert store.frequencies(other, ["secret"]) == [0]
        assert (store.stats(other).documents, store.generation(other)) == (0, -1)
        assert store.delete(other) == 0
        store.set_metadata(other, "same id", {"taken": True})
        store.attach(other, [rows[other]], [key_of("x")])
        with pytest.raises(MemoryFileError) as raised:
            store.write(other, [batch("same id", ["mine now"])])
        assert str(raised.value) == (
            f"The memory {bound} cannot be used so. The role is not allowed to: new row violates "
            'row-level security policy for table "namespaces". Ask the memory\'s owner to admit the '
            "role with `PostgresStore.admit`."
        )
    assert [s.text for s in store.fetch("ana", [*rows.values()])] == ["secret of 'ana'"]
    for name in rows:
        (segment,) = owner.fetch(name, [rows[name]], latents=True)
        assert (segment.text, segment.metadata) == (f"secret of {name!r}", {"of": name})
        assert segment.latent is not None
        assert segment.latent.tolist() == key_of("z").tolist()
    store.close()


def test_whatever_a_bound_role_says_to_the_server(bound: str, owner: PostgresStore) -> None:
    tables = ("documents", "segments", "fine_keys", "latents", "terms", "postings")
    with psycopg.connect(bound, autocommit=True) as db:
        db.execute("SET search_path = larimar, public")
        for attempt in ("", "SET larimar.namespace = 'bob'", "SET row_security = on"):
            db.execute(attempt or "SELECT 1")
            assert db.execute("SELECT name FROM namespaces").fetchall() == [("ana",)]
            for table in tables:
                seen = db.execute(f"SELECT DISTINCT namespace_id FROM {table}").fetchall()
                assert len(seen) == 1, table
        assert db.execute("SELECT count(*) FROM segments WHERE text LIKE '%bob%'").fetchone() == (0,)
        with owner._db.alone() as own:
            bob = "SELECT namespace_id, document_id, id FROM segments WHERE text LIKE '%bob%'"
            ((other, document, row),) = own.execute(bob).fetchall()
            (mine,) = own.execute("SELECT id FROM namespaces WHERE name = 'ana'").fetchone() or (0,)
        for change in (
            f"UPDATE documents SET namespace_id = {other}",
            f"INSERT INTO terms VALUES ({other}, 'x', 1)",
            f"INSERT INTO latents VALUES (10000, {other}, 'x')",
            "UPDATE namespaces SET name = 'bob'",
            "SELECT * FROM roles",
            "INSERT INTO roles VALUES ('bound', 'bob')",
            "UPDATE meta SET value = '9'",
            "ALTER TABLE segments DISABLE ROW LEVEL SECURITY",
            "DROP POLICY own ON segments",
            "CREATE OR REPLACE FUNCTION allowed() RETURNS text LANGUAGE sql AS 'SELECT ''bob'''",
            "TRUNCATE segments",
            "SET ROLE postgres",
            "SET SESSION AUTHORIZATION postgres",
            "SET row_security = off; SELECT * FROM segments",
            "COPY segments FROM STDIN",
        ):
            with pytest.raises((errors.InsufficientPrivilege, errors.FeatureNotSupported)):
                db.execute(change)  # type: ignore[arg-type]
        for quiet in (
            "DELETE FROM segments WHERE text LIKE '%bob%'",
            f"DELETE FROM terms WHERE namespace_id = {other}",
        ):
            assert db.execute(quiet).rowcount == 0  # type: ignore[arg-type]
        # Nor is a row of its own taken for one of another's.
        copied = (
            "INSERT INTO segments SELECT %s, namespace_id, {}, 9, 0, 1, 'x', NULL, key FROM segments"
        )
        with pytest.raises(errors.ForeignKeyViolation):
            db.execute(copied.format(document), (99,))  # type: ignore[arg-type]
        db.execute("INSERT INTO latents VALUES (%s, %s, 'x')", (row, mine))
        db.execute("INSERT INTO fine_keys SELECT %s, namespace_id, key FROM segments", (row,))
        db.execute(copied.format("document_id"), (row,))  # type: ignore[arg-type]
    (segment,) = owner.fetch("bob", [row], latents=True)
    assert segment.text == "secret of 'bob'"
    assert segment.latent is not None
    assert segment.latent.tolist() == key_of("z").tolist()


def test_a_role_that_is_bound_to_none_names_its_own(owner: PostgresStore, server: Server) -> None:
    address = admitted_to(owner, server, "roaming")
    store = opened(address)
    assert (store._db.restricted, owner._db.restricted) == (True, False)
    for name in ("ana", "bob"):
        assert [s.text for s in store.segments(name, "same id")] == [f"secret of {name!r}"]
    with store.snapshot():
        assert worded(store, "ana", "secret") == ["secret of 'ana'"]
        assert worded(store, "bob", "secret") == ["secret of 'bob'"]
    assert store.namespaces() == []
    with psycopg.connect(address) as db:
        assert db.execute("SELECT count(*) FROM larimar.segments").fetchone() == (0,)
    store.close()


def admitted_to(owner: PostgresStore, server: Server, role: str) -> str:
    if not server.has(role):
        server.run(f"CREATE ROLE {role} LOGIN")
    owner.admit(role)
    return server.address("larimar_tests", role)


def test_one_who_was_not_admitted_is_told(owner: PostgresStore, server: Server) -> None:
    if not server.has("stranger"):
        server.run("CREATE ROLE stranger LOGIN")
    with pytest.raises(
        MemoryFileError, match=r"The role is not allowed to: permission denied for schema"
    ):
        Larimar.open(server.address("larimar_tests", "stranger"), encoder=None)
    with pytest.raises(MemoryFileError, match='role "nobody" does not exist'):
        owner.admit("nobody")
