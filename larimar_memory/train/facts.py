"""Made-up facts whose values no model can guess, so that it learns to copy exactly.

None of them is worded like a benchmark's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from larimar_memory.train.names import a_name
from larimar_memory.train.rare import rare_string, same_kind

_PEOPLE = (
    "Amara Osei", "Tomasz Wilk", "Ines Carvalho", "Priya Nair", "Jonas Brandt", "Leila Haddad",
    "Mateo Rojas", "Yuki Tanabe", "Freya Lindqvist", "Kofi Mensah", "Nadia Petrov", "Owen Gallagher",
    "Sana Qureshi", "Lucas Moreau", "Mei-Ling Zhou", "Ravi Shetty", "Elif Demir", "Hugo Almeida",
)  # fmt: skip
_PLACES = (
    "the north barn", "the Lisbon office", "greenhouse four", "the ferry terminal", "the old mill",
    "the rooftop station", "the harbour clinic", "the pump house", "the Oslo depot", "the print shop",
    "the east gate", "the observatory", "the staging cluster", "the payroll service", "the mail relay",
    "the backup server", "the blue tractor", "the night train", "the second turbine", "the test bench",
)  # fmt: skip
_HELD_BY = ("architect", "keeper", "founder", "first owner", "inspector")
"""Roles that somebody has at a place; the value is a name."""
_OF_PEOPLE = (
    "badge number", "phone extension", "e-mail address", "licence plate", "customer number", "locker",
    "flight", "booking reference", "desk", "user name", "membership number", "ward", "invoice",
)  # fmt: skip
_OF_PLACES = (
    "serial number", "meter reading", "router address", "part number", "build version", "batch number",
    "postal code", "port", "alarm code", "inspection date", "budget", "stock count", "web address",
    *_HELD_BY,
)  # fmt: skip
_OF_STRINGS = (
    "checksum", "reference", "token", "identifier", "successor", "owner", "code", "label", "mirror",
    "parent", "session", "number",
)  # fmt: skip
"""Properties of things that are named by a string; the value is a string too, often of that kind."""
_ASKING_TOGETHER = ("What are the {things} of {holder}?", "Which {things} do {holder} have?")
_BEGINNINGS = (
    "The {things} of {holder} are",
    "For {holder}, the {things} are",
    "The {things} for {holder}, as the passages say, are",
    "{holder} have these {things}:",
)
_BEGINNINGS_OF_ONE = (
    "{Of} {thing} is",
    "The {thing} of {holder} is",
    "The {thing} for {holder}, as the passages say, is",
    "The {thing} that belongs to {holder} is",
    "It is",
)
_BEGINNINGS_OF_MANY = (
    "{Of} {things} are",
    "The {things} of {holder} are",
    "The {things} for {holder}, as the passages say, are",
    "They are",
)
_NAMELESS = ("", "file", "case", "order", "machine", "the unit", "account")
"""Things that are named by a number or a code."""

_SAYINGS = (
    "{Of} {thing} is {value}.",
    "{Of} {thing} was changed to {value} last week.",
    "They wrote down {value} as {of} {thing}.",
    "Remember that {of} {thing} is {value}, not the one on the old list.",
    "According to the register, {value} is {of} {thing}.",
    "The {thing} for {holder}: {value}.",
    "For {holder}, the {thing} now reads {value}.",
)
_SAYINGS_OF_MANY = (
    "{value} is one of {of} {things}.",
    "Among {of} {things} is {value}.",
    "{Of} {things} include {value}.",
    "One {thing} of {holder} is {value}.",
    "{holder} has several {things}, and {value} belongs to them.",
)
_MENTIONS = (
    "{Of} {thing} is given somewhere in these notes.",
    "The {thing} of {holder} is written down in the register.",
    "The {thing} for {holder} is still to be checked.",
    "Somebody asked for {of} {thing} again, and wanted to know it by heart.",
    "{Of} {thing} is kept with the others.",
    "Several {things} are listed further down; please learn all of them.",
    "Some {thing} is kept in this file, so read on with care.",
    "Every {thing} is checked twice before it is used.",
)
"""Sentences about a thing that do not say its value."""
_ASKING_FOR_MANY = (
    "What are all {of} {things}?",
    "Which {things} does {holder} have?",
    "List the {things} of {holder}.",
    "What are the {things} for {holder}?",
)
_ASKING = (
    "What is {of} {thing}?",
    "What {thing} does {holder} have?",
    "Which {thing} belongs to {holder}?",
    "Tell me the {thing} of {holder}.",
    "{Of} {thing}?",
    "Do you know {of} {thing}?",
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A value of somebody or something: the only one, or one of several."""

    holder: str
    thing: str
    value: str
    of_many: bool = False

    def said(self, rng: random.Random) -> str:
        """A sentence that states the fact."""
        return self.worded(rng.choice(_SAYINGS_OF_MANY if self.of_many else _SAYINGS))

    def mentioned(self, rng: random.Random) -> str:
        """A sentence about the thing, mostly about this one, without the value."""
        return self.worded(rng.choice(_MENTIONS))

    def asked(self, rng: random.Random) -> str:
        """A question for the value, or for all values."""
        return self.worded(rng.choice(_ASKING_FOR_MANY if self.of_many else _ASKING))

    def worded(self, form: str) -> str:
        """A sentence with the fact's words in their places."""
        of, plural = f"{self.holder}'s", "es" if self.thing.endswith("s") else "s"
        return form.format(
            of=of,
            Of=of[0].upper() + of[1:],
            holder=self.holder,
            thing=self.thing,
            things=self.thing + plural,
            value=self.value,
        )


