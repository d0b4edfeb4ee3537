"""Reading for a question that names a time: what was said then, or last, or first.

This goes by rules, and takes one to three more searches than other questions. The numbers were chosen
on the first half of a set of dated conversations made of templates, and on others stitched from
dialogues; they are reported on the other half. A question without a time, or a memory whose texts have
none, is read as if this module did not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from larimar_memory.recall.features import addressed
from larimar_memory.recall.found import Candidate, Found
from larimar_memory.recall.question import Asked
from larimar_memory.recall.times import LONGEST, Named, Span, spans_on, times_in
from larimar_memory.stores.base import Where, speaker_of
from larimar_memory.system.moments import day_of

THEN = 0.3
"""Score added to a text that was said at the time that a question names: of 43 questions that name a
day, .88 of the evidence came among the first five from .2 on, and .79 without. A larger one hides texts
that speak of that time."""

LAST = 1.0
"""Score added to a text that was said on the last day, or the first, on which its subject came up."""

NEAR, NEAR_WHEN = 0.7, 0.5
"""Share of the best day's relevance from which another day is about the same subject, if one of them is
read, and if all are. The right day was the last of those for .79 of 52 questions, and for .85 of 220
others; with shares of .6, for .75 and .82."""

SUBJECT = 0.5
"""Share of a day's relevance that is its likeness to the subject alone, if a question names one."""

CORRECTED = 0.6
"""Likeness from which an earlier text is shown with the latest one, which corrects it."""

OPENING = 0.4
"""How much less than a day's best text a text may match that opens the subject on that day."""

_SAY = r"(?:talk|speak|spoke|spoken|chat|discuss|mention|told|tell|said|say|ask|brought|bring|raise)\w*"
_TELLS = re.compile(rf"\b{_SAY}\b", re.I)
_SUBJECT = re.compile(r"\babout (?P<subject>.+?)[\s?.!:,]*$", re.I)
_OBJECT = re.compile(
    r"\b(?:mention|discuss|raise|(?:bring|brought) up)\w* (?P<subject>.+?)[\s?.!:,]*$", re.I
)
_WHEN = re.compile(r"(?:(?:on|at|in) )?(?:when\b|(?:what|which) (?:day|date|week|month|year)\b)", re.I)
_FRAME = re.compile(r"(?P<frame>.{3,160}?)[:,]\s+(?P<rest>.+)", re.S)
_LAST = re.compile(
    rf"\b(?:the )?(?:latest|newest|most recent(?:ly)?|last time|last(?= {_SAY}\b))\b", re.I
)
_FIRST = re.compile(rf"\b(?:the )?(?:earliest|first time|first(?= {_SAY}\b))\b", re.I)


@dataclass(frozen=True, slots=True)
class Timed:
    """A question that names a time.

    Attributes:
        named: the times.
        last: whether it asks for what was last (True) or first (False); None if for neither.
        core: the question without the words that say so.
        subject: what was talked about, if it says so; else "".
        asks_when: whether it asks when something was talked about.
    """

    text: str
    named: list[Named]
    last: bool | None
    core: str
    subject: str
    asks_when: bool

    @classmethod
    def of(cls, text: str) -> Timed | None:
        """What a question says of time; None if it says nothing."""
        if len(text) > LONGEST:
            return None
        named = times_in(text)
        pattern = next((pattern for pattern in (_LAST, _FIRST) if pattern.search(text)), None)
        asks_when = _WHEN.match(text) is not None and _TELLS.search(text) is not None
        if not named and pattern is None and not asks_when:
            return None
        last = None if pattern is None else pattern is _LAST
        core = text if pattern is None else " ".join(pattern.sub("", text).split())
        frame, parts = text, _FRAME.fullmatch(text)
        if pattern is not None and parts and pattern.search(parts["frame"]):
            frame, rest = parts["frame"], parts["rest"]
            core = rest if len(rest.split()) > 2 else core
        said = _SUBJECT.search(frame) or _OBJECT.search(frame)
        subject = said["subject"] if said and _TELLS.search(frame) else ""
        return cls(text, named, last, core or text, subject, asks_when and bool(subject))


Ask = Callable[[str, Sequence[Where]], Found]
"""Searches with a question among what satisfies some further filters."""


def in_time(timed: Timed, found: Found, ask: Ask, today: Callable[[], date]) -> Found:
    """What was found for a question, with what was said at its time put first.

    Args:
        found: for the question as it stands.
        today: the day that "yesterday" is counted from.
    """
    if not any(_day(one) for one in found.candidates):
        return found
    if timed.named:
        relative = any(named.relative for named in timed.named)
        spans = spans_on(timed.text, timed.named, today() if relative else date.max)
        return _then(timed.text, found, ask, spans)
    if timed.asks_when:
        return _when(timed, found, ask)
    return found if timed.last is None else _last(timed, found, ask)


