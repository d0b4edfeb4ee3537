"""Text or latents, whichever was measured to be better for what was recalled."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larimar_memory import Larimar
from larimar_memory.decoders.base import Generation
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import ModelError
from larimar_memory.latents import LatentCodec, load_bundle, save_bundle
from larimar_memory.latents.bundle import DESCRIPTION, reads_of, save_reads
from larimar_memory.latents.reads import Read, Reads
from larimar_memory.types import Usage
from tests.latents.test_latent_memory import FACTS, QUESTION, opened, random_codec
from tests.tiny import tiny_decoder

pytestmark = pytest.mark.model

SHORT = Read(100, 40, 0.3, 0.6, 0.9)
LONG = Read(1_000, 40, 0.5, 0.5, 0.3)
FAR = Read(8_000, 4, 0.2, 0.3, 0.1)
BETTER = Reads((Read(1, 40, 0.6, 0.6, 0.5),))


@pytest.fixture
def codec() -> LatentCodec:
    return random_codec(tiny_decoder(max_position_embeddings=1024))


@pytest.mark.parametrize(
    ("rows", "least"),
    [
        ((), None),
        ((SHORT,), None),
        ((SHORT, LONG), 1_000),
        # Few questions hardly count.
        ((SHORT, LONG, FAR), 1_000),
        ((SHORT, LONG, replace(FAR, questions=40)), None),
        # What is read late is not better, nor is anything shorter.
        ((LONG, replace(FAR, latent_f1=0.3, first_over_text=1.0)), None),
        ((replace(LONG, first_over_text=1.2), replace(FAR, latent_f1=0.3)), 8_000),
        # Of nothing said right, neither is better.
        ((replace(LONG, latent_f1=0.0, text_f1=0.0),), None),
        ((replace(SHORT, latent_f1=0.6), LONG), 100),
    ],
)
def test_latents_are_better_from_a_length_on(rows: tuple[Read, ...], least: int | None) -> None:
    assert Reads(rows).least == least


def test_a_choice_says_why() -> None:
    reads = Reads((SHORT, LONG))
    measured = (
        "answers from latents had {} of the token F1 of those from text, and their first token took"
    )
    assert reads.better(999, "cpu") == (
        False,
        "Text: some 999 tokens were recalled, and latents are better from 1,000 on; of 100 tokens, "
        f"{measured.format('0.50')} 0.90 of the time.",
    )
    assert reads.better(1_000, "cpu") == (
        True,
        f"Latents: some 1,000 tokens were recalled; of 1,000 tokens, {measured.format('1.00')} 0.30 of "
        "the time.",
    )
    assert reads.better(50, "cpu")[1].startswith("Text: some 50 tokens were recalled")
    assert reads.better(9_999, "cuda") == (
        False,
        "Text: reads from latents were measured on cpu, not on cuda.",
    )
    assert Reads().better(9_999, "cpu") == (False, "Text: reads from these latents were not measured.")
    told = Reads((SHORT, replace(FAR, text_f1=0.0))).better(20_000, "cpu")
    assert told == (
        False,
        f"Text: latents were better at no length; of 8,000 tokens, {measured.format('0.00')} 0.10 "
        "of the time.",
    )


def test_the_table_lies_in_the_bundle(codec: LatentCodec, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    save_bundle(codec, folder)
    held = (folder / DESCRIPTION).read_bytes()
    # One that was written before there were tables.
    assert "reads" not in json.loads(held)
    assert reads_of(folder) == load_bundle(folder, codec.decoder).reads == Reads()
    fingerprint = load_bundle(folder, codec.decoder).fingerprint
    save_reads(folder, Reads((SHORT, LONG), "cuda"))
    loaded = load_bundle(folder, codec.decoder)
    assert reads_of(folder) == loaded.reads == Reads((SHORT, LONG), "cuda")
    assert loaded.fingerprint == fingerprint
    assert json.loads(held).items() <= json.loads((folder / DESCRIPTION).read_text()).items()


@pytest.mark.parametrize(
    "held",
    [
        [],
        3,
        {},
        {"rows": [{"tokens": 1}], "device": "cpu"},
        {"rows": [1], "device": "cpu"},
        {"rows": []},
    ],
)
def test_a_damaged_table_is_told(held: Any, codec: LatentCodec, tmp_path: Path) -> None:
    save_bundle(codec, tmp_path)
    described = json.loads((tmp_path / DESCRIPTION).read_text())
    (tmp_path / DESCRIPTION).write_text(json.dumps({**described, "reads": held}))
    with pytest.raises(
        ModelError, match=r'are damaged\. what latents.json says of "reads" is no table'
    ):
        reads_of(tmp_path)


def test_the_better_one_is_chosen(codec: LatentCodec, encoder: SentenceEncoder) -> None:
    ask: dict[str, Any] = {"question": QUESTION, "threshold": 0, "max_tokens": 2}
    with opened(codec, encoder, latents=codec) as memory:
        memory.write(FACTS)
        for reads, grounding in ((Reads(), "text"), (BETTER, "latent"), (Reads((LONG,)), "text")):
            codec.reads = reads
            found = memory.answer(**ask, grounding="auto", explain=True)
            asked = memory.answer(**ask, grounding=grounding, explain=True)
            assert (found.grounding, found.text, found.usage) == (grounding, asked.text, asked.usage)
            assert found.choice is not None
            assert found.choice.startswith("Latents" if grounding == "latent" else "Text")
            assert found.to_dict()["choice"] == found.choice
            # It is told to those who ask for it.
            assert asked.choice is None
            assert memory.answer(**ask, grounding="auto").choice is None
        codec.reads = BETTER
        assert memory.answer(**ask).grounding == "text"
        nothing = memory.answer("How do I bake a cheesecake?", grounding="auto", explain=True)
        assert (nothing.grounding, nothing.choice) == ("none", None)
        # Measured on another kind of machine, it says nothing of this one.
        codec.reads = replace(BETTER, device="cuda")
        assert memory.answer(**ask, grounding="auto").grounding == "text"


def test_without_latents_it_is_text(codec: LatentCodec, encoder: SentenceEncoder) -> None:
    ask: dict[str, Any] = {"threshold": 0, "max_tokens": 2, "grounding": "auto", "explain": True}
    codec.reads = BETTER
    with opened(codec, encoder) as memory:
        memory.write(FACTS[:1])
        found = memory.answer(QUESTION, **ask)
        assert found.grounding == "text"
        assert found.choice == "Text: not all of what was recalled has a latent."
    other = random_codec(codec.decoder, seed=1)
    other.reads = BETTER
    with opened(codec, encoder, latents=codec) as memory:
        memory.write(FACTS[:1])
        memory.latents._codec = other
        found = memory.answer(QUESTION, **ask)
        assert found.grounding == "text"
        assert found.choice == ("Text: 1 of 1 recalled segments have no latent made for this decoder.")


class Parrot:
    name, context = "parrot", 512

    def count(self, text: str) -> int:
        return len(text.split())

    def chat_tokens(self, chat: Any, begin: str = "") -> list[int]:
        return [1]

    def generate(self, tokens: Any, **_: Any) -> Generation:
        return Generation(["Polly."], Usage(1, 1))


def test_a_decoder_of_text_reads_text(encoder: SentenceEncoder) -> None:
    with Larimar.open(encoder=encoder, decoder=Parrot(), adapter=False) as memory:
        memory.write(FACTS)
        found = memory.answer(QUESTION, threshold=0, grounding="auto", explain=True)
        assert (found.grounding, found.text) == ("text", "Polly.")
        assert found.choice == "Text: the decoder 'parrot' takes nothing else."


def test_an_answer_of_parts_has_one_grounding(codec: LatentCodec, encoder: SentenceEncoder) -> None:
    """A part whose segments have no latents takes the others with it."""
    codec.reads = BETTER
    question = "Who is the lighthouse keeper of Orkney, and when does the ferry to Stromness leave?"
    ask: dict[str, Any] = {"threshold": 0, "max_tokens": 2, "k": 1, "grounding": "auto"}
    with opened(codec, encoder, latents=codec) as memory:
        memory.write(FACTS)
        whole = memory.answer(question, **ask)
        assert (whole.grounding, len(whole.sources)) == ("latent", 2)
        (row,) = [
            s.row
            for rows, _ in memory.store.keys("default")
            for s in memory.store.fetch("default", [int(r) for r in rows])
            if "ferry" in s.text
        ]
        memory.store.attach("default", [row], [np.zeros(9, np.int8)])
        assert memory.answer(question, **ask).grounding == "text"


def test_what_ships_has_a_table() -> None:
    from larimar_memory.latents.bundle import latents_for
    from larimar_memory.models.finding import DEFAULT_DECODER

    folder = latents_for(DEFAULT_DECODER)
    assert folder is not None
    reads = reads_of(folder)
    assert [row.tokens for row in reads.rows] == sorted(row.tokens for row in reads.rows)
    assert Reads.from_dict(asdict(reads)) == reads
