"""The table of coarse keys: what its keys are, where it is found, and that the shipped one is near."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from larimar_memory.encoders import coarse
from larimar_memory.encoders.coarse import CoarseTable, find_table, place_for, quantised
from larimar_memory.encoders.keys import unit
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import ModelError
from larimar_memory.models.files import fingerprint
from tests.tiny import tiny_encoder

DRAW = np.random.default_rng(5)
VECTORS = DRAW.standard_normal((50, 8)).astype(np.float32)
VECTORS[0] = 0
BIAS = DRAW.standard_normal(8).astype(np.float32)
TABLE = quantised(VECTORS, BIAS, "f" * 32, cosine=0.5)

HELD_OUT = [
    "The committee postponed its decision until the engineers had inspected the second bridge.",
    "She poured the tea, sat down beside the window and waited for the rain to stop.",
    "Water freezes at a lower temperature when salt is dissolved in it.",
    "In 1911 the company moved its headquarters from Glasgow to a new building in Leeds.",
    "Use a context manager so that the file is closed even if an exception is raised.",
    "My flight was cancelled, so could you move our meeting to Thursday afternoon?",
    "The museum holds more than four thousand paintings, most of them by local artists.",
    "Bees tell one another where flowers are by dancing.",
    "The senator said that taxes would have to rise before the end of the decade.",
    "Add two eggs and a spoonful of sugar, and stir until the dough is smooth.",
]


def test_a_key_is_the_sum_of_its_tokens() -> None:
    ids = [[3, 9, 9], [17], [], [0, 0], [1, 2, 3, 4, 5]]
    keys = TABLE.keys(ids)
    exact = unit(np.array([VECTORS[own].sum(axis=0) + BIAS for own in ids]))
    for n in (0, 1, 4):
        np.testing.assert_allclose(keys[n], exact[n], atol=0.02)
    # Without a token, or with those alone that weigh nothing, there is no key.
    assert not keys[2:4].any()
    np.testing.assert_array_equal(TABLE.keys(ids, {4})[:2], keys[:2])
    assert not TABLE.keys(ids, {4})[4].any()
    assert TABLE.keys([]).shape == (0, 8)


def test_a_table_is_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "inner" / "t.safetensors"
    TABLE.save(path)
    again = CoarseTable.load(path)
    assert (again.fingerprint, again.about) == (TABLE.fingerprint, {"cosine": 0.5})
    np.testing.assert_array_equal(again.keys([[1, 2]]), TABLE.keys([[1, 2]]))
    halves = replace(TABLE, vectors=VECTORS.astype(np.float16), weights=np.ones(50, np.float32))
    halves.save(path)
    np.testing.assert_allclose(CoarseTable.load(path).keys([[1, 2]]), TABLE.keys([[1, 2]]), atol=0.02)


@pytest.mark.parametrize("wrong", ["nothing", "no file", "shapes", "type", "about", "empty"])
def test_what_is_no_table_is_said(tmp_path: Path, wrong: str) -> None:
    path, about = tmp_path / "t.safetensors", {"about": json.dumps({"fingerprint": "f"})}
    parts = {"vectors": TABLE.vectors, "weights": TABLE.weights, "bias": TABLE.bias}
    if wrong == "shapes":
        parts["bias"] = TABLE.bias[:3]
    if wrong == "type":
        parts["vectors"] = VECTORS
    if wrong == "about":
        about = {"about": "[1]"}
    if wrong == "empty":
        parts.pop("bias")
    save_file(parts, path, about)
    if wrong == "nothing":
        path.write_bytes(b"")
    if wrong == "no file":
        path.unlink()
    with pytest.raises(ModelError, match="cannot be used") as said:
        CoarseTable.load(path)
    assert said.value.remedy == "Make it again with `larimar train-keys`, or delete it."


def test_a_table_is_found_by_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, user, shipped = (tmp_path / name for name in ("own", "user", "shipped"))
    monkeypatch.setattr(coarse, "user_folder", lambda _: user)
    monkeypatch.setattr(coarse, "_SHIPPED", shipped)
    named = f"{'f' * 16}.safetensors"
    assert find_table("f" * 32, own) is None
    for path in (shipped / named, user / "coarse_keys" / named, own / "coarse_keys.safetensors"):
        TABLE.save(path)
        assert find_table("f" * 32, own) == path
    assert find_table("f" * 32) == place_for("f" * 32) == user / "coarse_keys" / named
    assert find_table("e" * 32) is None
    monkeypatch.setattr(coarse, "user_folder", lambda _: None)
    assert find_table("f" * 32) == shipped / named
    with pytest.raises(ModelError, match="no place for the table"):
        place_for("f" * 32)


def test_a_table_in_the_models_folder(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "tiny")
    before = fingerprint(folder)
    encoder = SentenceEncoder.load(folder)
    assert encoder.coarse is None
    assert encoder.special_ids == [101, 102]
    assert encoder.vocabulary == 30522
    path = folder / "coarse_keys.safetensors"
    vectors = DRAW.standard_normal((30522, 16)).astype(np.float32)
    quantised(vectors, np.zeros(16, np.float32), before).save(path)
    # The table is made of the model, and no part of it.
    assert fingerprint(folder) == before
    again = SentenceEncoder.load(folder)
    assert again.coarse is not None
    assert again.coarse.keys([[5]]).shape == (1, 16)
    TABLE.save(path)
    with pytest.raises(ModelError, match="It is of encoder ffffffffffff of dimension 8, not"):
        _ = SentenceEncoder.load(folder).coarse


def test_the_bundled_encoder_has_a_table(encoder: SentenceEncoder) -> None:
    path = find_table(encoder.fingerprint)
    assert path is not None
    assert path.parent == coarse._SHIPPED
    assert path.stat().st_size <= 12_000_000
    table = encoder.coarse
    assert table is not None
    assert (table.fingerprint, table.dimension) == (encoder.fingerprint, encoder.dimension)
    assert table.vectors.shape == (encoder.vocabulary, encoder.dimension)
    assert not table.weights[encoder.special_ids].any()
    assert table.about["texts"] > 300_000
    assert table.about["cosine"] > 0.8


def test_coarse_keys_are_near_the_encoders(encoder: SentenceEncoder) -> None:
    table = encoder.coarse
    assert table is not None
    batch = encoder.tokenize(HELD_OUT)
    fine, found = encoder.encode_tokens(batch), table.keys(batch.ids, batch.unread)
    own = (fine * found).sum(axis=1)
    assert own.mean() > 0.7
    # Each is nearer to its own fine key than to any other's.
    assert (np.argmax(fine @ found.T, axis=1) == np.arange(len(HELD_OUT))).all()
