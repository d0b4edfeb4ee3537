"""What a question says: its words, the kind of thing it asks for, whom and when, its parts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from larimar_memory.recall.stop_words import stop_words
from larimar_memory.recall.times import times_in
from larimar_memory.text.words import query_terms, words

MOST_PARTS = 8
"""How many parts of a question are looked for one by one; the question as a whole is looked for,
too."""

_NUMBER = re.compile(
    r"\bhow (?:many|much|long|old|far|large|big|tall|high|often|fast|deep|heavy)\b"
    r"|\b(?:what|which) (?:number|percent|percentage|amount|population|price|share)\b|\bnumber of\b",
    re.I,
)
_TIME = re.compile(
    r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|time|century|decade|week)\b|\bhow long\b", re.I
)
_PERSON = re.compile(
    r"\bwho(?:se|m)?\b|\b(?:what|which) (?:\w+ )?(?:person|name|player|team|company|band|artist|author|"
    r"king|president|group|university|school)\b",
    re.I,
)
_PLACE = re.compile(
    r"\bwhere\b|\b(?:what|which) (?:\w+ )?(?:city|country|place|state|town|region|river|street)\b", re.I
)
_OWN = re.compile(r"\b(?:I|me|my|mine|myself|we|our|ours)\b|\bi'(?:m|ve|d|ll)\b", re.I)
_LATEST = re.compile(r"\b(?:latest|most recent(?:ly)?|recently|current(?:ly)?|now|newest|last)\b", re.I)
_EARLIEST = re.compile(r"\b(?:first|initial(?:ly)?|earliest|originally|at the beginning)\b", re.I)

LONGEST = 2_000
"""The longest question, in characters, that has parts: a longer one is a text to look for."""

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_WITHIN = re.compile(
    rf"(?<=\d),(?=\d{{3}}\b)|(?<=day),(?= {_MONTH} \d)|(?<=day),(?= \d{{1,2}}(?:[a-z]{{2}})? {_MONTH})"
    rf"|\b(?P<day>{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?),(?= ?\d{{4}}\b)",
    re.I,
)
"""Commas within dates and numbers, which list nothing: "Friday, March 15, 2024", "1,000"."""

_KEPT = "\ufdd0"
"""Stands for such a comma; Unicode assigns it to no character."""

_ITEM = r"[^\s,;?!]+(?: (?!and\b|or\b)[^\s,;?!]+){0,3}"
_LIST = re.compile(
    rf"(?<![^\s,;?!])(?P<first>{_ITEM})(?P<more>(?:, ?{_ITEM})+),? (?P<join>and|or) (?P<last>{_ITEM})"
)
"""A list, with the words that lead to it and those that follow."""

_LEADING = frozenset(["of", "for", "in", "on", "at", "to", "by", "from", "with", "about"])

_PAIR = re.compile(
    rf"(?P<before>.*\b(?P<leads>{'|'.join(sorted(_LEADING))})) (?P<first>{_ITEM}),? (?P<join>and|or)"
    rf" (?P=leads) (?P<last>{_ITEM})(?P<rest>[?.!]*)"
)
"""Two things, each after the same word: "of the dial and of the anchor"."""

ASKING = r"(?:who|whom|whose|what|when|where|which|why|how)\b"
"""A pattern of the words that ask."""

_ASKS = re.compile(rf"\b{ASKING}", re.I)
_CLAUSE = re.compile(rf"[?;]\s+|,? (?:and|or)(?: also)? (?={ASKING})", re.I)


@dataclass(frozen=True)
class Asked:
    """A question in the form that the ranking uses.

    Attributes:
        text: the question.
        language: ISO 639-1 code of its stop words.
    """

    text: str
    language: str = "en"

    @cached_property
    def said(self) -> list[str]:
        """Its words, in order, with repetitions."""
        return words(self.text)

    @cached_property
    def words(self) -> list[str]:
        """Its distinct words, in order."""
        return query_terms(self.text)

    @cached_property
    def terms(self) -> list[str]:
        """Its words without stop words; all of them if it has no others."""
        idle = stop_words(self.language)
        return [word for word in self.words if word not in idle] or self.words

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of thing that its words ask for, of "number", "time", "person" and "place"."""
        said = {"number": _NUMBER, "time": _TIME, "person": _PERSON, "place": _PLACE}
        return frozenset(kind for kind, pattern in said.items() if pattern.search(self.text))

    @cached_property
    def own(self) -> bool:
        """Whether it is in the first person: about what the one who asks has said or done."""
        return _OWN.search(self.text) is not None

    @cached_property
    def latest(self) -> bool:
        """Whether it asks for what was last; "last week" does not."""
        said = list(_LATEST.finditer(self.text))
        named = times_in(self.text) if said else []
        return any(
            all(one.end <= word.start() or word.end() <= one.start for one in named) for word in said
        )

    @cached_property
    def earliest(self) -> bool:
        """Whether it asks for what was first."""
        return _EARLIEST.search(self.text) is not None

    def names(self, speaker: str) -> bool:
        """Whether a word of a speaker's name is in the question."""
        return any(word in self.words for word in query_terms(speaker))


