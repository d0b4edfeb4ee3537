"""The texts that are searched in, and the needles and facts hidden in them."""

from __future__ import annotations

import json
import lzma

import pytest

from benchmarks import needle, passkey
from benchmarks.facts import facts
from benchmarks.haystack import hide, prose, repeated
from benchmarks.session import Session
from larimar_memory.errors import InputError

pytestmark = pytest.mark.model


def test_haystack_has_the_length_asked_for_and_is_deterministic(hay, count):
    assert abs(hay.total - 5_000) <= 100
    assert hay == prose(5_000, count, seed=3)
    assert hay.paragraphs != prose(5_000, count, seed=4).paragraphs
    assert len(set(hay.paragraphs)) == len(hay.paragraphs)
    assert hay.distinct_tokens == hay.total


def test_a_shorter_haystack_begins_a_longer_one(hay, count):
    shorter = prose(1_000, count, seed=3)
    assert abs(shorter.total - 1_000) <= 20
    assert shorter.paragraphs[:-1] == hay.paragraphs[: len(shorter.paragraphs) - 1]


def test_counting_is_not_cut_at_the_models_length(encoder, count):
    words = "the memory keeps what it was told " * 200
    assert count(["", words]) == [0, 1400]
    assert encoder.tokenize([words]).tokens < 1400


def test_a_folder_of_texts_can_be_the_haystack_and_is_reshuffled_where_it_is_short(tmp_path, count):
    (tmp_path / "a.txt").write_text("The lake is deep. The shore is\nquiet.\n\nA boat came by at noon.")
    (tmp_path / "b.md").write_text("Nobody lives on the island.")
    with lzma.open(tmp_path / "c.jsonl.xz", "wt", encoding="utf-8") as file:
        file.write(json.dumps({"text": "The bell rings at six."}) + "\n\n")
    (tmp_path / "ignored.py").write_text("code = 1")
    found = prose(500, count, seed=0, folder=tmp_path)
    assert {
        "The lake is deep. The shore is quiet.",
        "A boat came by at noon.",
        "Nobody lives on the island.",
        "The bell rings at six.",
    } == set(found.paragraphs[:4])
    assert abs(found.total - 500) <= 10
    assert found.distinct_tokens == sum(found.tokens[:4]) < 50
    assert found == prose(500, count, seed=0, folder=tmp_path)


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, count):
    with pytest.raises(InputError, match="has no file"):
        prose(100, count, seed=0, folder=tmp_path)
    (tmp_path / "a.jsonl").write_text('{"words": "no text"}\n')
    with pytest.raises(InputError, match="cannot be read as text"):
        prose(100, count, seed=0, folder=tmp_path)


def test_parts_rebuild_the_haystack(hay):
    parts = hay.parts(600)
    assert len(parts) > 5
    assert tuple(p for part in parts for p in part.paragraphs) == hay.paragraphs
    assert hay.parts(10**9)[0].text == "\n\n".join(hay.paragraphs)


@pytest.mark.parametrize("depth", [0.0, 0.1, 0.37, 0.5, 0.9, 1.0])
def test_the_needle_is_in_the_haystack_at_the_depth_asked_for(hay, count, depth):
    parts = hay.parts(600)
    part, text, real = hide(hay, parts, needle.KAMRADT.text, depth)
    whole = "\n\n".join(text if p is part else p.text for p in parts)
    before, after = whole.split(needle.KAMRADT.text)
    assert before == "" or before.endswith("\n\n")
    assert after == "" or after.startswith("\n\n")
    lengths = count([before, after])
    assert abs(lengths[0] - depth * sum(lengths)) <= max(hay.tokens)
    assert real == pytest.approx(lengths[0] / sum(lengths), abs=0.005)
    assert f"{before.strip()}\n\n{after.strip()}".strip() == "\n\n".join(hay.paragraphs)


def test_the_filler_is_one_line_around_the_needle(count):
    filler = repeated(passkey.FILLER, 1_000, count)
    assert abs(filler.total - 1_000) <= 20
    _, text, _ = hide(filler, filler.parts(), "The pass key is 7.", 0.5)
    before, found, after = text.split("\n")
    assert found == "The pass key is 7."
    assert set(before.split(passkey.FILLER)) == set(after.split(passkey.FILLER)) == {"", " "}


def test_needles_are_taken_out_again(count, real_session):
    from benchmarks.trials import field

    with field(real_session, prose(600, count, seed=0)) as hay:
        texts = {d.id: hay.memory.text(d.id) for d in hay.memory.documents()}
        trial = hay.ask(
            needle.KAMRADT.text,
            0.5,
            needle.KAMRADT.question,
            holds=needle.KAMRADT.said,
            right=needle.KAMRADT.said,
        )
        assert texts == {d.id: hay.memory.text(d.id) for d in hay.memory.documents()}
    assert trial.rank == 1


def test_a_needle_alone_says_its_answer():
    assert len({one.text for one in needle.NEEDLES}) == 10
    for one in needle.NEEDLES:
        assert not one.said(one.question)
        assert [other.text for other in needle.NEEDLES if one.said(other.text)] == [one.text]
        assert (one.score(one.text.upper()), one.score("")) == (1.0, 0.0)


def test_facts_are_asked_for_by_what_only_they_say(real_session):
    found = facts(real_session, 60)
    assert found == facts(real_session, 60)
    assert len({fact.text for fact in found}) == 60
    for fact in found:
        assert fact.text.startswith(fact.question + " ")
        assert len(fact.text.split()) == len(fact.question.split()) + 2


def test_too_little_text_for_facts_is_told(tmp_path, encoder):
    (tmp_path / "a.txt").write_text("The mill of Ren has stood beside the river for years.")
    made = Session(0, tmp_path, lambda _: None)
    vars(made).update(encoder=encoder)
    with pytest.raises(InputError, match="not enough sentences for 3 facts"):
        facts(made, 3)
