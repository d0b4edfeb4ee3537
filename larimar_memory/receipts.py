"""Receipts of what was forgotten: write, chain, read and verify them.

The memory keeps a line of JSON for the beginning of each deletion, before anything is deleted, and one
for its end. Each line has the hash of the line before, so nobody can change, remove or insert one
without changing all that follow. The lines hold ids, counts and hashes, but nothing of any text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any, TypeAlias

from larimar_memory.errors import MemoryFileError
from larimar_memory.stores.base import KeptReceipts, Store

_Entry: TypeAlias = dict[str, Any]
_COUNTS = ("pieces", "added", "too_short", "shared")
WRONG = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
"""The errors that reading lines raises if they are not receipts."""


@dataclass(frozen=True, slots=True)
class Erased:
    """A document that was forgotten.

    Attributes:
        hash: SHA-256, in hexadecimal digits, of the receipt's salt and the text as UTF-8.
    """

    namespace: str
    id: str
    segments: int
    characters: int
    hash: str


@dataclass(frozen=True, slots=True)
class Searched:
    """The check that nothing is left: every byte of the files was searched.

    Attributes:
        files: names and sizes of the files that were searched.
        pieces: how many pieces of text, words, metadata, keys and latents were searched for.
        added: how many pieces there were; of very many, only some are searched for.
        too_short: values of fewer than six bytes, which any file holds by chance.
        shared: pieces that were found because other documents hold them too.
        left_in: names of the files that hold any other piece.
        unread: names of the files that could not be read.
    """

    files: dict[str, int]
    pieces: int
    added: int
    too_short: int
    shared: int
    left_in: tuple[str, ...]
    unread: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was erased, when, from which files, and how that was checked.

    Attributes:
        number: 1 for the memory's first.
        begun_at, ended_at: UTC, `YYYY-MM-DD HH:MM:SS`; `ended_at` is None after an interruption, until
            `Larimar.purge`, or the next `forget` with a receipt, completes the receipt.
        salt: in hexadecimal digits.
        documents: the documents that were forgotten.
        check: None if the store's files cannot be searched, or if the receipt was completed later, when
            nothing held the texts any more.
        hash: hash of the receipt's last line in the chain.
        imported: whether it came with an export, from another memory.
    """

    number: int
    begun_at: str
    ended_at: str | None
    salt: str
    documents: tuple[Erased, ...]
    check: Searched | None
    hash: str
    imported: bool = False

    @property
    def erased(self) -> bool:
        """Whether all files were searched, and nothing is left in any."""
        return self.check is not None and not (self.check.left_in or self.check.unread)

    def is_of(self, text: str) -> bool:
        """Whether a text is one of those that were forgotten."""
        return hash_of(self.salt, [text]) in {document.hash for document in self.documents}

    def to_dict(self) -> dict[str, Any]:
        """The receipt as JSON-serialisable values."""
        return {**asdict(self), "erased": self.erased}


def hash_of(salt: str, texts: Iterable[str]) -> str:
    """The hash by which a receipt names a text, which is given in parts."""
    made = hashlib.sha256(salt.encode())
    for text in texts:
        made.update(text.encode("utf-8", "surrogatepass"))
    return made.hexdigest()


def begin(store: Store, salt: str, documents: Sequence[Erased]) -> str:
    """Record what is about to be forgotten; returns the entry's hash."""
    held = [[d.namespace, d.id, d.segments, d.characters, d.hash] for d in documents]
    return _add(store, {"kind": "begun", "salt": salt, "documents": held})


def end(store: Store, begun: str, check: Searched | None, left: Sequence[Erased] = ()) -> str:
    """Record that it was forgotten; returns the entry's hash.

    Args:
        begun: the hash that `begin` returned.
        check: how the files were searched; None if they were not.
        left: the documents that are still there.
    """
    said = None if check is None else asdict(check)
    kept = [[document.namespace, document.id] for document in left]
    return _add(store, {"kind": "ended", "of": begun, "check": said, "left": kept})


def settle(store: Store) -> None:
    """Complete the receipts of interrupted deletions; to be called once their texts are erased."""
    for receipt in read(store):
        if receipt.ended_at is None and not receipt.imported:
            there = [d for d in receipt.documents if store.document(d.namespace, d.id) is not None]
            end(store, receipt.hash, None, there)


def read(store: Store, *, verify: bool = False) -> list[Receipt]:
    """The receipts that a store keeps, in order.

    Raises:
        MemoryFileError: if a receipt cannot be read, or, with `verify`, the chain is broken.
    """
    kept = store.receipts()
    try:
        receipts = understood(kept.lines)
    except WRONG as error:
        raise _untrue(store, f"One of them cannot be read ({type(error).__name__}).") from error
    if verify and (why := broken(kept)) is not None:
        raise _untrue(store, why)
    return receipts


