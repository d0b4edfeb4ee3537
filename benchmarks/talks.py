"""Conversations with questions and the turns that answer them, from a folder of JSON files.

A file, `.json` or `.json.xz`, holds `{"conversations": [{"id", "sessions": [{"id", "date", "turns":
[{"id", "speaker", "text"}]}], "questions": [{"question", "category", "answerable", "evidence": [ids of
turns]}]}]}`. Other fields are passed over.
"""

from __future__ import annotations

import json
import lzma
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dateutil.parser import parse

from larimar_memory.errors import InputError
from larimar_memory.text.blocks import Text


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said at once, by whom, in which session and when that was; "" where it is not known."""

    id: str
    text: str
    speaker: str
    session: str
    date: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and the turns that answer it: none where it is to be refused, or is about all."""

    question: str
    category: str
    answerable: bool
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation of several sessions, and what is asked about it."""

    id: str
    turns: tuple[Turn, ...]
    questions: tuple[Asked, ...]

    def beginning(self, turns: int) -> Talk:
        """The first turns, with the questions that they answer, or that nothing does."""
        kept = self.turns[:turns]
        held = {turn.id for turn in kept}
        return replace(
            self, turns=kept, questions=tuple(q for q in self.questions if q.evidence <= held)
        )


def as_text(turn: Turn) -> Text:
    """A turn as a memory is given it: its session is an episode."""
    said = {"speaker": turn.speaker, "said_at": said_at(turn.date)}
    return Text(
        turn.id, turn.text, {name: value for name, value in said.items() if value}, episode=turn.session
    )


def said_at(date: str) -> str:
    """A date as ISO 8601; "" where it is none."""
    try:
        return parse(date, fuzzy=True).isoformat() if date else ""
    except (ValueError, OverflowError):
        return ""


def read(folder: Path | None) -> dict[str, list[Talk]]:
    """The conversations of each file, by its name without endings.

    Raises:
        InputError: if there is no folder, it has no such file, or one is of another form.
    """
    if folder is None:
        raise InputError(
            "The benchmark of conversations cannot be run.",
            "It needs conversations, with questions and the turns that answer them.",
            "Name a folder of them with --conversations.",
        )
    files = sorted(path for ending in ("*.json", "*.json.xz") for path in folder.glob(ending))
    if not files:
        raise InputError(
            "The benchmark of conversations cannot be run.",
            f"{folder} holds no file that ends in .json or .json.xz.",
            "Name a folder of conversations with --conversations.",
        )
    return {path.name.split(".json")[0]: _file(path) for path in files}


def _file(path: Path) -> list[Talk]:
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            return [_talk(talk) for talk in json.load(file)["conversations"]]
    except (OSError, lzma.LZMAError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The conversations in {path} cannot be used.",
            f"The reader said: {type(error).__name__}: {error}.",
            "Give a file of the form that benchmarks/talks.py describes.",
        ) from error


def _talk(talk: dict[str, Any]) -> Talk:
    turns = tuple(
        Turn(turn["id"], turn["text"], turn["speaker"], session["id"], session["date"] or "")
        for session in talk["sessions"]
        for turn in session["turns"]
    )
    held, questions = {turn.id for turn in turns}, list[Asked]()
    for asked in talk["questions"]:
        evidence = frozenset(asked["evidence"])
        if len(held) < len(turns) or not evidence <= held:
            raise ValueError(f"turns of {talk['id']!r} share an id, or a question names one unknown")
        questions.append(Asked(asked["question"], asked["category"], asked["answerable"], evidence))
    return Talk(talk["id"], turns, tuple(questions))
