"""What the benchmark of latents scores, and how."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmarks
from benchmarks import codes, curve, latents, recitation, squad
from benchmarks.haystack import Haystack
from benchmarks.session import Session
from benchmarks.tables import TABLES
from larimar_memory.errors import InputError, ModelError
from larimar_memory.latents import LatentCodec, save_bundle
from tests.latents.test_latent_memory import SIZES, random_codec
from tests.tiny import tiny_decoder

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def codec() -> LatentCodec:
    return random_codec(tiny_decoder(max_position_embeddings=512))


@pytest.mark.parametrize(
    ("said", "answers", "f1", "held"),
    [
        ("The pass key is 71432.", ("71432",), 0.4, True),
        ("71432", ("71432",), 1.0, True),
        ("the Amazon", ("Amazon", "the Amazon rainforest"), 1.0, True),
        ("In 1714", ("17",), 0.0, False),
        ("", ("something",), 0.0, False),
        ("a b b", ("b b c",), 0.8, False),
    ],
)
def test_scores_are_squads(said: str, answers: tuple[str, ...], f1: float, held: bool) -> None:
    assert squad.token_f1(said, answers) == pytest.approx(f1)
    assert squad.holds(said, answers) is held


def test_a_file_that_is_not_squad_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"cannot be used\. The reader said: KeyError"):
        squad.read(path)
    qa = {"question": "Who?", "answers": [{"text": "Ada"}, {"text": "Ada W."}]}
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": "Ada came.", "qas": [qa]}]}]}))
    assert squad.read(path) == [squad.Asked("Ada came.", "Who?", ("Ada", "Ada W."))]


def test_openings_have_the_lengths_asked_for(codec: LatentCodec) -> None:
    texts = [f"{n} some words in a row that go on and on for quite a while {n}" for n in range(80)]
    found = recitation.openings(codec, texts, random.Random(0), 50, (4, 32))
    sizes = [len(codec.tokens(text)) for text in found]
    assert all(4 <= size <= 32 for size in sizes)
    assert len(set(sizes)) > 8
    assert all(any(text.startswith(opening) for text in texts) for opening in found)


def test_rare_strings_stand_inside_a_sentence(codec: LatentCodec) -> None:
    texts = ["one two three four five six seven eight nine"] * 3 + ["too short"]
    for make in recitation.RARE.values():
        pairs = recitation.with_rare(texts, make, random.Random(1), 9)
        assert len(pairs) == 3
        for text, string in pairs:
            assert f" {string} " in text


def test_a_segment_is_said_whole(codec: LatentCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that says what it was given comes out exact; one that never ends does not."""
    texts = ["a text of more than sixteen bytes", "short"]
    given = {z.tobytes(): t for t in texts for z in codec.encode([t])}
    assert len(given) == 2
    tokens = {t: codec.tokens(t) for t in texts}
    asked = list[int]()

    def fake_say(_: LatentCodec, prefix: object, limit: int) -> list[list[int]]:
        # The lead and the mark are not its own.
        rows = [int(m.sum()) - len(codec.lead.tokens) - 1 for m in prefix.mask]
        asked.extend(rows)
        whole = sorted(tokens.values(), key=len)
        assert [len(ids) for ids in whole] == rows
        assert limit > max(rows)
        return whole

    monkeypatch.setattr(recitation, "say", fake_say)
    assert recitation.said_again(codec, texts) == texts
    assert sum(asked) == sum(map(len, tokens.values()))
    figures = recitation.exactness(codec, texts)
    assert (figures["exact"]["count"], figures["edit_distance"]) == (2, 0.0)
    monkeypatch.setattr(recitation, "say", lambda c, p, n: [[70, 71, -1] for _ in p.mask])
    figures = recitation.exactness(codec, texts)
    assert figures["exact"]["count"] == 0
    assert len(figures["missed"]) == 2


