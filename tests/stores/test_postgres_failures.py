"""What goes wrong with a server is told in words, and leaves nothing half written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from larimar_memory.errors import (
    ClosedError,
    InputError,
    LarimarError,
    MemoryBusyError,
    MemoryFileError,
)
from larimar_memory.larimar import Larimar
from larimar_memory.stores.opening import called, open_store, place_of
from larimar_memory.stores.postgres import changes, connection
from larimar_memory.stores.postgres.address import shown
from larimar_memory.stores.postgres.store import PostgresStore
from larimar_memory.testing.writes import batch, said
from tests.forks import in_child, needs_fork
from tests.postgres import Server
from tests.quick import QuickEncoder
from tests.stores.test_postgres_laws import open_database


@pytest.fixture
def store(address: str) -> Iterator[PostgresStore]:
    opened = open_database(address, busy_seconds=5.0)
    yield opened
    opened.close()


def told(work: Callable[[], Any], kind: type[LarimarError] = MemoryFileError) -> str:
    with pytest.raises(kind) as raised:
        work()
    assert type(raised.value) is kind or kind is MemoryFileError
    return str(raised.value)


def kill(server: Server, but: int = 0) -> None:
    """End all connections to the tests' databases."""
    server.run(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'larimar_tests' "
        f"AND pid <> {but}"
    )


# --- opening ---


def test_no_server() -> None:
    nowhere = "postgresql://ana:secret@127.0.0.1:1/db?connect_timeout=2"
    said = told(lambda: Larimar.open(nowhere, encoder=QuickEncoder()))
    assert said.startswith(
        "The memory postgresql://ana@127.0.0.1:1/db?connect_timeout=2 cannot be opened. No server "
        "answers there: "
    )
    assert said.endswith("Start it, or check host and port in the address.")
    assert "secret" not in said


def test_a_wrong_password_and_users_and_databases_that_are_not_there(server: Server) -> None:
    if not server.has("careful"):
        server.run("CREATE ROLE careful LOGIN PASSWORD 'right'")
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all careful scram-sha-256\n{before}")
    try:
        server.run("SELECT pg_reload_conf()")
        server.empty("larimar_tests")
        wrong = server.address("larimar_tests", "careful", "wr@ng")
        for address in (wrong, server.address("larimar_tests", "careful")):
            assert told(lambda at=address: open_database(at)) == (  # type: ignore[misc]
                f"The memory {shown(address)} cannot be opened. The server refuses the user or the "
                "password. Check both in the address, or name the password in PGPASSWORD or ~/.pgpass."
            )
        assert "wr" not in shown(wrong)
        right = server.address("larimar_tests", "careful", "right")
        # It is let in, and may not make the tables.
        server.run("CREATE EXTENSION IF NOT EXISTS vector", database="larimar_tests")
        assert told(lambda: open_database(right)) == (
            f"The memory {shown(right)} cannot be opened. The database holds no memory, and the role "
            "may not create a schema in it. Grant it CREATE on the database, or have the database's "
            "owner open the memory first."
        )
    finally:
        rules.write_text(before)
        server.run("SELECT pg_reload_conf()")
    nobody = server.address("larimar_tests", "nobody")
    assert told(lambda: open_database(nobody)) == (
        f'The memory {nobody} cannot be opened. The server knows no such user: role "nobody" does not '
        "exist. Check the user in the address, or create it."
    )
    nowhere = server.address("nowhere")
    assert told(lambda: open_database(nowhere)) == (
        f'The memory {nowhere} cannot be opened. The server has no such database: database "nowhere" '
        "does not exist. Check the name in the address, or create it with `createdb`."
    )


