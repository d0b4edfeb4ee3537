"""Whether a memory file keeps what it was told: kills, damage, many at once, forgetting, much text."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larimar_memory.bench.kills import kill_often
from larimar_memory.bench.large import write_one_text
from larimar_memory.bench.result import Bar, Figures, bar, percentile
from larimar_memory.bench.session import Session
from larimar_memory.bench.writer import SPACE, batch, key_of, opened, pieces
from larimar_memory.errors import LarimarError
from larimar_memory.store import vectors
from larimar_memory.store.integrity import check

PACKAGES = ()
_READERS, _WRITERS = 4, 2


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        kills: times a process is killed.
        flips: bytes that are changed, one at a time, in the file and as many in its index.
        cuts: lengths that the file and its index are cut to.
        documents: in the file that is damaged, and in the one that is forgotten from.
        seconds: that the processes run beside one another.
        megabytes: of one text.
    """

    kills: int
    flips: int
    cuts: int
    documents: int
    seconds: float
    megabytes: int


FULL = Size(kills=100, flips=1000, cuts=50, documents=200, seconds=60, megabytes=1000)
QUICK = Size(kills=5, flips=30, cuts=5, documents=30, seconds=3, megabytes=4)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Run all parts."""
    figures: Figures = {}
    bars = list[Bar]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, run in (
            ("kills", _kills),
            ("damage", _damage),
            ("many at once", _many),
            ("forgotten", _forgotten),
            ("one large text", _large),
        ):
            session.note(part)
            (folder / part).mkdir()
            figures[part], held = run(session, folder / part, size)
            bars += held
    return figures, bars


def _kills(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    found = kill_often(folder / "m.larimar", size.kills, session.seed, session.note)
    figures: Figures = {
        "kills": found.kills,
        "acknowledged": found.acknowledged,
        "lost": found.lost,
        "torn": found.torn,
        "unsound": found.unsound,
        "traces": found.traces,
    }
    return figures, [
        bar(f"acknowledged steps lost in {found.kills} kills", found.lost, "<= 0"),
        bar(f"torn documents in {found.kills} kills", found.torn, "<= 0"),
        bar(f"unsound files after {found.kills} kills", found.unsound, "<= 0"),
    ]


def _damage(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Flip single bytes and cut files short; open, check and read all of each."""
    path = _filled(folder / "whole", size.documents)
    (index,) = (folder / "whole").glob("*-vectors/*.usearch")
    expected = _contents(path)
    draw, figures = session.draw("damage"), Figures()
    wrong = silent = 0
    # What each damaged index would be warned of is what is counted here.
    logger = logging.getLogger("larimar_memory.store")
    logger.setLevel(logging.ERROR)
    for what, file in (("file", path), ("index", index)):
        outcomes, length = Counter[str](), file.stat().st_size
        damages = [("flip", draw.randrange(length)) for _ in range(size.flips)]
        damages += [("cut", draw.randrange(1, length)) for _ in range(size.cuts)]
        for how, at in damages:
            shutil.copytree(folder / "whole", folder / "copy")
            hurt = folder / "copy" / file.relative_to(folder / "whole")
            if how == "cut":
                os.truncate(hurt, at)
            else:
                _flip(hurt, at, draw.randrange(1, 256))
            outcome = _outcome(folder / "copy" / path.name, expected)
            outcomes[f"{how}: {outcome}"] += 1
            wrong += outcome == "wrong"
            silent += outcome == "less, and not noticed"
            shutil.rmtree(folder / "copy")
        figures[what] = {"bytes": length, **dict(sorted(outcomes.items()))}
    logger.setLevel(logging.NOTSET)
    count = 2 * (size.flips + size.cuts)
    return figures, [
        bar(f"wrong answers from {count} damaged files", wrong, "<= 0"),
        bar(f"damage of {count} that lost something and was not noticed", silent, "<= 0"),
    ]


