"""Damage the files of a memory, or give it no room, and see whether it answers what was not written."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.result import Figures
from benchmarks.writer import SPACE, batch, key_of, opened, pieces
from larimar_memory.errors import LarimarError
from larimar_memory.stores import WriteBatch
from larimar_memory.stores.sqlite import vectors
from larimar_memory.stores.sqlite.integrity import check

PARTS = ("file", "log", "index")
_IN_LOG = 12


def damage_often(folder: Path, documents: int, flips: int, cuts: int, draw: random.Random) -> Figures:
    """Of file, log and index: change single bytes and cut them short, and count what comes of it."""
    path = filled(folder / "whole", documents)
    logged = _with_log(path, folder / "logged", documents)
    (index,) = (folder / "whole").glob("*-vectors/*.keys")
    figures: Figures = {}
    # What each damaged index would be warned of is what is counted here.
    logger = logging.getLogger("larimar_memory.stores")
    logger.setLevel(logging.ERROR)
    for what, whole, file in (
        ("file", path, path),
        ("log", logged, logged.with_name(logged.name + "-wal")),
        ("index", path, index),
    ):
        expected = _contents_of_copy(whole, folder)
        outcomes, length = Counter[str](), file.stat().st_size
        damages = [("flip", draw.randrange(length)) for _ in range(flips)]
        damages += [("cut", draw.randrange(1, length)) for _ in range(cuts)]
        for how, at in damages:
            shutil.copytree(whole.parent, folder / "copy")
            hurt = folder / "copy" / file.relative_to(whole.parent)
            if how == "cut":
                os.truncate(hurt, at)
            else:
                _flip(hurt, at, draw.randrange(1, 256))
            last = f"d{documents + _IN_LOG - 1}" if what == "log" else None
            outcomes[f"{how}: {outcome(folder / 'copy' / path.name, expected, how, last)}"] += 1
            shutil.rmtree(folder / "copy")
        figures[what] = {"bytes": length, **dict(sorted(outcomes.items()))}
    logger.setLevel(logging.NOTSET)
    return figures


def outcome(
    path: Path, expected: dict[str, list[str]], how: str = "flip", last: str | None = None
) -> str:
    """What a memory makes of its damage.

    Args:
        expected: what it held.
        how: a log that is cut off is what a power cut leaves of writes that had not returned.
        last: the document written last, of which the same is true of a single flipped byte.
    """
    try:
        noticed = not check(path).sound
    except LarimarError:
        noticed = True
    try:
        held = contents(path)
        store = opened(path)
        try:
            for name in list(expected)[::7]:
                text = expected[name][1]
                found = [
                    [hit.row for hit in store.nearest(SPACE, key_of(text), 1)],
                    [hit.row for hit in store.lexical(SPACE, [text.split()[2]], 1)],
                ]
                for rows in found:
                    said = [s.text for s in store.fetch(SPACE, rows)]
                    if said and said != [text] and text in held.get(name, []):
                        return "wrong"
                    if not said:
                        held.pop(name, None)
        finally:
            store.close()
    except LarimarError:
        return "refused" if noticed else "refused, and not noticed"
    if any(
        expected.get(name) is None or text not in expected[name] for name in held for text in held[name]
    ):
        return "wrong"
    if held != expected:
        if not noticed and last is not None and _is_earlier(held, expected, last, how):
            return "as after a power cut"
        return "less, and noticed" if noticed else "less, and not noticed"
    return "noticed, nothing lost" if noticed else "nothing changed"


def _is_earlier(
    held: dict[str, list[str]], expected: dict[str, list[str]], last: str, how: str
) -> bool:
    """Whether it is what was held before the last write, or for a cut, before any of the last ones."""
    number = int(last[1:])
    gone = sorted(int(name[1:]) for name in set(expected) - set(held))
    after_one = gone == list(range(number + 1 - len(gone), number + 1))
    return after_one and (how == "cut" or len(gone) == 1) and all(held[n] == expected[n] for n in held)


def filled(folder: Path, documents: int, made: Callable[[str], WriteBatch] | None = None) -> Path:
    """A closed memory file of so many documents, with an index file."""
    path = folder / "m.larimar"
    limits = vectors.EXACT_LIMIT, vectors._TAIL_LIMIT
    vectors.EXACT_LIMIT, vectors._TAIL_LIMIT = 16, 4
    make = made or (lambda name: batch(name, int(name[1:])))
    try:
        store = opened(path)
        for start in range(0, documents, 10):
            upto = min(start + 10, documents)
            store.write(SPACE, [make(f"d{n}") for n in range(start, upto)])
        store.close()
    finally:
        vectors.EXACT_LIMIT, vectors._TAIL_LIMIT = limits
    return path


def contents(path: Path) -> dict[str, list[str]]:
    """The texts of each document."""
    store = opened(path)
    try:
        return {
            document.id: [s.text for s in store.segments(SPACE, document.id)]
            for document in store.documents(SPACE)
        }
    finally:
        store.close()


def fill_disk(folder: Path, documents: int) -> Figures:
    """Write in a process whose files may not grow any more, and compare with what it said was done."""
    path = filled(folder, documents)
    before = contents(path)
    done = subprocess.run(  # noqa: S603 - our own command, no shell
        [sys.executable, "-m", "benchmarks.damage", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = (
        json.loads(done.stdout) if done.returncode == 0 else {"written": 0, "raised": 1, "told": False}
    )
    after = contents(path)
    expected = before | {f"full{n}": pieces(f"full{n}", n) for n in range(said["written"])}
    lost = sum(after.get(name) != held for name, held in expected.items())
    return {**said, "lost": lost, "sound": check(path).sound}


def _write_until_full(path: Path) -> Figures:
    import resource
    import signal

    # A file that would grow beyond the limit is then an error, as on a full disk.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store, written, raised, told = opened(path), 0, 0, False
    size = path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        for n in range(100_000):
            store.write(SPACE, [batch(f"full{n}", n)])
            written += 1
    except LarimarError:
        told = True
    except Exception:
        raised += 1
    try:
        store.close()
    except LarimarError:
        told = True
    except Exception:
        raised += 1
    return {"written": written, "raised": raised, "told": told}


def _with_log(path: Path, folder: Path, documents: int) -> Path:
    """A copy of a memory whose last writes are in its log alone."""
    working = folder.with_name("writing")
    shutil.copytree(path.parent, working)
    store = opened(working / path.name)
    for n in range(documents, documents + _IN_LOG):
        store.write(SPACE, [batch(f"d{n}", n)])
    shutil.copytree(working, folder)
    store.close()
    shutil.rmtree(working)
    return folder / path.name


def _contents_of_copy(path: Path, folder: Path) -> dict[str, list[str]]:
    shutil.copytree(path.parent, folder / "copy")
    try:
        return contents(folder / "copy" / path.name)
    finally:
        shutil.rmtree(folder / "copy")


def _flip(file: Path, at: int, bits: int) -> None:
    with file.open("rb+") as stream:
        stream.seek(at)
        (byte,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte ^ bits]))


if __name__ == "__main__":
    json.dump(_write_until_full(Path(sys.argv[1])), sys.stdout)
