"""Rows of a dataset as texts to write."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from larimar_memory.distributed.sources import NAMED, PATH, no_text, remote
from larimar_memory.errors import InputError
from larimar_memory.text.blocks import Text, blocks_of, checked_measure, unwritable
from larimar_memory.text.files import FileText, Skipped, read_file, shown
from larimar_memory.text.formats import Limits
from larimar_memory.validate import check_metadata, check_name


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read; as `Files` has it.

    Attributes:
        base: folder that relative paths begin in.
    """

    base: str = "."
    encoding: str = "utf-8"
    limits: Limits = field(default_factory=Limits)
    password: str | None = field(default=None, repr=False)


def texts_of(
    rows: Any, reading: Reading, on_skipped: Callable[[Skipped], None]
) -> Iterator[FileText | Text]:
    """The texts of a table's rows, each measured.

    Args:
        rows: a `pyarrow.Table` of files, or one with a column text and optional ones id and metadata.
        on_skipped: called with each file of a folder that cannot be read.

    Raises:
        InputError: if a text, id or metadata cannot be used, or a file that was named cannot be read.
    """
    there = set(rows.column_names)
    if there == {PATH, NAMED}:
        for row in rows.to_pylist():
            found = _file(os.fsdecode(row[PATH]), row[NAMED], reading)
            if isinstance(found, Skipped):
                on_skipped(found)
            else:
                yield found
        return
    if "text" not in there:
        raise no_text(there)
    kind = _kind_of(rows, "metadata")
    for batch in rows.select([c for c in ("text", "id", "metadata") if c in there]).to_batches(256):
        for row in batch.to_pylist():
            yield _text(row, kind)


def _file(path: str, named: bool, reading: Reading) -> FileText | Skipped:
    try:
        return _read(path, reading)
    except InputError as error:
        if named:
            raise
        return Skipped(path if remote(path) else shown(Path(path)), error.why, error.remedy)


def _read(path: str, reading: Reading) -> FileText:
    given: dict[str, Any] = {
        "encoding": reading.encoding,
        "limits": reading.limits,
        "password": reading.password,
    }
    if not remote(path):
        found, name = read_file(Path(reading.base, path), **given), shown(Path(path))
        return replace(found, id=name, metadata={**found.metadata, "source": name})
    import fsspec

    with tempfile.NamedTemporaryFile(suffix=Path(path).suffix) as copy:
        try:
            with fsspec.open(path, "rb") as file:
                shutil.copyfileobj(file, copy)
        except OSError as error:
            why = f"{type(error).__name__}: {str(error).rstrip('.')}."
            raise unwritable(path, why, "Check the address and your rights there.") from error
        copy.flush()
        found = read_file(Path(copy.name), **given)
        # Read now: the copy is gone by the time its blocks would be read.
        text = found.text if isinstance(found.text, str) else "".join(found.text())
    return replace(found, id=path, text=text, metadata={**found.metadata, "source": path})


def _text(row: dict[str, Any], kind: str) -> Text:
    text, name = row["text"], row.get("id")
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    called = "A text without an id" if name is None else f"document {name!r}"
    if not isinstance(text, str):
        raise unwritable(
            called, f"It is a {type(text).__name__}, not a str.", "Give text, or filter it out."
        )
    measure = checked_measure(blocks_of(text), called)
    name = measure.digest() if name is None else check_name(name, "document id")
    return Text(name, text, _metadata(row.get("metadata"), called, kind), measure)


def _metadata(given: Any, of: str, kind: str) -> dict[str, Any]:
    """Metadata of a mapping, or of a JSON object as text.

    Args:
        kind: the column's kind. In a column of structs, every row has the same entries: those without a
            value were never given.
    """
    if given is None:
        return {}
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"The metadata of {of} cannot be kept.",
                f"It is text, and no JSON: {error}.",
                "Give a JSON object, or a column of structs.",
            ) from error
    if kind == "map":
        given = dict(given)
    return check_metadata(_without_nulls(given) if kind == "struct" else given, of)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(of) for name, of in value.items() if of is not None}
    return value


def _kind_of(rows: Any, column: str) -> str:
    """The kind of a column: "struct" or "map"; "" for any other, or if there is no such column."""
    import pyarrow as pa

    if column not in rows.column_names:
        return ""
    kind = rows.schema.field(column).type
    return "struct" if pa.types.is_struct(kind) else "map" if pa.types.is_map(kind) else ""
