"""Many processes and threads on one database: nothing is lost, and nothing is torn."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.writer import DIMENSION, ENCODER, PIECES, pieces
from larimar_memory.stores.postgres.store import PostgresStore
from larimar_memory.testing.writes import said
from larimar_memory.text.words import words

ROOT = str(Path(__file__).parents[2])
WRITERS, TIMES = 8, 3

# Without what needs a model's libraries: a process starts at once.
PROGRAM = f"""
import json, sys, threading
sys.path.insert(0, {ROOT!r})
from benchmarks.writer import DIMENSION, ENCODER, batch, key_of, pieces
from benchmarks.writer import DIMENSION, ENCODER, PIECES, pieces
from larimar_memory.stores.postgres.store import PostgresStore
address, me = sys.argv[1:]
store = PostgresStore(address, encoder=ENCODER, dimension=DIMENSION)
said = lambda segments: [segment.text for segment in segments]
"""

CROWD = f"""{PROGRAM}
errors, writing = [], threading.Event()

def write(name):
    for n in range({TIMES}):
        # One document of its own, one of all, and one that comes and goes.
        store.write("n", [batch(f"{{name}}-{{n}}", n), batch("all", int(name[2:]))])
        assert said(store.segments("n", f"{{name}}-{{n}}")) == pieces(f"{{name}}-{{n}}", n)
        store.write("n", [batch(f"{{name}}-gone", n)])
        assert store.delete("n", ids=[f"{{name}}-gone"], to_purge=True) == 1
        if name.endswith("w0") and n == 1:
            store.purge()

def read(name):
    while not writing.is_set():
        hits = store.nearest("n", key_of(name), 9)
        keys = [key_of("z")] * len(hits)
        store.attach("n", [hit.row for hit in hits], keys, wait=False)
        held = store.segments("n", "all", 0)
        assert held == [] or said(held) == pieces("all", held[0].metadata["version"]), said(held)
        store.lexical("n", ["says", "version"], 9)

def run(work, name):
    try:
        work(name)
    except BaseException as error:
        errors.append(f"{{type(error).__name__}}: {{error}}")

threads = [threading.Thread(target=run, args=(write, f"{{me}}w{{n}}")) for n in range({WRITERS})]
readers = [threading.Thread(target=run, args=(read, f"{{me}}r{{n}}")) for n in range({WRITERS})]
for thread in threads + readers: thread.start()
for thread in threads: thread.join()
writing.set()
for thread in readers: thread.join()
store.close()
print(json.dumps(errors))
"""


def opened(address: str) -> PostgresStore:
    return PostgresStore(address, encoder=ENCODER, dimension=DIMENSION)


def test_sixteen_write_and_sixteen_read(address: str) -> None:
    store = opened(address)
    working = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, address, name], stdout=subprocess.PIPE, text=True
        )
        for name in "ab"
    ]
    said_last = [process.communicate()[0] for process in working]
    assert [json.loads(text.splitlines()[-1]) for text in said_last] == [[], []]
    documents = {d.id: d.segments for d in store.documents("n")}
    names = {f"{of}w{n}-{t}" for of in "ab" for n in range(WRITERS) for t in range(TIMES)}
    assert documents == dict.fromkeys({"all", *names}, PIECES)
    check(store)
    held = PIECES * len(documents)
    assert store.frequencies("n", ["says", "gone"]) == [held, 0]
    store.close()


KILLED = f"""{PROGRAM}
for n in range(int(me), int(me) + 10_000):
    store.write("n", [batch(f"d{{n % 7}}", n), batch("last", n)])
    if n % 5 == 4:
        store.delete("n", ids=[f"d{{(n + 1) % 7}}"], to_purge=True)
    print(n, flush=True)
"""


def test_a_writer_that_is_killed_leaves_whole_documents(address: str) -> None:
    last = -1
    for acknowledged in (1, 4, 9, 15):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, address, str(last + 1)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(acknowledged):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        # What it had said before it was killed counts as well.
        last = max([last, *map(int, process.stdout.read().split())])
        process.wait()
        store = opened(address)
        (newest,) = [d.metadata["version"] for d in store.documents("n", ids=["last"])]
        # The step that it was killed in may have been done.
        assert newest in (last, last + 1)
        for document in store.documents("n"):
            assert isinstance(document.metadata["version"], int)
            texts = pieces(document.id, document.metadata["version"])
            assert said(store.segments("n", document.id)) == texts
            assert (
                said(store.fetch("n", [h.row for h in store.lexical("n", words(texts[0])[2:3], 9)]))
                == (texts[:1])
            )
        last = newest
        check(store)
        store.close()


def check(store: PostgresStore) -> None:
    """Nothing is counted that is not there, and nothing is there twice."""
    with store._db.alone() as db:
        wrong = db.execute(
            "SELECT segments - (SELECT count(*) FROM segments), "
            "segments - (SELECT count(DISTINCT (document_id, position)) FROM segments) FROM namespaces"
        ).fetchall()
    assert wrong == [(0, 0)]


@pytest.mark.parametrize("first", [True, False])
def test_who_opens_first_makes_the_tables_once(address: str, first: bool) -> None:
    program = f"{PROGRAM}store.write('n', [batch(me, 1)])\nstore.close()"
    if not first:
        opened(address).close()
    working = [subprocess.Popen([sys.executable, "-c", program, address, name]) for name in "abc"]
    assert [process.wait() for process in working] == [0, 0, 0]
    store = opened(address)
    assert sorted(d.id for d in store.documents("n")) == ["a", "b", "c"]
    store.close()
