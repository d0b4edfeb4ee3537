"""A memory file with a little of everything, what it holds, and ways to damage it."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larimar_memory.stores import Document, Hit, Span, SQLiteStore, WriteBatch
from larimar_memory.stores.exported import digest
from larimar_memory.stores.sqlite import vectors as vectors_module
from larimar_memory.stores.sqlite.integrity import Report
from larimar_memory.testing.writes import key_of
from larimar_memory.types import Segment
from tests.stores.test_laws import open_file

SPACES = ("one", "two \u00e9")


def whole(name: str, texts: list[str], metadata: dict[str, Any] | None = None) -> WriteBatch:
    """A document that its segments tile, as the facade writes it."""
    ends = list(accumulate(len(text) for text in texts))
    pieces = [Segment(i, e - len(t), e, t) for i, (t, e) in enumerate(zip(texts, ends, strict=True))]
    keys = np.array([key_of(text) for text in texts], dtype=np.float32)
    return WriteBatch(Document(name, f"{texts}", ends[-1], metadata or {}), pieces, keys, True)


def fill(store: SQLiteStore, count: int = 12) -> None:
    """Documents with metadata in two namespaces, some with latents, one replaced, one deleted."""
    for space in SPACES:
        for n in range(count):
            texts = [f"{space} says {n} and {i} caf\u00e9 " + "word " * (i % 7) for i in range(3)]
            made = whole(f"d{n}", texts, {"n": n, "owner": "ana", "\u00fc": [1, None]})
            if n % 2:
                latents = [np.arange(i + n, dtype=np.int8) for i in range(3)]
                made = replace(made, latents=latents)
            store.write(space, [made])
        store.write(space, [whole("d0", [f"{space} replaced"])])
        store.delete(space, ids=["d1"])


def filled(path: Path, count: int = 12) -> Path:
    """A closed memory file, its log folded in."""
    store = open_file(path)
    fill(store, count)
    store.close()
    return path


def with_index(folder: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> tuple[Path, Path]:
    """A closed memory file that has an index file already, and the index file."""
    monkeypatch.setattr(vectors_module, "EXACT_LIMIT", 16)
    monkeypatch.setattr(vectors_module, "_TAIL_LIMIT", 8)
    path = folder / "m" / "m.larimar"
    store = open_file(path)
    store.write("n", [whole("d", texts)])
    store.close()
    (index,) = path.parent.glob("*-vectors/*.keys")
    return path, index


def contents(store: SQLiteStore) -> dict[tuple[str, str], Any]:
    """All that a store can be read for, by namespace and document."""
    found: dict[tuple[str, str], Any] = {}
    for space in store.namespaces():
        for document in store.documents(space):
            (held,) = store.spans(space, [Span(document.id)], latents=True)
            found[space, document.id] = (
                document.content_hash,
                document.characters,
                dict(document.metadata),
                document.complete,
                document.written_at,
                [(s.index, s.start, s.end, s.text, s.key.tobytes()) for s in held],
                [
                    None if z is None else (z.dtype.str, z.shape, z.tobytes())
                    for z in (s.latent for s in held)
                ],
            )
    return found


def answers(store: SQLiteStore) -> dict[str, list[tuple[str, float]]]:
    """What questions find, by key and by words."""
    found = {}
    for space in SPACES:
        for n in (0, 3, 7):
            text = f"{space} says {n} and 1 caf\u00e9 word "
            found[f"{text} by key"] = _said(store, space, store.nearest(space, key_of(text), 3))
            found[f"{text} by words"] = _said(store, space, store.lexical(space, ["says", str(n)], 3))
    return found


def _said(store: SQLiteStore, space: str, hits: list[Hit]) -> list[tuple[str, float]]:
    held = {s.row: s.text for s in store.fetch(space, [hit.row for hit in hits])}
    return [(held[hit.row], hit.score) for hit in hits if hit.row in held]


def copied(path: Path, folder: Path) -> Path:
    """A copy of a memory with its log and its indexes, in a folder of its own."""
    shutil.copytree(path.parent, folder)
    return folder / path.name


def flip(file: Path, at: int, bits: int = 0xFF) -> None:
    """Change the bits of one byte."""
    with file.open("rb+") as stream:
        stream.seek(at)
        (byte,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte ^ bits]))


def places(size: int, count: int, seed: int = 0) -> list[int]:
    """Offsets spread over a file, its first bytes among them."""
    draw = random.Random(seed)
    step = size / count
    return sorted({int(n * step + draw.random() * step) for n in range(count)})


def resealed(export: Path) -> None:
    """Make the digests of an export those of its files, as who tampers with it would."""
    about = json.loads((export / "memory.json").read_text())
    about["files"] = {p.name: digest(p) for p in export.iterdir() if p.name != "memory.json"}
    (export / "memory.json").write_text(json.dumps(about))


def sql(path: Path, statement: str, *values: object) -> None:
    """Change a closed memory file behind the library's back."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(statement, values)
    database.close()


def held(path: Path) -> dict[Any, Any]:
    """All that a memory file keeps."""
    store = open_file(path)
    found = contents(store)
    store.close()
    return found


def told(report: Report) -> list[tuple[str, str]]:
    """The part and the kind of each finding."""
    return [(finding.part, finding.what) for finding in report.findings]
