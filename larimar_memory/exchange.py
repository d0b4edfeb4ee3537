"""A memory as files that any program reads: JSON lines for what is said, safetensors for numbers.

A folder with `memory.json`, which says what is there with a checksum of every file; `documents.jsonl`;
and for each few thousand segments a `segments-N.jsonl` and a `segments-N.safetensors` with `keys`
(n x d, float16), and `latents`, one after the other in the bytes they are stored in, the n-th ending at
`latent_ends[n]`. Going out and in again changes nothing. Neither holds more than a part in RAM.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from larimar_memory import validate
from larimar_memory.encoders.base import Encoder, keys_of
from larimar_memory.errors import EncoderMismatchError, InputError, MemoryFileError
from larimar_memory.stores.base import Document, Span, Store, StoredSegment, WriteBatch
from larimar_memory.stores.exported import FORMAT, VERSION, Exported, Read, digest, read, unusable
from larimar_memory.stores.packing import pack
from larimar_memory.system.files import put_in_place

SHARD_SEGMENTS = 4096
_BATCH_SEGMENTS = 512

OnSegments = Callable[[int, int], None]
"""Called with segments done and segments there are."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was exported or imported."""

    namespaces: int
    documents: int
    segments: int


def export(
    store: Store, out: Path, *, encoder: str, dimension: int, on_progress: OnSegments | None = None
) -> Moved:
    """Write all that a store holds, as it is at one moment, to a folder that is made for it.

    Args:
        encoder: fingerprint of what made the keys.
        dimension: d.

    Raises:
        InputError: if there is something at `out`.
        MemoryFileError: if something stored is damaged, or `out` cannot be written.
    """
    validate.check_free(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with put_in_place(out, folder=True) as new, store.snapshot():
            writer = _Writer(new, store.stats().segments, on_progress)
            namespaces = store.namespaces()
            with (new / "documents.jsonl").open("w", encoding="utf-8", newline="\n") as lines:
                for namespace in namespaces:
                    for document in store.documents(namespace):
                        lines.write(_line(_document_values(namespace, document)))
                        writer.add(_segments(store, namespace, document))
            writer.flush()
            about = {
                "format": FORMAT,
                "version": VERSION,
                "encoder": encoder,
                "dimension": dimension,
                "namespaces": len(namespaces),
                "documents": writer.documents,
                "segments": writer.segments,
                "files": {p.name: digest(p) for p in sorted(new.iterdir())},
            }
            (new / "memory.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        if isinstance(error, MemoryFileError):
            raise
        raise MemoryFileError(
            f"Nothing was exported to {out}.",
            f"The system said: {error.strerror or error}.",
            "Check the path, its permissions and the free space.",
        ) from error
    return Moved(len(namespaces), writer.documents, writer.segments)


def import_into(
    store: Store,
    found: Exported,
    *,
    encoder: str,
    dimension: int,
    reencode: Encoder | None = None,
    namespaces: Mapping[str, str] | None = None,
    replace_documents: bool = False,
    on_progress: OnSegments | None = None,
) -> Moved:
    """Write an export's documents to a store, each with its keys, latents, metadata and time.

    All of it is read once before anything is written. A document is whole, or can be imported again, if
    this is interrupted.

    Args:
        found: by `look`.
        encoder: fingerprint of the store's keys.
        dimension: d of the store's keys.
        reencode: makes the keys anew, where they are another encoder's.
        namespaces: other names for some namespaces.
        replace_documents: let a document take the place of one of its id.

    Raises:
        EncoderMismatchError: if the keys are another encoder's; then nothing was written.
        InputError: if the store has documents of these ids, or there is something in the export that
            `Larimar.write` would not take; then nothing was written.
        MemoryFileError: if the store cannot be written.
    """
    if found.encoder != encoder and reencode is None:
        raise EncoderMismatchError(
            f"The export {found.folder} cannot be imported.",
            f"Its keys were made by encoder {found.encoder[:12]} ({found.dimension} numbers each), and "
            f"those of this memory by {encoder[:12]}; they cannot be compared.",
            "Have the texts encoded again with `--reencode`, or import it to a new memory.",
        )
    names = dict(namespaces or {})
    for name in names.values():
        validate.check_name(name, "namespace")
    keyed = reencode if found.encoder != encoder else None
    if keyed is None and found.dimension != dimension:
        raise unusable(
            found.folder, f"Its keys have {found.dimension} numbers, and the memory's {dimension}."
        )
    for namespace, document, segments in read(found):
        if not replace_documents:
            _check_new(store, found, names.get(namespace, namespace), document)
        for _ in segments:
            pass
    seen, done, total = set[str](), 0, 0
    for named, document, segments in read(found):
        namespace = names.get(named, named)
        seen.add(namespace)
        batch, first = list[Read](), True
        for segment in segments:
            if len(batch) == _BATCH_SEGMENTS:
                _write(store, namespace, replace(document, complete=False), batch, first, keyed)
                batch, first = [], False
            batch.append(segment)
            done += 1
        _write(store, namespace, document, batch, first, keyed)
        total += 1
        if on_progress is not None:
            on_progress(done, found.segments)
    return Moved(len(seen), total, done)


@dataclass(slots=True)
class _Writer:
    """Writes segments to shards of so many."""

    folder: Path
    total: int
    on_progress: OnSegments | None
    documents: int = 0
    segments: int = 0
    shards: int = 0
    held: list[tuple[int, StoredSegment, bytes]] = field(default_factory=list)

    def add(self, segments: Iterator[tuple[StoredSegment, bytes]]) -> None:
        """Add the segments of the next document."""
        for segment, latent in segments:
            self.held.append((self.documents, segment, latent))
            if len(self.held) == SHARD_SEGMENTS:
                self.flush()
        self.documents += 1

    def flush(self) -> None:
        """Write what is held."""
        if not self.held:
            return
        name = self.folder / f"segments-{self.shards:05}"
        with name.with_suffix(".jsonl").open("w", encoding="utf-8", newline="\n") as lines:
            for document, s, _ in self.held:
                values = {"document": document, "index": s.index, "start": s.start, "end": s.end}
                lines.write(_line({**values, "text": s.text}))
        latents = [latent for _, _, latent in self.held]
        tensors = {
            "keys": np.array([s.key for _, s, _ in self.held]).astype("<f2"),
            "latents": np.frombuffer(b"".join(latents), dtype=np.uint8),
            "latent_ends": np.cumsum([len(latent) for latent in latents], dtype=np.int64),
        }
        save_file(tensors, name.with_suffix(".safetensors"), metadata={"format": FORMAT})
        self.segments += len(self.held)
        self.shards += 1
        self.held = []
        if self.on_progress is not None:
            self.on_progress(self.segments, max(self.total, self.segments))


def _segments(store: Store, namespace: str, of: Document) -> Iterator[tuple[StoredSegment, bytes]]:
    first, count = 0, of.segments
    while count > 0:
        span = Span(of.id, first, first + _BATCH_SEGMENTS - 1)
        (held,) = store.spans(namespace, [span], latents=True)
        for segment in held:
            yield segment, b"" if segment.latent is None else pack(segment.latent)
        first, count = first + _BATCH_SEGMENTS, count - len(held)


def _document_values(namespace: str, document: Document) -> dict[str, Any]:
    values = asdict(document)
    # They are counted again where it is imported.
    del values["segments"]
    return {"namespace": namespace, **values}


def _write(
    store: Store,
    namespace: str,
    document: Document,
    held: list[Read],
    first: bool,
    encoder: Encoder | None,
) -> None:
    keys = np.array([r.key for r in held], dtype=np.float32)
    if encoder is not None:
        keys = keys_of(encoder, [r.segment.text for r in held]) if held else keys
    batch = WriteBatch(
        document, [r.segment for r in held], keys, replace=first, latents=[r.latent for r in held]
    )
    store.write(namespace, [batch])


def _check_new(store: Store, found: Exported, namespace: str, document: Document) -> None:
    if store.document(namespace, document.id) is not None:
        raise InputError(
            f"The export {found.folder} cannot be imported.",
            f"The memory has a document {document.id!r} in namespace {namespace!r} already.",
            "Import it to another namespace, or let it take that place with `--replace`.",
        )


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"
