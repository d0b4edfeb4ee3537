"""Whether a memory file keeps what it was told: kills, damage, many at once, forgetting, much text."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.damage import PARTS, contents, damage_often, fill_disk, filled
from benchmarks.kills import kill_often
from benchmarks.large import write_one_text, write_tiny
from benchmarks.result import Bar, Figures, bar, percentile
from benchmarks.session import Session
from benchmarks.strangers import ask_badly, live_together
from benchmarks.writer import SPACE, batch, key_of, opened, pieces
from larimar_memory.stores import WriteBatch
from larimar_memory.stores.sqlite.integrity import check

PACKAGES = ()
_READERS, _WRITERS = 4, 2


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        kills: times a process is killed.
        flips: bytes that are changed, one at a time, in the file, and as many in its log and its index.
        cuts: lengths that each of these is cut to.
        documents: in the file that is damaged, and in the one that is forgotten from.
        seconds: that the processes run beside one another.
        megabytes: of one text.
        tenant_steps: of users beside one another.
        hostile: inputs.
        tiny: documents of one sentence.
    """

    kills: int
    flips: int
    cuts: int
    documents: int
    seconds: float
    megabytes: int
    tenant_steps: int
    hostile: int
    tiny: int


FULL = Size(
    kills=100,
    flips=1000,
    cuts=50,
    documents=200,
    seconds=60,
    megabytes=1000,
    tenant_steps=2000,
    hostile=20_000,
    tiny=1_000_000,
)
QUICK = Size(
    kills=5,
    flips=30,
    cuts=5,
    documents=30,
    seconds=3,
    megabytes=4,
    tenant_steps=200,
    hostile=500,
    tiny=2_000,
)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Run all parts."""
    figures: Figures = {}
    bars = list[Bar]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, run in (
            ("kills", _kills),
            ("damage", _damage),
            ("full disk", _full_disk),
            ("many at once", _many),
            ("forgotten", _forgotten),
            ("tenants", _tenants),
            ("hostile", _hostile),
            ("one large text", _large),
            ("many tiny documents", _tiny),
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
        bar(f"traces of forgotten texts after {found.kills} kills", found.traces, "<= 0"),
    ]


def _damage(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Flip single bytes and cut files short; open, check and read all of each."""
    figures = damage_often(folder, size.documents, size.flips, size.cuts, session.draw("damage"))
    count = 3 * (size.flips + size.cuts)
    wrong = sum(figures[what].get(f"{how}: wrong", 0) for what in PARTS for how in ("flip", "cut"))
    silent = sum(
        figures[what].get(f"{how}: less, and not noticed", 0)
        for what in PARTS
        for how in ("flip", "cut")
    )
    return figures, [
        bar(f"wrong answers from {count} damaged files", wrong, "<= 0"),
        bar(f"damage of {count} that lost something and was not noticed", silent, "<= 0"),
    ]


def _full_disk(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Write until there is no room, in a process of its own; look at what it said and left."""
    figures = fill_disk(folder, size.documents)
    broken = figures["lost"] + figures["raised"] + (not figures["sound"]) + (not figures["told"])
    return figures, [
        bar("writes lost, or not refused by an error of ours, on a full disk", broken, "<= 0")
    ]


def _many(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Four processes that read, two that write and one with sixteen threads, on one file."""
    path = filled(folder, size.documents)
    kinds = ["read"] * _READERS + ["write"] * _WRITERS + ["both"]
    running = [
        subprocess.Popen(  # noqa: S603 - our own command, no shell
            [
                *(sys.executable, "-m", "benchmarks.writer", kind, str(path)),
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
    held = contents(path)
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
    """Forget every other document, then look for all of it in every byte of every file."""
    path = filled(folder, size.documents, lambda name: _secret(name)[1])
    store = opened(path)
    gone = [f"d{n}" for n in range(0, size.documents, 2)]
    traces = [(name, trace) for name in gone for trace in _traces(name)]
    before = _raw(folder)
    there = sum(trace in before for _, trace in traces)
    store.delete(SPACE, ids=[f"id-{_secret(name)[0]}" for name in gone])
    store.purge()
    during = _raw(folder)
    store.close()
    after = _raw(folder)
    left = sum(trace in raw for _, trace in traces for raw in (during, after))
    figures: Figures = {"looked for": len(traces), "there before": there, "there after": left}
    return figures, [bar(f"traces left of {len(traces)} that were forgotten", left, "<= 0")]


def _tenants(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Users whose names look alike write, search, update and forget; nobody sees another's."""
    figures = live_together(folder / "m.larimar", session.draw("tenants"), size.tenant_steps)
    return figures, [bar(f"leaks between {figures['namespaces']} namespaces", figures["leaks"], "<= 0")]


def _hostile(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Questions, filters, names and texts that are made to break something."""
    figures = ask_badly(folder / "m.larimar", session.draw("hostile"), size.hostile)
    what = f"hostile inputs of {size.hostile:,} that raised an error which is not ours"
    return figures, [bar(what, figures["raised"], "<= 0")]


def _tiny(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Write very many documents of one short sentence each."""
    figures = write_tiny(folder, size.tiny, session.seed)
    what = f"{size.tiny:,} tiny documents"
    return figures, [
        bar(
            f"RAM to write the second half of {what} beyond the first, MB", figures["ram_mb"], "<= 150"
        ),
        bar(f"documents missing or twice of {what}", figures["missing_or_twice"], "<= 0"),
    ]


def _large(session: Session, folder: Path, size: Size) -> tuple[Figures, list[Bar]]:
    """Write one text of many megabytes, stopped once in its middle."""
    figures = write_one_text(folder, size.megabytes, session.seed)
    where = f"{size.megabytes:,} MB of text"
    return figures, [
        bar(f"RAM to write {where} beyond that of a twentieth of it, MB", figures["ram_mb"], "<= 150"),
        bar(f"sentences missing or twice of {where}", figures["missing_or_twice"], "<= 0"),
    ]


def _secret(name: str) -> tuple[str, WriteBatch]:
    """A document of an id and with metadata that are found in nothing else."""
    made, said = batch(name, int(name[1:])), hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    document = replace(made.document, id=f"id-{said}", metadata={"owner": f"owner-{said}"})
    return said, replace(made, document=document)


def _traces(name: str) -> list[bytes]:
    """Words, keys, a latent, the id and a value of the metadata."""
    texts, (said, _) = pieces(name, int(name[1:])), _secret(name)
    keys = [key_of(text).astype("<f2").tobytes() for text in texts]
    words = [text.split()[2].encode() for text in texts]
    return [*words, *keys, texts[0].encode()[:24], f"id-{said}".encode(), f"owner-{said}".encode()]


def _raw(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())