@dataclass(frozen=True, slots=True)
class Part:
    """One of the things that a question asks at once.

    Attributes:
        asked: the part as a question of its own.
        item: for a list, the item that this part is about; "" for a clause.
        before: for a list, the text before it.
        choice: for a list, whether it joins its items by "or".
    """

    asked: str
    item: str = ""
    before: str = ""
    choice: bool = False


def parts_of(question: str) -> list[str]:
    """The questions that one asks at once, by rules: one for each item of a list, or each clause.

    "The values for a, b and c?" asks for "The values for a?" and so on.

    Returns:
        At most `MOST_PARTS`; none if it asks one thing, or is longer than `LONGEST`.
    """
    return [part.asked for part in split(question)[:MOST_PARTS]]


def split(question: str) -> list[Part]:
    """All parts of a question, as `parts_of` tells them apart."""
    if len(question) > LONGEST:
        return []
    clauses = [clause.strip() for clause in _CLAUSE.split(question) if len(clause.split()) > 2]
    if len(clauses) > 1:
        return [*map(Part, clauses)]
    question = _WITHIN.sub(lambda found: f"{found['day'] or ''}{_KEPT}", question)
    listed = _LIST.search(question)
    if listed is None:
        return _of_pair(question.strip())
    more = [item.strip() for item in listed["more"].split(",") if item.strip()]
    # The list's ends run into the sentence: they get at most as many words as the longest item within.
    width = max(len(item.split()) for item in more)
    first, last = listed["first"].split(), listed["last"].split()
    begin = max(len(first) - width, 0)
    while begin < len(first) - 1 and _leads(first[begin], more):
        begin += 1
    lead = [question[: listed.start()].strip(), *first[:begin]]
    rest = [*last[width:], question[listed.end() :].strip()]
    items = [" ".join(first[begin:]), *more, " ".join(last[:width])]
    before, choice = _spelt(filter(None, lead)), listed["join"] == "or"
    return [
        Part(_spelt(filter(None, [*lead, item, *rest])), _spelt([item]), before, choice)
        for item in items
    ]


def _of_pair(question: str) -> list[Part]:
    pair = _PAIR.fullmatch(question)
    if (
        pair is None
        or _ASKS.search(pair["last"])
        or abs(len(pair["first"].split()) - len(pair["last"].split())) > 1
    ):
        # If one is longer, what follows the last thing belongs to both.
        return []
    before, choice = _spelt([pair["before"]]), pair["join"] == "or"
    return [
        Part(_spelt([before, item + pair["rest"]]), _spelt([item]), before, choice)
        for item in (pair["first"], pair["last"])
    ]


def _leads(word: str, items: list[str]) -> bool:
    """Whether a word before a list's first item is not part of it: "of France, New Zealand"."""
    if word.lower() in _LEADING:
        return not all(item.split()[0].lower() in _LEADING for item in items)
    return word.islower() and all(item[0].isupper() for item in items)


def _spelt(said: Iterable[str]) -> str:
    return re.sub(r" (?=[?.!])", "", " ".join(said)).replace(_KEPT, ",")
