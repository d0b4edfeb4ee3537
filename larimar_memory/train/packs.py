"""Prompts that answering is learnt from: a recalled text, and several questions about it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from larimar_memory.decoders.prompt import (
    INSTRUCTIONS,
    NOT_IN_MEMORY,
    chat_tokens,
    messages,
    passages,
    plain_ids,
)
from larimar_memory.train.facts import begun_of, draw_facts, several, with_many
from larimar_memory.train.names import a_name
from larimar_memory.train.rare import rare_string
from larimar_memory.train.rows import Row
from larimar_memory.train.shown import Shown, Units, recalled, units_of, whole
from larimar_memory.types import Style

FACTS = "facts"
"""The name of made-up facts in the mix."""

_MOST_ASKED = 6
_WHOLE = 0.45
_PUT_IN = 0.25
_A_NAME = 0.7
_STRANGE = 0.25
_LEFT_OUT = 0.18
_BEGUN = 0.5
_MENTIONED = 0.4
_FULL_WORDS = 6
_MANY = 0.35
_NUMBER = re.compile(r"[\d.,:]*\d")
_WHAT_IS_DONE = re.compile(
    r"what (?:do|does|did|will|would|can|is|are|was|were)\b.* do(?:ing|ne)?\b", re.IGNORECASE
)
"""Questions for what somebody or something does; a single verb, such as "causes", is no answer."""
_NAMED = re.compile(r"[A-Z\d$]")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question in its style, and the answer to give.

    Attributes:
        begun: words that the answer begins with, which the prompt already has.
    """

    question: str
    answer: str
    style: Style = "brief"
    begun: str = ""


@dataclass(frozen=True, slots=True)
class Pack:
    """Prompts of several questions: the beginning that they share, and each question's own rest.

    Attributes:
        shared: token ids that all prompts begin with.
        rests: for each question, the ids of the rest of its prompt, and of its answer.
        labels: how many ids at the end of each rest are its answer, with the end token.
        refused: for each question, whether it is to be refused.
    """

    shared: list[int]
    rests: list[list[int]]
    labels: list[int]
    refused: list[bool]

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self.shared) + sum(map(len, self.rests))


def prompt_ids(tokenizer: Any, texts: Sequence[str], asked: Asked) -> list[int]:
    """Token ids of the prompt of a question about passages, which come best first."""
    chat = messages(asked.question, texts, instruction=INSTRUCTIONS[asked.style])
    return chat_tokens(tokenizer, chat, asked.begun)


def answer_ids(tokenizer: Any, asked: Asked) -> list[int]:
    """Token ids of an answer, with the end token."""
    return [*plain_ids(tokenizer, asked.answer), tokenizer.eos_token_id]


def pack(tokenizer: Any, shown: Shown, asked: Sequence[Asked]) -> Pack:
    """The pack of prompts, as the package makes them, and of the answers."""
    texts = passages(shown.texts, shown.by)
    prompts = [prompt_ids(tokenizer, texts, a) for a in asked]
    answers = [answer_ids(tokenizer, a) for a in asked]
    shared = min(map(len, prompts)) - 1
    while any(prompt[:shared] != prompts[0][:shared] for prompt in prompts):
        shared -= 1
    return Pack(
        prompts[0][:shared],
        [prompt[shared:] + answer for prompt, answer in zip(prompts, answers, strict=True)],
        [len(answer) for answer in answers],
        [a.answer == NOT_IN_MEMORY for a in asked],
    )


