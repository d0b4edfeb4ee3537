"""Words that only ask, by language: they do not tell which segment is meant."""

from __future__ import annotations

from functools import cache

from stop_words import StopWordError, get_stop_words

from larimar_memory.text.words import words

_ENGLISH = """
a about after again all also am an and any are as at be been before being between both but by can
could did do does doing done down each every for from had has have having he her hers him his how i
if in into is it its just may me might mine must my no nor not of off on or our ours out over own
same shall she should so some such than that the their theirs them then there these they this those
to too under up us very was we were what when where which who whom whose why will with would you
your yours s t d ll m re ve didn doesn don hadn hasn haven isn wasn weren aren won wouldn couldn
shouldn
"""
"""Closed classes of words. The library's English list also has "computer", "fire" and "home"."""

_POINTING = """
he she it they him her them his its their this that these those here there then so also
"""

POINTING = frozenset(_POINTING.split())
"""English words that, at its beginning, make a sentence lean on the one before it."""


@cache
def stop_words(language: str) -> frozenset[str]:
    """The stop words of a language, as `text.words` makes them; none if the language has no list.

    Args:
        language: ISO 639-1 code.
    """
    if language == "en":
        return frozenset(_ENGLISH.split())
    try:
        listed = get_stop_words(language)
    except StopWordError:
        return frozenset()
    return frozenset(word for entry in listed for word in words(entry))
