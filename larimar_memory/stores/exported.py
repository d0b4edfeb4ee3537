"""Read exports, whether `exchange.export` wrote them or not: everything in them is checked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from larimar_memory import validate
from larimar_memory.encoders.keys import unit
from larimar_memory.errors import InputError, MemoryFileError
from larimar_memory.stores.base import Document, KeptReceipts, Key, Keys
from larimar_memory.stores.packing import unpack
from larimar_memory.types import Segment

_T = TypeVar("_T")
FORMAT, VERSION = "larimar-export", 3
"""Version 1 had neither coarse keys nor episodes, version 2 no receipts."""

RECEIPTS = "receipts.jsonl"

_MOST = 2**53
"""The largest count: beyond it, not every program reads JSON's numbers exactly."""

_MOST_DIMENSIONS = 10**6
_TIME = re.compile(r"\d+-\d\d-\d\d \d\d:\d\d:\d\d")
_WRONG = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""The errors that malformed contents raise while they are parsed."""


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that has been checked: complete, and in a format that can be read.

    Attributes:
        lazy: whether its keys are coarse, with fine keys beside them.
    """

    folder: Path
    encoder: str
    dimension: int
    segments: int
    shards: int
    lazy: bool = False
    receipts: KeptReceipts = field(default=KeptReceipts([], 0))


@dataclass(frozen=True, slots=True)
class Read:
    """A segment of an export with its keys and latent.

    Attributes:
        key: the key that the memory searched by.
        fine: the encoder's key; None if a lazy memory had not made it yet.
    """

    segment: Segment
    key: Key
    latent: np.ndarray | None
    fine: Key | None


