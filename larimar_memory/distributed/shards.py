"""Shards: files of what a memory would commit; any process makes them, and the memory's owner commits.

A shard is a file in Arrow's format, which other programs read as well. It has a row for each segment,
with its keys and latent in the bytes in which they are stored, and the documents of each commit as
JSON. It costs a twentieth of a memory file, for it has neither an index of words nor checksums.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
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
    """A store that writes what it is given to a shard; in all else, it is an empty memory in RAM.

    Args:
        encoder, dimension, lazy: those of the store that the shards are for.
        known: that store, if it can be reached; documents that it holds whole are not written again.
    """

    def __init__(self, *, encoder: str, dimension: int, lazy: bool, known: Store | None = None) -> None:
        super().__init__(None, encoder=encoder, dimension=dimension, lazy=lazy)
        self._known, self._writer = known, cast(Any, None)

    @contextmanager
    def recording(self, shard: Path) -> Iterator[None]:
        """Put what is written in the block into the shard; if the block fails, there is no shard."""
        import pyarrow as pa

        with put_in_place(shard) as new:
            with (
                pa.OSFile(str(new), "wb") as file,
                pa.ipc.new_file(file, self._schema()) as self._writer,
            ):
                yield
            self._writer = None

    def write(self, namespace: str, batches: Sequence[WriteBatch]) -> None:
        import pyarrow as pa

        held = [segment for batch in batches for segment in batch.segments]
        form, none = self._form, np.empty((0, self.dimension), np.float32)
        keys = [form.packed(b.keys if len(b.segments) else none) for b in batches]
        given = (
            [s.index for s in held],
            [s.start for s in held],
            [s.end for s in held],
            [s.text for s in held],
            _fixed(np.concatenate(keys)),
            _each(batches, [b.fine for b in batches], lambda key: key.astype("<f2").tobytes()),
            _each(batches, [b.latents for b in batches], pack),
        )
        said = [
            {name: getattr(b.document, name) for name in _FIELDS}
            | {"replace": b.replace, "segments": len(b.segments)}
            for b in batches
        ]
        kinds = self._schema()
        arrays = [pa.array(values, kind.type) for values, kind in zip(given, kinds, strict=True)]
        rows = pa.record_batch(arrays, schema=kinds)
        self._writer.write_batch(rows, custom_metadata={_SAID: json.dumps(said).encode()})

    def _schema(self) -> Any:
        import pyarrow as pa

        numbers = [(name, pa.int64()) for name in ("position", "start", "end")]
        width = self.dimension * (1 if self.lazy else 2)
        keys = [("key", pa.binary(width)), ("fine", pa.binary()), ("latent", pa.binary())]
        return pa.schema([*numbers, ("text", pa.large_string()), *keys])

    def document(self, namespace: str, document_id: str) -> Document | None:
        held = None if self._known is None else self._known.document(namespace, document_id)
        return held if held is not None and held.complete else None

    def set_metadata(self, namespace: str, document_id: str, metadata: Metadata) -> None:
        if self._known is not None:
            self._known.set_metadata(namespace, document_id, metadata)


def read(shard: Path, form: KeyForm) -> Iterator[list[WriteBatch]]:
    """The batches that were written to a shard, call by call.

    Args:
        form: the form of the keys.

    Raises:
        MemoryFileError: if the shard cannot be read, or is not whole.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(shard)) as file:
            opened = pa.ipc.open_file(file)
            for number in range(opened.num_record_batches):
                rows, said = opened.get_batch_with_custom_metadata(number)
                yield _batches(rows, json.loads(said[_SAID]), form)
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        if isinstance(error, MemoryFileError):
            raise
        raise MemoryFileError(
            f"The shard {shard} cannot be read.",
            f"{type(error).__name__}: {error}.",
            "Let workers and the driver see the same folder of shards, delete it where it is damaged, "
            "and ingest again.",
        ) from error


def _batches(rows: Any, said: list[dict[str, Any]], form: KeyForm) -> list[WriteBatch]:
    places = (rows.column(name).to_pylist() for name in ("position", "start", "end", "text"))
    segments = [Segment(*values) for values in zip(*places, strict=True)]
    keys = NO_KEYS
    if segments:
        held = rows.column("key")
        stored = np.frombuffer(held.buffers()[1], np.int8, len(held) * held.type.byte_width)
        keys = form.of(stored.view("i1" if form.coarse else "<f2").reshape(-1, form.dimension))
    fine, latents = rows.column("fine").to_pylist(), rows.column("latent").to_pylist()
    fine = [None if key is None else np.frombuffer(key, "<f2").astype("f4") for key in fine]
    latents = [None if blob is None else unpack(blob) for blob in latents]
    ends = accumulate((about["segments"] for about in said), initial=0)
    made = list[WriteBatch]()
    for about, (first, last) in zip(said, pairwise(ends), strict=True):
        document = Document(**{name: about[name] for name in _FIELDS})
        of = segments[first:last], keys[first:last] if first < last else NO_KEYS, about["replace"]
        made.append(WriteBatch(document, *of, latents[first:last], fine[first:last]))
    return made


def _each(
    batches: Sequence[WriteBatch], given: Sequence[Sequence[Any] | None], form: Callable[[Any], bytes]
) -> list[bytes | None]:
    """The values given for the segments of batches, as bytes; None for a segment without one."""
    made = list[bytes | None]()
    for batch, values in zip(batches, given, strict=True):
        known = [None] * len(batch.segments) if values is None else values
        made += [None if value is None else form(np.asarray(value)) for value in known]
    return made


def _fixed(keys: np.ndarray) -> Any:
    """The rows of a matrix as bytes."""
    import pyarrow as pa

    width = keys.dtype.itemsize * keys.shape[1]
    buffer = pa.py_buffer(np.ascontiguousarray(keys))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(keys), [None, buffer])
