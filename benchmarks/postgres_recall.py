"""Whether a memory in PostgreSQL recalls what one in a file does: on passages, and in conversations."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import corpora, talks
from benchmarks.conversations import CUTS, FITTED, RANKED, outcome
from benchmarks.passages import PASSAGE_TOKENS
from benchmarks.rankings import recalled
from benchmarks.result import Bar, Figures, bar, rate, share
from benchmarks.session import Session
from benchmarks.systems import Piece
from benchmarks.talks import as_text
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar

PLACES = ("file", "postgres")
_READ = 5
_POINTS = "<= 0.5"
"""What they may differ by, in points."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is asked: most questions, passages altogether, conversations and turns of each."""

    questions: int
    passages: int
    conversations: int
    turns: int


FULL = Size(10_000, 1_000, 10, 1_000_000)
QUICK = Size(8, 20, 1, 60)


def measure(
    session: Session, questions: Path, size: Size, new: Callable[[str], str]
) -> tuple[Figures, list[Bar]]:
    """Ask both memories the same.

    Args:
        new: gives the address of an empty database of a name.

    Raises:
        InputError: if no conversations are given, or those that are ranked are not among them.
    """
    held = talks.read(session.conversations).get(RANKED)
    if held is None:
        raise InputError(
            "The benchmark of PostgreSQL cannot be run.",
            f"The folder of conversations has no file {RANKED}.",
            "Name a folder that has it with --conversations.",
        )
    # Nothing was fitted on these.
    some = [talk.beginning(size.turns) for talk in held[FITTED[RANKED] :][: size.conversations]]
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder, ExitStack() as stack:

        def pair(name: str) -> list[Larimar]:
            places = str(Path(folder) / f"{name}.larimar"), new(name)
            return [
                stack.enter_context(Larimar.open(place, encoder=session.encoder)) for place in places
            ]

        passages = _passages(session, pair("passages"), questions, size)
        turns = _conversations(session, pair("conversations"), some)
    return report(passages, turns)


def report(passages: Figures, conversations: Figures) -> tuple[Figures, list[Bar]]:
    """The bars.

    Args:
        passages: by place, rates of the right passage "first" and "in five".
        conversations: by place, "evidence", the mean share of it among the first ten turns.
    """
    count = passages["passages"]
    apart = {
        f"right passage {kind}, among {count:,} passages": [
            share(passages[place][kind]) for place in PLACES
        ]
        for kind in ("first", "in five")
    }
    what = f"evidence in the first {CUTS[-1]} turns, {RANKED}, held out"
    apart[what] = [conversations[place]["evidence"] for place in PLACES]
    return {"passages": passages, "conversations": conversations}, [
        bar(f"{what}: points between PostgreSQL and a file", 100 * abs(one - other), _POINTS)
        for what, (one, other) in apart.items()
    ]


def _passages(session: Session, memories: Sequence[Larimar], questions: Path, size: Size) -> Figures:
    corpus, beside = corpora.among(session, questions, size.questions, size.passages, PASSAGE_TOKENS)
    documents = {**corpus.documents, **beside}
    found: Figures = {"passages": len(documents)}
    for place, memory in zip(PLACES, memories, strict=True):
        session.write(memory, list(documents), list(documents.values()))
        first, in_five = list[bool](), list[bool]()
        for probe in corpus.tasks["passages"][: size.questions]:
            segments = memory.read(probe.question, _READ, threshold=0.0).segments
            pieces = [Piece(segment.document_id, segment.text) for segment in segments]
            first.append(bool(probe.document_first(pieces)))
            in_five.append(any(piece.document == probe.document for piece in pieces))
        found[place] = {"first": rate(first), "in five": rate(in_five)}
        session.note(f"passages, {place}: {share(found[place]['first']):.4f} first")
    return found


def _conversations(
    session: Session, memories: Sequence[Larimar], some: Sequence[talks.Talk]
) -> Figures:
    found: Figures = {"conversations": len(some)}
    for place, memory in zip(PLACES, memories, strict=True):
        shares, reciprocals = list[float](), list[float]()
        for talk in some:
            memory.write_each(map(as_text, talk.turns), namespace=talk.id)
            for asked in talk.questions:
                if asked.evidence:
                    one = outcome(asked, recalled(memory, asked.question, talk.id), 0, 0.0)
                    shares.append(one.recall[-1])
                    reciprocals.append(one.reciprocal)
            session.note(f"conversations, {place}: asked about {talk.id}")
        found[place] = {
            "questions": len(shares),
            "evidence": statistics.fmean(shares) if shares else 0.0,
            "mrr": statistics.fmean(reciprocals) if reciprocals else 0.0,
        }
    return found
