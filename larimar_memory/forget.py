"""Forget: delete documents, erase them from the files, and record in a receipt how that was checked."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, overload

from larimar_memory import receipts, validate
from larimar_memory.encoders.keys import coded
from larimar_memory.errors import InputError
from larimar_memory.recall.stems import stems_of
from larimar_memory.receipts import Erased, Receipt, Searched
from larimar_memory.stores.base import Document, Span, Store, StoredSegment
from larimar_memory.stores.packing import pack
from larimar_memory.system.pieces import LEAST, Pieces
from larimar_memory.text.words import words
from larimar_memory.types import DEFAULT_NAMESPACE, Where

_SEGMENTS = 512
_BATCH_BYTES = 4 << 20


class Forgetting:
    """The part of the facade that deletes; see `Larimar`."""

    store: Store

    @overload
    def forget(
        self,
        *,
        ids: str | Iterable[str] | None = None,
        where: Where | None = None,
        namespace: str | None = None,
        everywhere: bool = False,
        purge: bool = True,
        receipt: Literal[False] = False,
    ) -> int: ...

    @overload
    def forget(
        self,
        *,
        ids: str | Iterable[str] | None = None,
        where: Where | None = None,
        namespace: str | None = None,
        everywhere: bool = False,
        purge: bool = True,
        receipt: Literal[True],
    ) -> Receipt: ...

    def forget(
        self,
        *,
        ids: str | Iterable[str] | None = None,
        where: Where | None = None,
        namespace: str | None = None,
        everywhere: bool = False,
        purge: bool = True,
        receipt: bool = False,
    ) -> int | Receipt:
        """Delete documents: by id, by metadata filter, or all of a namespace; returns how many.

        Args:
            ids: ids of documents; unknown ids are skipped, and an empty list deletes nothing.
            where: a metadata filter; with `ids`, both must hold.
            namespace: where to delete; given alone, all of it is deleted.
            everywhere: delete in all namespaces, by `ids` or `where`; for example, everything about a
                person.
            purge: also erase every trace from the files, in time proportional to their size. Without
                it, call `purge()` later. If a purge is interrupted, the next opening completes it.
            receipt: search every byte of the files for what was deleted, keep a receipt in the memory,
                and return it. It holds ids, counts and hashes, but nothing of the texts.

        Raises:
            InputError: if nothing says what to forget, an id is not a str, or no receipt is possible.
            MemoryBusyError: if what was forgotten is not erased yet, because others use the files.
        """
        named = validate.check_what_to_forget(ids, where, namespace, everywhere)
        given = DEFAULT_NAMESPACE if namespace is None else namespace
        spaces = [validate.check_name(given, "namespace")]
        if everywhere:
            spaces = self.store.namespaces()
        if receipt:
            return _with_receipt(self.store, spaces, named, where, purge)
        count = sum(self.store.delete(s, ids=named, where=where, to_purge=purge) for s in spaces)
        if purge:
            _erase(self.store, count)
        return count

    def purge(self) -> None:
        """Erase from the files every trace of what was forgotten or replaced.

        Raises:
            MemoryBusyError: if a reader or writer elsewhere prevents it.
        """
        self.store.purge()
        receipts.settle(self.store)


def _erase(store: Store, count: int) -> None:
    if count:
        store.purge()
    else:
        store.clear()


def _with_receipt(
    store: Store, spaces: Sequence[str], ids: Sequence[str] | None, where: Where | None, purge: bool
) -> Receipt:
    if not purge:
        raise InputError(
            "Nothing was forgotten.",
            "A receipt says that nothing is left in the files, and purge=False leaves it there.",
            "Leave out purge=False, or the receipt.",
        )
    if any(receipt.ended_at is None and not receipt.imported for receipt in receipts.read(store)):
        store.purge()
        receipts.settle(store)
    salt, pieces = secrets.token_hex(16), Pieces()
    doomed = [(space, document) for space in spaces for document in store.documents(space, where, ids)]
    begun = receipts.begin(
        store, salt, [_taken_apart(store, space, document, salt, pieces) for space, document in doomed]
    )
    count = 0
    for space in dict.fromkeys(space for space, _ in doomed):
        names = [document.id for of, document in doomed if of == space]
        count += store.delete(space, ids=names, to_purge=True)
    _erase(store, count)
    ended = receipts.end(store, begun, _searched(store, pieces))
    return next(receipt for receipt in receipts.read(store) if receipt.hash == ended)


def _taken_apart(store: Store, space: str, document: Document, salt: str, pieces: Pieces) -> Erased:
    """A document's entry in the receipt; adds its pieces to those that are searched for."""
    parts = (_noted(segment, pieces) for segment in _segments(store, space, document))
    digest = receipts.hash_of(salt, parts)
    for text in _texts_in(document.metadata):
        # As JSON writes it.
        pieces.add(json.dumps(text, ensure_ascii=False)[1:-1].encode())
    return Erased(space, document.id, document.segments, document.characters, digest)


