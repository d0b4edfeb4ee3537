"""Keys and values in few bits, and the benchmark that measures latents against them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import fit_grounding, latents_long, plots
from benchmarks.keyvalues import KeyValues, packed, stored
from benchmarks.latents import _of_a_million
from benchmarks.latents_long import LATENTS, TEXT, Told, named, named_share
from benchmarks.session import Session
from benchmarks.tables import TABLES
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.latents import LatentCodec, save_bundle
from larimar_memory.latents.answering import AnsweringAdapter, new_adapters
from larimar_memory.latents.bundle import reads_of
from larimar_memory.latents.states import exact_states, pad, read_lead
from tests.latents.test_latent_memory import random_codec
from tests.tiny import tiny_decoder

pytestmark = pytest.mark.model

PIECES = [[40, 41, 42, 43, 44] * 9, [70, 71, 72] * 5, [60, 61] * 11]
QUESTION = [90, 91, 92, 93]


@pytest.fixture(scope="module")
def codec() -> LatentCodec:
    return random_codec(tiny_decoder(max_position_embeddings=2048))


@pytest.fixture(scope="module")
def adapter(codec: LatentCodec) -> AnsweringAdapter:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        adapters = new_adapters(codec.decoder, 2)
        for up in adapters.up:
            torch.nn.init.normal_(up, std=0.3)
    adapters.merge()
    return AnsweringAdapter(adapters.requires_grad_(False), first={7: 1.5})


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("shape", [(2, 3, 8), (1, 1, 5), (4, 33)])
def test_numbers_are_off_by_half_a_step(bits: int, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(bits)) * 3 + 1
    held = packed(x, bits)
    step = held.scale.float()
    # The scale and the least number are rounded to bf16, each by 2**-8 of itself at most.
    rounding = x.abs().amax(-1, keepdim=True) * 2**-7 + step * 2**bits * 2**-8
    assert ((held.numbers() - x).abs() <= step / 2 + rounding).all()
    planes = sum(plane.nbytes for _, plane in held.planes)
    assert 0 <= planes * 8 - x.numel() * bits <= 8 * len(held.planes)
    assert held.nbytes == planes + 4 * (x.numel() // x.shape[-1])


def test_equal_numbers_are_kept() -> None:
    assert packed(torch.full((3, 9), 1.5), 2).numbers().eq(1.5).all()


def logits(codec: LatentCodec, adapter: AnsweringAdapter, reading: Any) -> torch.Tensor:
    ids = torch.tensor([QUESTION])
    with torch.no_grad(), adapter.attached():
        given = reading.inputs(ids)
        cache, mask = given["past_key_values"], given["attention_mask"]
        places = torch.arange(reading.positions, reading.positions + len(QUESTION))[None]
        out: torch.Tensor = codec.decoder.model(
            ids, past_key_values=cache, attention_mask=mask, position_ids=places
        ).logits
    return out


def of_text(codec: LatentCodec, adapter: AnsweringAdapter, pieces: list[list[int]]) -> torch.Tensor:
    ids = [*codec.lead.tokens, *(token for piece in pieces for token in piece), *QUESTION]
    with torch.no_grad(), adapter.attached():
        out: torch.Tensor = codec.decoder.model(torch.tensor([ids])).logits[:, -len(QUESTION) :]
    return out


def test_one_piece_is_as_good_as_its_text(codec: LatentCodec, adapter: AnsweringAdapter) -> None:
    kept = KeyValues(codec, adapter)
    states, exact = kept.states(PIECES[0]), of_text(codec, adapter, PIECES[:1])
    errors = dict[int, float]()
    for bits in (16, 8, 5, 4, 2):
        piece = stored(PIECES[0], states, bits)
        reading = kept.readout([piece])
        assert reading.recalled == len(PIECES[0])
        assert reading.first == {7: 1.5}
        errors[bits] = float((logits(codec, adapter, reading) - exact).abs().mean())
    assert errors[16] < 0.02
    assert sorted(errors.values()) == list(errors.values())
    # The adapter was on while the text was read, too.
    plain = KeyValues(codec, None)
    piece = stored(PIECES[0], plain.states(PIECES[0]), 16)
    other = logits(codec, adapter, plain.readout([piece]))
    assert float((other - exact).abs().mean()) > 5 * errors[16]
    anatomy = codec.anatomy
    lead = read_lead(anatomy, codec.lead.tokens)
    held = exact_states(anatomy, lead, pad([PIECES[0][:-1]], PIECES[0][-1], codec.device))
    torch.testing.assert_close(plain.states(PIECES[0]).keys, held.keys)


def test_pieces_take_the_bytes_they_take(codec: LatentCodec) -> None:
    kept = KeyValues(codec, None)
    states = kept.states(PIECES[0])
    numbers = states.keys.numel() + states.values.numel()
    assert stored(PIECES[0], states, 16).nbytes == 2 * numbers
    a_token = {b: stored(PIECES[0], states, b).nbytes / len(PIECES[0]) for b in (8, 5, 4, 3)}
    whole = numbers / len(PIECES[0])
    for bits, size in a_token.items():
        # A scale and a least number for each group of a channel's tokens, and of a head's channels.
        groups = 2 / len(PIECES[0]) + 1 / codec.anatomy.channels
        assert size == pytest.approx(whole * (bits / 8) + whole / 2 * groups * 4, rel=0.03)


def test_links_bring_pieces_nearer_to_their_text(codec: LatentCodec, adapter: AnsweringAdapter) -> None:
    kept = KeyValues(codec, adapter)
    pieces = [stored(ids, kept.states(ids), 16) for ids in PIECES]
    exact = of_text(codec, adapter, PIECES)
    errors = [
        float((logits(codec, adapter, kept.readout(pieces, linked)) - exact).abs().mean())
        for linked in (0, 8, 99)
    ]
    assert errors[0] > errors[1] > errors[2]
    # All of every piece but the first read again is the text itself.
    assert errors[2] < 0.02
    alone = kept.readout(pieces[:1], 8)
    assert torch.equal(logits(codec, adapter, alone), logits(codec, adapter, kept.readout(pieces[:1])))


@pytest.fixture
def session(codec: LatentCodec, encoder: SentenceEncoder, tmp_path: Path) -> Session:
    words = "the keeper of lamp {n} sells bread to ada and to magnus on day {n}. "
    rows = [
        {
            "context": "".join(words.format(n=10 * n + m).capitalize() for m in range(9)),
            "question": f"Who keeps lamp {n}?",
            "answers": ["Magnus", "ada"],
            "split": "test",
        }
        for n in range(6)
    ]
    rows.append({**rows[0], "context": "ada " * 200, "split": "train"})
    rows.append({**rows[0], "context": "bob " * 200, "answerable": False})
    (tmp_path / "fairytaleqa.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = Session(0, None, lambda _: None, rows=tmp_path)
    found.__dict__.update(decoder=codec.decoder, codec=codec, encoder=encoder, answering=None)
    return found


def test_long_reads_are_measured(session: Session, codec: LatentCodec, tmp_path: Path) -> None:
    # The tiny decoder has a token a byte.
    size = latents_long.Size({700: 2, 1_400: 1}, (16, 2), 4, (2,), 700, (2,), (0.5,))
    figures, bars = latents_long.measure(session, size)
    json.dumps(figures)
    near, far = figures["rows"]
    assert list(near["ways"]) == [TEXT, LATENTS, named_share(0.5), named(16), named(2), named(2, 4)]
    assert list(far["ways"]) == [TEXT, LATENTS, named_share(0.5), named(2)]
    assert 500 < near["recalled"] <= 700 < 1_000 < far["recalled"] <= 1_400
    assert [row["questions"] for row in figures["rows"]] == [2, 1]
    for row in figures["rows"]:
        ways = row["ways"]
        assert ways[TEXT]["first_over_text"] == 1
        assert ways[TEXT]["bytes_per_token"] == pytest.approx(1, rel=0.02)
        marks = ways[LATENTS]["positions"] - ways[TEXT]["positions"]
        assert 0 < marks < 40
        fewer, lead = ways[named_share(0.5)], len(codec.lead.tokens)
        # A piece of an odd number of positions keeps the nearest even half.
        assert fewer["positions"] - lead == pytest.approx(
            (ways[LATENTS]["positions"] - lead) / 2, abs=60
        )
        assert fewer["bytes_per_token"] < 0.8 * ways[LATENTS]["bytes_per_token"]
        assert ways[named(2)]["positions"] < ways[TEXT]["positions"] + 40
    assert near["ways"][named(16)]["bytes_per_token"] == pytest.approx(2 * 2 * 8 * 2 * 2, rel=0.02)
    assert [bar["bar"] for bar in bars] == ["<= 60", ">= 0.93", ">= 0.88", ">= 50"]
    lines = TABLES["latents_long"](figures)
    assert len({line.count("|") for line in lines}) == 1
    result = {"name": "latents_long", "figures": figures, "machine": {"accelerator": ""}}
    assert plots.draw(result, tmp_path / "long.svg").stat().st_size > 1_000
    save_bundle(codec, tmp_path)
    (tmp_path / "result.json").write_text(json.dumps(result))
    fit_grounding.main(tmp_path / "result.json", tmp_path)
    assert [row.tokens for row in reads_of(tmp_path).rows] == [700, 1_400]


def told(f1: float, first: float = 1.0, size: float = 1.0) -> Told:
    return Told(f1, first, 2 * first, 10, size)


def test_bars_are_of_latents_over_text() -> None:
    """What is as good as they are is sought among keys and values, the smallest first."""
    stored_ways = {named(16): told(0.6, 0.4, 400.0), named(4): told(0.4, 0.4, 110.0)}
    few = {TEXT: told(0.5, 2.0), LATENTS: told(0.4, 0.5, 2.0), named_share(0.25): told(0.2, 0.4, 0.5)}
    all_ways = {**few, **stored_ways, named(2): told(0.3, 0.4, 60.0)}
    found = {256: [all_ways], 2_000: [few], 8_000: [few]}
    session = Session(0, None, lambda _: None)
    figures, bars = latents_long.report(session, found, {n: [n] for n in found})
    assert figures["keys_and_values_as_good"] == named(4)
    assert [(bar["value"], bar["holds"]) for bar in bars] == [
        (0.25, True),
        (0.25, False),
        (2.0, True),
        (pytest.approx(0.8), False),
        (pytest.approx(0.4), False),
        (55.0, True),
    ]
    # Where none is as good, what the largest takes is the least that would do.
    for way in (named(16), named(4)):
        all_ways[way] = told(0.2, 0.4, all_ways[way].bytes_per_token)
    figures, bars = latents_long.report(session, found, {n: [n] for n in found})
    assert (figures["keys_and_values_as_good"], bars[-1]["value"]) == (named(16), 200.0)


def test_rows_are_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"It has no questions to ask\. Name a folder"):
        latents_long.measure(Session(0, None, lambda _: None), latents_long.QUICK)
    row = {"context": "short", "question": "?", "answers": ["a"]}
    (tmp_path / "fairytaleqa.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match="None of the rows in"):
        latents_long.measure(Session(0, None, lambda _: None, rows=tmp_path), latents_long.QUICK)


def test_parts_of_a_file_that_do_not_grow_are_not_carried_on() -> None:
    assert _of_a_million([(1_000, 400_000), (3_000, 640_000)]) == pytest.approx(120.28)
    assert _of_a_million([(1_000, 400_000)]) == pytest.approx(400)
    assert _of_a_million([(1_000, 500_000), (1_000_000, 116_000_000)]) == pytest.approx(116)