def test_no_extension_and_no_right_to_create_it(server: Server) -> None:
    address = server.empty("larimar_bare")
    server.run("DROP EXTENSION IF EXISTS vector CASCADE", database="larimar_bare")
    if not server.has("plain"):
        server.run("CREATE ROLE plain LOGIN")
    plain = server.address("larimar_bare", "plain")
    assert told(lambda: open_database(plain)) == (
        f"The memory {plain} cannot be opened. The extension `vector` is not in the database, and the "
        "role may not create it. Have a superuser run `CREATE EXTENSION vector` in it."
    )
    server.run("ALTER DATABASE larimar_bare SET extension_control_path = '/nowhere'")
    try:
        assert told(lambda: open_database(address)) == (
            f"The memory {address} cannot be opened. The server has no extension `vector`. Install "
            "pgvector on it, 0.8 or newer."
        )
    finally:
        server.run("ALTER DATABASE larimar_bare RESET extension_control_path")
    # Nothing of the try is left.
    open_database(address).close()
    server.run("DROP EXTENSION vector CASCADE", database="larimar_bare")
    assert "The extension `vector` was dropped" in told(lambda: open_database(address))


def test_another_encoding_is_refused(server: Server) -> None:
    if not server.run("SELECT 1 FROM pg_database WHERE datname = 'larimar_latin'"):
        server.run("CREATE DATABASE larimar_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    address = server.address("larimar_latin")
    assert told(lambda: open_database(address)) == (
        f"The memory {address} cannot be opened. The database's encoding is LATIN1, which cannot keep "
        "every text. Create a database with encoding UTF8."
    )


def test_no_memory_where_none_is_to_be_made(address: str) -> None:
    expected = (
        f"There is no memory at {address}. The database holds none, and none is to be made. Check the "
        "address, or write a memory there first."
    )
    for options in ({"create": False}, {"read_only": True}):
        assert told(lambda o=options: open_database(address, **o)) == expected  # type: ignore[misc]
    assert told(lambda: Larimar.open(address, encoder=None)) == expected


def test_addresses_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(lambda: place_of("postgresql+psycopg://u:p@h/d"), InputError) == (
        "The memory postgresql+psycopg://u@h/d cannot be opened. Its address names a driver, as "
        "SQLAlchemy has it. Write it as postgresql://user:password@host:port/database."
    )
    for wrong in ("postgresql://h/d?colour=red", "postgresql://[h/d"):
        assert told(lambda at=wrong: open_database(at), InputError).startswith(  # type: ignore[misc]
            f"The memory {wrong} cannot be opened. Its address is none: "
        )
    with pytest.raises(InputError, match="synchronous='never'"):
        open_store("postgresql://h/d", encoder="e", dimension=3, synchronous="never")
    monkeypatch.delattr("larimar_memory.stores.postgres.opening")
    monkeypatch.setitem(sys.modules, "larimar_memory.stores.postgres.opening", None)
    assert told(lambda: Larimar.open("postgresql://u:p@h/d", encoder=QuickEncoder()), InputError) == (
        "The memory postgresql://u@h/d cannot be opened. It is in PostgreSQL, and psycopg is not "
        'installed. Install it with `pip install "larimar-memory[postgres]"`.'
    )


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("postgresql://u:p@h:1/d", "postgresql://u@h:1/d"),
        ("postgres://u:p@h1,h2/d?sslmode=require", "postgres://u@h1,h2/d?sslmode=require"),
        ("postgresql://h/d?user=u&password=p&sslmode=a", "postgresql://h/d?user=u&sslmode=a"),
        ("postgresql://h/d?password=p", "postgresql://h/d"),
        ("postgresql:///d?host=/run", "postgresql:///d?host=/run"),
    ],
)
def test_a_password_is_never_shown(address: str, name: str) -> None:
    assert shown(address) == called(address) == name


# --- in the middle ---