def understood(lines: Sequence[str]) -> list[Receipt]:
    """The receipts that the lines of a chain hold.

    Raises:
        ValueError and others, which `WRONG` lists: if the lines are not receipts.
    """
    receipts, begun_with = dict[str, Receipt](), dict[str, tuple[Erased, ...]]()
    for outer in map(_parsed, lines):
        entry = outer.get("entry", outer)
        if entry["kind"] == "begun":
            held = tuple(_erased(*values) for values in entry["documents"])
            start, own = (_text(entry["at"]), None, _text(entry["salt"])), _text(entry["hash"])
            number, imported = len(receipts) + 1, entry is not outer
            begun_with[own] = held
            receipts[own] = Receipt(number, *start, held, None, own, imported)
        elif (begun := receipts.get(_text(entry["of"]))) is not None:
            # An end without its beginning makes no receipt; the broken chain shows the loss.
            check, left = entry["check"], {(space, id) for space, id in entry["left"]}
            check = None if check is None else _search(check)
            # The last end counts: another process may have ended the receipt before.
            gone = tuple(d for d in begun_with[entry["of"]] if (d.namespace, d.id) not in left)
            ended, own = _text(entry["at"]), _text(entry["hash"])
            receipts[entry["of"]] = replace(
                begun, ended_at=ended, documents=gone, check=check, hash=own
            )
    return list(receipts.values())


def broken(kept: KeptReceipts) -> str | None:
    """A sentence that says why a chain is not what was written; None if it is."""
    last = ""
    for number, line in enumerate(kept.lines, start=1):
        try:
            entry = _parsed(line)
            own, inner = _sealed(entry), entry.get("entry")
            if entry["hash"] != own or (inner is not None and inner["hash"] != _sealed(inner)):
                return f"Entry {number} is not what was written."
            if (entry["number"], entry["previous"]) != (number, last):
                return f"Entry {number} does not follow the one before it."
            if (why := entry.get("broken")) is not None:
                return f"Entry {number} was imported from a memory whose own were broken: {why}"
        except WRONG as error:
            return f"Entry {number} cannot be read ({type(error).__name__})."
        last = own
    if kept.added != len(kept.lines):
        return f"{kept.added} entries were added, and {len(kept.lines)} are there."
    return None


def import_into(store: Store, found: KeptReceipts) -> None:
    """Keep an export's receipts: as they are if the store has none, otherwise chained to its own.

    Receipts that the store already has are skipped. If the export's chain is broken, each entry that is
    added says so.
    """
    why, held = broken(found), set[str]()
    for entry in map(_parsed, store.receipts().lines):
        held |= {entry["hash"], entry.get("entry", entry)["hash"]}
    new = [line for line in found.lines if _parsed(line)["hash"] not in held]

    def chained(last: str | None) -> list[str]:
        if last is None and why is None:
            return new
        made, before = list[str](), last
        for line in new:
            entry = _parsed(line)
            # An entry that was itself imported is unwrapped first.
            entry = entry.get("entry", entry)
            told = {} if why is None else {"broken": why}
            before = _next(before, {"kind": "imported", "entry": entry, **told})
            made.append(before)
        return made

    if new:
        store.add_receipts(chained)


def _add(store: Store, said: _Entry) -> str:
    added = list[str]()

    def make(last: str | None) -> list[str]:
        added.append(_next(last, said))
        return added[-1:]

    store.add_receipts(make)
    return str(_parsed(added[-1])["hash"])


def _next(last: str | None, said: _Entry) -> str:
    """The line that follows the last one."""
    before: _Entry = {"number": 0, "hash": ""} if last is None else _parsed(last)
    at = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    entry = {**said, "at": at, "number": before["number"] + 1, "previous": before["hash"]}
    return _line({**entry, "hash": _sealed(entry)})


def _sealed(entry: _Entry) -> str:
    """The hash that an entry must have: that of everything else in it."""
    said = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(_line(said).encode()).hexdigest()


def _line(entry: _Entry) -> str:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"))


def _parsed(line: str) -> _Entry:
    entry: _Entry = json.loads(line)
    return entry


def _erased(namespace: Any, id: Any, segments: Any, characters: Any, hash: Any) -> Erased:
    return Erased(_text(namespace), _text(id), int(segments), int(characters), _text(hash))


def _search(said: dict[str, Any]) -> Searched:
    left_in, unread = (tuple(map(_text, said[name])) for name in ("left_in", "unread"))
    files = {name: int(size) for name, size in said["files"].items()}
    pieces, added, short, shared = map(int, (said[name] for name in _COUNTS))
    return Searched(files, pieces, added, short, shared, left_in, unread)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is no text")
    return value


def _untrue(store: Store, why: str) -> MemoryFileError:
    return MemoryFileError(
        f"The receipts in the memory {store.place or 'in RAM'} are not what was written.",
        why,
        "Compare them with a backup, or with the receipts that were handed out.",
    )
