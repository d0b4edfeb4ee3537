"""Texts with the questions that every system is asked about them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from benchmarks import needle, passkey, squad
from benchmarks.haystack import hide, token_counter
from benchmarks.people import MOST_SAID, Told, about_people, said_in_passing
from benchmarks.probes import Corpus, Probe
from benchmarks.session import Session
from larimar_memory.text.segments import segment


def hidden(session: Session, tokens: int, trials: int) -> Corpus:
    """Pass keys at random depths and needles at even ones, in prose; one at a time."""
    (above,) = token_counter(session.encoder)([passkey.TASK])
    hay = passkey.headed(session.prose(tokens), above)
    parts, draw = hay.parts(), session.draw("hidden", tokens)
    keys, needles = list[Probe](), list[Probe]()
    for n in range(trials):
        key = draw.randint(1, passkey.LARGEST_KEY)
        line = passkey.NEEDLE.format(key=key)
        part, text, _ = hide(hay, parts, line, draw.random())
        keys.append(Probe(passkey.QUESTION, (line,), _first_integer(key), {part.id: text}))
        one = needle.NEEDLES[n % len(needle.NEEDLES)]
        part, text, _ = hide(hay, parts, one.text, n / max(1, trials - 1))
        needles.append(Probe(one.question, (one.text,), one.score, {part.id: text}))
    documents = {part.id: part.text for part in parts}
    return Corpus("prose", hay.total, documents, {"pass key": keys, "needle": needles})


def passages(session: Session, path: Path, count: int, others: int) -> Corpus:
    """Questions on real passages, each passage a document.

    Args:
        others: most passages that are written though nobody asks about them.
    """
    every = drawn(session, path)
    asked = every[:count]
    wanted = dict.fromkeys(one.passage for one in asked)
    rest = (one.passage for one in every if one.passage not in wanted)
    texts = [*wanted, *islice(dict.fromkeys(rest), others)]
    ids = {text: f"passage-{n}" for n, text in enumerate(texts)}
    documents = {id: text for text, id in ids.items()}
    probes = [
        Probe(one.question, (_flat(one.answers[0]),), _says(*one.answers), document=ids[one.passage])
        for one in asked
    ]
    return Corpus("passages", _tokens(session, documents), documents, {"passages": probes})


def drawn(session: Session, path: Path) -> list[squad.Asked]:
    """All questions of a file, in the order in which `passages` asks them."""
    every = squad.read(path)
    session.draw("passages").shuffle(every)
    return every


def among(
    session: Session, path: Path, count: int, most: int, tokens: int
) -> tuple[Corpus, dict[str, str]]:
    """The same questions, and parts of prose beside their passages, so that there are `most` of them.

    Args:
        tokens: least of a part.
    """
    corpus = passages(session, path, count, max(most - count, 0))
    room = max(most - len(corpus.documents), 0)
    others = session.prose(2 * tokens * max(room, 1)).parts(tokens)[:room]
    return corpus, {part.id: part.text for part in others}


def facts(session: Session, count: int, trials: int) -> Corpus:
    """Many facts at once, some of them asked for as they are, after an edit, and once forgotten."""
    draw = session.draw("facts about people", count)
    told = about_people(draw, count)
    documents = {f"fact-{n}": fact.text for n, fact in enumerate(told)}
    chosen = draw.sample(range(count), min(trials, count))
    tasks = {
        f"{count} facts": [_asked(told[n]) for n in chosen],
        f"{count} facts, edited": [
            Probe(
                told[n].question,
                (told[n].edited,),
                _says(told[n].edited_answer),
                {f"fact-{n}": told[n].edited},
                gone=(told[n].text,),
            )
            for n in chosen
        ],
        f"{count} facts, one forgotten": [
            Probe(
                told[n].question,
                (),
                _says_not(told[n].answer),
                {f"fact-{n}": None},
                gone=(told[n].text,),
            )
            for n in chosen
        ],
    }
    return Corpus("facts", _tokens(session, documents), documents, tasks)


def conversation(session: Session, turns: int, trials: int) -> Corpus:
    """Turns of small talk, each a document, with what the user says of themselves in between."""
    draw = session.draw("conversation", turns)
    told = said_in_passing(draw, min(trials, MOST_SAID, turns))
    talk = (s.text.strip() for p in session.prose(60 * turns).paragraphs for s in segment(p))
    lines = [f"I have just read this: {text}" for text in islice(talk, turns)]
    for place, fact in zip(draw.sample(range(len(lines)), len(told)), told, strict=True):
        lines[place] = fact.text
    documents = {f"turn-{n:04d}": f"User: {line}" for n, line in enumerate(lines)}
    probes = [_asked(fact) for fact in told]
    return Corpus("turns", _tokens(session, documents), documents, {f"{turns} turns": probes})


def _asked(fact: Told) -> Probe:
    return Probe(fact.question, (fact.text,), _says(fact.answer))


def _flat(text: str) -> str:
    return " ".join(text.split())


def _tokens(session: Session, documents: dict[str, str]) -> int:
    return sum(token_counter(session.encoder)(list(documents.values())))


def _first_integer(key: int) -> Callable[[str], float]:
    return lambda reply: float(passkey.first_integer(reply) == key)


def _says(*answers: str) -> Callable[[str], float]:
    return lambda reply: float(squad.holds(reply, answers))


def _says_not(answer: str) -> Callable[[str], float]:
    return lambda reply: float(not squad.holds(reply, (answer,)))
