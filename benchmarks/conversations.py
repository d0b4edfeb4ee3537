"""Which turns of long conversations a question brings back, against the turns that answer it.

Larimar with its defaults, each turn a document and each conversation a namespace; the ranking it had
before, and cosines alone, over a memory where every segment has the encoder's key; its search by words
alone; BM25 over words as SQLite's `unicode61` cuts them; FAISS, and LangMem's tools over LangGraph's
store, with LangChain's embeddings of the same encoder, a vector a turn: of a long one, of as much as
the encoder takes in. Run it with `python -m benchmarks conversations --conversations FOLDER`.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import talks
from benchmarks.rankings import MOST, PREVIOUS, SYSTEMS, Found, Memories
from benchmarks.result import Bar, Figures, bar, rate, share
from benchmarks.session import Session
from benchmarks.talks import Asked, Talk
from larimar_memory.decoders.prompt import messages, passages

PACKAGES = ("faiss-cpu", "langchain-huggingface", "langmem")

FITTED = {"beam_100k": 10, "sgd_multisession": 6}
"""How many of a file's conversations, the first ones, rankings may be fitted on: their figures are
called "fit", and those of all others "held out"."""

RANKED, REFUSED = "beam_100k", "sgd_multisession"
"""The files whose rankings, and whose refusals, are held to a bar."""

BEFORE = {"dated": 0.596, "latest_of_two": 0.442, "temporal": 0.231}
"""Evidence among the first five of the second half of `REFUSED`, by kinds of questions with a time,
before times were read; what is asked for is `GAIN` more."""

GAIN = 0.15

CUTS = (1, 5, MOST)

LEADS = {f"recall at {MOST}": ">= 0.08", "MRR": ">= 0.06"}
"""What is asked of the lead over the previous ranking, by measure."""

LEAD = "> 0.05"
"""What is asked of that over the others, in each of these."""

_RESAMPLED = 1_000


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: most conversations of each part, and turns of each."""

    conversations: int
    turns: int


FULL = Size(1_000, 1_000_000)
QUICK = Size(1, 60)


@dataclass(slots=True)
class Outcome:
    """How a question went with a system: shares of its evidence among the first of `CUTS`, one by the
    rank of the first evidence (0 beyond the last cut), prompt tokens and seconds.
    """

    category: str
    recall: tuple[float, ...]
    reciprocal: float
    tokens: int
    seconds: float


@dataclass(slots=True)
class Part:
    """What was measured in some conversations, by system; and whether their questions were refused."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    written: dict[str, float] = field(default_factory=dict)
    refused: dict[bool, list[bool]] = field(default_factory=lambda: {True: [], False: []})


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Ask every question of every conversation, within that conversation.

    Raises:
        InputError: if no conversations are given, or they are of another form.
    """
    figures: Figures = {}
    for name, held in talks.read(session.conversations).items():
        fitted = FITTED.get(name, 0)
        for part, some in {"fit": held[:fitted], "held out": held[fitted:]}.items():
            if chosen := [talk.beginning(size.turns) for talk in some[: size.conversations]]:
                session.note(f"{name}, {part}: {len(chosen)} conversations")
                measured = _ask(session, chosen)
                figures.setdefault(name, {})[part] = summary(measured, chosen, session.seed)
    return {"sets": figures}, bars(figures)


def bars(sets: Figures) -> list[Bar]:
    """Of the conversations that nothing was fitted on: the ranking's lead, and the refusals."""
    made = list[Bar]()
    if ranked := sets.get(RANKED, {}).get("held out"):
        made += [
            bar(
                f"{measure} over {name}, {RANKED}, held out",
                lead["mean"],
                LEADS[measure] if name == PREVIOUS else LEAD,
            )
            for name, leads in ranked["lead"].items()
            if name != "words alone"
            for measure, lead in leads.items()
        ]
    # No refusal was fitted on these: all of them count.
    if scopes := [part["scope"] for part in sets.get(REFUSED, {}).values()]:
        refused, wrongly = (
            {key: sum(scope[name][key] for scope in scopes) for key in ("count", "of")}
            for name in ("refused", "wrongly_refused")
        )
        made += [
            bar(f"to be refused, and refused, {REFUSED}", share(refused), ">= 0.8"),
            bar(f"wrongly refused, {REFUSED}", share(wrongly), "<= 0.08"),
        ]
    if asked := sets.get(REFUSED, {}).get("held out"):
        kinds = asked["systems"]["Larimar"]["categories"]
        made += [
            bar(
                f"evidence in the first five, {kind}, {REFUSED}, held out",
                kinds[kind]["recall"]["5"]["mean"],
                f">= {before + GAIN:.3f}",
            )
            for kind, before in BEFORE.items()
            if kind in kinds
        ]
    return made


