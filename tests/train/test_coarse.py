"""Training a table of coarse keys: nearer to the encoder's with every epoch, and used where it lies."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larimar_memory.cli import keys
from larimar_memory.encoders.coarse import CoarseTable
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.text.blocks import Text
from larimar_memory.train import coarse
from tests.cli.command import larimar
from tests.tiny import tiny_encoder

pytestmark = pytest.mark.model

WORDS = "the old lamp of a house kept by people who never saw ships in winter or heard".split()  # noqa: SIM905


def said(count: int) -> str:
    draw = random.Random(1)
    return " ".join(
        f"{' '.join(draw.choices(WORDS, k=12)).capitalize()} {draw.randrange(999)}."
        for _ in range(count)
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("models") / "tiny")


def test_keys_come_near_to_the_encoders(tiny: Path) -> None:
    encoder, texts = SentenceEncoder.load(tiny), [Text("d", said(600), {})]
    steps = list[tuple[int, int, str]]()
    none, some = (
        coarse.train_keys(encoder, texts, epochs=epochs, on_progress=lambda *step: steps.append(step))
        for epochs in (1, 60)
    )
    assert some.about["cosine"] > none.about["cosine"]
    assert some.about["cosine"] > 0.9
    assert some.about["recipe"]["epochs"] == 60
    assert some.about["held_out"] == (some.about["texts"] + some.about["held_out"]) // 50
    assert not some.weights[encoder.special_ids].any()
    assert {what for _, _, what in steps} == {"keys made", "steps"}
    assert all(done <= total for done, total, _ in steps)
    again = coarse.train_keys(encoder, texts, epochs=1)
    np.testing.assert_array_equal(again.vectors, none.vectors)


def test_more_than_enough_is_drawn_from(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse, "MOST", 250)
    table = coarse.train_keys(SentenceEncoder.load(tiny), [Text("d", said(900), {})], epochs=1)
    assert table.about["texts"] + table.about["held_out"] == 250


def test_time_ends_the_making_of_keys(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse, "_TEXTS_AT_A_TIME", 300)
    table = coarse.train_keys(SentenceEncoder.load(tiny), [Text("d", said(900), {})], minutes=0.0)
    assert table.about["texts"] + table.about["held_out"] == 300


def test_too_little_is_said(tiny: Path) -> None:
    with pytest.raises(InputError, match=r"There are \d+ different sentences, and 200 are too few"):
        coarse.train_keys(SentenceEncoder.load(tiny), [Text("d", said(20), {})])


def test_the_command_makes_memories_lazy(tiny: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.md").write_text(said(300))
    (texts / "b.html").write_text(f"<p>{said(500)[20000:]}</p>")
    command = ["train-keys", str(tiny), str(texts), "--epochs", "2", "--minutes", "1"]
    environment = {"XDG_DATA_HOME": str(tmp_path / "data")}
    made = larimar(*command, "--json", **environment)
    assert made.returncode == 0, made.stderr
    result = json.loads(made.stdout)
    assert CoarseTable.load(Path(result["table"])).about["cosine"] == result["cosine"]
    assert Path(result["table"]).is_relative_to(tmp_path / "data")
    memory = str(tmp_path / "m.larimar")
    ran = larimar("ingest", str(texts), "-m", memory, "--encoder", str(tiny), **environment)
    assert ran.returncode == 0, ran.stderr
    ran = larimar("stats", "-m", memory, "--json")
    held = json.loads(ran.stdout)
    assert (held["keys"], held["keyed"]) == ("lazy", 0)
    ran = larimar("index", memory, "--encoder", str(tiny), "--json", **environment)
    assert json.loads(ran.stdout)["made"] == json.loads(ran.stdout)["keyed"] == held["segments"]
    ran = larimar("index", memory, "--encoder", str(tiny), **environment)
    assert (
        f"0 keys were made; {held['segments']:,} of {held['segments']:,} segments have one."
        in ran.stdout
    )
    ran = larimar("stats", "-m", memory)
    assert "lazy" in ran.stdout
    said_so = larimar(*command, "--out", str(tmp_path / "texts" / "a.md" / "t"))
    assert said_so.returncode == 1
    assert "The table cannot be written to" in said_so.stderr


def test_the_table_lies_where_it_is_wanted(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(said(300))
    out = tmp_path / "there" / "t.safetensors"
    made = larimar("train-keys", str(tiny), str(tmp_path / "a.txt"), "-o", str(out), "--epochs", "1")
    assert made.returncode == 0, made.stderr
    assert "trained on" in made.stdout
    assert "that were held out" in made.stdout
    assert CoarseTable.load(out).about["recipe"]["epochs"] == 1
    with Larimar.open(encoder=str(tiny)) as memory:
        memory.write(["A sentence."])
        assert memory.stats().keys == "eager"


def test_watching_ends_with_an_interrupt(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, named = str(tmp_path / "m.larimar"), ("--encoder", str(tiny))
    with Larimar.open(memory, encoder=str(tiny)) as opened:
        opened.write([said(30)])
    looks, index = list[int](), Larimar.index

    def interrupted(self: Larimar, *given: Any, **named: Any) -> int:
        looks.append(index(self, *given, **named))
        if len(looks) == 3:
            raise KeyboardInterrupt
        return looks[-1]

    monkeypatch.setattr(keys, "_WATCH_SECONDS", 0.0)
    monkeypatch.setattr(Larimar, "index", interrupted)
    assert larimar("index", memory, "--watch", *named).returncode == 130
    assert looks == [0, 0, 0]
