"""The PostgreSQL store: beside FTS5 and a plain one, its indexes, its tables, and what is erased."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from larimar_memory.errors import EncoderMismatchError, MemoryBusyError, MemoryFileError
from larimar_memory.exchange import export, import_into
from larimar_memory.larimar import Larimar
from larimar_memory.stores.exported import look
from larimar_memory.stores.opening import open_as_written, place_of
from larimar_memory.stores.postgres import halfvec, parts, schema
from larimar_memory.stores.postgres.store import PostgresStore
from larimar_memory.testing.writes import DIMENSION, batch, found, key_of, said, worded
from tests.postgres import Server
from tests.quick import QuickCoarse, QuickEncoder
from tests.stores.test_laws import open_file
from tests.stores.test_postgres_laws import open_database

WORDS = [
    "run",
    "running",
    "runs",
    "ponies",
    "pony",
    "possibly",
    "sensible",
    "technology",
    "technologies",
    "the",
    "the",
    "the",
    "is",
    "as",
    "us",
    "café",
    "бегать",
    "今日は",
    "xray",
    "42",
    "nation",
    "national",
]


@pytest.fixture
def store(address: str) -> Iterator[PostgresStore]:
    opened = open_database(address)
    yield opened
    opened.close()


def sentences(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(count)]


def test_words_score_as_in_a_file(store: PostgresStore) -> None:
    file = open_file(None)
    for n in range(6):
        for one in (file, store):
            one.write(
                "n", [batch(f"d{n}", sentences(40, n), {"n": n}), batch(f"e{n}", sentences(5, -n))]
            )
    for one in (file, store):
        one.delete("n", ids=["d1", "e3", "d5"])
        one.write("n", [batch("d2", sentences(30, 99), {"n": 2})])
    for word in WORDS:
        assert store.frequencies("n", [word]) == file.frequencies("n", [word]), word
    draw = random.Random(1)
    for _ in range(40):
        terms = draw.sample(WORDS, 4)
        for options in ({}, {"where": {"n": {"$lt": 3}}}, {"most": 60}):
            wanted = file.lexical("n", terms, 30, **options)  # type: ignore[arg-type]
            hits = store.lexical("n", terms, 30, **options)  # type: ignore[arg-type]
            assert [h.score for h in hits] == pytest.approx([h.score for h in wanted], rel=1e-9)
            # Those of equal scores come in the order of their writing.
            texts = [
                said(s.fetch("n", [h.row for h in of])) for s, of in ((file, wanted), (store, hits))
            ]
            assert texts[0] == texts[1]
    store.delete("n")
    assert server_counts(store) == dict.fromkeys(schema.CONTENT, 0)
    file.close()


def server_counts(store: PostgresStore) -> dict[str, int]:
    with store._db.alone() as db:
        return {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in schema.CONTENT}  # type: ignore[index]


@pytest.mark.parametrize("lazy", [False, True])
def test_keys_are_as_near_as_in_a_file(address: str, lazy: bool) -> None:
    file, store = open_file(None, lazy=lazy), open_database(address, lazy=lazy)
    texts = [f"text {n}" for n in range(300)]
    zeros = batch("z", ["nothing can be read"])
    zeros.keys[:] = 0
    for one in (file, store):
        one.write("n", [batch("d", texts, {"v": 1}), batch("e", texts[:9], {"v": 2}), zeros])
    for asked in ("text 7", "something else"):
        for where in (None, {"v": 2}, {"v": 3}):
            wanted = file.nearest("n", key_of(asked), 400, where)
            hits = store.nearest("n", key_of(asked), 400, where)
            assert [h.score for h in hits] == pytest.approx([h.score for h in wanted], abs=2e-6)
            assert {h.row for h in hits} == {h.row for h in wanted}
    file.close()
    store.close()


def test_many_keys_have_indexes_of_growing_ranges(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "EXACT_LIMIT", 20)
    store = open_database(address)

    def ranges() -> tuple[list[int], list[str]]:
        with store._db.alone() as db:
            held = [row[0] for row in db.execute("SELECT segments FROM parts ORDER BY after")]
            there = db.execute("SELECT relname FROM pg_class WHERE relname LIKE 'segments_by_key%'")
            return held, [name for (name,) in there]

    for n in range(12):
        store.write("n", [batch(f"d{n}", [f"text {n} {i}" for i in range(30)])])
        assert sum(ranges()[0]) > store.size("n") - 50
    sizes, indexes = ranges()
    assert len(sizes) == len(indexes) < 4
    for text in ("text 0 0", "text 5 29", "text 11 3"):
        assert found(store, "n", text, 1) == [text]
    assert len(store.nearest("n", key_of("x"), 360)) == 360
    store.delete("n", ids=[f"d{n}" for n in range(11)])
    assert len(store.nearest("n", key_of("x"), 99)) == 30
    store.delete("n")
    store.purge()
    assert ranges() == ([], [])
    store.close()


def test_a_large_import_makes_its_index_at_the_end(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "EXACT_LIMIT", 20)
    monkeypatch.setattr(parts, "_MANY_AT_ONCE", 25)
    store = open_database(address)
    for n in range(3):
        store.write("n", [batch(f"d{n}", [f"text {n} {i}" for i in range(30)])])
    with store._db.alone() as db:
        assert db.execute("SELECT count(*) FROM parts").fetchone() == (0,)
    store.close()
    again = open_database(address)
    with again._db.alone() as db:
        assert db.execute("SELECT segments FROM parts").fetchall() == [(90,)]
    assert found(again, "n", "text 1 7", 1) == ["text 1 7"]
    again.close()


def test_what_text_cannot_hold_comes_back(store: PostgresStore) -> None:
    texts = ["a\0b \0", "\ufffd", "a\ufffdb", "\ue000\uffff"]
    metadata = {"deep": ["\0", {"x": "\0"}], "big": 1e300, "minus": -0.0, "long": 10**30, "e": 1e16}
    store.write("n", [batch("d", texts, metadata)])
    assert said(store.segments("n", "d")) == texts
    held = store.document("n", "d")
    assert held is not None
    assert repr(sorted(held.metadata.items())) == repr(sorted(metadata.items()))
    assert [d.id for d in store.documents("n", {"deep": {"$exists": True}, "e": {"$gt": 10**15}})] == [
        "d"
    ]
    assert list(store.documents("n", {"deep": {"$in": ["x", None]}})) == []
    store.write("n", [batch("d", ["x"])])
    assert worded(store, "n", "ab", "a", "b") == []


def test_names_and_words_of_any_length(store: PostgresStore) -> None:
    names = ["\U0001f98a" * 1000, "\U0001f98a" * 999 + "\u5348", "x" * 1000]
    for name in names:
        made = batch(name, ["long " + "w" * 30_000 + name])
        object.__setattr__(made.document, "episode", name)
        store.write(name, [made])
    for name in names:
        assert [d.id for d in store.documents(name)] == [name]
        assert [d.id for d in store.beside(name, [name], 1)[0]] == [name]
        assert len(worded(store, name, "w" * 30_000 + name)) <= 1
        assert len(worded(store, name, "long")) == 1


# --- what there is is what this release knows ---


def test_another_encoder_is_refused(store: PostgresStore, address: str) -> None:
    with pytest.raises(EncoderMismatchError) as raised:
        PostgresStore(address, encoder="another", dimension=9)
    assert str(raised.value) == (
        f"The memory {address} cannot be opened with this sentence encoder. It was written with "
        "encoder test-encoder (8 numbers a key), and this one is another (9); their keys cannot be "
        "compared. Open it with the encoder it was written with, or write the texts to a new memory."
    )


def test_older_tables_are_brought_up_and_newer_ones_refused(
    store: PostgresStore, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("n", [batch("d", ["kept"])])
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(
        schema,
        "_MIGRATIONS",
        {1: "ALTER TABLE documents ADD COLUMN more text", 2: "SELECT * FROM nowhere"},
    )
    with pytest.raises(MemoryFileError, match='relation "nowhere" does not exist'):
        open_database(address)
    with pytest.raises(MemoryFileError, match="cannot be changed"):
        open_database(address, read_only=True)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 1)
    open_database(address).close()
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 2)
    again = open_database(address)
    assert said(again.segments("n", "d")) == ["kept"]
    again.close()
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 1)
    with pytest.raises(MemoryFileError) as raised:
        open_database(address)
    assert str(raised.value) == (
        f"The memory {address} cannot be opened. Its format is version 2, and this release reads up to "
        "1. Upgrade larimar-memory."
    )


def test_one_who_only_reads_changes_nothing(store: PostgresStore, address: str) -> None:
    store.write("n", [batch("d", ["text"])])
    reader = open_database(address, read_only=True)
    assert said(reader.segments("n", "d")) == ["text"]
    for change in (
        lambda: reader.write("n", [batch("e", ["x"])]),
        lambda: reader.delete("n"),
        lambda: reader.purge(),
        lambda: reader.set_metadata("n", "d", {}),
    ):
        with pytest.raises(MemoryFileError, match=r"cannot be changed\. It was opened read-only"):
            change()
    assert not reader.attach("n", [1], [np.ones(1, np.float32)], wait=False)
    reader.close()


# --- forgetting ---


def bytes_of(server: Server, store: PostgresStore) -> bytes:
    """All that the files of a memory's tables and indexes hold."""
    with store._db.alone() as db:
        db.execute("CHECKPOINT")
        files = db.execute(
            "SELECT pg_relation_filepath(oid) FROM pg_class "
            "WHERE relnamespace = 'larimar'::regnamespace OR oid IN (SELECT reltoastrelid "
            "FROM pg_class WHERE relnamespace = 'larimar'::regnamespace)"
        ).fetchall()
    held = [
        path
        for (name,) in files
        if name
        for path in (server.data / name).parent.glob(f"{Path(name).name}*")
    ]
    return b"".join(path.read_bytes() for path in held)