class Packs:
    """Packs drawn from rows of reading comprehension and from made-up facts.

    Args:
        rows: the rows of all files.
        mix: the share of the packs that each file, and `FACTS`, get; None takes files by their texts.
        longest: most tokens of a shared prompt; a longer one is drawn anew, and in the end left out.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        tokenizer: Any,
        mix: Mapping[str, float] | None = None,
        longest: int = 400,
        seed: int = 0,
    ) -> None:
        self._tokenizer, self._longest, self._seed = tokenizer, longest, seed
        self._texts: dict[str, list[list[Row]]] = {}
        by_text: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            by_text.setdefault((row.file, row.context), []).append(row)
        for (file, _), some in by_text.items():
            self._texts.setdefault(file, []).append(some)
        order = random.Random(f"{seed}:order")  # noqa: S311 - no secrets are drawn
        for texts in self._texts.values():
            order.shuffle(texts)
        shares = mix or {file: float(len(texts)) for file, texts in self._texts.items()}
        self._mix = {
            name: share for name, share in shares.items() if name in self._texts or name == FACTS
        }

    def plan(self) -> Iterator[tuple[str, int, int]]:
        """The file, the text's number and the turn of every pack: each text in its turn, without end.

        If the mix is empty, there are none.
        """
        rng = random.Random(f"{self._seed}:plan")  # noqa: S311 - as above
        names, shares = list(self._mix), list(self._mix.values())
        taken = dict.fromkeys(names, 0)
        while names:
            name = rng.choices(names, shares)[0]
            turn, number = divmod(taken[name], max(1, len(self._texts.get(name, ()))))
            taken[name] += 1
            yield name, number, turn

    @property
    def askable(self) -> bool:
        """Whether there is anything in the mix."""
        return bool(self._mix)

    def drawn(self, rng: random.Random) -> tuple[Shown, list[Asked]]:
        """Passages and questions drawn by the mix, of any length; perhaps without questions."""
        name = rng.choices(list(self._mix), list(self._mix.values()))[0]
        return self._drawn(name, rng.randrange(max(1, len(self._texts.get(name, ())))), rng)

    def _drawn(self, name: str, number: int, rng: random.Random) -> tuple[Shown, list[Asked]]:
        return self._facts(rng) if name == FACTS else self._asked(name, number, rng)

    def made(self, name: str, number: int, turn: int) -> Pack | None:
        """The pack of a plan's entry; None if every draw was too long or without questions."""
        rng = random.Random(f"{self._seed}:{name}:{number}:{turn}")  # noqa: S311 - as above
        for _ in range(3):
            shown, asked = self._drawn(name, number, rng)
            if asked:
                made = pack(self._tokenizer, shown, asked)
                if len(made.shared) <= self._longest:
                    return made
        return None

    def _asked(self, name: str, number: int, rng: random.Random) -> tuple[Shown, list[Asked]]:
        texts = self._texts[name]
        rows = texts[number]
        rows = rng.sample(rows, min(_MOST_ASKED, len(rows)))
        context, target = rows[0].context, rows[0]
        if target.answers and rng.random() < _PUT_IN:
            context, rows = _put_in(context, rows, rng)
            target = rows[0]
        units = units_of(context)
        held = units.holding(target.answers[0]) if target.answers else []
        some = rng.sample(texts, min(3, len(texts)))
        others = [units_of(other[0].context) for other in some if other is not texts[number]]
        parts = (not target.answers or 0 < len(held) <= 2) and len(units.texts) > 1
        if parts and rng.random() > _WHOLE:
            best = held[0] if held and rng.random() > _LEFT_OUT else None
            shown, complete = recalled(units, best, others, target.question, rng), False
        else:
            shown, complete = whole(units, rng), True
        asked = [a for row in rows if (a := _answered(row, units, shown, complete, rng)) is not None]
        refused = [a for a in asked if a.answer == NOT_IN_MEMORY]
        answered = [a for a in asked if a.answer != NOT_IN_MEMORY]
        if others and rng.random() < _STRANGE:
            strange = rng.choice(some)[0]
            if not (strange.answers and shown.holds(strange.answers[0])):
                refused.append(Asked(strange.question, NOT_IN_MEMORY))
        refused = refused[: max(1, len(answered))]
        return shown, answered + refused

    def _facts(self, rng: random.Random) -> tuple[Shown, list[Asked]]:
        facts = draw_facts(rng, rng.randint(2, 8))
        told = facts[: rng.randint(1, len(facts))]
        kept_back = facts[len(told) :]
        if rng.random() < _MANY:
            told = with_many(told[:3], rng)
            rng.shuffle(told)
            kept_back = [replace(fact, of_many=True) for fact in kept_back]
        texts = [fact.said(rng) for fact in told]
        if rng.random() < _MENTIONED:
            # What is said about a thing need not be its value.
            for fact in rng.sample(facts, rng.randint(1, min(2, len(facts)))):
                texts.insert(rng.randint(0, len(texts)), fact.mentioned(rng))
        names = [n for n in self._mix if n != FACTS]
        for _ in range(rng.randint(0, 3)) if names else ():
            units = units_of(rng.choice(self._texts[rng.choice(names)])[0].context)
            texts.insert(rng.randint(0, len(texts)), rng.choice(units.texts))
        shown = Shown(tuple(texts), ("",) * len(texts))
        values = dict[tuple[str, str], list[str]]()
        # A prompt has its best passage last, and an answer lists values in the prompt's order.
        for fact in told[::-1]:
            values.setdefault((fact.holder, fact.thing), []).append(fact.value)
        one_each = list({(fact.holder, fact.thing): fact for fact in told}.values())[:4]
        asked = [
            Asked(fact.asked(rng), ", ".join(values[fact.holder, fact.thing])) for fact in one_each
        ]
        asked += [Asked(fact.asked(rng), NOT_IN_MEMORY) for fact in kept_back[:2]]
        if not told[0].of_many and (listed := several(told[:4])):
            asked.append(Asked(*listed))
        if rng.random() < _BEGUN:
            question, begun, answer = begun_of(one_each, values, rng)
            asked.append(Asked(question, answer, begun=begun))
        return shown, asked


