"""A memory as files that any program reads: JSON lines for texts, safetensors for numbers.

An export is a folder with `memory.json`, which describes the export and has a checksum of every file;
`documents.jsonl`; and for every few thousand segments a `segments-N.jsonl` and a
`segments-N.safetensors`. The latter holds `keys` (n x d, float16) and `latents`: the bytes in which
latents are stored, one latent after the other, the n-th ending at `latent_ends[n]`. In a lazy memory,
`keys` are the coarse keys (int8, scaled so that the largest is 127), and `fine_keys` (float16) are the
fine keys of the segments for which `keyed` (n, bool) is true. If there are receipts of what was
forgotten, they are the lines of `receipts.jsonl`.

Exporting and importing again changes nothing. Neither holds more than a part of the memory in RAM.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from larimar_memory import receipts, validate
from larimar_memory.encoders.base import Encoder, TokenizingEncoder, coarse_table, keys_of
from larimar_memory.encoders.keys import coded
from larimar_memory.errors import EncoderMismatchError, InputError, MemoryFileError
from larimar_memory.stores.base import (
    Document,
    KeptReceipts,
    Key,
    Keys,
    MakeKeys,
    Span,
    Store,
    StoredSegment,
    WriteBatch,
)
from larimar_memory.stores.exported import (
    FORMAT,
    RECEIPTS,
    VERSION,
    Exported,
    Read,
    digest,
    lacking,
    read,
    unusable,
)
from larimar_memory.stores.packing import pack
from larimar_memory.system.files import put_in_place
from larimar_memory.system.places import check_free
from larimar_memory.text.normal import normalised

SHARD_SEGMENTS = 4096
_BATCH_SEGMENTS = 512

OnSegments = Callable[[int, int], None]
"""Called with how many segments are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How much was exported or imported."""

    namespaces: int
    documents: int
    segments: int


def export(
    store: Store,
    out: Path,
    *,
    encoder: str,
    dimension: int,
    namespace: str | None = None,
    with_receipts: bool = True,
    on_progress: OnSegments | None = None,
) -> Moved:
    """Write everything that a store holds, as of one moment, to a new folder.

    Args:
        encoder: fingerprint of the encoder that made the keys.
        dimension: d.
        namespace: only this namespace, without receipts; by default all.
        with_receipts: False leaves receipts out.

    Raises:
        InputError: if there is something at `out` already.
        MemoryFileError: if something stored is damaged, or `out` cannot be written.
    """
    check_free(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with put_in_place(out, folder=True) as new, store.snapshot():
            writer = _Writer(new, store.lazy, store.stats(namespace).segments, on_progress)
            namespaces = store.namespaces() if namespace is None else [namespace]
            with (new / "documents.jsonl").open("w", encoding="utf-8", newline="\n") as lines:
                for space in namespaces:
                    for document in store.documents(space):
                        lines.write(_line(_document_values(space, document)))
                        writer.add(_segments(store, space, document))
            writer.flush()
            kept = KeptReceipts([], 0)
            if with_receipts and namespace is None:
                kept = store.receipts()
            if kept.added:
                lines_of = "".join(f"{line}\n" for line in kept.lines)
                (new / RECEIPTS).write_text(lines_of, encoding="utf-8", newline="\n")
            about = {
                "format": FORMAT,
                # Earlier releases can read an export without receipts.
                "version": VERSION if kept.added else VERSION - 1,
                "encoder": encoder,
                "dimension": dimension,
                "lazy": store.lazy,
                "namespaces": len(namespaces),
                "documents": writer.documents,
                "segments": writer.segments,
                **({"receipts": kept.added} if kept.added else {}),
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
    coarse: MakeKeys | None = None,
    namespaces: Mapping[str, str] | None = None,
    replace_documents: bool = False,
    on_progress: OnSegments | None = None,
) -> Moved:
    """Write an export's documents to a store, each with its keys, latents, metadata and time.

    Receipts come last; they still describe the memory that was exported.

    The whole export is read once before anything is written. If the import is interrupted, each
    document is whole, or can be imported again.

    Args:
        found: the export, as `look` returns it.
        encoder: fingerprint of the encoder of the store's keys.
        dimension: d of the store's keys.
        reencode: makes the keys again if they are another encoder's, or lacking.
        coarse: makes a lazy store's coarse keys from texts, if the export has none for it.
        namespaces: new names for some of the export's namespaces.
        replace_documents: let documents replace those with the same ids.

    Raises:
        EncoderMismatchError: if the keys are another encoder's; then nothing was written.
        InputError: if the store has documents with these ids, the export holds something that
            `Larimar.write` would refuse, or keys are lacking and nothing given makes them; then nothing
            was written.
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
    if found.receipts.added:
        _check_receipts(store, found)
    keying = _Keying(store.lazy, keyed is None, found.lazy, reencode, coarse)
    for namespace, document, segments in read(found):
        if not replace_documents:
            _check_new(store, found, names.get(namespace, namespace), document)
        for segment in segments:
            keying.check(found, segment)
    seen, done, total = set[str](), 0, 0
    for named, document, segments in read(found):
        namespace = names.get(named, named)
        seen.add(namespace)
        batch, first = list[Read](), True
        for segment in segments:
            if len(batch) == _BATCH_SEGMENTS:
                _write(store, namespace, replace(document, complete=False), batch, first, keying)
                batch, first = [], False
            batch.append(segment)
            done += 1
        _write(store, namespace, document, batch, first, keying)
        total += 1
        if on_progress is not None:
            on_progress(done, found.segments)
    if found.receipts.added:
        receipts.import_into(store, found.receipts)
    return Moved(len(seen), total, done)