def test_what_is_forgotten_is_in_no_file(server: Server, address: str) -> None:
    store = open_database(address, lazy=True)
    secret, key = "xylophone72 " * 3, key_of("fine xylophone")
    texts = [f"{secret}{n} of many" for n in range(40)]
    for n in range(20):
        store.write("n", [batch(f"keep{n}", [f"other {n} {i}" for i in range(20)])])
        fine = [key] * 2
        made = batch(f"d{n}", texts[2 * n : 2 * n + 2], {"name": "zanzibar55"})
        object.__setattr__(made, "fine", fine)
        store.write("n", [made])
    rows = [s.row for s in store.segments("n", "d0")]
    latent = np.arange(3000, dtype=np.float32)
    store.attach("n", rows, [latent] * len(rows))
    traces = [b"xylophone", b"zanzibar55", key.astype("<f2").tobytes(), latent.tobytes()[:400]]
    # What is compressed is not looked for: these are.
    assert [trace in bytes_of(server, store) for trace in traces[:3]] == [True] * 3
    assert store.delete("n", where={"name": "zanzibar55"}, to_purge=True) == 20
    store.purge()
    assert [trace in bytes_of(server, store) for trace in traces] == [False] * 4
    assert store.stats("n").documents == 20
    assert found(store, "n", "other 3 4", 1) == ["other 3 4"]
    store.close()


