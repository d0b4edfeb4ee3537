"""Shards: files of what a memory would commit, made anywhere, to be committed by who holds the memory.

A shard is a file in Arrow's format, which other programs read as well: a row for a segment, with its
keys and latent as the bytes they are stored in, and for each commit the documents as JSON. It costs a
twentieth of what a memory file does, for it has neither an index of words nor checksums.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np

from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.base import Document, Store, WriteBatch
from larimar_memory.stores.key_form import KeyForm
from larimar_memory.stores.packing import pack, unpack
from larimar_memory.stores.sqlite.store import SQLiteStore
from larimar_memory.system.files import put_in_place
from larimar_memory.types import Metadata, Segment
from larimar_memory.write import NO_KEYS

SUFFIX = ".arrow"
_SAID = b"documents"
_FIELDS = ("id", "content_hash", "characters", "metadata", "complete", "written_at", "episode")


class Recorder(SQLiteStore):
    """A store that writes to a shard what it is given, and to all else is an empty memory in RAM.

    Args:
        encoder, dimension, lazy: as of the store that the shards are for.
        known: that store, where it can be reached: what it holds whole is not written again.
    """

    def __init__(self, *, encoder: str, dimension: int, lazy: bool, known: Store | None = None) -> None:
        super().__init__(None, encoder=encoder, dimension=dimension, lazy=lazy)
        self._known, self._writer = known, cast(Any, None)

    @contextmanager
    def recording(self, shard: Path) -> Iterator[None]:
        """What is written in the block is in the shard after it, or, where it fails, nowhere."""
        import pyarrow as pa

        with put_in_place(shard) as new:
            with pa.OSFile(str(new), "wb") as file, pa.ipc.new_file(file, _schema()) as self._writer:
                yield
            self._writer = None

    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        import pyarrow as pa

        form = self._form
        held = [segment for batch in batches for segment in batch.segments]
        keys = [key.tobytes() for b in batches if len(b.segments) for key in form.packed(b.keys)]
        fine = [
            None if key is None else np.asarray(key).astype("<f2").tobytes()
            for batch in batches
            for key in _each(batch.fine, batch)
        ]
        latents = [
            None if latent is None else pack(latent)
            for batch in batches
            for latent in _each(batch.latents, batch)
        ]
        columns = (
            [s.index for s in held],
            [s.start for s in held],
            [s.end for s in held],
            [s.text for s in held],
            keys,
            fine,
            latents,
        )
        said = [
            {name: getattr(b.document, name) for name in _FIELDS}
            | {"replace": b.replace, "segments": len(b.segments)}
            for b in batches
        ]
        arrays = [pa.array(values, kind.type) for values, kind in zip(columns, _schema(), strict=True)]
        rows = pa.record_batch(arrays, schema=_schema())
        self._writer.write_batch(rows, custom_metadata={_SAID: json.dumps(said).encode()})

    def document(self, namespace: str, document_id: str) -> Document | None:
        held = None if self._known is None else self._known.document(namespace, document_id)
        return held if held is not None and held.complete else None

    def set_metadata(self, namespace: str, document_id: str, metadata: Metadata) -> None:
        if self._known is not None:
            self._known.set_metadata(namespace, document_id, metadata)


def read(shard: Path, form: KeyForm) -> Iterator[list[WriteBatch]]:
    """What was written to a shard, call by call.

    Args:
        form: of the keys.

    Raises:
        MemoryFileError: if it cannot be read, or is not whole.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(shard)) as file:
            opened = pa.ipc.open_file(file)
            for number in range(opened.num_record_batches):
                rows, said = opened.get_batch_with_custom_metadata(number)
                yield _batches(rows.to_pydict(), json.loads(said[_SAID]), form)
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        if isinstance(error, MemoryFileError):
            raise
        raise MemoryFileError(
            f"The shard {shard} cannot be read.",
            f"{type(error).__name__}: {error}.",
            "Let workers and the driver see the same folder of shards, delete it where it is damaged, "
            "and ingest again.",
        ) from error


def _batches(
    columns: dict[str, list[Any]], said: list[dict[str, Any]], form: KeyForm
) -> list[WriteBatch]:
    places = (columns[name] for name in ("position", "start", "end", "text"))
    segments = [Segment(*values) for values in zip(*places, strict=True)]
    keys = form.unpacked(columns["key"]) if segments else NO_KEYS
    fine = [None if key is None else np.frombuffer(key, "<f2").astype("f4") for key in columns["fine"]]
    latents = [None if blob is None else unpack(blob) for blob in columns["latent"]]
    ends = accumulate((about["segments"] for about in said), initial=0)
    made = list[WriteBatch]()
    for about, (first, last) in zip(said, pairwise(ends), strict=True):
        document = Document(**{name: about[name] for name in _FIELDS})
        part = slice(first, last)
        of = segments[part], keys[part] if first < last else NO_KEYS, about["replace"]
        made.append(WriteBatch(document, *of, latents[part], fine[part]))
    return made


def _each(given: Sequence[Any] | None, batch: WriteBatch) -> Sequence[Any]:
    return [None] * len(batch.segments) if given is None else given


def _schema() -> Any:
    import pyarrow as pa

    numbers = [(name, pa.int64()) for name in ("position", "start", "end")]
    return pa.schema(
        [*numbers, ("text", pa.large_string()), *((n, pa.binary()) for n in ("key", "fine", "latent"))]
    )
