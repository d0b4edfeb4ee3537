"""Fit the weights that ship with `larimar_memory.recall`: `python -m benchmarks.fit_ranking --help`.

Fitted on conversations 1 to 10 of `beam_100k`, on the training questions of reading comprehension, half
of whose passages are stored among passages of a corpus, and on dialogues, sixteen to a memory. Reports
are made on other conversations and on XQuAD.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import talks
from benchmarks.conversations import FITTED, RANKED
from larimar_memory.encoders.base import keys_of
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar
from larimar_memory.recall import features as feature
from larimar_memory.recall import scope
from larimar_memory.recall.features import FEATURES
from larimar_memory.recall.ranking import WEIGHTS, Kind
from larimar_memory.recall.search import Look, Recall
from larimar_memory.text.blocks import Text
from larimar_memory.text.segments import segment
from larimar_memory.train.ranker import Example, fit_ranking, fit_scope
from larimar_memory.train.unpacked import unpacked_lines
from larimar_memory.types import ReadOptions

QUESTIONS = {
    "squadshifts_newwiki": (800, 1600, 1.0),
    "fairytaleqa": (300, 600, 0.1),
    "nq_open_gold": (800, 500, 0.1),
    "covidqa": (300, 300, 0.1),
    "onestopqa": (200, 400, 0.1),
}
"""Of each file, most passages, most questions, and what they count."""

NOISE, DIALOGUES, PER_MEMORY = 300, 960, 16
"""Passages of the corpus beside each file's; dialogues, and how many of them share a memory."""

DIALOGUES_COUNT = 0.25
LEFT_OUT = ("rank", "lead")
"""Signs that depend on a kind's own scale of scores."""

REFUSED = 0.05
"""Share of a set's questions with an answer that the default threshold may refuse: of dialogues, signs
hardly tell those with an answer from those without, and it is better not to refuse."""


@dataclass(frozen=True)
class Case:
    """A question with what is known of its candidates, and its evidence: turns, or segments."""

    look: Look
    gold: frozenset[Any]
    answered: bool
    by_segment: bool

    def example(self) -> Example:
        """As the ranking is fitted on it."""
        known = self.look.known
        names = [
            (k.segment.document_id, k.segment.index) if self.by_segment else k.segment.document_id
            for k in known
        ]
        numbers = {name: n for n, name in enumerate(dict.fromkeys(names))}
        groups = np.array([numbers[name] for name in names], dtype=np.int64)
        return Example(self.table(), groups, np.array([name in self.gold for name in numbers]))

    def table(self) -> np.ndarray:
        """The candidates' features."""
        return feature.table(self.look.asked, self.look.pool, self.look.known)

    def signs(self, weights: np.ndarray) -> np.ndarray:
        """What speaks for an answer, as ranked by those weights."""
        table, rows = self.table(), [k.segment.row for k in self.look.known]
        scores = table @ weights
        order = np.lexsort((rows, -scores))
        stems = [self.look.known[n].stems for n in order[: scope.FIRST]]
        found = scope.signs(self.look.asked, self.look.pool, stems, table[order], scores[order])
        return np.asarray(found * np.array([name not in LEFT_OUT for name in scope.SIGNS]))


def main(
    conversations: Annotated[Path, typer.Option(help="Folder of beam_100k, of the form in talks.py.")],
    qa: Annotated[Path, typer.Option(help="Folder of reading comprehension, JSON lines.")],
    corpus: Annotated[Path, typer.Option(help="Passages among which they are stored, JSON lines.")],
    out: Annotated[Path, typer.Option(help="Where the weights are written.")] = WEIGHTS,
) -> None:
    """Fit ranking and scope, and write their weights."""
    encoder = SentenceEncoder.load()
    talked = [
        _cases(encoder, map(talks.as_text, talk.turns), _asked(talk))
        for talk in talks.read(conversations)[RANKED][: FITTED[RANKED]]
    ]
    beam = [case for some in talked for case in some]
    said = list(_dialogues(encoder, qa / "sgd_dialogue_qa.jsonl.xz"))
    noise = [
        Text(f"n{n}", row["text"], {}) for n, row in zip(range(NOISE), _rows(corpus), strict=False)
    ]
    read = {
        name: _passages(encoder, qa / f"{name}.jsonl.xz", noise, passages, questions)
        for name, (passages, questions, _) in QUESTIONS.items()
    }
    sets: dict[Kind, list[tuple[list[Case], float]]] = {
        "conversation": [(beam, 1.0), (said, DIALOGUES_COUNT)],
        "prose": [(cases, QUESTIONS[name][2]) for name, cases in read.items()],
    }
    ranks = {
        kind: fit_ranking([(_answered(some), share) for some, share in held], kind)
        for kind, held in sets.items()
    }
    prose = [case for cases in read.values() for case in cases]
    signs = np.array([case.signs(ranks["prose"]) for case in prose])
    scopes, _ = fit_scope(signs, np.array([case.answered for case in prose]))
    asked: dict[Kind, tuple[list[Case], ...]] = {
        "conversation": (beam, said),
        "prose": (read[next(iter(QUESTIONS))],),
    }
    biases = {
        kind: -min(_least(cases, ranks[kind], scopes) for cases in some) for kind, some in asked.items()
    }
    made = {
        kind: {
            "rank": _named(FEATURES, ranks[kind]),
            "scope": {**_named(scope.SIGNS, scopes), "bias": round(biases[kind], 4)},
        }
        for kind in sets
    }
    fitted = {
        "conversation": f"{RANKED}, its first {FITTED[RANKED]} conversations; sgd_dialogue_qa",
        "prose": ", ".join(QUESTIONS),
    }
    written = {"version": 1, "fitted_on": fitted, "kinds": made}
    out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _least(cases: Sequence[Case], rank: np.ndarray, scopes: np.ndarray) -> float:
    """The sum of signs that the default threshold stands for."""
    return float(np.quantile([c.signs(rank) @ scopes for c in cases if c.answered], REFUSED))