def test_who_still_sees_what_was_deleted_is_waited_for(address: str) -> None:
    store, other = open_database(address, busy_seconds=0.3), open_database(address)
    store.write("n", [batch("d", ["secret"])])
    with other.snapshot():
        assert said(other.segments("n", "d")) == ["secret"]
        store.delete("n", to_purge=True)
        with pytest.raises(MemoryBusyError) as raised:
            store.purge()
        # One moment: what others delete is there until it ends.
        assert said(other.segments("n", "d")) == ["secret"]
    assert str(raised.value) == (
        f"What was forgotten in the memory {address} is not found any more, but not yet erased. "
        "Another reader or writer has been using its tables for longer than the waiting time. "
        "Call `purge()` again when it is done."
    )
    assert other.segments("n", "d") == []
    store.purge()
    store.close()
    other.close()


def test_what_was_left_due_is_erased_by_the_next_to_open(server: Server, address: str) -> None:
    store = open_database(address)
    store.write("n", [batch("d", ["xylophone72"]), batch("e", ["stays"])])
    store.delete("n", ids=["d"], to_purge=True)
    assert b"xylophone72" in bytes_of(server, store)
    store.close()
    again = open_database(address)
    assert b"xylophone72" not in bytes_of(server, again)
    with psycopg.connect(address) as db:
        assert db.execute("SELECT count(*) FROM larimar.erasures").fetchone() == (0,)
    again.close()


