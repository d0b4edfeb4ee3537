"""Made-up facts about made-up people, as alike as an address book's, and small talk with some in it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

_GIVEN = (
    *("Ada", "Bruno", "Clara", "Dmitri", "Esther", "Farid", "Greta", "Hugo"),
    *("Ingrid", "Jonas", "Kaya", "Lorenzo", "Mina", "Niels", "Olga", "Pavel"),
)
_FAMILY = (
    *("Achterberg", "Bellini", "Castellan", "Duarte", "Eriksen", "Fontaine", "Gruber", "Hallman"),
    *("Ivanova", "Jansen", "Kowalski", "Lindqvist", "Marchetti", "Novak", "Okafor", "Pereira"),
)
_TOWNS = (
    *("Aarhus", "Bergamo", "Coimbra", "Dresden", "Esbjerg", "Ferrara", "Ghent", "Haarlem"),
    *("Innsbruck", "Jerez", "Kaunas", "Linz", "Malaga", "Nantes", "Odense", "Padua"),
)
_TRADES = (
    *("baker", "bookbinder", "carpenter", "dentist", "electrician", "florist", "gardener"),
    *("glazier", "locksmith", "nurse", "optician", "plumber", "tailor", "translator"),
)
_NAMES = (
    "Pixel",
    "Biscuit",
    "Domino",
    "Ember",
    "Hazel",
    "Juniper",
    "Mango",
    "Nimbus",
    "Pepper",
    "Tango",
)


def _digits(count: int) -> Callable[[random.Random], str]:
    return lambda draw: str(draw.randrange(10 ** (count - 1), 10**count))


def _one_of(things: tuple[str, ...]) -> Callable[[random.Random], str]:
    return lambda draw: draw.choice(things)


_ABOUT: dict[str, Callable[[random.Random], str]] = {
    "locker number": _digits(4),
    "telephone number": _digits(6),
    "home town": _one_of(_TOWNS),
    "profession": _one_of(_TRADES),
}

_SAID: tuple[tuple[str, str, Callable[[random.Random], str]], ...] = (
    ("My dog is called {}.", "What is my dog called?", _one_of(_NAMES)),
    ("My sister {} is visiting next month.", "Who is my sister?", _one_of(_GIVEN)),
    ("I grew up in {}.", "Where did I grow up?", _one_of(_TOWNS)),
    ("The code of my bicycle lock is {}.", "What is the code of my bicycle lock?", _digits(4)),
    ("My flight to Oslo is number {}.", "What is the number of my flight to Oslo?", _digits(4)),
    ("I used to work as a {}.", "What did I use to work as?", _one_of(_TRADES)),
    ("My neighbour on the left is {}.", "Who is my neighbour on the left?", _one_of(_GIVEN)),
    ("My cat answers to {}.", "What does my cat answer to?", _one_of(_NAMES)),
    ("I left my umbrella in {}.", "Where did I leave my umbrella?", _one_of(_TOWNS)),
    ("My library card has the number {}.", "What is the number of my library card?", _digits(6)),
    ("My cousin is a {}.", "What is my cousin's profession?", _one_of(_TRADES)),
    ("We are going to spend our holidays in {}.", "Where do we spend our holidays?", _one_of(_TOWNS)),
    ("My doctor is called {}.", "What is my doctor called?", _one_of(_FAMILY)),
    ("The wifi password at home is {}.", "What is the wifi password at home?", _digits(6)),
    ("My piano teacher lives in {}.", "Where does my piano teacher live?", _one_of(_TOWNS)),
    ("My boat is called {}.", "What is my boat called?", _one_of(_NAMES)),
    ("My parking space is number {}.", "What is the number of my parking space?", _digits(3)),
    ("My landlord is called {}.", "What is my landlord called?", _one_of(_FAMILY)),
    ("I would like to learn to be a {}.", "What would I like to learn to be?", _one_of(_TRADES)),
    ("My grandmother was born in {}.", "Where was my grandmother born?", _one_of(_TOWNS)),
)

MOST_SAID = len(_SAID)
MOST_FACTS = len(_GIVEN) * len(_FAMILY) * len(_ABOUT)


@dataclass(frozen=True, slots=True)
class Told:
    """A fact, the question it answers, the answer, and the fact with another answer."""

    text: str
    question: str
    answer: str
    edited: str
    edited_answer: str


def about_people(draw: random.Random, count: int) -> list[Told]:
    """Facts of one attribute of one person each, at most `MOST_FACTS`, no two of the same."""
    every = [(about, given, family) for about in _ABOUT for given in _GIVEN for family in _FAMILY]
    return [
        _told(
            draw,
            f"The {about} of {given} {family} is {{}}.",
            f"What is the {about} of {given} {family}?",
            _ABOUT[about],
        )
        for about, given, family in draw.sample(every, count)
    ]


def said_in_passing(draw: random.Random, count: int) -> list[Told]:
    """What somebody says of themselves, at most `MOST_SAID`, no two of the same."""
    return [_told(draw, *one) for one in draw.sample(_SAID, count)]


def _told(draw: random.Random, text: str, question: str, make: Callable[[random.Random], str]) -> Told:
    answer = other = make(draw)
    while other == answer:
        other = make(draw)
    return Told(text.format(answer), question, answer, text.format(other), other)
