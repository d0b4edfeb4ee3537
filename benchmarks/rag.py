"""Larimar against what people use instead: RetrievalQA over vector stores, BM25, a long context.

One process, one decoder, the same encoder weights, text and questions for all of them, each with the
defaults its documentation shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import baselines, corpora, niah, systems
from benchmarks.probes import Corpus, pooled, run
from benchmarks.result import Bar, Figures, bar, share
from benchmarks.session import Session

PACKAGES = (*baselines.PACKAGES, "langchain-chroma", "langchain-classic")

_STORES = (systems.FAISS, systems.CHROMA)
_BESIDE = (systems.WIDE, systems.LATENT)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        lengths: tokens of prose with pass keys and needles.
        trials: of each task in these.
        ruler: tokens of RULER's haystacks; 0 for none of its tasks.
        ruler_trials: of each of these.
        passages: questions on passages.
        others: most passages written beside those asked about.
        facts: how many facts at once.
        turns: of a conversation.
        asked: facts asked for, and things said in the conversation.
        answers: trials of each task that are answered, too.
        passage_answers: the same, of questions on passages, where a decoder errs more often.
        whole_answers: the same, where all of the text is read for each.
        most_whole: tokens up to which the whole text is read.
        most_beside: tokens up to which Larimar is measured with other options than its defaults.
    """

    lengths: tuple[int, ...]
    trials: int
    ruler: int
    ruler_trials: int
    passages: int
    others: int
    facts: tuple[int, ...]
    turns: int
    asked: int
    answers: int
    passage_answers: int
    whole_answers: int
    most_whole: int = 10_000
    most_beside: int = 100_000


FULL = Size(
    lengths=(1_000, 10_000, 100_000, 1_000_000),
    trials=20,
    ruler=20_000,
    ruler_trials=3,
    passages=1_190,
    others=1_000,
    facts=(256,),
    turns=400,
    asked=20,
    answers=5,
    passage_answers=25,
    whole_answers=2,
)
QUICK = Size(
    lengths=(1_000,),
    trials=1,
    ruler=0,
    ruler_trials=0,
    passages=1,
    others=5,
    facts=(8,),
    turns=8,
    asked=1,
    answers=1,
    passage_answers=1,
    whole_answers=1,
)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Put every task to every system, and compare."""
    rows = list[Figures]()
    _ = session.langchain_embeddings
    for corpus in _corpora(session, size):
        for name in systems.NAMES:
            if name == systems.WHOLE and corpus.tokens > 1.1 * size.most_whole:
                continue
            if name in _BESIDE and corpus.tokens > 1.1 * size.most_beside:
                continue
            session.note(f"{corpus.kind}, {corpus.tokens:,} tokens: {name}")
            answers = size.passage_answers if corpus.kind == "passages" else size.answers
            answers = size.whole_answers if name == systems.WHOLE else answers
            # With latents the memory searches as without them: only the answers differ.
            figures = run(session, name, corpus, answers, only_answers=name == systems.LATENT)
            rows.append({"system": name, "text": corpus.kind, "tokens": corpus.tokens, **figures})
        session.langchain_embeddings.clear()
    return report(rows)


def _corpora(session: Session, size: Size) -> Iterator[Corpus]:
    for length in size.lengths:
        yield corpora.hidden(session, length, size.trials)
    if size.ruler:
        yield from niah.corpora(session, size.ruler, size.ruler_trials)
    if session.questions is not None:
        yield corpora.passages(session, session.questions, size.passages, size.others)
    for count in size.facts:
        yield corpora.facts(session, count, size.asked)
    yield corpora.conversation(session, size.turns, size.asked)


def report(rows: list[Figures]) -> tuple[Figures, list[Bar]]:
    """Totals of each system, and the bars.

    Args:
        rows: of one system and one text each, with its "tasks".
    """
    tasks = list(dict.fromkeys(task for row in rows for task in row["tasks"]))
    bars = list[Bar]()
    for kind, said in (("read_first", "text"), ("document_first", "document")):
        for task, above in _above(rows, systems.OURS, tasks, kind).items():
            what = f"{task}: right {said} read first, points above the better vector store"
            bars.append(bar(what, above, ">= 0"))
    if wide := _above(rows, systems.WIDE, tasks, "read_first"):
        what = (
            "right text read first, widened: fewest points above the better vector store, of all tasks"
        )
        bars.append(bar(what, min(wide.values()), ">= 0"))
    longest = max(row["tokens"] for row in rows)
    speed = {r["system"]: r["write_tokens_per_second"] for r in rows if r["tokens"] == longest}
    ratio = min(speed[systems.OURS] / speed[name] for name in _STORES)
    bars.append(bar("tokens written per second over the faster vector store's", ratio, ">= 4"))
    over = dict[str, dict[str, float]]()
    for own, what, most in (
        (systems.OURS, "seconds of all answers over the quicker RetrievalQA's", "<= 1.0"),
        (systems.LATENT, "seconds of answers from latents over the quicker RetrievalQA's", "<= 0.7"),
    ):
        over[own] = {
            name: ratio for name in _STORES if (ratio := _seconds(rows, own, name)) is not None
        }
        if over[own]:
            bars.append(bar(what, max(over[own].values()), most))
    figures: Figures = {"tasks": tasks, "totals": _totals(rows), "seconds_over": over, "rows": rows}
    return figures, bars


def _above(rows: list[Figures], name: str, tasks: list[str], kind: str) -> dict[str, float]:
    """Points of a hundred by which a system reads the right one first more often than the better store,
    in each task it was tried in, all lengths together at which it was tried.
    """
    texts = {(row["text"], row["tokens"]) for row in rows if row["system"] == name}
    same = [row for row in rows if (row["text"], row["tokens"]) in texts]
    above = dict[str, float]()
    for task in tasks:
        ours, *theirs = (pooled(same, one, task, kind) for one in (name, *_STORES))
        if ours["of"]:
            above[task] = 100 * (share(ours) - max(map(share, theirs)))
    return above


def _seconds(rows: list[Figures], own: str, name: str) -> float | None:
    """Seconds of a system's answers over another's to the same questions: medians of tasks, added up.

    None where nothing was answered.
    """
    mine, theirs = (
        {
            (row["text"], row["tokens"], task): found["seconds"]
            for row in rows
            for task, found in row["tasks"].items()
            if row["system"] == one and "seconds" in found
        }
        for one in (own, name)
    )
    both = mine.keys() & theirs.keys()
    return float(sum(mine[key] for key in both) / sum(theirs[key] for key in both)) if both else None


def _totals(rows: list[Figures]) -> Figures:
    """Each system over all of its tasks."""
    kinds = ("read_first", "read", "answered", "left_in_files")
    return {name: {kind: pooled(rows, name, "", kind) for kind in kinds} for name in systems.NAMES}