def draw_facts(rng: random.Random, count: int) -> list[Fact]:
    """Facts that differ in holder or thing, often with one thing or one holder in common.

    In half of the calls, holders are named by rare strings too, often of the same kind as the values:
    only reading tells which is which.
    """
    people = rng.random() < 0.5
    holders: tuple[str, ...] = _PEOPLE if people else _PLACES
    things: tuple[str, ...] = _OF_PEOPLE if people else _OF_PLACES
    string: Callable[[random.Random], str] = rare_string
    if rng.random() < 0.5:
        kind = rng.choice(_NAMELESS)
        if rng.random() < 0.6:
            things, string = _OF_STRINGS, same_kind(rng)
        of_holders = string if rng.random() < 0.7 else rare_string
        holders = tuple(f"{kind} {of_holders(rng)}".strip() for _ in range(2 * count))
    few = rng.random()
    one_thing, one_holder = rng.choice(things), rng.choice(holders)
    made = dict[tuple[str, str], Fact]()
    while len(made) < count:
        holder = one_holder if few < 0.25 and len(things) > count else rng.choice(holders)
        thing = one_thing if few > 0.6 else rng.choice(things)
        value = a_name(rng) if thing in _HELD_BY else string(rng)
        made.setdefault((holder, thing), Fact(holder, thing, value))
    return list(made.values())


def with_many(facts: list[Fact], rng: random.Random) -> list[Fact]:
    """The facts as values of holders that may have several: one to four of each holder and thing."""
    made = list[Fact]()
    for fact in facts:
        values = [fact.value, *(rare_string(rng) for _ in range(rng.choice((0, 1, 2, 3, 3))))]
        made += [Fact(fact.holder, fact.thing, value, of_many=True) for value in values]
    return made


def several(facts: list[Fact]) -> tuple[str, str] | None:
    """One question for a thing of several holders, and its answer, a line per holder; or None.

    It is None for a single fact, or for facts of different things.
    """
    if len(facts) < 2 or len({fact.thing for fact in facts}) > 1:
        return None
    listed = _listed([fact.holder for fact in facts])
    answer = "\n".join(f"{fact.holder}: {fact.value}" for fact in facts)
    return f"What is the {facts[0].thing} of {listed}?", answer


def begun_of(
    facts: Sequence[Fact], values: Mapping[tuple[str, str], Sequence[str]], rng: random.Random
) -> tuple[str, str, str]:
    """A question for a thing of one holder or of several, words its answer begins with, and the rest.

    Args:
        facts: one fact for each holder and thing.
        values: all values of each holder and thing, in the order of the answer.
    """
    first = rng.choice(facts)
    others = [fact for fact in facts if fact.thing == first.thing and fact is not first]
    # Often only one holder, although others have such a thing as well.
    chosen = [first, *rng.sample(others, rng.choice((0, rng.randint(0, len(others)), len(others))))]
    rng.shuffle(chosen)
    holders = _listed([fact.holder for fact in chosen])
    said = [value for fact in chosen for value in values[fact.holder, fact.thing]]
    if len(chosen) == 1:
        forms = _BEGINNINGS_OF_MANY if first.of_many else _BEGINNINGS_OF_ONE
        return first.asked(rng), first.worded(rng.choice(forms)), f" {_listed(said)}."
    together = replace(first, holder=holders, of_many=True)
    return (
        together.worded(
            rng.choice(("What are the {things} of {holder}?", "Which {things} do {holder} have?"))
        ),
        together.worded(rng.choice(_BEGINNINGS)),
        f" {_listed(said)}.",
    )


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
