"""The benchmark of answers, on a tiny decoder and a few questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import answers
from benchmarks.answers import Size, Told
from benchmarks.session import Session
from larimar_memory.errors import InputError
from larimar_memory.latents.answering import new_adapters, save_adapter
from tests.tiny import tiny_decoder

PASSAGES = (
    ("Basil grows near the window.", "Where does basil grow?", "near the window"),
    ("The ferry leaves at noon from pier nine.", "When does the ferry leave?", "at noon"),
)


def told(text: str, *right: str) -> Told:
    return Told(text, right, len(text.split()), 0.5)


def test_answers_are_scored_and_refusals_counted() -> None:
    some = [told("At noon", "at noon"), told("It is near the window.", "near the window")]
    figures = answers.scored([*some, told("Not in memory.", "pier nine")])
    assert figures["exact"]["count"] == 1
    assert figures["answer_said"]["count"] == 2
    assert figures["refused"]["count"] == 1
    # Of "it is near window" two words are right, and both of the answer's are said.
    assert figures["token_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert "token_f1" not in answers.scored([told("Not in memory.")])


def test_bars_are_held_to_what_was_said() -> None:
    right, wrong = told("noon", "noon"), told("Not in memory", "noon")
    rows = {
        name: {"answerable": [right, wrong], "unanswerable": [told("Not in memory."), told("noon")]}
        for name in answers.HELD_OUT
    }
    figures, bars = answers.report([right], {"adapter": [right, right], "plain": [wrong]}, rows)
    assert [bar["value"] for bar in bars] == [1, 1, 1, 1, 0.5, 0.5, 0.5]
    assert figures["given"]["plain"]["token_f1"] == 0
    _, fewer = answers.report([right], {"adapter": [right], "plain": [right]}, None)
    assert len(fewer) == 4


def test_questions_and_rows_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squad: dict[str, Any] = {
        "data": [
            {"paragraphs": [{"context": c, "qas": [{"question": q, "answers": [{"text": a}]}]}]}
            for c, q, a in PASSAGES
        ]
    }
    (tmp_path / "squad.json").write_text(json.dumps(squad))
    rows, asked = tmp_path / "rows", list[str]()
    rows.mkdir()
    for name in answers.HELD_OUT:
        lines = [
            {"context": c, "question": q, "answers": [a] if n else [], "answerable": bool(n)}
            for c, q, a in PASSAGES
            for n in (0, 1)
        ]
        text = "".join(json.dumps(line | {"split": "test"}) + "\n" for line in lines)
        (rows / f"{name}.jsonl").write_text(text)
    decoder = tiny_decoder(max_position_embeddings=2048)
    save_adapter(new_adapters(decoder, 2), decoder, tmp_path / "adapter", {})
    session = Session(
        0, None, asked.append, tmp_path / "squad.json", rows=rows, adapter=tmp_path / "adapter"
    )
    session.__dict__["decoder"] = decoder
    figures, bars = answers.measure(session, Size(2, 2, 1))
    assert figures["among"]["questions"] == 2
    assert set(figures["given"]) == {"adapter", "plain"}
    assert {name: set(kinds) for name, kinds in figures["rows"].items()} == {
        name: {"answerable", "unanswerable"} for name in answers.HELD_OUT
    }
    assert len(bars) == 7


def test_without_questions_it_says_what_to_name() -> None:
    with pytest.raises(InputError, match=r"The benchmark of answers cannot be run\."):
        answers.measure(Session(0, None, lambda _: None), Size(1, 1, 1))
