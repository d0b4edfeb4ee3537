"""Strings that no language model can guess, in ordinary sentences: only a latent recalls them."""

from __future__ import annotations

import random
import re
import string
import uuid
from collections.abc import Callable

_WORD = re.compile(r"\b\w[\w'-]*\b")
_CONSONANTS, _VOWELS = "bcdfghjklmnprstvwz", "aeiou"
_SEPARATORS = ("-", "", "_", "/", " ")
_ENDINGS = ("com", "org", "net", "io", "info")


def rare_string(rng: random.Random) -> str:
    """A random number, identifier, name, date, address or piece of code."""
    made: str = rng.choice(_KINDS)(rng)
    return made


def same_kind(rng: random.Random) -> Callable[[random.Random], str]:
    """A generator of rare strings of one kind, so that things named by them are easily confused."""
    kind: Callable[[random.Random], str] = rng.choice(_ALIKE)
    return kind


def put_in(text: str, rng: random.Random, count: int) -> tuple[str, list[str]]:
    """Replace up to `count` words of a text by rare strings.

    Returns:
        The new text and the strings that were put in.
    """
    words = list(_WORD.finditer(text))
    chosen = sorted(rng.sample(words, min(count, len(words))), key=lambda m: m.start())
    put = [rare_string(rng) for _ in chosen]
    for match, new in zip(reversed(chosen), reversed(put), strict=True):
        text = text[: match.start()] + new + text[match.end() :]
    return text, put


def _number(rng: random.Random) -> str:
    digits = rng.choice((2, 3, 4, 5, 5, 6, 7, 9))
    number = rng.randrange(10 ** (digits - 1), 10**digits)
    form = rng.randrange(6)
    if form == 0:
        return f"{number:,}"
    if form == 1:
        return f"{number / 10 ** rng.randrange(1, 4)}"
    return str(number)


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _hexadecimal(rng: random.Random) -> str:
    digits: int = rng.choice((6, 8))
    return f"{rng.getrandbits(32):0{digits}x}"


def _identifier(rng: random.Random) -> str:
    letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randrange(1, 4)))
    digits = "".join(rng.choices(string.digits, k=rng.randrange(2, 6)))
    return f"{letters}{rng.choice(_SEPARATORS)}{digits}"


def _name(rng: random.Random) -> str:
    def one() -> str:
        syllables = [rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(rng.randrange(2, 4))]
        last: str = rng.choice(("", *_CONSONANTS))
        return ("".join(syllables) + last).capitalize()

    return " ".join(one() for _ in range(rng.randrange(1, 3)))


def _word(rng: random.Random) -> str:
    return _name(rng).split()[0].lower()


def _date(rng: random.Random) -> str:
    year, month, day = rng.randrange(1500, 2100), rng.randrange(1, 13), rng.randrange(1, 29)
    return rng.choice((f"{year}-{month:02}-{day:02}", f"{day}/{month}/{year}", str(year)))


def _time(rng: random.Random) -> str:
    return f"{rng.randrange(24)}:{rng.randrange(60):02}"


def _money(rng: random.Random) -> str:
    return f"{rng.choice('$€£')}{rng.randrange(1, 10000)}{rng.choice(('', '.50', '.99', ' million'))}"


def _url(rng: random.Random) -> str:
    return f"https://{_word(rng)}.{rng.choice(_ENDINGS)}/{_word(rng)}/{rng.randrange(1000)}"


def _mail(rng: random.Random) -> str:
    return f"{_word(rng)}.{_word(rng)}@{_word(rng)}.{rng.choice(_ENDINGS)}"


def _code(rng: random.Random) -> str:
    a, b, n = _word(rng), _word(rng), rng.randrange(100)
    return rng.choice((f"{a}_{b}({n})", f"{a}.{b}()", f"{a}[{n}]", f"self.{a} = {n}", f"--{a}={b}"))


def _version(rng: random.Random) -> str:
    return ".".join(str(rng.randrange(30)) for _ in range(3))


_KINDS: tuple[Callable[[random.Random], str], ...] = (
    *(_number, _number, _number, _identifier, _identifier, _name, _name, _word),
    *(_uuid, _hexadecimal, _date, _time, _money, _url, _mail, _code, _version),
)
_ALIKE = (_uuid, _uuid, _hexadecimal, _number, _identifier, _word)
