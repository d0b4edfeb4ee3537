"""Real sentences as facts, each with a question that it alone answers and that is not its text."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.session import Session
from larimar_memory.errors import InputError
from larimar_memory.text.segments import segment
from larimar_memory.text.words import words

_MIN_WORDS, _MAX_WORDS = 8, 40
_OBJECT_WORDS = 2
_TOKENS_PER_FACT = 45


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence, and how it begins: all but its last two words.

    That is how CounterFact asks (subject and relation, with the object left to be said), which is what
    the figures of the papers were measured on.
    """

    text: str
    question: str


def facts(session: Session, count: int) -> list[Fact]:
    """So many facts in an order drawn from the seed.

    Raises:
        InputError: if the prose has too few sentences.
    """
    texts = dict[str, None]()
    for paragraph in session.prose(max(20_000, count * _TOKENS_PER_FACT)).paragraphs:
        for piece in segment(paragraph):
            text = " ".join(piece.text.split())
            size = len(text.split())
            whole = text[0].isupper() and text.endswith(".") and len(list(segment(text))) == 1
            if whole and _MIN_WORDS <= size <= _MAX_WORDS:
                texts.setdefault(text)
    shuffled = list(texts)
    session.draw("facts").shuffle(shuffled)
    holders = dict[str, set[int]]()
    for n, text in enumerate(shuffled):
        for word in set(words(text)):
            holders.setdefault(word, set()).add(n)
    found = list[Fact]()
    for text in shuffled:
        question = " ".join(text.split()[:-_OBJECT_WORDS])
        asked = [holders[word] for word in set(words(question)) if word in holders]
        # Asked for by words that several sentences hold, no memory could tell which was meant.
        if asked and len(set.intersection(*asked)) == 1:
            found.append(Fact(text, question))
        if len(found) == count:
            return found
    raise InputError(
        f"There are not enough sentences for {count:,} facts.",
        f"The text has {len(found):,} that can be told apart.",
        "Give a folder with more text, or take the default.",
    )