def _put_in(context: str, rows: list[Row], rng: random.Random) -> tuple[str, list[Row]]:
    """The text with the first row's answer replaced by one that must be read; rows that still hold."""
    answer = rows[0].answers[0]
    whole_word = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)")
    if not _NAMED.match(answer) or len(answer.split()) > 3 or not whole_word.search(context):
        return context, rows
    if _NUMBER.fullmatch(answer):
        value = _other_number(answer, rng)
    elif answer.replace(" ", "").isalpha() and answer.istitle() and rng.random() < _A_NAME:
        value = a_name(rng)
    else:
        value = rare_string(rng)
    changed = whole_word.sub(lambda _: value, context)
    target = Row(rows[0].file, changed, whole_word.sub(lambda _: value, rows[0].question), (value,))
    true = [
        Row(r.file, changed, whole_word.sub(lambda _: value, r.question), r.answers)
        for r in rows[1:]
        if all(answer not in a and a in changed for a in r.answers)
    ]
    return changed, [target, *true]


def _other_number(number: str, rng: random.Random) -> str:
    return re.sub(r"\d", lambda _: rng.choice("123456789"), number)


def _answered(row: Row, units: Units, shown: Shown, complete: bool, rng: random.Random) -> Asked | None:
    """A row as a question about what is shown; None if it is not known whether that answers it."""
    if not row.answers:
        return Asked(row.question, NOT_IN_MEMORY)
    if not complete and not any(shown.holds(a) for a in row.answers[:1]):
        known = any(units.holding(answer) for answer in row.answers)
        gone = not any(shown.holds(a) for a in row.answers)
        return Asked(row.question, NOT_IN_MEMORY) if known and gone else None
    answer = row.answers[0].strip()
    if _WHAT_IS_DONE.match(row.question) and len(answer.split()) == 1:
        return None
    core = answer.lower().rstrip(".")
    sentences = [a.strip() for a in row.answers if _is_sentence(a.strip()) and core in a.lower()]
    if sentences and (sentences[0] == answer or rng.random() < 0.3):
        return Asked(row.question, sentences[0], "full")
    return Asked(row.question, answer)


def _is_sentence(answer: str) -> bool:
    return answer[:1].isupper() and answer[-1] in ".!?" and len(answer.split()) >= _FULL_WORDS
