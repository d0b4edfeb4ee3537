"""Read every row of a memory file that can be read, whatever state the file is in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.sqlite import checksums, schema, text_index
from larimar_memory.stores.sqlite.connecting import connect
from larimar_memory.stores.sqlite.connection import address, check_inherited
from larimar_memory.stores.sqlite.decoding import metadata_from, wrong_type
from larimar_memory.stores.sqlite.failures import FAILURES, understood
from larimar_memory.system import forking

NOT_READ, NOT_WRITTEN = "cannot be read", "not what was written"
OTHER_SIZE = "keys of another size"
_RANGE = 512
_PROBES = 20_000
_LEAST_BYTES = 16
"""The fewest bytes of a row."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is in the file.

    Attributes:
        values: by column; None if SQLite cannot read the row.
        wrong: the parts that are not what was written: "row", "key", "latent".
    """

    number: int
    values: dict[str, Any] | None
    wrong: tuple[str, ...]

    def __getitem__(self, column: str) -> Any:
        return None if self.values is None else self.values[column]

    def why_not(self, table: str, form: KeyForm) -> str | None:
        """Why the row cannot be kept; None if it can, perhaps without its latent.

        Args:
            form: of the keys that the file searches by; of dimension 0 if that is unknown.
        """
        if self.values is None:
            return NOT_READ
        if "row" in self.wrong or "key" in self.wrong:
            return NOT_WRITTEN
        if (wrong := wrong_type(table, self.values)) is not None:
            return wrong
        if table == "documents":
            try:
                metadata_from(self["metadata"])
            except ValueError:
                return "metadata that is no JSON object"
        if table == "segments" and min(self["position"], self["start"]) < 0:
            return "places before the first"
        if table == "fine_keys":
            form = KeyForm(form.dimension)
        if "key" in self.values and form.dimension and not form.is_key(self["key"]):
            return OTHER_SIZE
        return None

    def but(self, **changed: Any) -> Row:
        """The same row with other values."""
        return replace(self, values={**(self.values or {}), **changed})


@contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection to one moment of the file, with its rows in this version's form.

    Raises:
        MemoryFileError: if it cannot be opened at all, or is not a memory.
    """
    with forking.inside(), understood(path):
        check_inherited(path)
        where = address(path, read_only=True)
        with closing(connect(path, where, uri=True, isolation_level=None)) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            db.text_factory = readable_text
            text_index.add_functions(db)
            schema.show_as_newest(db, schema.version_of(db, path))
            db.execute("BEGIN")
            yield db


def readable_text(raw: bytes) -> str:
    """Text that may no longer be UTF-8: its checksum shows that, and reading it raises no error."""
    return raw.decode("utf-8", "surrogateescape")


def rows(db: sqlite3.Connection, table: str) -> Iterator[Row]:
    """The rows of a table, ascending, and an unread row for each number at which SQLite fails.

    If SQLite fails at more numbers than there can be rows, one row stands for many. Rows that are found
    only from the table's end come last, descending.
    """
    select = f"SELECT {schema.columns(table)} FROM {table}"
    sql = f"{select} WHERE id BETWEEN ? AND ? ORDER BY id LIMIT {_RANGE}"
    end, reached = _last(db, table), 0
    left, ranges = max(_PROBES, _size(db) // _LEAST_BYTES), [(1, end)]
    while ranges:
        first, last = ranges.pop()
        if first > last:
            continue
        try:
            found = [_row(table, values) for values in db.execute(sql, (first, last))]
        except FAILURES:
            left -= 1
            if first == last or left < 0:
                reached = last
                yield Row(first, None, ("row",))
            else:
                middle = (first + last) // 2
                ranges += [(middle + 1, last), (first, middle)]
            continue
        yield from found
        if found:
            reached = found[-1].number
        if len(found) == _RANGE:
            ranges.append((reached + 1, last))
    if reached < end:
        yield from _from_the_end(db, table, reached)


def _from_the_end(db: sqlite3.Connection, table: str, reached: int) -> Iterator[Row]:
    """Rows, descending, down to one that was reached from the beginning.

    A damaged number that is too large ends every search that comes upon it, and hides what follows.
    """
    try:
        for values in db.execute(f"SELECT {schema.columns(table)} FROM {table} ORDER BY id DESC"):
            row = _row(table, values)
            if row.number <= reached:
                return
            yield row
    except FAILURES:
        yield Row(reached + 1, None, ("row",))


def _size(db: sqlite3.Connection) -> int:
    with suppress(*FAILURES):
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        return int(pages * db.execute("PRAGMA page_size").fetchone()[0])
    return 0


def _last(db: sqlite3.Connection, table: str) -> int:
    for sql in (f"SELECT max(id) FROM {table}", "SELECT max(seq) FROM sqlite_sequence"):
        with suppress(*FAILURES):
            (last,) = db.execute(sql).fetchone()
            if isinstance(last, int):
                return last
    return 0


def _row(table: str, found: tuple[Any, ...]) -> Row:
    values = dict(zip(schema.TABLES[table], found, strict=True))
    return Row(values["id"], values, checksums.wrong_in(table, found))
