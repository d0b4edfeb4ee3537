"""The rows that refusals are fitted on, and what the fit that ships says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fit_confidence import FILES, drawn
from benchmarks.fit_judging import Candidates, candidates, fit, told
from benchmarks.fit_refusing import (
    CONVERSATION,
    NAMING,
    WRONGLY,
    beside,
    gone,
    naming,
    weighed,
    written,
)
from larimar_memory.decoders.judging import SIGNS
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.latents.adapting import adapter_for
from larimar_memory.latents.answering import Refusing, load_adapter
from larimar_memory.latents.description import DESCRIPTION
from larimar_memory.models.finding import DEFAULT_DECODER
from larimar_memory.train.rows import Row, read_rows
from larimar_memory.types import AnswerOptions


@pytest.fixture
def every(tmp_path: Path) -> list[Row]:
    for file in FILES:
        with (tmp_path / f"{file}.jsonl").open("w") as lines:
            for n in range(60):
                row = {
                    "context": f"Text {n // 2} of {file}.",
                    "question": f"{file} {n}?",
                    "split": "test",
                }
                row |= {"answers": [f"Text {n}"], "answerable": True} if n % 3 else {"answers": []}
                lines.write(json.dumps({"answerable": False, **row}) + "\n")
    return read_rows(tmp_path)


def test_no_question_is_both_fitted_on_and_reported_on(every: list[Row]) -> None:
    passages = written(every)
    for draw in (drawn, lambda every, rows, fitted: naming(every, passages, rows, fitted=fitted)):
        fitted, other = (
            {row.question for row in draw(every, 40, fitted=half)} for half in (True, False)
        )
        assert fitted
        assert other
        assert not fitted & other


def test_half_of_the_questions_asked_of_many_passages_have_theirs_there(every: list[Row]) -> None:
    passages = written(every)
    assert len(passages) == 30 * len(NAMING) // 2
    asked = naming(every, passages, 16, fitted=True)
    there = [row.context in passages for row in asked]
    assert sum(there) == len(there) - sum(there) == 8
    assert all(row.answers and row.file in NAMING for row in asked)


@pytest.mark.parametrize(
    ("answers", "shown", "there", "is_gone"),
    [
        (["seven"], ["It leaves at seven."], True, False),
        (["Seven!", "7"], ["It leaves at seven.", "It rains."], True, False),
        (["seven"], ["It rains."], True, None),
        (["seven"], ["It rains at seven."], False, True),
        (["early"], ["It leaves at seven."], True, False),
        (["early"], ["The tide is early."], True, None),
        ([], ["It leaves at seven."], True, True),
        (["seven"], [], True, None),
    ],
)
def test_what_recall_did_not_find_is_neither_there_nor_gone(
    answers: list[str], shown: list[str], there: bool, is_gone: bool | None
) -> None:
    row = Row("wiki", "It leaves at seven. It rains.", "When does it leave?", tuple(answers))
    assert gone(row, shown, there) is is_gone


@given(st.integers(0, 10**6), st.sampled_from([-1.0, 0.0, 1.0]))
def test_a_share_is_wrongly_refused_and_a_surer_read_never_refuses(seed: int, way: float) -> None:
    draw = np.random.default_rng(seed)
    absent = draw.random(400) < 0.4
    decoder = draw.normal(size=400) + 2.0 * absent
    read = draw.normal(size=400) + way * absent
    found = weighed(np.column_stack([decoder, read]), absent)
    odds = decoder + found.scope * read + found.bias
    assert found.scope <= 0
    assert (odds[~absent] > 0).mean() == pytest.approx(WRONGLY, abs=0.01)
    if way < 0:
        assert found.scope < 0
        assert (odds[absent] > 0).mean() > 0.5


def test_what_is_fitted_for_one_way_of_showing_leaves_the_others() -> None:
    around, alone, latent = ({"bias": bias, "scope": 0.0} for bias in (1.0, 2.0, 3.0))
    held = beside(beside(beside({}, "around", around), "alone", alone), "latent", latent)
    assert held == {**around, "alone": alone, "latent": latent}
    again = {"bias": 4.0, "scope": 0.0, "talked": {"bias": 5.0, "scope": 0.0}}
    assert beside(held, "around", again) == {**again, "alone": alone, "latent": latent}
    assert beside(held, "alone", again) == {**around, "alone": again, "latent": latent}


def test_the_surer_the_read_the_less_a_refusal_is_leant_to() -> None:
    refusing = Refusing(bias=0.5, scope=-1.0)
    leans = [refusing.lean(p) for p in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert leans == sorted(leans, reverse=True)
    assert leans[2] == 0.5
    assert refusing.lean(0.1, talked=True) == leans[1]
    apart = Refusing(bias=0.5, scope=-1.0, talked=Refusing(bias=2.0, scope=0.0))
    assert apart.lean(0.1) == leans[1]
    assert apart.lean(0.1, talked=True) == 2.0
    assert all(map(math.isfinite, leans))


def test_the_adapter_that_ships_says_how_its_refusals_were_fitted() -> None:
    folder = adapter_for(DEFAULT_DECODER)
    assert folder is not None
    held = json.loads((folder / DESCRIPTION).read_text())["refusing"]
    assert held["scope"] < 0
    for name, said in held["held_out"].items():
        assert said["alone"]["area_under_roc"] > 0.8
        # Of a conversation, the read's probability may tell nothing.
        more = said["leaning"]["area_under_roc"] - said["alone"]["area_under_roc"]
        assert more > 0 if name != CONVERSATION else more >= 0
    assert held["talked"]["scope"] <= 0


def some_candidates(seed: int, sign: str, way: float, count: int = 80) -> list[Candidates]:
    """Questions whose right answer a sign tells, or tells the other way."""
    draw, found = np.random.default_rng(seed), list[Candidates]()
    for _ in range(count):
        right = draw.random(draw.integers(2, 5))
        signs = draw.normal(size=(len(right), len(SIGNS)))
        signs[:, SIGNS.index(sign)] = way * right
        signs[:, SIGNS.index("written")] = 1.0
        found.append(Candidates(FILES[0], signs, right))
    return found


@pytest.mark.parametrize(("sign", "way"), [("near", 1.0), ("asked", -1.0)])
def test_answers_are_judged_by_the_sign_that_tells_the_right_one(sign: str, way: float) -> None:
    weights = fit(some_candidates(0, sign, way))
    most = SIGNS[int(np.abs(weights * np.where(np.array(SIGNS) == sign, 0.3, 1.0)).argmax())]
    assert most == sign
    assert weights[SIGNS.index(sign)] * way > 0
    # Of a sign that never changes, nothing follows.
    assert weights[SIGNS.index("written")] == 0
    report = told(some_candidates(1, sign, way), weights)["all"]
    assert report["agreement"] + 0.1 < report["judged"] <= report["best"]
    assert report["questions"] == 80


def test_the_possible_answers_to_a_row_are_noted(decoder: TransformersDecoder) -> None:
    folder = adapter_for(DEFAULT_DECODER)
    assert folder is not None
    text = "The mill at Orrin was built in 1871 by Ada Quint, who came from Leith in 1869."
    adapter = load_adapter(folder, decoder)
    # Of what is plain, there is but one.
    assert candidates(decoder, adapter, Row("f", text, "When was the mill built?", ("1871",))) is None
    # Where it would refuse, it still tells what else it would say.
    row = Row(FILES[0], text, "Which way did the wheel of the mill turn?", ("1871", "Leith"))
    found = candidates(decoder, adapter, row)
    assert found is not None
    assert found.file == FILES[0]
    assert found.signs.shape == (len(found.right), len(SIGNS))
    assert 2 <= len(found.right) <= AnswerOptions().beams
    agreed = found.signs[:, SIGNS.index("agreed")].tolist()
    assert agreed == sorted(agreed, reverse=True)
    assert all(0 <= right <= 1 for right in found.right)


def test_the_adapter_that_ships_says_how_its_answers_are_judged() -> None:
    folder = adapter_for(DEFAULT_DECODER)
    assert folder is not None
    held = json.loads((folder / DESCRIPTION).read_text())["judging"]
    assert tuple(held["weights"]) == SIGNS
    said = held["held_out"]["all"]
    assert said["agreement"] < said["judged"] < said["best"]