@pytest.mark.slow
def test_latents_are_measured_in_every_way(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    qa = {"question": "What is the dog called?", "answers": [{"text": "Pixel"}]}
    passages = [{"context": "Ana has a dog. The dog is called Pixel.", "qas": [qa]}]
    path.write_text(json.dumps({"data": [{"paragraphs": passages}]}))
    size = latents.Size(4_000, 6, 2, 1, 1, (1_000,), 1)
    found = benchmarks.run("latents", questions=path, _size=size)
    json.dumps(found)
    assert [bar["measure"] for bar in found["bars"]] == [
        "segments of 4 to 32 tokens said again exactly, percent",
        "5-digit number in a sentence recalled, percent",
        "UUID in a sentence recalled, percent",
        "proper name in a sentence recalled, percent",
        "token F1 of answers, latents over text",
        "time to first token, 5 segments, latents over text",
        "time of a whole answer, latents over text",
        "pass keys answered through latents alone, percent",
        "needles answered through latents alone, percent",
        "file of a million tokens, latents included, MB",
    ]
    figures = found["figures"]
    assert figures["said_again"]["mixed"]["exact"]["count"] >= 4
    assert figures["answers"]["latent"]["positions"] < 200
    assert figures["reach"]["1000"]["bytes_on_disk"] > 64_000
    said, _, _, _, *answers = TABLES["latents"](figures)
    assert said.count("|") == len(figures["said_again"]["mixed"]["by_tokens"]) + 2
    assert [line.split(" | ")[0] for line in answers[2:5]] == ["| the text", "| latents", "| neither"]
    assert answers[-1].startswith(f"| {figures['reach']['1000']['tokens']:,} |")


def test_another_bundle_than_the_shipped_one_can_be_measured(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"There are no latents in {tmp_path}"):
        benchmarks.run("latents", latents=[tmp_path])


def test_trained_bundles_stand_side_by_side(
    codec: LatentCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at its own step and at others, then the rest, each answered against the same text."""
    path = tmp_path / "q.json"
    qa = {"question": "What is the dog called?", "answers": [{"text": "Pixel"}]}
    passages = [{"context": "Ana has a dog. The dog is called Pixel.", "qas": [qa]}]
    path.write_text(json.dumps({"data": [{"paragraphs": passages}]}))
    first, half = tmp_path / "first", tmp_path / "half"
    save_bundle(codec, first, {"tokens": 5, "before": {"tokens": 2}})
    halved = SIZES.model_copy(update={"ratio": 2})
    save_bundle(random_codec(codec.decoder, config=halved), half, {"tokens": 3})
    texts = tuple(f"Number {n} of the texts that are said. And so on, {n}." for n in range(40))
    monkeypatch.setattr(Session, "prose", lambda *_: Haystack(texts, tuple(map(len, texts)), 0))
    session = Session(0, None, lambda _: None, path, [first, half])
    session.__dict__.update(decoder=codec.decoder, answering=None)
    figures, (bar,) = curve.measure(session, curve.Size(1, 5, 1, (0.1, 2.0)))
    rows = figures["rows"]
    assert [(row["tokens_per_position"], row["step"]) for row in rows] == [
        (1, 0.8),
        (1, 0.1),
        (1, 2.0),
        (2, 0.8),
    ]
    assert [row["labels"] for row in rows] == [7, 7, 7, 3]
    taken = [row["bytes_per_token"] for row in rows]
    assert taken[1] > taken[0] > taken[2]
    assert rows[3]["latent"]["positions"] < rows[0]["latent"]["positions"]
    assert len({row["text"]["token_f1"] for row in rows}) == 1
    assert all(row["exact"]["of"] == 5 for row in rows)
    assert bar["bar"] == ">= 0.95"
    head, _, *lines = TABLES["curve"](figures)
    assert [line.count("|") for line in lines] == [head.count("|")] * 4
    with pytest.raises(InputError, match=r"'curve' cannot run\. It has no questions to ask\."):
        curve.measure(Session(0, None, lambda _: None), curve.QUICK)


def test_codes_of_several_sizes_are_compared(
    codec: LatentCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The codes are fitted to the text: the more numbers, the nearer their keys and values."""
    words = ["ada", "keeps", "the", "lamp", "of", "orkney", "bread", "on", "mondays"]
    draw = random.Random(0)
    texts = tuple(" ".join(draw.choices(words, k=30)).capitalize() + "." for _ in range(60))
    hay = Haystack(texts, tuple(map(len, texts)), 0)
    session = Session(0, None, lambda _: None)
    session.__dict__["codec"] = codec
    monkeypatch.setattr(Session, "prose", lambda *_: hay)
    fitted, fit = list[LatentCodec](), codes._fitted

    def kept(*given: Any) -> LatentCodec:
        fitted.append(fit(*given))
        return fitted[-1]

    monkeypatch.setattr(codes, "_fitted", kept)
    size = codes.Size(1, 300, 5, ((2, 0.5, 0.5), (8, 0.1, 0.5), (8, 0.5, 0.5), (24, 0.5, 1.0)))
    figures, (bar,) = codes.measure(session, size)
    taken = [row["bytes_per_token"] for row in figures["rows"]]
    assert taken[0] < taken[2] < taken[1]
    assert taken[2] < taken[3]
    assert all(row["exact"]["of"] == 5 for row in figures["rows"])
    assert bar["bar"] == ">= 0.95"
    _, _, *lines = TABLES["codes"](figures)
    assert [line.split(" | ")[:3] for line in lines] == [
        *(["| 2", "0.5", "50"], ["| 8", "0.1", "50"], ["| 8", "0.5", "50"], ["| 24", "0.5", "100"])
    ]
    errors = list[float]()
    for one in fitted:
        segments = one.padded([one.tokens("ada keeps the lamp")])
        exact, made = one.exact(segments), one.head(*one.latents(segments))
        errors.append(float((exact.values - made.values).square().mean()))
        for mine, shipped in zip(one.adapters.parameters(), codec.adapters.parameters(), strict=True):
            assert torch.equal(mine, shipped)
    assert errors[0] > errors[1] > errors[3]
    assert errors[1] == errors[2]