def _answered(cases: Sequence[Case]) -> list[Example]:
    return [case.example() for case in cases if case.answered and case.gold]


def _named(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return {n: round(float(v), 4) for n, v in zip(names, values, strict=True) if abs(v) > 5e-5}


def _asked(talk: talks.Talk) -> list[tuple[str, frozenset[Any], bool]]:
    return [(q.question, q.evidence, q.answerable) for q in talk.questions]


def _cases(
    encoder: SentenceEncoder,
    texts: Any,
    asked: Sequence[tuple[str, frozenset[Any], bool]],
    by_segment: bool = False,
) -> list[Case]:
    """Ask a memory of the texts."""
    with Larimar.open(encoder=encoder) as memory:
        memory.write_each(texts)
        recall, made = Recall(memory.store, encoder, "en"), list[Case]()
        for question, gold, answered in asked:
            look = recall.look(question, keys_of(encoder, [question], "question")[0], ReadOptions(k=10))
            # Without their keys, which are many and have been looked at.
            known = [replace(k, segment=replace(k.segment, key=None, coarse=None)) for k in look.known]
            made.append(Case(look._replace(known=known), gold, answered, by_segment))
    return made


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, unpacked_lines(path))


def _passages(
    encoder: SentenceEncoder, path: Path, noise: list[Text], passages: int, questions: int
) -> list[Case]:
    """Questions on passages, every other of which is stored: the others' answers are not there."""
    rng = random.Random(1)  # noqa: S311 - a sample that anyone can draw again
    rows = [row for row in _rows(path) if row["answerable"] and row.get("split", "train") == "train"]
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    rng.shuffle(contexts)
    contexts = contexts[:passages]
    stored = {context: f"p{n}" for n, context in enumerate(contexts[::2])}
    asked, known = list[tuple[str, frozenset[Any], bool]](), set(contexts)
    for row in rows:
        context, answer = row["context"], row["answers"][0].lower()
        if context not in stored:
            if context in known:
                asked.append((row["question"], frozenset(), False))
            continue
        held = {(stored[context], s.index) for s in segment(context) if answer in s.text.lower()}
        if 0 < len(held) <= 2:
            asked.append((row["question"], frozenset(held), True))
    rng.shuffle(asked)
    texts = [*noise, *(Text(name, context, {}) for context, name in stored.items())]
    return _cases(encoder, texts, asked[:questions], by_segment=True)


def _dialogues(encoder: SentenceEncoder, path: Path) -> Iterator[Case]:
    """Questions on dialogues, several to a memory, which no other dialogue in it answers."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(path):
        rows.setdefault(row["context"], []).append(row)
    contexts = list(rows)
    random.Random(0).shuffle(contexts)  # noqa: S311 - as above
    for first in range(0, DIALOGUES, PER_MEMORY):
        chosen = contexts[first : first + PER_MEMORY]
        turns = {context: list(_turns(str(n), context)) for n, context in enumerate(chosen)}
        known = [row["question"] for context in chosen for row in rows[context] if row["answerable"]]
        asked = list[tuple[str, frozenset[Any], bool]]()
        for context in chosen:
            for row in rows[context]:
                answer = row["answers"][0].lower() if row["answerable"] else None
                held = {
                    turn.id for turn in turns[context] if answer and answer in str(turn.text).lower()
                }
                if held and known.count(row["question"]) == 1:
                    asked.append((row["question"], frozenset(held), True))
                elif answer is None and row["question"] not in known:
                    asked.append((row["question"], frozenset(), False))
        yield from _cases(encoder, [turn for some in turns.values() for turn in some], asked)


def _turns(name: str, context: str) -> Iterator[Text]:
    dated = re.match(r"\[(\d{4}-\d\d-\d\d)\]\n", context)
    said_at = {"said_at": dated[1]} if dated else {}
    for n, line in enumerate(context[dated.end() if dated else 0 :].split("\n")):
        speaker, _, text = line.partition(": ")
        if text.strip():
            yield Text(f"{name}:{n}", text, {"speaker": speaker, **said_at}, episode=name)


if __name__ == "__main__":
    typer.run(main)