def test_a_connection_lost_in_the_middle_is_made_up_for(
    store: PostgresStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("n", [batch("d", ["old"])])
    real, tries = changes.put_batches, list[int]()

    def dying(db: Any, *args: Any) -> None:
        real(db, *args)
        tries.append(db.info.backend_pid)
        if len(tries) < 2:
            kill(server)

    monkeypatch.setattr(changes, "put_batches", dying)
    store.write("n", [batch("d", ["new", "and more"])])
    assert len(tries) == 2
    assert said(store.segments("n", "d")) == ["new", "and more"]
    assert store.size("n") == 2


def test_where_it_is_lost_again_nothing_is_half_written(
    store: PostgresStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("n", [batch("d", ["old"])])
    real = changes.put_batches

    def dying(db: Any, *args: Any) -> None:
        real(db, *args)
        kill(server)

    with monkeypatch.context() as patch:
        patch.setattr(changes, "put_batches", dying)
        assert told(lambda: store.write("n", [batch("d", ["new"]), batch("e", ["x"])])) == (
            f"The connection to the memory {store.place} was lost. The server or the network said: "
            "terminating connection due to administrator command. Try again when the server runs; of "
            "what was not committed, nothing is written."
        )
    assert [said(store.segments("n", name)) for name in ("d", "e")] == [["old"], []]
    assert store.lexical("n", ["new"], 9) == []


@pytest.mark.parametrize("asked", [True, False])
def test_a_write_that_was_committed_is_not_done_again(
    store: PostgresStore, server: Server, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    real, number = connection._one, list[str]()

    def lost(db: Any, sql: str, parameters: Any = ()) -> Any:
        found = real(db, sql, parameters)
        if "if_assigned" in sql:
            # The commit arrives, and the word of it does not.
            db.execute("COMMIT")
            number.append(found)
            kill(server)
        if "pg_xact_status" in sql and not asked:
            raise psycopg.OperationalError("the server is gone")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(connection, "_one", lost)
        if asked:
            store.write("n", [batch("d", ["once"], replace=False)])
        else:
            assert told(lambda: store.write("n", [batch("d", ["once"], replace=False)])) == (
                f"A write to the memory {store.place} may or may not have been done. The connection "
                "was lost while it was committed, and the server cannot be asked. Look whether it is "
                "there, or write it again; equal texts change nothing."
            )
    assert len(number) == 1
    assert said(store.segments("n", "d")) == ["once"]


def test_reads_go_on_after_connections_were_lost(store: PostgresStore, server: Server) -> None:
    store.write("n", [batch("d", ["text"])])
    for _ in range(3):
        kill(server)
        assert said(store.segments("n", "d")) == ["text"]
    kill(server)
    assert store.delete("n") == 1


def test_who_waits_too_long_is_told(address: str) -> None:
    patient, quick = open_database(address), open_database(address, busy_seconds=0.2)
    patient.write("n", [batch("d", ["text"])])
    row = patient.segments("n", "d")[0].row

    def meanwhile(db: Any) -> None:
        assert told(lambda: quick.write("n", [batch("e", ["x"])]), MemoryBusyError) == (
            f"The memory {address} is busy. Another process has been writing to it for longer than the "
            "waiting time. Try again, or open it with a larger `busy_seconds`."
        )
        assert not quick.attach("n", [row], [batch("x", ["x"]).keys[0]], wait=False)
        # Readers wait for nobody, and another namespace is another's.
        assert said(quick.segments("n", "d")) == ["text"]
        quick.write("other", [batch("e", ["x"])])

    patient._db.write("n", meanwhile)
    assert quick.attach("n", [row], [batch("x", ["x"]).keys[0]], wait=False)
    patient.close()
    quick.close()


def test_what_the_server_cannot_keep_is_told(store: PostgresStore) -> None:
    for name in ("a\0b", "\ud800"):
        with pytest.raises(MemoryFileError, match="cannot keep or find this"):
            store.write("n", [batch(name, ["x"])])
    doubled = batch("d", ["fine", "bad"])
    doubled.segments[1] = doubled.segments[0]  # type: ignore[index]
    with pytest.raises(MemoryFileError, match="duplicate key value violates unique constraint"):
        store.write("n", [batch("first", ["one"]), doubled])
    assert store.namespaces() == []
    assert store.document("n", "\ud800") is None


def test_a_closed_store_says_so(store: PostgresStore) -> None:
    store.close()
    assert told(lambda: store.stats(), ClosedError) == (
        f"The memory {store.place} cannot be used. It has been closed. Open it again with "
        "`Larimar.open`."
    )


@needs_fork
def test_a_forked_child_has_connections_of_its_own(store: PostgresStore) -> None:
    store.write("n", [batch("d", ["before"])])

    def work() -> list[str]:
        store.write("n", [batch("child", ["written by a child"])])
        return said(store.segments("n", "d"))

    for _ in range(2):
        assert in_child(work) == ("value", ["before"])
        assert said(store.segments("n", "child")) == ["written by a child"]
    store.write("n", [batch("e", ["after"])])