def look(folder: Path) -> Exported:
    """Check that every file of an export is what was written; returns what the export holds.

    Raises:
        InputError: if it is not an export, is from a newer release, or is damaged.
    """
    try:
        about = json.loads((folder / "memory.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise KeyError("format")
        if about["version"] > VERSION:
            raise unusable(folder, f"Its format is version {about['version']}, and newer than this.")
        names = set(about["files"])
        shards = sum(name.endswith(".safetensors") for name in names)
        wanted = {f"segments-{n:05}.{kind}" for n in range(shards) for kind in ("jsonl", "safetensors")}
        added = _count(about.get("receipts", 0))
        if names != wanted | {"documents.jsonl", *([RECEIPTS] if added else [])}:
            raise KeyError("files")
        for name, made in about["files"].items():
            if digest(folder / name) != made:
                raise unusable(folder, f"Its file {name} is not what was written.")
        dimension = _count(about["dimension"], _MOST_DIMENSIONS)
        segments, lazy = _count(about["segments"]), about.get("lazy", False)
        if not isinstance(lazy, bool):
            raise TypeError("lazy")
        lines = (folder / RECEIPTS).read_text(encoding="utf-8").split("\n")[:-1] if added else []
        kept = KeptReceipts(lines, added)
        return Exported(folder, _text(about["encoder"]), dimension, segments, shards, lazy, kept)
    except (OSError, *_WRONG) as error:
        if isinstance(error, InputError):
            raise
        raise unusable(
            folder, f"It is no export of a memory, or a part is missing ({error})."
        ) from error


def read(found: Exported) -> Iterator[tuple[str, Document, Iterator[Read]]]:
    """Namespace, document and segments of each document; read the segments before the next document.

    Raises:
        InputError: if it holds something that `Larimar.write` would refuse, or that no export holds.
    """
    segments = _segments(found)
    ahead = next(segments, None)

    def of_document(number: int, document: Document) -> Iterator[Read]:
        nonlocal ahead
        last = -1
        while ahead is not None and ahead[0] == number:
            index = ahead[1].segment.index
            if index <= last or (document.complete and index != last + 1):
                raise unusable(found.folder, f"Document {document.id!r} lacks segments.")
            yield ahead[1]
            last, ahead = index, next(segments, None)

    number = -1
    for number, said in enumerate(_parsed(found, "documents.jsonl", _document)):
        namespace, document = said
        yield namespace, document, of_document(number, document)
    if ahead is not None:
        raise unusable(found.folder, f"It has segments of no document, the first of number {ahead[0]}.")


def digest(path: Path) -> str:
    """The hash of a file that `memory.json` keeps."""
    made = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            made.update(chunk)
    return made.hexdigest()


def unusable(folder: Path, why: str) -> InputError:
    """The error for an export that cannot be imported."""
    return InputError(
        f"The export {folder} cannot be imported.",
        why,
        "Export the memory again, or name another folder.",
    )


def lacking(folder: Path, why: str) -> InputError:
    """The error for an export without the keys that a memory needs."""
    return InputError(
        f"The export {folder} cannot be imported.",
        why,
        "Have them made with `--reencode`, or import it to a new memory.",
    )


def _document(values: Any) -> tuple[str, Document]:
    namespace = validate.check_name(values.pop("namespace"), "namespace")
    document = Document(**values)
    validate.check_name(document.id, "document id")
    validate.check_metadata(document.metadata)
    if document.episode is not None:
        validate.check_name(document.episode, "episode")
    _text(document.content_hash)
    _count(document.characters)
    if not isinstance(document.complete, bool):
        raise TypeError("complete")
    at = document.written_at
    if at is not None and not _TIME.fullmatch(_text(at)):
        raise ValueError("written_at is no time")
    return namespace, document


def _segment(values: Any) -> tuple[int, Segment]:
    document = _count(values.pop("document"))
    segment = Segment(**values)
    for number in (segment.index, segment.start, segment.end):
        _count(number)
    _text(segment.text)
    return document, segment


def _segments(found: Exported) -> Iterator[tuple[int, Read]]:
    for shard in range(found.shards):
        name = f"segments-{shard:05}"
        numbers = zip(*_numbers(found, name), strict=True)
        for document, segment in _parsed(found, f"{name}.jsonl", _segment):
            key, latent, fine = next(numbers, (None, None, None))
            if key is None:
                raise unusable(found.folder, f"There are more segments than keys in {name}.")
            yield document, Read(segment, key, latent, fine)
        if next(numbers, None) is not None:
            raise unusable(found.folder, f"There are fewer segments than keys in {name}.")


def _numbers(found: Exported, name: str) -> tuple[Keys, list[np.ndarray | None], Sequence[Key | None]]:
    """Keys, latents and the encoder's keys of a shard."""
    try:
        tensors = load_file(found.folder / f"{name}.safetensors")
        keys, stored, ends = (tensors[of] for of in ("keys", "latents", "latent_ends"))
        searched = _keys(keys, len(ends), found.dimension, np.int8 if found.lazy else np.float16)
        fine: list[Key | None] = list(searched)
        if found.lazy:
            keyed = tensors["keyed"]
            if keyed.dtype != np.bool_ or keyed.shape != ends.shape:
                raise ValueError("it does not say which segments have the encoder's key")
            own = _keys(tensors["fine_keys"], int(keyed.sum()), found.dimension, np.float16)
            searched, given = unit(searched), iter(own)
            fine = [next(given) if there else None for there in keyed]
        if stored.dtype != np.uint8 or stored.ndim != 1 or ends.dtype != np.int64 or ends.ndim != 1:
            raise ValueError("its latents are no bytes")
        bounds = [0, *map(int, ends)]
        if sorted(bounds) != bounds or bounds[-1] != len(stored):
            raise ValueError("its latents do not end where they should")
        blobs = [stored[a:b].tobytes() for a, b in pairwise(bounds)]
        return searched, [unpack(blob) if blob else None for blob in blobs], fine
    except (SafetensorError, OSError, MemoryFileError, *_WRONG) as error:
        raise unusable(found.folder, f"{name} is damaged ({error}).") from error


def _keys(stored: np.ndarray, count: int, dimension: int, of: type[np.generic]) -> Keys:
    if stored.dtype != of or stored.shape != (count, dimension):
        raise ValueError(f"its keys are of shape {stored.shape} and type {stored.dtype}")
    if not np.isfinite(stored).all():
        raise ValueError("its keys hold NaN or infinity")
    return stored.astype(np.float32)


def _parsed(found: Exported, name: str, parse: Callable[[Any], _T]) -> Iterator[_T]:
    """The parsed lines of a file."""
    try:
        with (found.folder / name).open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    values = parse(json.loads(line))
                except _WRONG as error:
                    why = f"{error.what} {error.why}" if isinstance(error, InputError) else repr(error)
                    said = f"In line {number} of {name} is nothing that was exported"
                    raise unusable(found.folder, f"{said}: {why.rstrip('.')}.") from error
                yield values
    except (OSError, UnicodeError) as error:
        raise unusable(found.folder, f"Its file {name} cannot be read ({error}).") from error


def _count(value: Any, most: int = _MOST) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{value!r} is no count")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    if validate.lone_surrogate(value) is not None:
        raise ValueError(f"it holds {validate.NO_UNICODE}")
    return value
