"""Kill a process with signal 9 while it edits a memory, and see whether all it said is true."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.writer import SPACE, key_of, opened, pieces
from larimar_memory.stores import Span
from larimar_memory.stores.sqlite.integrity import check

_MOST_STEPS, _MOST_SECONDS = 40, 0.02


@dataclass(slots=True)
class Outcome:
    """What was found after all kills.

    Attributes:
        acknowledged: steps that the killed processes said were done.
        lost: documents that were not as the last acknowledged step left them.
        torn: documents that were partly of one version and partly of another, or of none.
        unsound: kills after which a check found damage in the file as it was left, or anything at all
            after it was used again.
        traces: texts of forgotten and purged versions of which a file as it was left, or after it was
            used again, still held a word or the key.
        forgotten: versions that were forgotten or replaced, and may not be purged yet.
        purged: those that a purge erased that was said to be done.
    """

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    torn: int = 0
    unsound: int = 0
    traces: int = 0
    versions: dict[str, int | None] = field(default_factory=dict)
    forgotten: set[tuple[str, int]] = field(default_factory=set)
    purged: set[tuple[str, int]] = field(default_factory=set)


def kill_often(
    path: Path, kills: int, seed: int, note: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Start a process that edits the memory, kill it, open what it left; so often.

    Args:
        path: of the memory file; made if there is none.
        seed: of what is edited, and of the moments of the kills.
    """
    draw, outcome = random.Random(seed), Outcome()  # noqa: S311 - no secrets are drawn
    number = 0
    for kill in range(kills):
        number = _edit_and_kill(path, draw, number, outcome)
        outcome.kills += 1
        outcome.unsound += not check(path).sound
        if kill % 10 == 9:
            note(f"killed {kill + 1} of {kills} times")
    return outcome


def _edit_and_kill(path: Path, draw: random.Random, number: int, outcome: Outcome) -> int:
    command = [sys.executable, "-m", "benchmarks.writer", "edit", str(path), "d"]
    command += [str(draw.randrange(2**30)), str(number), "600"]
    steps, seconds = draw.randint(1, _MOST_STEPS), draw.random() * _MOST_SECONDS
    lines = list[str]()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        for line in process.stdout or ():
            lines.append(line)
            if sum(line.startswith("ack") for line in lines) == steps:
                break
        time.sleep(seconds)
        process.kill()
        lines += list(process.stdout or ())
    tried: tuple[str, str, int] | None = None
    for line in lines:
        if line.endswith("\n"):
            said, at, what, document = line.split()
            number = int(at)
            tried = (what, document, number) if said == "try" else None
            if said == "ack":
                outcome.acknowledged += 1
                _apply(outcome, what, document, number)
    # Before anything else opens it: what is left is not put right, nor erased, by looking.
    outcome.traces += _traces(path, outcome.purged)
    outcome.unsound += check(path).damaged
    _compare(path, outcome, tried)
    return number


def _apply(outcome: Outcome, what: str, document: str, number: int) -> None:
    before = outcome.versions.get(document)
    if what != "save" and before is not None:
        outcome.forgotten.add((document, before))
    if what == "write":
        outcome.versions[document] = number
    elif what == "forget":
        outcome.versions[document] = None
        # It purges: what was replaced before it is in no file any more, either.
        outcome.purged |= outcome.forgotten
        outcome.forgotten.clear()


def _compare(path: Path, outcome: Outcome, tried: tuple[str, str, int] | None) -> None:
    store = opened(path)
    for document, version in list(outcome.versions.items()) + (
        [(tried[1], None)] if tried and tried[1] not in outcome.versions else []
    ):
        allowed = {version}
        if tried is not None and tried[1] == document and tried[0] != "save":
            allowed.add(tried[2] if tried[0] == "write" else None)
        known = store.document(SPACE, document)
        (held,) = store.spans(SPACE, [Span(document)], latents=True)
        now = None if known is None else int(known.content_hash)
        said = [segment.text for segment in held]
        outcome.lost += now not in allowed
        whole = said == ([] if now is None else pieces(document, now))
        if now is not None and whole:
            words = store.lexical(SPACE, [said[0].split()[2]], 9)
            nearest = store.nearest(SPACE, key_of(said[1]), 1)
            whole = [h.row for h in words] == [held[0].row] and nearest[0].row == held[1].row
            whole = whole and held[2].latent is not None
        outcome.torn += not whole
        if now != version:
            _apply(outcome, "forget" if now is None else "write", document, now or 0)
    store.purge()
    store.close()
    outcome.traces += _traces(path, outcome.purged | outcome.forgotten)
    outcome.purged.clear()
    outcome.forgotten.clear()


def _traces(path: Path, versions: set[tuple[str, int]]) -> int:
    files = [p for p in path.parent.rglob("*") if p.is_file()]
    raw = b"".join(p.read_bytes() for p in files)
    return sum(
        text.split()[2].encode() in raw or key_of(text).astype("<f2").tobytes() in raw
        for document, version in versions
        for text in pieces(document, version)
    )
