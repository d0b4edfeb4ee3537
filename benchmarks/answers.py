"""Answers from text: right, brief, and refused where the passages do not hold them.

Questions of a file in SQuAD's JSON are asked of a memory of a thousand passages, and again with the
right passage given, with the answering adapter and without; held-out rows of reading comprehension are
asked of the text they are on. None of them was trained on.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import corpora, squad
from benchmarks.fit_confidence import HELD_OUT, in_half
from benchmarks.passages import PASSAGE_TOKENS
from benchmarks.result import Bar, Figures, bar, rate, share
from benchmarks.session import Session
from benchmarks.squad import holds, token_f1, words
from benchmarks.written import whole, write
from larimar_memory.answer import STOP
from larimar_memory.decoders.prompt import NOT_IN_MEMORY, instruction, messages
from larimar_memory.train.rows import read_rows
from larimar_memory.train.shown import units_of
from larimar_memory.types import AnswerOptions

PACKAGES = ()

_MOST_CHARS = 2_000
_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: questions; passages altogether; rows of each file and kind."""

    questions: int
    passages: int
    rows: int


FULL = Size(300, 1_000, 100)
QUICK = Size(6, 40, 3)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer that was given, those that count as right, and what it took."""

    text: str
    answers: tuple[str, ...]
    tokens: int
    seconds: float

    @property
    def refused(self) -> bool:
        """Whether it says that the answer is not there."""
        return self.text.startswith(NOT_IN_MEMORY.rstrip("."))


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Ask all questions, with and without the adapter.

    Raises:
        InputError: if no questions are given, or rows are given and there are none.
    """
    path = session.questions_for("answers", "questions on passages")
    asked = corpora.drawn(session, path)[: size.questions]
    among = _among(session, path, asked, size)
    given = {name: _given(session, asked, name == "adapter") for name in ("adapter", "plain")}
    rows = None if session.rows is None else _rows(session, session.rows, size)
    return report(among, given, rows)


def report(
    among: Sequence[Told],
    given: Mapping[str, Sequence[Told]],
    rows: Mapping[str, Mapping[str, Sequence[Told]]] | None,
) -> tuple[Figures, list[Bar]]:
    """Figures and bars.

    Args:
        among: questions asked of a memory of many passages.
        given: the same with the right passage given, with "adapter" and "plain".
        rows: by file, those "answerable" and those "unanswerable".
    """
    figures: Figures = {
        "among": scored(among),
        "given": {name: scored(told) for name, told in given.items()},
    }
    found = figures["among"]
    bars = [
        bar("questions among passages: token F1", found["token_f1"], ">= 0.6"),
        bar("questions among passages: exact", share(found["exact"]), ">= 0.48"),
        bar("questions among passages: answer said", share(found["answer_said"]), ">= 0.55"),
        bar("right passage given: token F1", figures["given"]["adapter"]["token_f1"], ">= 0.7"),
    ]
    if rows is not None:
        figures["rows"] = {
            name: {kind: scored(told) for kind, told in kinds.items()} for name, kinds in rows.items()
        }
        answerable = [kinds["answerable"] for kinds in rows.values()]
        unanswerable = [t for kinds in rows.values() for t in kinds["unanswerable"]]
        mean = statistics.mean(scored(told)["token_f1"] for told in answerable)
        refused = share(rate([t.refused for t in unanswerable]))
        wrongly = share(rate([t.refused for told in answerable for t in told]))
        bars += [
            bar("held-out rows: token F1, mean of three files", mean, ">= 0.55"),
            bar("held-out rows without an answer: refused", refused, ">= 0.85"),
            bar("held-out rows with an answer: refused", wrongly, "<= 0.08"),
        ]
    return figures, bars


def scored(told: Sequence[Told]) -> Figures:
    """What the answers come to; F1 and exactness only where there are answers."""
    figures: Figures = {
        "questions": len(told),
        "refused": rate([t.refused for t in told]),
        "tokens": statistics.mean(t.tokens for t in told),
        "seconds": statistics.median(t.seconds for t in told),
    }
    if all(t.answers for t in told):
        figures |= {
            "token_f1": statistics.mean(token_f1(t.text, t.answers) for t in told),
            "exact": rate([any(words(t.text) == words(a) for a in t.answers) for t in told]),
            "answer_said": rate([holds(t.text, t.answers) for t in told]),
        }
    return figures


def _among(session: Session, path: Path, asked: Sequence[squad.Asked], size: Size) -> list[Told]:
    corpus, beside = corpora.among(session, path, size.questions, size.passages, PASSAGE_TOKENS)
    documents = {**corpus.documents, **beside}
    with session.open(None) as memory:
        session.write(memory, list(documents), list(documents.values()))
        told = list[Told]()
        for one in asked:
            started = time.perf_counter()
            answer = memory.answer(one.question)
            seconds = time.perf_counter() - started
            told.append(Told(answer.text, one.answers, answer.usage.completion_tokens, seconds))
    session.note(f"asked {len(told)} questions among {len(documents)} passages")
    return told


def _given(session: Session, asked: Sequence[squad.Asked], adapted: bool) -> list[Told]:
    ask = partial(_ask, session, adapted)
    told = [ask(one.question, one.passage, one.answers) for one in asked]
    session.note(f"asked {len(told)} questions of the right passage")
    return told


def _rows(session: Session, folder: Path, size: Size) -> dict[str, dict[str, list[Told]]]:
    every = [
        row
        for row in read_rows(folder)
        # How readily it refuses was fitted on the other half.
        if row.held_out and len(row.context) <= _MOST_CHARS and not in_half(row.question)
    ]
    session.draw("rows").shuffle(every)
    ask = partial(_ask, session, True)
    told = dict[str, dict[str, list[Told]]]()
    for name in HELD_OUT:
        kinds = {"answerable": True, "unanswerable": False}
        chosen = {
            kind: [row for row in every if row.file == name and bool(row.answers) is answered]
            for kind, answered in kinds.items()
        }
        told[name] = {
            kind: [ask(row.question, row.context, row.answers) for row in rows[: size.rows]]
            for kind, rows in chosen.items()
        }
        session.note(f"asked held-out rows of {name}")
    return told


def _ask(
    session: Session, adapted: bool, question: str, context: str, answers: tuple[str, ...]
) -> Told:
    """Ask the decoder of a whole text, as a memory of nothing else would but for what is shown."""
    shown = whole(context)
    adapter = session.answering if adapted else None
    if adapter is not None:
        with session.open(None) as memory:
            write(memory, context)
            probability = memory.read(question).probability
        adapter = adapter.after_read(probability, units_of(context).talked)
        adapter = adapter.among(AnswerOptions().beams, question, shown)
    told = instruction("brief", adapter is not None)
    chat = messages(question, shown, instruction=told)
    started = time.perf_counter()
    generation = session.decoder.generate(
        session.decoder.chat_tokens(chat), max_tokens=_TOKENS, stop=STOP, conditioning=adapter
    )
    text = "".join(generation).strip()
    seconds = time.perf_counter() - started
    return Told(text, answers, generation.usage.completion_tokens, seconds)