def coarse_keys(encoder: Encoder) -> MakeKeys | None:
    """A function that makes an encoder's coarse keys; None if it has no table of them."""
    table = coarse_table(encoder)
    if table is None or not isinstance(encoder, TokenizingEncoder):
        return None
    tokenize = encoder.tokenize

    def make(texts: Sequence[str]) -> Keys:
        batch = tokenize([*map(normalised, texts)])
        return np.asarray(table.keys(batch.ids, batch.unread))

    return make


@dataclass(frozen=True, slots=True)
class _Keying:
    """Gives the segments of an export the keys that a store needs.

    Attributes:
        lazy: whether the store is lazy.
        same: whether the store's encoder made the export's keys.
        coarse_there: whether the export has coarse keys.
    """

    lazy: bool
    same: bool
    coarse_there: bool
    encoder: Encoder | None
    coarse: MakeKeys | None

    def check(self, found: Exported, segment: Read) -> None:
        """Raise InputError if the segment would lack a key."""
        if self.lazy and not (self.same and self.coarse_there) and self.coarse is None:
            raise lacking(
                found.folder, "The memory is searched by coarse keys, and none are there for it."
            )
        if not self.lazy and (segment.fine is None or not self.same) and self.encoder is None:
            raise lacking(
                found.folder, "The memory holds the encoder's key of every segment, and some have none."
            )

    def keys(self, held: list[Read]) -> tuple[Keys, list[Key | None]]:
        """The keys for the store to search by, and the fine keys, as far as there are any."""
        texts, fine = [r.segment.text for r in held], [r.fine if self.same else None for r in held]
        if self.lazy and not (self.same and self.coarse_there) and self.coarse is not None and held:
            return self.coarse(texts), fine
        if self.lazy:
            return np.array([r.key for r in held], dtype=np.float32), fine
        wanted = [n for n, key in enumerate(fine) if key is None]
        if wanted and self.encoder is not None:
            made = keys_of(self.encoder, [texts[n] for n in wanted])
            for n, key in zip(wanted, made, strict=True):
                fine[n] = key
        return np.array(fine, dtype=np.float32), fine


@dataclass(slots=True)
class _Writer:
    """Writes segments to shards of `SHARD_SEGMENTS` each."""

    folder: Path
    lazy: bool
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
            **self._keys(),
            "latents": np.frombuffer(b"".join(latents), dtype=np.uint8),
            "latent_ends": np.cumsum([len(latent) for latent in latents], dtype=np.int64),
        }
        save_file(tensors, name.with_suffix(".safetensors"), metadata={"format": FORMAT})
        self.segments += len(self.held)
        self.shards += 1
        self.held = []
        if self.on_progress is not None:
            self.on_progress(self.segments, max(self.total, self.segments))

    def _keys(self) -> dict[str, np.ndarray]:
        fine = [s.key for _, s, _ in self.held]
        own = np.array([key for key in fine if key is not None]).astype("<f2")
        if not self.lazy:
            return {"keys": own}
        searched = np.array([s.coarse for _, s, _ in self.held], dtype=np.float32)
        return {
            "keys": coded(searched),
            "fine_keys": own.reshape(len(own), searched.shape[1]),
            "keyed": np.array([key is not None for key in fine]),
        }


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
    # The import counts them again.
    del values["segments"]
    return {"namespace": namespace, **values}


def _write(
    store: Store, namespace: str, document: Document, held: list[Read], first: bool, keying: _Keying
) -> None:
    segments, latents = [r.segment for r in held], [r.latent for r in held]
    keys, fine = keying.keys(held)
    store.write(namespace, [WriteBatch(document, segments, keys, first, latents, fine)])


def _check_new(store: Store, found: Exported, namespace: str, document: Document) -> None:
    if store.document(namespace, document.id) is not None:
        raise InputError(
            f"The export {found.folder} cannot be imported.",
            f"The memory has a document {document.id!r} in namespace {namespace!r} already.",
            "Import it to another namespace, or let it take that place with `--replace`.",
        )


def _check_receipts(store: Store, found: Exported) -> None:
    """Raise InputError if an export's receipts cannot be read, or the store keeps none."""
    try:
        receipts.understood(found.receipts.lines)
    except receipts.WRONG as error:
        raise unusable(found.folder, f"Its {RECEIPTS} holds no receipts ({error!r}).") from error
    store.add_receipts(lambda _: [])


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"
