"""Notes in other languages, code and tables: the right segment comes first as often as it ever did.

Each kind has 12 questions and, beside what answers them, lookalikes that share their words: `asked`
holds a question and a part that only the right text has. Each kind is written apart, a document a text;
together, as one document; and apart among all other kinds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar

pytestmark = pytest.mark.model

KINDS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "other_texts.json").read_text(encoding="utf-8")
)
TABLES = ("CSV", "Markdown")

REACHED = {
    "German": (7, 7, 7),
    "French": (9, 9, 8),
    "Spanish": (10, 10, 10),
    "Russian": (10, 10, 10),
    "Chinese": (10, 10, 10),
    "Japanese": (10, 10, 9),
    "Python": (11, 11, 11),
    "CSV": (12, 11, 12),
    "Markdown": (12, 12, 12),
}
"""Of 12: apart, together, and among all others. Better is welcome, worse is not."""


@pytest.fixture(scope="module")
def memory(encoder: SentenceEncoder) -> Iterator[Larimar]:
    with Larimar.open(encoder=encoder) as opened:
        for kind, held in KINDS.items():
            texts, between = held["texts"], "\n" if kind in TABLES else "\n\n"
            opened.write(texts, namespace=f"{kind}, apart")
            opened.write(between.join(texts), namespace=f"{kind}, together")
            opened.write(texts, namespace="all")
        yield opened


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_segment_comes_first(memory: Larimar, kind: str) -> None:
    places = f"{kind}, apart", f"{kind}, together", "all"
    found = tuple(
        sum(right in best(memory, asked, namespace) for asked, right in asked_of(kind))
        for namespace in places
    )
    assert all(now >= least for now, least in zip(found, REACHED[kind], strict=True)), found


@pytest.mark.parametrize("kind", KINDS)
def test_each_question_has_one_answer(kind: str) -> None:
    texts = KINDS[kind]["texts"]
    assert len(asked_of(kind)) == 12
    assert [sum(right in text for text in texts) for _, right in asked_of(kind)] == [1] * 12


def best(memory: Larimar, asked: str, namespace: str) -> str:
    return memory.read(asked, 1, namespace=namespace, threshold=0).segments[0].text


def asked_of(kind: str) -> list[tuple[str, str]]:
    return [(asked, right) for asked, right in KINDS[kind]["asked"]]
