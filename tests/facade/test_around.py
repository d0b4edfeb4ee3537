"""An adapter is shown what is around the best segment, and is asked where a read alone would refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from larimar_memory.answer import ALIKE
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.form.stream import AnswerStream
from larimar_memory.larimar import THRESHOLD, Larimar
from larimar_memory.latents.adapting import LEAST
from larimar_memory.types import Answer, ReadOptions, Readout

pytestmark = pytest.mark.model

RAILWAY = (
    "The Tarn Valley Railway was opened in 1887 to carry slate from the quarries at Hollin Edge to the "
    "harbour of Merrow. It was built by the engineer Josiah Pell, who had earlier worked on bridges in "
    "Argentina. The line was 23 kilometres long and had nine stations."
)
TALK = (
    ("Ann", "Did you find somewhere to eat on Friday?"),
    ("Bo", "Yes, Casa Orvetti has a table for us."),
    ("Ann", "Great! At what time is it booked?"),
    ("Bo", "Half past seven."),
    ("Ann", "See you there, then."),
)
ROOMS = ("attic", "cellar", "kitchen", "library", "chapel", "stable", "tower")
UNSURE = "Which school did the engineer go to?"
"""A question whose read is in scope for an adapter, and out of scope by itself."""


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.load()


@pytest.fixture(scope="module")
def memory(encoder: SentenceEncoder) -> Iterator[Larimar]:
    with Larimar.open(encoder=encoder) as opened:
        opened.write([RAILWAY], ["railway"])
        ids = [str(n) for n in range(len(TALK))]
        by = [{"speaker": speaker} for speaker, _ in TALK]
        opened.write([text for _, text in TALK], ids, by, namespace="talk", episode="talk")
        yield opened


def prompt_tokens(answer: Answer) -> int:
    return answer.usage.prompt_tokens


def test_a_sentence_that_leans_on_the_one_before_it(memory: Larimar) -> None:
    question = "Who built the Tarn Valley Railway?"
    answer = memory.answer(question, k=1)
    assert "Josiah Pell" in answer.text
    (source,) = answer.sources
    assert source.context == RAILWAY
    assert (source.start, source.end) == (0, len(source.text))
    alone = memory.answer(question, k=1, around=False)
    assert alone.sources[0].context == alone.sources[0].text
    assert prompt_tokens(alone) < prompt_tokens(answer)


def test_a_citation_names_the_source_whose_surroundings_say_it(memory: Larimar) -> None:
    answer = memory.answer("Who built the Tarn Valley Railway?", k=1, cite=True)
    assert answer.text == "Josiah Pell [1]"


def test_a_sentence_with_every_word_of_the_question_is_shown_alone(memory: Larimar) -> None:
    answer = memory.answer("When was the Tarn Valley Railway opened?", k=1)
    assert "1887" in answer.text
    assert answer.sources[0].context == answer.sources[0].text


def test_neighbours_that_a_read_asks_for_are_all_that_is_shown(memory: Larimar) -> None:
    answer = memory.answer("Who built the Tarn Valley Railway?", k=1, neighbours=1)
    (source,) = answer.sources
    assert source.before == ""
    assert source.after in RAILWAY
    assert source.context != RAILWAY


def test_turns_around_the_best_one(memory: Larimar) -> None:
    question = "At what time is the table booked?"
    answer = memory.answer(question, k=1, namespace="talk")
    assert "seven" in answer.text
    assert sorted(source.document_id for source in answer.sources) == list("01234")
    assert [source.weight > 0 for source in answer.sources] == [True, *[False] * 4]
    by_ann = memory.answer(question, k=1, namespace="talk", where={"speaker": "Ann"})
    assert {source.metadata["speaker"] for source in by_ann.sources} == {"Ann"}


def test_the_budget_of_a_prompt_holds(memory: Larimar) -> None:
    question = "Who built the Tarn Valley Railway?"
    answer = memory.answer(question, k=1, context_tokens=40)
    (source,) = answer.sources
    assert source.context == source.text
    with pytest.raises(InputError, match="Nothing that was recalled fits into 5 tokens"):
        memory.answer(question, k=1, context_tokens=5)


@pytest.mark.parametrize("given", [{"begin": "It is"}, {"fallback": True}, {"threshold": THRESHOLD}])
def test_where_an_adapter_cannot_refuse_the_read_does(memory: Larimar, given: dict[str, Any]) -> None:
    assert LEAST < memory.read(UNSURE, threshold=0.0).probability < THRESHOLD
    answer = memory.answer(UNSURE, max_tokens=8, **given)
    assert (answer.threshold, answer.reason) == (THRESHOLD, "below the threshold")
    assert answer.sources == ()


def test_an_adapter_is_asked_where_the_read_alone_would_refuse(memory: Larimar) -> None:
    answer = memory.answer(UNSURE)
    assert (answer.text, answer.threshold, answer.reason) == ("Not in memory.", LEAST, None)
    assert answer.usage.completion_tokens
    assert memory.read(UNSURE).threshold == THRESHOLD


@pytest.mark.parametrize(
    ("opened", "threshold"),
    [({"threshold": 0.7}, 0.7), ({"threshold": THRESHOLD}, THRESHOLD), ({"adapter": False}, THRESHOLD)],
)
def test_a_threshold_that_is_named_holds_for_answers(
    encoder: SentenceEncoder, opened: dict[str, Any], threshold: float
) -> None:
    with Larimar.open(encoder=encoder, **opened) as memory:
        memory.write([RAILWAY])
        answer = memory.answer(UNSURE)
        assert (answer.text, answer.threshold) == ("Not in memory.", threshold)
        assert answer.reason == "below the threshold"
        assert memory.read(UNSURE).threshold == threshold


def test_around_is_true_or_false(memory: Larimar) -> None:
    with pytest.raises(InputError, match="An answer cannot have around=3"):
        memory.answer("Who?", around=3)  # type: ignore[arg-type]


def test_segments_that_match_alike_are_shown_alone(encoder: SentenceEncoder) -> None:
    text = "".join(f"The code of the {room} is {n}417.\n\n" for n, room in enumerate(ROOMS, 1))
    with Larimar.open(encoder=encoder) as memory:
        memory.write([text])
        few, many = (memory.answer("Which codes do rooms have?", k=k) for k in (1, 5))
        assert few.sources[0].context != few.sources[0].text
        assert len(many.sources) > ALIKE
        assert all(source.context == source.text for source in many.sources)


def test_with_a_beginning_segments_are_shown_alone(memory: Larimar) -> None:
    answer = memory.answer("Who built the Tarn Valley Railway?", k=1, begin="It was built by")
    assert answer.sources[0].context == answer.sources[0].text


def test_a_readout_is_shown_as_it_was_read(memory: Larimar) -> None:
    """Its filter is not known, so nothing is added; unless it is said how it was read."""
    question, where = "At what time is the table booked?", {"speaker": "Ann"}
    readout = memory.read(question, 1, namespace="talk", where=where, threshold=0.0)
    alone = memory.answer(readout)
    assert [source.id for source in alone.sources] == [segment.id for segment in readout.segments]
    told = memory.answer(readout, reading=ReadOptions(where=where))
    assert {source.metadata["speaker"] for source in told.sources} == {"Ann"}
    assert len(told.sources) > 1


FLOORS = (
    ("Ann", "On which floor of the hotel is our room?"),
    ("Bo", "9"),
    ("Ann", "And how many floors does the hotel have?"),
    ("Bo", "It has 19 floors."),
)
DINNER = (
    ("Ann", "The birthday dinner of all of us on Friday in Merrow was planned by me this morning."),
    (
        "Bo",
        "The birthday dinner of all of us on Friday in Merrow was booked by me this afternoon. The "
        "restaurant that I finally chose after a long search is called Casa Orvetti, at the harbour.",
    ),
    ("Ann", "Fine, see you there at eight o'clock."),
)
FAQ = (
    "# Questions\n\n## When was the mill of Merrow built?\n\nIn the spring of 1887, after the great "
    "flood had taken away the bridge and all of the old houses beside the river.\n"
)


def talk(memory: Larimar, turns: tuple[tuple[str, str], ...], namespace: str, day: str = "") -> None:
    said = {"said_at": day} if day else {}
    by = [{"speaker": speaker, **said} for speaker, _ in turns]
    texts, ids = [text for _, text in turns], [str(n) for n in range(len(turns))]
    memory.write(texts, ids, by, namespace=namespace, episode="talk")


def prompted(memory: Larimar, question: str | Readout, **how: Any) -> tuple[str, AnswerStream]:
    stream = memory.stream(question, **how)
    return stream.prompts[0][-1]["content"], stream


def test_no_turn_is_left_out_for_being_part_of_another(memory: Larimar) -> None:
    talk(memory, FLOORS, "floors")
    question = "On which floor of the hotel is the room?"
    prompt, stream = prompted(memory, question, k=1, namespace="floors")
    assert "\n".join(f"{by}: {text}" for by, text in FLOORS) in prompt
    assert stream.result().text == "9"


def test_a_heading_that_asks_the_question_does_not_stand_alone(memory: Larimar) -> None:
    memory.write([FAQ], ["faq"], namespace="faq")
    assert "1887" in memory.answer("When was the mill of Merrow built?", namespace="faq").text


def test_sources_hold_all_that_the_decoder_was_given(memory: Larimar) -> None:
    talk(memory, DINNER, "dinner")
    prompt, stream = prompted(
        memory, "Where is the birthday dinner planned for Friday?", k=2, namespace="dinner"
    )
    by_id = {source.document_id: source for source in stream.sources}
    assert sorted(by_id) == ["0", "1", "2"]
    assert {id: source.context for id, source in by_id.items()} == {
        str(n): text for n, (_, text) in enumerate(DINNER)
    }
    assert "Orvetti" in prompt
    assert by_id["1"].score > 0
    assert by_id["2"].score == 0


def test_each_part_is_cited_from_what_it_was_shown(memory: Larimar) -> None:
    question = "When was the Tarn Valley Railway opened, and who built the Tarn Valley Railway?"
    answer = memory.answer(question, k=1, cite=True)
    assert answer.text.endswith("Josiah Pell [1]")
    (source,) = answer.sources
    assert source.context == RAILWAY
    said = [RAILWAY[one.document_start : one.document_end] for one in answer.citations]
    assert ["1887" in said[0], "Josiah Pell" in said[1]] == [True, True]
    assert said[1].startswith("It was built")


@pytest.mark.parametrize("namespace", ["default", "dated", "dated talk"])
def test_any_budget_that_holds_the_segment_is_enough(memory: Larimar, namespace: str) -> None:
    memory.write([RAILWAY], ["railway"], [{"said_at": "2026-05-03"}], namespace="dated")
    talk(memory, TALK, "dated talk", "2026-05-03")
    question = "Is the table booked?" if "talk" in namespace else "Who built the Tarn Valley Railway?"
    how: dict[str, Any] = {"k": 1, "namespace": namespace, "threshold": 0.0}
    decoder, wider = memory.decoder, set[str]()
    for budget in range(60, 121, 3):
        alone, _ = prompted(memory, question, context_tokens=budget, around=False, **how)
        prompt, _ = prompted(memory, question, context_tokens=budget, **how)
        inner = prompt.split("<recalled>\n")[1].split("\n</recalled>")[0]
        assert decoder.count(inner) <= budget + 1
        assert len(prompt) >= len(alone)
        wider.add(inner)
    assert len(wider) > 1


def test_nothing_that_scores_enough_is_nothing_in_memory(memory: Larimar) -> None:
    readout = memory.read("Who built the Tarn Valley Railway?").scoring(0.999)
    assert (readout.segments, readout.reason) == ((), "below the threshold")
    answer = memory.answer(readout)
    assert (answer.text, answer.reason, answer.sources) == ("Not in memory.", "below the threshold", ())


def test_parts_of_a_readout_show_no_more_than_it_has(memory: Larimar) -> None:
    texts = ["Anna moved to Rome in 2019.", "Anna moved to Oslo in 2001, secretly."]
    memory.write(texts, list("ab"), [{"public": True}, {"public": False}], namespace="secret")
    question = "When did Anna move to Oslo, and when did Anna move to Rome?"
    readout = memory.read(question, namespace="secret", where={"public": True}, threshold=0.0)
    assert [source.document_id for source in memory.stream(readout).sources] == ["a"]


def test_a_document_that_no_longer_passes_the_filter_shows_no_more(memory: Larimar) -> None:
    memory.write([RAILWAY], ["railway"], [{"public": True}], namespace="published")
    where = {"public": True}
    readout = memory.read("Who built the Tarn Valley Railway?", 1, namespace="published", where=where)
    changed = RAILWAY.replace("Josiah Pell", "Nobody Else")
    memory.update("railway", changed, {"public": False}, namespace="published")
    prompt, _ = prompted(memory, readout, reading=ReadOptions(where=where))
    assert "Nobody Else" not in prompt


def test_a_threshold_that_is_set_later_holds_for_answers(encoder: SentenceEncoder) -> None:
    with Larimar.open(encoder=encoder) as memory:
        memory.write([RAILWAY])
        memory.threshold = 0.999
        answer = memory.answer("Who built the Tarn Valley Railway?")
        assert (answer.threshold, answer.text) == (0.999, "Not in memory.")


def test_a_reply_is_shown_whatever_came_before_its_question(memory: Larimar) -> None:
    long = " ".join(f"Today the weather was calm and the birds sang near gate {n}." for n in range(30))
    said = (("Ann", long), ("Bo", "Where is the spare key?"), ("Ann", "Under the red pot."))
    talk(memory, said, "key")
    answer = memory.answer("Where is the spare key?", k=1, namespace="key")
    assert "red pot" in answer.text


def test_a_turn_is_one_source_whichever_part_it_answers(memory: Larimar) -> None:
    said = (
        ("Ann", "Yes."),
        ("Bo", "Where do you live now?"),
        (
            "Ann",
            "I moved house last week. It was hard work.\n\nThe new flat is in Porto. Clara helped me.",
        ),
        ("Bo", "Who helped you?"),
        ("Ann", "My sister Clara helped me."),
    )
    talk(memory, said, "moved")
    answer = memory.answer("Where is the new flat, and who helped Ann?", namespace="moved")
    assert sorted(source.document_id for source in answer.sources) == list("01234")


def test_without_an_encoder_a_readout_is_shown_with_what_is_around_it(
    encoder: SentenceEncoder, tmp_path: Path
) -> None:
    path, question = tmp_path / "m.larimar", "Who built the Tarn Valley Railway?"
    with Larimar.open(path, encoder=encoder) as memory:
        memory.write([RAILWAY])
        readout = memory.read(question, 1)
    with Larimar.open(path, encoder=None) as memory:
        answer = memory.answer(readout, reading=ReadOptions())
    assert answer.sources[0].context == RAILWAY
    assert "Josiah Pell" in answer.text


def test_turns_that_can_never_fit_are_not_read(
    memory: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = " ".join(f"Lamp {n} of the road was lit at nine." for n in range(300))
    talk(memory, (("Ann", long), ("Bo", "Where is the spare oil?"), ("Ann", "In the shed.")), "oil")
    asked, spans = list[str](), memory.store.spans

    def seen(namespace: str, wanted: Any, latents: bool = False) -> Any:
        asked.extend(span.document_id for span in wanted)
        return spans(namespace, wanted, latents)

    monkeypatch.setattr(memory.store, "spans", seen)
    readout = memory.read("Where is the spare oil?", 1, namespace="oil", threshold=0.0)
    asked.clear()
    memory.stream(readout, reading=ReadOptions())
    assert sorted(set(asked)) == ["1", "2"]