def _noted(segment: StoredSegment, pieces: Pieces) -> str:
    pieces.add(segment.text.encode("utf-8", "surrogatepass"))
    for word in _indexed(segment.text):
        if len(word) >= LEAST:
            pieces.add(word)
    for form in _numbers(segment):
        pieces.add(form, ends=True)
    return segment.text


def _segments(store: Store, space: str, document: Document) -> Iterator[StoredSegment]:
    last = -1
    while True:
        (held,) = store.spans(space, [Span(document.id, last + 1, last + _SEGMENTS)], latents=True)
        yield from held
        last += _SEGMENTS
        if len(held) < _SEGMENTS:
            return


def _indexed(text: str) -> list[bytes]:
    """A text's words and their stems, as the text index keeps them."""
    found = list(dict.fromkeys(words(text)))
    return [word.encode("utf-8", "surrogatepass") for word in dict.fromkeys(found + stems_of(found))]


def _numbers(segment: StoredSegment) -> Iterator[bytes]:
    """A segment's keys and latent in the forms that they are kept in."""
    for key in (segment.key, segment.coarse):
        if key is not None:
            yield key.astype("<f2").tobytes()
            yield coded(key[None]).tobytes()
    if segment.latent is not None:
        yield pack(segment.latent)


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(part)


def _searched(store: Store, pieces: Pieces) -> Searched | None:
    """Search the files for the pieces, and what the memory still holds for those that are found."""
    files = store.search_files(pieces)
    if files is None:
        return None
    found = set[bytes]().union(*(file.found or () for file in files))
    left = _not_held(store, found)
    return Searched(
        files={file.name: file.size for file in files},
        pieces=len(pieces),
        added=pieces.added,
        too_short=pieces.too_short,
        shared=len(found - left),
        left_in=tuple(file.name for file in files if file.found and not left.isdisjoint(file.found)),
        unread=tuple(file.name for file in files if file.found is None),
    )


def _not_held(store: Store, found: set[bytes]) -> set[bytes]:
    """The pieces that nothing in the memory holds; it is read only until all pieces are seen."""
    left, batch, size = set(found), list[bytes](), 0
    for held in _held(store) if left else ():
        batch.append(held)
        size += len(held)
        if size > _BATCH_BYTES:
            left -= _among(left, batch)
            batch, size = [], 0
            if not left:
                break
    return left - _among(left, batch)


def _among(pieces: set[bytes], values: list[bytes]) -> set[bytes]:
    wanted = Pieces()
    for piece in pieces:
        wanted.add(piece)
    # The zeros keep a piece from matching across the end of one value and the start of the next.
    return wanted.found_in([bytes(LEAST).join(values)])


def _held(store: Store) -> Iterator[bytes]:
    """All that a memory holds, in the forms that it is kept in."""
    yield from (line.encode() for line in store.receipts().lines)
    for space in store.namespaces():
        yield space.encode()
        for document in store.documents(space):
            said = json.dumps(document.metadata, ensure_ascii=False)
            yield f"{document.id}\0{document.content_hash}\0{document.episode}\0{said}".encode()
            for segment in _segments(store, space, document):
                yield segment.text.encode("utf-8", "surrogatepass")
                yield b" ".join(_indexed(segment.text))
                yield from _numbers(segment)
