"""Features: what is known of a candidate, by name, for the ranking and for explanations.

All are shares, cosines or logarithms, so that weights can be compared. Weights are in `weights.json`.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from larimar_memory.recall.candidates import SATURATION, Pool
from larimar_memory.recall.coverage import Coverage
from larimar_memory.recall.dates import COUNTS, MONTHS, WEEKDAYS, Date, dates_in, same_date
from larimar_memory.recall.neighbours import Near
from larimar_memory.recall.phrases import shared_phrases
from larimar_memory.recall.question import Asked
from larimar_memory.recall.stems import share, stem_idfs
from larimar_memory.stores.base import StoredSegment, speaker_of
from larimar_memory.text.segments import is_heading

FEATURES = (
    "cosine",  # of the encoder's keys; if it cannot read the text, the share of the words there
    "words",  # BM25 over stems, as a share of the best
    "words_of_all",  # BM25 over stems, as a share of the most that the question's stems can score
    "stems",  # how much of the question's stems, by their idf, the segment holds
    "exact",  # the same for words as they are written, stop words included
    "rare",  # the idf of the rarest word it holds, as a share of the question's rarest
    "before",  # how much of the question's stems is in it or before it, and
    "after",  # in it or after it; those further off weigh less
    "opening",  # how much of them the first segment of its document holds
    "crowd",  # logarithm of how many segments near it are candidates
    "phrase",  # its longest run of words shared with the question
    "soft",  # how much of the question has similar tokens in it
    "window",  # the cosine of the segment with those before and after, as one text, and
    "paragraph",  # with all those within a paragraph or turn
    "next_words",  # BM25 of the segments before and after, and
    "around_words",  # of those within a paragraph or turn
    "turn_words",  # BM25 of the documents before and after, in its episode
    "turn_key",  # the best cosine of those
    "turns_words",  # BM25 of the documents within two
    "named",  # the question names who spoke
    "own",  # the question is in the first person, and a person said this, not an assistant
    "assistant",  # an assistant spoke
    "latest",  # the question asks for what was last: how late it was said
    "earliest",  # the question asks for what was first: how late it was said
    "date",  # the question names the day, month or year when it was said
    "number",  # a number is asked for, and there is one that is not in the question
    "time",  # a time is asked for, and there is one
    "person",  # a person is asked for, and there is a name
    "place",  # a place is asked for, and there is a name
    "asks",  # it is a question itself
    "length",  # logarithm of its number of words
    "heading",  # it is a title
    "spelt_words",  # BM25 if the encoder reads it letter by letter, so that its cosine says little
)

SAYING = 2 / 3
"""Share of a question's letters that say what it is about; the others only ask.

Chosen on the 70 questions in Chinese, Japanese, Korean and Thai of `benchmarks.languages`.
"""

ASSISTANTS = frozenset({"ai", "assistant", "bot", "chatbot", "model", "system", "tool"})
"""Names under which a program speaks."""

_NUMBERS = frozenset(
    [
        *COUNTS,
        "twenty",
        "thirty",
        "forty",
        "fifty",
        "hundred",
        "thousand",
        "million",
        "billion",
        "dozen",
        "half",
        "several",
        "once",
        "twice",
        "third",
        "quarter",
    ]
)
_TIMES = frozenset(
    [
        *MONTHS,
        *WEEKDAYS,
        "century",
        "centuries",
        "year",
        "years",
        "yesterday",
        "today",
        "tomorrow",
        "tonight",
        "ago",
        "spring",
        "summer",
        "autumn",
        "winter",
        "decade",
        "am",
        "pm",
        "week",
        "weeks",
        "month",
        "months",
        "night",
        "morning",
        "evening",
        "weekend",
    ]
)
_YEAR = re.compile(r"1[0-9]{3}|20[0-9]{2}|[0-9]{1,2}(?:st|nd|rd|th)")
_WRITTEN = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Known:
    """The facts about a candidate from which its features are made.

    Attributes:
        words: of its text, in order.
        stems: of these words.
        coverage: how much of the question is there and around it.
        soft: likeness of tokens; None if the encoder has no table.
        late: how late it was said among the candidates, from 0 to 1.
    """

    segment: StoredSegment
    words: Sequence[str]
    stems: AbstractSet[str]
    cosine: float
    near: Near
    coverage: Coverage
    soft: float | None
    late: float


def table(asked: Asked, pool: Pool, known: Sequence[Known]) -> Float[np.ndarray, "n f"]:
    """The features of candidates, float32, in the order of `FEATURES`."""
    phrases = shared_phrases(asked.said, [one.words for one in known])
    weighed = _Weighed.of(asked, pool)
    rows = [
        _features(asked, pool, weighed, one, phrase) for one, phrase in zip(known, phrases, strict=True)
    ]
    return np.array(rows, dtype=np.float32).reshape(-1, len(FEATURES))


def covered(asked: Asked, held: Container[str], is_read: bool) -> float:
    """How much of a question a text holds word for word, measured in letters; at most 1.

    Args:
        held: its words.
        is_read: whether the encoder could read the question; if not, words in ASCII do not count,
            unless there are no others.
    """
    terms = asked.words if is_read else [t for t in asked.words if not t.isascii()] or asked.words
    said = SAYING * sum(map(len, terms))
    return min(sum(len(term) for term in terms if term in held) / said, 1.0) if said else 0.0


def is_assistant(speaker: str) -> bool:
    """Whether it is a program that speaks under this name."""
    return speaker.strip().lower() in ASSISTANTS


def addressed(asked: Asked, speaker: str) -> tuple[bool, bool]:
    """Whether a question names who spoke, and whether it is in the first person and a person spoke."""
    own = asked.own and bool(speaker) and not is_assistant(speaker)
    return bool(speaker) and asked.names(speaker), own


@dataclass(frozen=True, slots=True)
class _Weighed:
    """A question's words and stems, each with its idf, and the dates that it names."""

    exact: dict[str, float]
    stems: dict[str, float]
    dates: Sequence[Date]

    @classmethod
    def of(cls, asked: Asked, pool: Pool) -> _Weighed:
        exact = {word: pool.idf(word) for word in asked.words}
        return cls(exact, stem_idfs(asked, pool), dates_in(asked.text))


