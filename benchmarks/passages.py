"""Questions on passages: whether the sentence that says the answer is read, with no threshold.

Each passage is a document, and beside those asked about stand others of prose: first so many that there
are a thousand passages, then a million tokens, in a memory whose segments get the encoder's keys when
they are read, and in one where every segment has its key.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import corpora
from benchmarks.probes import Corpus, Probe
from benchmarks.result import Bar, Figures, bar, rate, share
from benchmarks.session import Session
from benchmarks.systems import Piece
from larimar_memory.larimar import Larimar
from larimar_memory.types import WhenKeys

PACKAGES = ()

PASSAGE_TOKENS = 150
"""Least tokens of a passage of prose; XQuAD's have 161 on average."""

_READ = 5
_KEYS: tuple[WhenKeys, ...] = ("lazy", "eager")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: most questions; passages altogether; tokens of prose; questions there."""

    questions: int
    passages: int
    tokens: int
    among: int


FULL = Size(10_000, 1_000, 1_000_000, 10_000)
QUICK = Size(40, 60, 10_000, 20)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Ask all questions among passages, then among prose with either kind of keys.

    Raises:
        InputError: if no questions are given.
    """
    path = session.questions_for("passages", "questions on passages")
    corpus, beside = corpora.among(session, path, size.questions, size.passages, PASSAGE_TOKENS)
    passages = {"passages": len(corpus.documents) + len(beside)}
    passages |= _measured(session, corpus, beside, size.questions, None)
    prose = session.prose(size.tokens)
    beside = {part.id: part.text for part in prose.parts()}
    return report(
        passages,
        {
            "tokens": prose.total + corpus.tokens,
            **{keys: _measured(session, corpus, beside, size.among, keys) for keys in _KEYS},
        },
    )


def report(passages: Figures, prose: Figures) -> tuple[Figures, list[Bar]]:
    """The rates and their bars.

    Args:
        passages: rates among so many "passages".
        prose: rates among so many "tokens", with "lazy" keys and with "eager" ones.
    """
    where = f"among {passages['passages']:,} passages"
    lost = 100 * (share(prose["eager"]["first"]) - share(prose["lazy"]["first"]))
    return {"passages": passages, "prose": prose}, [
        bar(f"right sentence first, {where}", share(passages["first"]), ">= 0.8"),
        bar(f"right sentence in five, {where}", share(passages["in five"]), ">= 0.965"),
        bar(f"right passage first, {where}", share(passages["passage first"]), ">= 0.96"),
        bar(
            f"right sentence first, among {prose['tokens']:,} tokens: points lost by lazy keys",
            lost,
            "<= 0.5",
        ),
    ]


def _measured(
    session: Session, corpus: Corpus, beside: Mapping[str, str], most: int, keys: WhenKeys | None
) -> Figures:
    documents = {**corpus.documents, **beside}
    with (
        tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder,
        session.open(Path(folder) / "memory.larimar", keys=keys) as memory,
    ):
        seconds = session.write(memory, list(documents), list(documents.values()))
        held = memory.stats().segments
        session.note(f"wrote {held:,} segments in {seconds:.0f} s, {keys or 'default'} keys")
        found = _rates(memory, corpus.tasks["passages"][:most])
    session.note(", ".join(f"{name} {share(one):.3f}" for name, one in found.items()))
    return {"segments": held, "write_seconds": seconds, **found}


def _rates(memory: Larimar, probes: Sequence[Probe]) -> Figures:
    first, in_five, passage = list[bool](), list[bool](), list[bool]()
    for probe in probes:
        segments = memory.read(probe.question, _READ, threshold=0.0).segments
        pieces = [Piece(segment.document_id, segment.text) for segment in segments]
        of_first, of_all = probe.found(pieces)
        first.append(of_first)
        in_five.append(of_all)
        passage.append(bool(probe.document_first(pieces)))
    return {"first": rate(first), "in five": rate(in_five), "passage first": rate(passage)}
