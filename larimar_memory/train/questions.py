"""Questions made from a text by rule: none is written by hand, and none is from a benchmark."""

from __future__ import annotations

import random
import re

_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w'-]+(?: [A-Z][\w'-]+)*")
_NUMBER = re.compile(r"(?<![\w.-])[$€£]?\d[\d,.:/]*\d|(?<![\w.-])\d(?![\w-])")
_CODE = re.compile(r"\b(?=\w*[-_./]?\w*\d)[A-Za-z]+[-_/]?\w*\d[\w-]*\b|https?://\S+|\S+@\S+\.\w+")
_SPANS = (("Name", _NAME), ("Number", _NUMBER), ("What", _CODE))
_WORD = re.compile(r"[A-Za-z][\w'-]*")
_BLANK = "____"
_ABOUT = (
    "What does it say about {}?",
    "What is said about {}?",
    "What do you know about {}?",
    "Tell me about {}.",
    "What about {}?",
)
_REPEAT = (
    "Repeat the sentence about {}.",
    "Quote what was said about {}, word for word.",
    "Which sentence mentions {}?",
)
_WHOLE = ("Repeat the recalled text.", "What was recalled?", "Say in a few words what it says.")
_STOP = re.compile(
    r"(?i:an?|and|are|as|at|be|been|but|by|for|from|had|has|have|he|her|his|i|if|in|is|it|its|may|more|not"
    r"|of|on|or|our|she|so|such|than|that|the|their|them|then|there|these|they|this|those|to|upon|was|we"
    r"|were|what|when|which|who|will|with|would|you|your)"
)


def ask(text: str, rare: tuple[str, ...], rng: random.Random) -> str:
    """A question or instruction that the text answers.

    Args:
        text: a sentence or a stretch of text.
        rare: strings in the text that are worth asking for.
    """
    kinds = [_about, _repeat, _complete, _which, _which, _whole]
    return rng.choice(kinds)(text, rare, rng)


def _about(text: str, _: tuple[str, ...], rng: random.Random) -> str:
    return rng.choice(_ABOUT).format(_subject(text, rng))


def _repeat(text: str, _: tuple[str, ...], rng: random.Random) -> str:
    return rng.choice(_REPEAT).format(_subject(text, rng))


def _whole(_: str, __: tuple[str, ...], rng: random.Random) -> str:
    return rng.choice(_WHOLE)


def _complete(text: str, _: tuple[str, ...], rng: random.Random) -> str:
    words = text.split()
    if len(words) < 4:
        return f"Complete: {text}"
    at = rng.randint(2, max(2, len(words) * 2 // 3))
    begin = rng.randrange(max(1, at - 6))
    return rng.choice(("Complete: {}", "How does this go on: {}...?")).format(" ".join(words[begin:at]))


def _which(text: str, rare: tuple[str, ...], rng: random.Random) -> str:
    """A question for a span, which shows what stands around it."""
    spans = [(m.start(), m.end(), kind) for kind, form in _SPANS for m in form.finditer(text)]
    spans += [(text.index(s), text.index(s) + len(s), "What") for s in rare if s in text]
    if not spans:
        return _about(text, rare, rng)
    start, end, kind = rng.choice(spans)
    before = text[:start].split()[-rng.randint(3, 10) :]
    after = text[end:].split()[: rng.randint(1, 6)]
    around = " ".join([*before, _BLANK, *after])
    if rng.random() < 0.4:
        return rng.choice(("Fill in the blank: {}", "What is missing here: {}")).format(around)
    near = " ".join([*before[-4:], *after[:3]])
    if kind == "Number":
        form = rng.choice(("What number goes with {!r}?", "How many, or which number: {} {}?"))
        return form.format(near, _BLANK)
    if kind == "Name":
        form = rng.choice(("Who or what is named in {!r}?", "Who: {}?"))
        return form.format(around if rng.random() < 0.5 else near)
    return f"What is the {_subject(text[:start] or text, rng)}: {around}?"


def _subject(text: str, rng: random.Random) -> str:
    """One to four neighbouring words, beginning and ending with words that mean something."""
    words = list(_WORD.finditer(text))
    full = [i for i, m in enumerate(words) if len(m.group()) > 2 and not _STOP.fullmatch(m.group())]
    if not full:
        return text[:40]
    first = rng.choice(full)
    last = max((i for i in full if first <= i < first + rng.randint(1, 4)), default=first)
    return text[words[first].start() : words[last].end()]