def _features(asked: Asked, pool: Pool, weighed: _Weighed, known: Known, phrase: float) -> list[float]:
    segment, near = known.segment, known.near
    held, stemmed = set(known.words), known.stems
    row, speaker = segment.row, speaker_of(segment.metadata)
    own_words = pool.words(row)
    stems = share(weighed.stems, stemmed)
    most = max(weighed.stems.values(), default=0.0)
    rarest = max((idf for s, idf in weighed.stems.items() if s in stemmed), default=0.0)
    top = SATURATION * sum(weighed.stems.values())
    rest = [w for w in _WRITTEN.findall(segment.text) if w.lower() not in weighed.exact]
    low = {w.lower() for w in rest}
    number = any(w[0].isdigit() for w in rest) or not low.isdisjoint(_NUMBERS)
    time = not low.isdisjoint(_TIMES) or any(_YEAR.fullmatch(w) for w in rest)
    # The first word of a sentence says nothing by its capital.
    name = any(w[0].isupper() for w in rest[1:])
    named, own = addressed(asked, speaker)
    values = {
        "cosine": known.cosine,
        "words": own_words,
        "words_of_all": pool.by_words.get(row, 0.0) / top if top > 0 else 0.0,
        "stems": stems,
        "exact": share(weighed.exact, held),
        "rare": rarest / most if most > 0 else 0.0,
        **known.coverage._asdict(),
        "phrase": phrase,
        "soft": stems if known.soft is None else known.soft,
        "window": near.window,
        "paragraph": near.paragraph,
        "next_words": near.next_words,
        "around_words": near.around_words,
        "turn_words": near.turn_words,
        "turn_key": near.turn_key,
        "turns_words": near.turns_words,
        "named": named,
        "own": own,
        "assistant": is_assistant(speaker),
        "latest": known.late * asked.latest,
        "earliest": known.late * asked.earliest,
        "date": same_date(weighed.dates, segment.metadata.get("said_at")),
        "number": number and "number" in asked.kinds,
        "time": time and "time" in asked.kinds,
        "person": name and "person" in asked.kinds,
        "place": name and "place" in asked.kinds,
        "asks": segment.text.rstrip().endswith("?"),
        "length": float(np.log(max(len(known.words), 1))),
        "heading": is_heading(segment.text),
        "spelt_words": own_words * _spelt(segment.text),
    }
    return [float(values[name]) for name in FEATURES]


def _spelt(text: str) -> bool:
    """Whether most of a text's letters are of scripts that encoders for English spell out."""
    if text.isascii():
        return False
    letters = [c for c in text if c.isalpha()]
    return 2 * sum(c > "\u024f" for c in letters) > len(letters) > 0
