"""Targets that start from real files, with bytes changed: memories, a log, an index, an export."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from larimar_memory.errors import EncoderMismatchError, LarimarError
from larimar_memory.exchange import export, import_into
from larimar_memory.stores.exported import look
from larimar_memory.stores.sqlite import checksums, vectors
from larimar_memory.stores.sqlite.integrity import check
from larimar_memory.stores.sqlite.parts import checksum_of
from larimar_memory.stores.sqlite.repair import repair
from larimar_memory.testing.writes import DIMENSION
from tests.damage import answers, contents, copied, filled, resealed, sql
from tests.stores.test_laws import open_file
from tests.stores.test_schema import version_1

_KEYS: dict[str, Any] = {"encoder": "test-encoder", "dimension": DIMENSION}
_COLUMNS = {
    "namespaces": ("name", "generation"),
    "documents": (
        "namespace_id",
        "name",
        "content_hash",
        "characters",
        "metadata",
        "complete",
        "episode",
    ),
    "segments": ("namespace_id", "document_id", "position", "start", "end", "text", "key", "latent"),
    "fine_keys": ("id", "namespace_id", "key"),
    "meta": ("key", "value"),
}


def pages(folder: Path, data: bytes) -> None:
    """A memory file of either version, bytes of whose pages are changed."""
    with _copy(_version_1() if data[:1] < b"\x50" else _memory(), folder) as path:
        _change(path, data[1:])
        _use(path)


def values(folder: Path, data: bytes) -> None:
    """A memory file, values of whose rows are changed, and given checksums that fit."""
    old = data[:1] < b"\x50"
    with _copy(_version_1() if old else _memory(), folder) as path:
        with closing(sqlite3.connect(path, isolation_level=None)) as db, suppress(sqlite3.Error):
            checksums.add_functions(db)
            for table, column, row, value in _assignments(data[1:]):
                with suppress(sqlite3.Error, OverflowError):
                    key = "key" if table == "meta" else "id"
                    chosen = f"SELECT {key} FROM {table} LIMIT 1 OFFSET {row}"
                    db.execute(f'UPDATE {table} SET "{column}" = ? WHERE {key} = ({chosen})', (value,))
            if not old:
                _seal(db)
        _use(path)


def logs(folder: Path, data: bytes) -> None:
    """The log of a memory whose process was killed."""
    with _copy(_killed(), folder) as path:
        _change(path.with_name(path.name + "-wal"), data)
        _use(path)


def indexes(folder: Path, data: bytes) -> None:
    """An index file, under its name and under one that fits."""
    with _small_indexes(), _copy(_indexed(), folder) as path:
        index = min(path.parent.glob("*-vectors/*.keys"))
        _change(index, data)
        _use(path)
    with _small_indexes(), _copy(_indexed(), folder) as path:
        index = min(path.parent.glob("*-vectors/*.keys"))
        _change(index, data)
        named = f"{index.stem.rpartition('-')[0]}-{checksum_of(index)}.keys"
        sql(path, "UPDATE index_files SET name = ? WHERE name = ?", named, index.name)
        index.rename(index.with_name(named))
        _use(path)


def exports(folder: Path, data: bytes) -> None:
    """An export whose files are changed, and which says that they are as they should be."""
    shutil.copytree(_exported(), folder / "export")
    try:
        files = sorted((folder / "export").iterdir())
        file = files[data[0] % len(files)] if data else files[0]
        if data[1:2] < b"\x80" and file.suffix == ".jsonl":
            _change_line(file, data[2:])
        else:
            _change(file, data[2:])
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            resealed(folder / "export")
        store = open_file(None)
        with suppress(LarimarError):
            import_into(store, look(folder / "export"), **_KEYS)
            for space in store.namespaces():
                for document in store.documents(space):
                    store.segments(space, document.id)
                assert store.nearest(space, np.ones(DIMENSION, dtype=np.float32), 3) is not None
            return
        assert store.namespaces() == []
    finally:
        shutil.rmtree(folder / "export")


STORED: dict[str, Callable[[Path, bytes], None]] = {
    target.__name__: target for target in (pages, values, logs, indexes, exports)
}


def _use(path: Path) -> None:
    """Open, check, read and repair it; then it is sound, or could not be repaired."""
    with suppress(LarimarError):
        check(path)
    with suppress(LarimarError), closing(open_file(path)) as store:
        with suppress(LarimarError):
            contents(store)
        with suppress(LarimarError):
            answers(store)
        with suppress(LarimarError):
            store.stats()
    try:
        done = repair(path, backup=False)
    except LarimarError:
        return
    assert done.after is None or done.after.sound, done.to_dict()
    # Of version 1, nothing seals the name of the encoder.
    with suppress(EncoderMismatchError), closing(open_file(path)) as store:
        contents(store)
        answers(store)


def _change(file: Path, data: bytes) -> None:
    """Overwrite bytes: of every seven, four say where, and three what; a short rest cuts the file."""
    held = bytearray(file.read_bytes())
    for at in range(0, len(data) - 6, 7):
        if held:
            where, what = struct.unpack(">I", data[at : at + 4])[0] % len(held), data[at + 4 : at + 7]
            held[where : where + (1 + what[0] % 3)] = what[: 1 + what[0] % 3]
    rest = data[len(data) - len(data) % 7 :]
    if len(rest) == 5:
        del held[struct.unpack(">I", rest[:4])[0] % (len(held) + 1) :]
    file.write_bytes(held)


def _change_line(file: Path, data: bytes) -> None:
    """Give an entry of one of the lines another value."""
    lines = file.read_text(encoding="utf-8").splitlines()
    line, entry, kind = (*data[:3], 0, 0, 0)[:3]
    held = json.loads(lines[line % len(lines)])
    held[sorted(held)[entry % len(held)]] = _values(data[3:])[kind % 6]()
    lines[line % len(lines)] = json.dumps(held, default=repr)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _assignments(data: bytes) -> Iterator[tuple[str, str, int, Any]]:
    for change in data.split(b"\xfe\xfe")[:6]:
        if len(change) < 4:
            continue
        table = sorted(_COLUMNS)[change[0] % len(_COLUMNS)]
        column = _COLUMNS[table][change[1] % len(_COLUMNS[table])]
        yield table, column, change[2] % 12, _values(change[4:])[change[3] % 6]()


def _values(raw: bytes) -> list[Callable[[], Any]]:
    return [
        lambda: raw,
        lambda: raw.decode("utf-8", "ignore"),
        lambda: int.from_bytes(raw[:8], "big", signed=True),
        lambda: len(raw) / 3,
        lambda: None,
        lambda: '{"a":' * (len(raw) * 40) + "1" + "}" * (len(raw) * 40),
    ]


def _seal(db: sqlite3.Connection) -> None:
    from larimar_memory.stores.sqlite.schema import _SEALS

    for table, seals in _SEALS.items():
        sealed = ", ".join(f"{column} = {value}" for column, value in seals.items())
        db.execute(f"UPDATE {table} SET {sealed}")
    of_document = _SEALS["documents"]["checksum"]
    sealed = f"{of_document[:-1]}, episode)"
    db.execute(f"UPDATE documents SET checksum = {sealed} WHERE episode IS NOT NULL")
    db.execute("UPDATE fine_keys SET checksum = of_blob(id, key)")


@contextmanager
def _copy(path: Path, folder: Path) -> Iterator[Path]:
    logger = logging.getLogger("larimar_memory.stores")
    level = logger.level
    logger.setLevel(logging.ERROR)
    shutil.rmtree(folder / "copy", ignore_errors=True)
    try:
        yield copied(path, folder / "copy")
    finally:
        logger.setLevel(level)
        shutil.rmtree(folder / "copy", ignore_errors=True)


@contextmanager
def _small_indexes() -> Iterator[None]:
    limits = vectors.EXACT_LIMIT, vectors._TAIL_LIMIT
    vectors.EXACT_LIMIT, vectors._TAIL_LIMIT = 8, 4
    try:
        yield
    finally:
        vectors.EXACT_LIMIT, vectors._TAIL_LIMIT = limits


def _folder(name: str) -> Path:
    from tests.fuzz.targets import folder

    return folder() / name


@cache
def _memory() -> Path:
    return filled(_folder("whole") / "m.larimar", 3)


@cache
def _version_1() -> Path:
    _folder("old").mkdir()
    return version_1(_folder("old") / "m.larimar")


@cache
def _killed() -> Path:
    with closing(open_file(_folder("alive") / "m.larimar")) as store:
        for n in range(3):
            store.write("one", [_piece(n)])
        return copied(_folder("alive") / "m.larimar", _folder("killed"))


@cache
def _indexed() -> Path:
    with _small_indexes():
        return filled(_folder("indexed") / "m.larimar", 4)


@cache
def _exported() -> Path:
    with closing(open_file(_memory())) as store:
        export(store, _folder("out"), **_KEYS)
    return _folder("out")


def _piece(n: int) -> Any:
    from tests.damage import whole

    return whole(f"d{n}", [f"text {n} {i}" for i in range(3)])


def clear() -> None:
    """Forget the files, which are deleted."""
    for made in (_memory, _version_1, _killed, _indexed, _exported):
        made.cache_clear()
