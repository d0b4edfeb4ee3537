"""Copy a memory to another place, and merge memories: exactly, resumably, and without an encoder.

A place is a memory file, the address of a PostgreSQL database, or a folder that `larimar export` wrote;
an open store can be given as well. Everything that a memory keeps goes along: texts, metadata, times,
episodes, namespaces, coarse and fine keys, latents, and receipts. What slots hold is computed from the
keys, in sums that do not depend on their order: a merged memory has the same slots as one memory to
which everything was written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from larimar_memory import exchange, receipts, validate
from larimar_memory.errors import EncoderMismatchError, InputError
from larimar_memory.stores.base import Store
from larimar_memory.stores.exported import look
from larimar_memory.stores.opening import called, open_as_written, place_of
from larimar_memory.stores.postgres.address import is_address
from larimar_memory.stores.pouring import Poured, Same, clash, pour
from larimar_memory.system.files import unfinished
from larimar_memory.system.places import check_path, exists

Place: TypeAlias = str | os.PathLike[str] | Store
"""A memory file, the address of a database, an export, or an open store."""

WhichStays: TypeAlias = Literal["refuse", "newer", "first"]
"""The rule by which `merge` decides between different documents that have the same id."""

OnSegments: TypeAlias = Callable[[int, int], None]
"""Called with how many segments are done, and how many there are."""

_REENCODE = "Export one with `larimar export`, and import that with `larimar import --reencode`."


def copy(
    source: Place,
    target: Place,
    *,
    namespace: str | None = None,
    with_receipts: bool = True,
    on_progress: OnSegments | None = None,
) -> Poured:
    """Copy everything that a memory holds, as of one moment, to another place.

    What is already there is not written again. Run again, an interrupted copy continues, and a complete
    one adds what was written since. The target keeps its documents with other ids.

    Args:
        target: where to copy to; a memory is made if there is none. A folder, or a path that ends in
            "/", stands for an export.
        namespace: only this namespace, without receipts; by default all.
        with_receipts: False leaves behind the receipts of what was forgotten, which a database cannot
            keep.

    Raises:
        InputError: if something cannot be used, the target holds another document under one of the ids,
            or it is the source; then nothing was written.
        EncoderMismatchError: if another encoder made the target's keys; then nothing was written.
        MemoryFileError: if a memory cannot be read or written; what was committed before is kept.
    """
    with ExitStack() as opened:
        store = opened.enter_context(_source(source))
        spaces = _spaces(store, namespace, "Nothing was copied.")
        if _is_folder(target):
            out = Path(os.fspath(target)).expanduser()  # type: ignore[arg-type]
            return _exported(store, out, namespace, with_receipts, on_progress)
        into = opened.enter_context(_target(target, store))
        what = f"Nothing was copied from {_name(store)} to {_name(into)}."
        with_receipts = with_receipts and namespace is None
        _check(what, [store], into, with_receipts, "It is the same memory.")

        def clashed(space: str, id: str) -> InputError:
            return InputError(
                what,
                f"There is another document {id!r} in namespace {space!r} there.",
                "Copy to a new memory, or let `larimar merge` settle which one stays.",
            )

        if found := clash(store, into, spaces, "exact"):
            raise clashed(*found)
        return _poured([store], into, [spaces], "exact", clashed, with_receipts, on_progress)


def merge(
    sources: Sequence[Place],
    into: Place,
    *,
    same: WhichStays = "refuse",
    with_receipts: bool = True,
    on_progress: OnSegments | None = None,
) -> Poured:
    """Write what several memories hold to one memory, in the order in which they are named.

    Equal documents with the same id become one, with the later time (if `same` is "first", the first
    one's), and every key and latent that any of them has. Merging again changes nothing.

    Args:
        sources: memories or exports; they are not changed.
        into: a memory, which is made if there is none; what it already holds counts as named first.
        same: which of two different documents with the same id stays. "newer" keeps the one written
            last, whichever memory it is in; "first" keeps the one in the memory named first. Either
            loses a text, so "refuse" is the default: nothing is merged, and the error names the id.
        with_receipts: as in `copy`.

    Raises:
        InputError: if something cannot be used, two memories hold different documents under one id and
            `same` is "refuse", or one is merged into itself; then nothing was written.
        EncoderMismatchError: if different encoders made their keys; then nothing was written.
        MemoryFileError: if a memory cannot be read or written; what was committed before is kept.
    """
    what = "The memories cannot be merged."
    if same not in get_args(WhichStays):
        raise InputError(
            what, f"There is no rule {same!r} for ids that several hold.", "Use newer, first or refuse."
        )
    if isinstance(sources, str | os.PathLike | Store) or not sources:
        raise InputError(what, "No list of memories was given.", "Name those to merge.")
    if _is_folder(into):
        why = f"{called(into)} is a folder, as of an export."  # type: ignore[arg-type]
        raise InputError(what, why, "Merge into a file or a database, and export that.")
    with ExitStack() as opened:
        stores = [opened.enter_context(_source(source)) for source in sources]
        spaces = [_spaces(store, None, what) for store in stores]
        _check(what, stores)

        def clashed(space: str, id: str, other: str = "another") -> InputError:
            return InputError(
                what,
                f"Document {id!r} of namespace {space!r} is not the same in {other}.",
                "Say which one stays with `--same newer` or `--same first`, or give one another id.",
            )

        def check(number: int, other: Store) -> None:
            if same == "refuse" and (found := clash(stores[number], other, spaces[number], same)):
                raise clashed(*found, f"{_name(stores[number])} and in {_name(other)}")

        for number in range(len(stores)):
            for other in stores[:number]:
                check(number, other)
        target = opened.enter_context(_target(into, stores[0]))
        within = "It would be merged into itself: name it after `--into` alone."
        _check(what, stores, target, with_receipts, within)
        for number in range(len(stores)):
            check(number, target)
        return _poured(stores, target, spaces, same, clashed, with_receipts, on_progress)


# --- places ---


def _is_folder(given: Place) -> bool:
    """Whether a place is an export, or is to become one."""
    if isinstance(given, Store) or is_address(given):
        return False
    named = os.fspath(given)
    return named.endswith(("/", os.sep)) or Path(named).expanduser().is_dir()


@contextmanager
def _source(given: Place) -> Iterator[Store]:
    """The store of a place, as of one moment."""
    with ExitStack() as opened:
        if isinstance(given, Store):
            store: Store = given
        elif _is_folder(given):
            store = opened.enter_context(_imported(Path(given).expanduser()))
        else:
            store = opened.enter_context(open_as_written(given, read_only=True))
        opened.enter_context(store.snapshot())
        yield store


@contextmanager
def _imported(folder: Path) -> Iterator[Store]:
    """An export as a temporary memory file."""
    found = look(folder)
    keys = found.encoder, found.dimension
    with tempfile.TemporaryDirectory(prefix="larimar-") as own:
        file = Path(own) / "export.larimar"
        with open_as_written(file, new=keys, lazy=found.lazy) as store:
            exchange.import_into(store, found, encoder=keys[0], dimension=keys[1])
            store.place = str(folder)
            yield store


@contextmanager
def _target(given: Place, like: Store) -> Iterator[Store]:
    """The store of a place; if there is none, it is made like another store."""
    if isinstance(given, Store):
        yield given
        return
    place = place_of(given)
    if like.encoder is None or like.dimension is None:
        raise InputError(
            f"{called(given)} cannot be written.",
            f"A {type(like).__name__} does not say which encoder its keys are of.",
            "Give a store that has `encoder` and `dimension`.",
        )
    check_path(place if isinstance(place, Path) else None)
    with open_as_written(given, new=(like.encoder, like.dimension), lazy=like.lazy) as store:
        yield store


def _spaces(store: Store, namespace: str | None, what: str) -> list[str]:
    held = store.namespaces()
    if namespace is None:
        return held
    if validate.check_name(namespace, "namespace") not in held:
        raise InputError(
            what,
            f"There is no namespace {namespace!r} in {_name(store)}.",
            "Name one of those that are there.",
        )
    return [namespace]


def _name(store: Store) -> str:
    return store.place or "a memory in RAM"


# --- what is done with them ---


def _check(
    what: str,
    sources: Sequence[Store],
    target: Store | None = None,
    with_receipts: bool = False,
    itself: str = "",
) -> None:
    """Raise InputError or EncoderMismatchError if the stores do not go together."""
    first = target or sources[0]
    for store in sources:
        if target is not None and store.identity() == target.identity():
            raise InputError(what, itself, "Name two different memories.")
        mine, other = (store.encoder, store.dimension), (first.encoder, first.dimension)
        if None not in (*mine, *other) and mine != other:
            raise EncoderMismatchError(
                what,
                f"Encoder {mine[0]:.12} made the keys of {_name(store)} ({mine[1]} numbers each), and "
                f"{other[0]:.12} those of {_name(first)} ({other[1]}); they cannot be compared.",
                _REENCODE,
            )
        if store.lazy != first.lazy:
            names = (store, first) if store.lazy else (first, store)
            raise InputError(
                what,
                f"The keys of {_name(names[0])} are coarse, and those of {_name(names[1])} are the "
                "encoder's own.",
                _REENCODE,
            )
    if target is None or target.keeps_receipts or not with_receipts:
        return
    if any(store.receipts().added for store in sources):
        raise InputError(
            what,
            f"There are receipts of what was forgotten, and {_name(target)} can keep none.",
            "Leave them behind with `--no-receipts`, and keep the file they are in.",
        )


def _poured(
    sources: Sequence[Store],
    target: Store,
    spaces: Sequence[Sequence[str]],
    same: Same,
    clashed: Callable[[str, str], InputError],
    with_receipts: bool,
    on_progress: OnSegments | None,
) -> Poured:
    pairs, done = [*zip(sources, spaces, strict=True)], Poured()
    total = sum(store.stats(space).segments for store, of in pairs for space in of)

    def tell(segments: int) -> None:
        if on_progress is not None:
            on_progress(segments, total)

    for store, of in pairs:
        pour(store, target, of, same, clashed, done, tell)
        kept = store.receipts()
        if with_receipts and kept.added:
            receipts.import_into(target, kept)
    return done


def _exported(
    store: Store, out: Path, namespace: str | None, with_receipts: bool, on_progress: OnSegments | None
) -> Poured:
    """Export a store; if there is an export already, check that it is the one that would be written."""
    if store.encoder is None or store.dimension is None:
        raise InputError(
            f"Nothing was copied to {out}.",
            f"A {type(store).__name__} does not say which encoder its keys are of.",
            "Give a store that has `encoder` and `dimension`.",
        )

    def write(to: Path) -> exchange.Moved:
        return exchange.export(
            store,
            to,
            encoder=store.encoder or "",
            dimension=store.dimension or 0,
            namespace=namespace,
            with_receipts=with_receipts,
            on_progress=on_progress,
        )

    if not exists(out):
        made = write(out)
        return Poured(made.documents, segments=made.segments)
    look(out)
    with unfinished(out, folder=True) as beside:
        made = write(beside / "again")
        if (beside / "again" / "memory.json").read_bytes() != (out / "memory.json").read_bytes():
            raise InputError(
                f"Nothing was copied to {out}.",
                f"It is an export of something else than {_name(store)} holds now.",
                "Name a path where nothing is.",
            )
    return Poured(kept=made.documents, segments=made.segments)