def outcome(asked: Asked, found: Found, tokens: int, seconds: float) -> Outcome:
    """How well what was found holds the evidence."""
    ranks = [n for n, turn in enumerate(found.turns[:MOST], 1) if turn in asked.evidence]
    recall = tuple(sum(rank <= cut for rank in ranks) / len(asked.evidence) for cut in CUTS)
    return Outcome(asked.category, recall, 1 / ranks[0] if ranks else 0.0, tokens, seconds)


def summary(part: Part, held: Sequence[Talk], seed: int) -> Figures:
    """Means with their 95% intervals, by system and category; Larimar's lead, question by question."""
    categories = sorted({o.category for some in part.outcomes.values() for o in some})
    ours = part.outcomes["Larimar"]
    return {
        "conversations": len(held),
        "turns": sum(len(talk.turns) for talk in held),
        "characters": sum(len(turn.text) for talk in held for turn in talk.turns),
        "questions": len(ours),
        "systems": {
            name: {
                **_ranked(some, seed),
                "prompt_tokens": statistics.mean(o.tokens for o in some) if some else 0.0,
                "read_p50_seconds": statistics.median(o.seconds for o in some) if some else 0.0,
                "write_seconds": part.written[name],
                "categories": {
                    category: _ranked([o for o in some if o.category == category], seed)
                    for category in categories
                },
            }
            for name, some in part.outcomes.items()
        },
        "lead": {
            name: _lead(list(zip(ours, some, strict=True)), seed)
            for name, some in part.outcomes.items()
            if some is not ours
        },
        "scope": {"refused": rate(part.refused[False]), "wrongly_refused": rate(part.refused[True])},
    }


def mean(values: Sequence[float], seed: int) -> Figures:
    """The mean with its 95% interval, from means of as many values drawn with repeats."""
    if not values:
        return {"mean": 0.0, "of": 0, "interval": [0.0, 0.0]}
    drawn = np.random.default_rng(seed).choice(values, (_RESAMPLED, len(values))).mean(axis=1)
    ends = np.percentile(drawn, [2.5, 97.5]).tolist()
    return {"mean": statistics.fmean(values), "of": len(values), "interval": ends}


def _lead(pairs: Sequence[tuple[Outcome, Outcome]], seed: int) -> Figures:
    return {
        f"recall at {MOST}": mean([ours.recall[-1] - its.recall[-1] for ours, its in pairs], seed),
        "MRR": mean([ours.reciprocal - its.reciprocal for ours, its in pairs], seed),
    }


def _ranked(some: Sequence[Outcome], seed: int) -> Figures:
    recall = {str(cut): mean([o.recall[n] for o in some], seed) for n, cut in enumerate(CUTS)}
    return {"recall": recall, "mrr": mean([o.reciprocal for o in some], seed)}


def _ask(session: Session, held: Sequence[Talk]) -> Part:
    part, decoder = Part(), session.decoder
    with tempfile.TemporaryDirectory(prefix="larimar-bench-") as folder, ExitStack() as stack:
        memories = Memories(
            stack.enter_context(session.open(Path(folder) / "own.larimar")),
            stack.enter_context(session.open(Path(folder) / "eager.larimar", keys="eager")),
        )
        systems = {name: made(session, memories, stack) for name, made in SYSTEMS.items()}
        for talk in held:
            for name, system in systems.items():
                started = time.perf_counter()
                ranking = system(talk)
                took = time.perf_counter() - started
                part.written[name] = part.written.get(name, 0.0) + took
                outcomes = part.outcomes.setdefault(name, [])
                for asked in talk.questions:
                    if not asked.evidence:
                        continue
                    started = time.perf_counter()
                    found = ranking(asked.question)
                    took = time.perf_counter() - started
                    prompt = decoder.chat_tokens(messages(asked.question, passages(found.texts())))
                    outcomes.append(outcome(asked, found, len(prompt), took))
            for asked in talk.questions:
                refused = not memories.own.read(asked.question, namespace=talk.id).in_scope
                part.refused[asked.answerable].append(refused)
            session.note(f"asked about {talk.id}")
    return part