def _then(question: str, found: Found, ask: Ask, spans: Sequence[Span]) -> Found:
    """What was said on those days, put before what matches no better."""
    if not spans:
        return found
    days = [{"said_at": {"$since": str(s.first), "$until": str(s.last)}} for s in spans]
    inside = ask(question, [{"$or": days}])
    return _joined(found, inside, THEN) if inside.candidates else found


def _last(timed: Timed, found: Found, ask: Ask) -> Found:
    """What was said when a subject last came up, or first, put before all else."""
    about = ask(timed.core, []).candidates
    days = _relevance(about, lambda one: one.rank_score)
    if timed.subject:
        alone = _relevance(ask(timed.subject, []).candidates, lambda one: one.cosine)
        days = {
            day: (1 - SUBJECT) * days.get(day, 0.0) + SUBJECT * alone.get(day, 0.0)
            for day in {**days, **alone}
        }
    near = sorted(_near(days, NEAR), reverse=bool(timed.last))
    if not near:
        return found
    inside = ask(timed.text, [_on(near[0])])
    if not inside.candidates:
        return found
    joined = _joined(found, inside, LAST)
    best, *others = joined.candidates
    corrected = [one for day in near[1:] for one in about if _day(one) == day and _alike(one, best)]
    return joined._replace(candidates=in_turn([[best, *corrected[:1], *others]]))


def _when(timed: Timed, found: Found, ask: Ask) -> Found:
    """What opens the subject on each day on which it came up, the best matching days first."""
    about = ask(timed.subject, [])
    relevance, asked = _relevance(about.candidates, lambda one: one.rank_score), Asked(timed.text)
    near = _near(relevance, NEAR_WHEN)
    if timed.last is None:
        near.sort(key=lambda day: -relevance[day])
    else:
        near.sort(reverse=timed.last)
    each = list[list[Candidate]]()
    for day in near:
        said = [one for one in about.candidates if _day(one) == day]
        opening = [one for one in said if one.rank_score >= said[0].rank_score - OPENING]
        own = [one for one in opening if any(addressed(asked, speaker_of(one.segment.metadata)))]
        each.append([min(own or opening, key=_said), *said])
    first = in_turn(each)
    others = in_turn([found.candidates, about.candidates])
    best = max(found, about, key=lambda one: one.probability)
    return Found(in_turn([in_turn([first]) + others]), *best[1:])


def _relevance(
    candidates: Sequence[Candidate], score: Callable[[Candidate], float]
) -> dict[date, float]:
    """How much better the best candidate of each day matches than the worst of all."""
    least = min(map(score, candidates), default=0.0)
    days = dict[date, float]()
    for one in candidates:
        if (day := _day(one)) is not None:
            days[day] = max(days.get(day, 0.0), score(one) - least)
    return days


def _near(days: dict[date, float], share: float) -> list[date]:
    """The days that are nearly as relevant to a subject as the best."""
    best = max(days.values(), default=0.0)
    return [day for day, relevance in days.items() if relevance >= share * best]


def _joined(found: Found, inside: Found, more: float) -> Found:
    """Both, ordered by score, after `more` was added to the scores of those inside."""
    best = {one.segment.row: one for one in found.candidates}
    for one in inside.candidates:
        why = one.why
        if why is not None:
            why = replace(why, features={**why.features, "then": (1.0, more)})
        raised = replace(one, rank_score=one.rank_score + more, why=why)
        known = best.get(one.segment.row)
        if known is None or known.rank_score < raised.rank_score:
            best[one.segment.row] = raised
    order = sorted(best.values(), key=lambda one: (-one.rank_score, one.segment.row))
    return Found(order, *max(found, inside, key=lambda one: one.probability)[1:])


def in_turn(lists: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """The best of each list, then the second best of each, and so on; each segment once."""
    taken = dict[int, Candidate]()
    for n in range(max(map(len, lists), default=0)):
        for candidate in (found[n] for found in lists if n < len(found)):
            taken.setdefault(candidate.segment.row, candidate)
    return list(taken.values())


def _alike(one: Candidate, other: Candidate) -> bool:
    """Whether two say the same, except for what has changed: one speaker, and nearly the same key."""
    both = speaker_of(one.segment.metadata), speaker_of(other.segment.metadata)
    likeness = one.segment.best_key @ other.segment.best_key
    return both[0] == both[1] and float(likeness) >= CORRECTED


def _day(one: Candidate) -> date | None:
    return day_of(one.segment.metadata.get("said_at"))


def _said(one: Candidate) -> tuple[str, int]:
    return str(one.segment.metadata.get("said_at")), one.segment.row


def _on(day: date) -> Where:
    return {"said_at": {"$since": str(day), "$until": str(day)}}