def _many(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Four processes that read, two that write and one with sixteen threads, on one file."""
    path = _filled(folder, size.documents)
    kinds = ["read"] * _READERS + ["write"] * _WRITERS + ["both"]
    running = [
        subprocess.Popen(  # noqa: S603 - our own command, no shell
            [
                *(sys.executable, "-m", "larimar_memory.bench.writer", kind, str(path)),
                *(kind, str(n), "1000000", str(size.seconds)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n, kind in enumerate(kinds)
    ]
    said = [process.communicate()[0].splitlines() for process in running]
    ends: list[dict[str, Any]] = [
        json.loads(lines[-1][4:]) for lines in said if lines and lines[-1].startswith("end ")
    ]
    acknowledged = dict[str, int]()
    for line in (line for lines in said for line in lines if line.startswith("ack")):
        _, version, _, document = line.split()
        acknowledged[document] = max(acknowledged.get(document, 0), int(version))
    held = _contents(path)
    lost = sum(held.get(name) != pieces(name, version) for name, version in acknowledged.items())
    errors = [error for end in ends for error in end["errors"]]
    errors += ["a process ended without a word"] * (len(running) - len(ends))
    times = {kind: [t for end in ends for t in end[kind]] for kind in ("read", "write", "busy")}
    figures: Figures = {
        "processes": len(running),
        "seconds": size.seconds,
        "reads": len(times["read"]),
        "writes": len(times["write"]),
        "busy": len(times["busy"]),
        "errors": errors[:5],
        "lost writes": lost,
        "sound": check(path).sound,
    }
    for kind in ("read", "write"):
        for percent in (50, 99):
            figures[f"{kind} p{percent} ms"] = 1000 * percentile(times[kind], percent)
    return figures, [
        bar("writes lost of processes beside one another", lost, "<= 0"),
        bar("errors of processes beside one another, other than busy", len(errors), "<= 0"),
    ]


def _forgotten(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Forget every other document, then look for its words, key, latent and name in every byte."""
    path = _filled(folder, size.documents)
    store = opened(path)
    gone = [f"d{n}" for n in range(0, size.documents, 2)]
    traces = [(name, trace) for name in gone for trace in _traces(name)]
    before = _raw(folder)
    there = sum(trace in before for _, trace in traces)
    store.delete(SPACE, ids=gone)
    store.purge()
    during = _raw(folder)
    store.close()
    after = _raw(folder)
    left = sum(trace in raw for _, trace in traces for raw in (during, after))
    figures: Figures = {"looked for": len(traces), "there before": there, "there after": left}
    return figures, [bar(f"traces left of {len(traces)} that were forgotten", left, "<= 0")]


def _large(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Write one text of many megabytes, stopped once in its middle."""
    figures = write_one_text(folder, size.megabytes, session.seed)
    where = f"{size.megabytes:,} MB of text"
    return figures, [
        bar(f"RAM to write {where} beyond that of a twentieth of it, MB", figures["ram_mb"], "<= 150"),
        bar(f"sentences missing or twice of {where}", figures["missing_or_twice"], "<= 0"),
    ]


def _filled(folder: Path, documents: int) -> Path:
    path = folder / "m.larimar"
    limits = vectors.EXACT_LIMIT, vectors._TAIL_LIMIT
    vectors.EXACT_LIMIT, vectors._TAIL_LIMIT = 16, 4
    try:
        store = opened(path)
        for start in range(0, documents, 10):
            upto = min(start + 10, documents)
            store.write(SPACE, [batch(f"d{n}", n) for n in range(start, upto)])
        store.close()
    finally:
        vectors.EXACT_LIMIT, vectors._TAIL_LIMIT = limits
    return path


def _contents(path: Path) -> dict[str, list[str]]:
    store = opened(path)
    try:
        return {
            document.id: [s.text for s in store.neighbours(SPACE, document.id, 0, 99)]
            for document in store.documents(SPACE)
        }
    finally:
        store.close()


def _outcome(path: Path, expected: dict[str, list[str]]) -> str:
    try:
        noticed = not check(path).sound
    except LarimarError:
        noticed = True
    try:
        held = _contents(path)
        store = opened(path)
        try:
            for name in list(expected)[::7]:
                text = expected[name][1]
                rows = [hit.row for hit in store.nearest(SPACE, key_of(text), 1)]
                if [s.text for s in store.fetch(SPACE, rows)] != [text]:
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
        return "less, and noticed" if noticed else "less, and not noticed"
    return "noticed, nothing lost" if noticed else "nothing changed"


def _traces(name: str) -> list[bytes]:
    texts = pieces(name, int(name[1:]))
    keys = [key_of(text).astype("<f2").tobytes() for text in texts]
    return [*(text.split()[2].encode() for text in texts), *keys, texts[0].encode()[:24]]


def _raw(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


def _flip(file: Path, at: int, bits: int) -> None:
    with file.open("rb+") as stream:
        stream.seek(at)
        (byte,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte ^ bits]))