# --- the whole ---


def test_a_memory_is_written_read_and_forgotten_from(address: str) -> None:
    with Larimar.open(address, encoder=QuickCoarse()) as memory:
        assert (memory.path, memory.stats().path, memory.stats().keys) == (None, address, "lazy")
        memory.write(
            ["The pass key is 71432. It is kept in the vault.", "Bread is baked in the cellar."],
            ["a", "b"],
            [{"kind": "key"}, {"kind": "food"}],
            episode="trip",
        )
        read = memory.read("What is the pass key?", 1, threshold=0)
        assert "The pass key is 71432." in read.segments[0].text
        assert memory.stats().keyed > 0
        memory.index()
        assert memory.stats().keyed == memory.stats().segments > 1
        assert memory.text("a") == "The pass key is 71432. It is kept in the vault."
        memory.update("b", "Cake is baked.")
        assert memory.forget(where={"kind": "key"}) == 1
        assert memory.search("pass key", 9, where={"kind": "key"}) == []
    with Larimar.open(address, encoder=None, create=False) as memory:
        assert [d.id for d in memory.documents()] == ["b"]
        assert memory.forget(namespace="default") == 1
    with Larimar.open(address, encoder=QuickCoarse(), slots=None, keys="lazy") as memory:
        assert memory.stats().documents == 0


def test_slots_and_eviction_work_on_a_database(address: str) -> None:
    with Larimar.open(address, encoder=QuickEncoder(), slots=3, when_full="evict") as memory:
        for n in range(5):
            memory.write([f"Note {n}."], [f"d{n}"])
        assert [d.id for d in memory.documents()] == ["d2", "d3", "d4"]


def test_what_goes_out_and_in_again_is_the_same(address: str, tmp_path: Path) -> None:
    file = open_file(tmp_path / "m.larimar", lazy=True)
    latents: list[Any] = [np.arange(4, dtype=np.int8), None]
    file.write("n", [batch("d", ["one", "t\0wo"], {"v": [1.0]}, latents=latents)])
    file.write("m", [batch("d", ["three"])])
    file.attach("n", [file.segments("n", "d")[0].row], keys=np.array([key_of("fine")]))
    keys: dict[str, Any] = {"encoder": "test-encoder", "dimension": DIMENSION}
    export(file, tmp_path / "out", **keys)
    with open_as_written(address, new=("test-encoder", DIMENSION), lazy=True) as store:
        import_into(store, look(tmp_path / "out"), **keys)
        export(store, tmp_path / "again", **keys)
    for name in ("documents.jsonl", "segments-00000.jsonl", "segments-00000.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    file.close()
    with open_as_written(address, read_only=True) as store:
        assert (store.encoder, store.dimension, store.lazy) == ("test-encoder", DIMENSION, True)


def test_a_place_is_a_file_or_an_address(tmp_path: Path) -> None:
    assert place_of(None) is None
    assert place_of(str(tmp_path)) == tmp_path
    assert place_of("postgresql://h/d") == "postgresql://h/d"


def test_keys_go_out_and_come_in_as_the_server_has_them(store: PostgresStore) -> None:
    keys = np.array([[1, -0.5, 2**-24], [65504, 0.1, -0.0]], dtype=np.float32)
    with store._db.alone() as db, db.cursor(binary=True) as cursor:
        sent = "SELECT k, k::text FROM unnest(%b::halfvec[]) WITH ORDINALITY AS s (k, n) ORDER BY n"
        rows = cursor.execute(sent, (halfvec.dumped(keys),)).fetchall()
        (own,) = cursor.execute("SELECT '[1,-0.5,0]'::halfvec").fetchone() or ()
    assert [text for _, text in rows] == ["[1,-0.5,5.9604645e-08]", "[65504,0.099975586,-0]"]
    back = halfvec.loaded([key for key, _ in rows], 3)
    assert back.dtype == np.float32
    assert np.array_equal(back, keys.astype(np.float16).astype(np.float32))
    assert halfvec.loaded([own], 3).tolist() == [[1, -0.5, 0]]
    assert (halfvec.dumped(keys[:0]), halfvec.loaded([], 3).shape) == ([], (0, 3))
