"""Citations: whose words a sentence has, and marks that never change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from larimar_memory.form.citing import Citer, Marker, Part, unmarked
from larimar_memory.text.words import words
from larimar_memory.types import Citation, RecalledSegment

from .said import source

TEXTS = (
    "The Eiffel Tower was built in 1887 by Gustave Eiffel. ",
    "It is 330 metres tall, about as tall as Dr. Smith's house.\n",
    "The pass key is 71432.",
    "Anna moved to Ulm in 2019.",
    "Bob moved to Bonn in 2019.",
)
SOURCES = [source(text, n) for n, text in enumerate(TEXTS)]


def citing(question: str, sources: Sequence[RecalledSegment], label: str = "") -> Citer:
    return Citer([Part(label, question, sources)], sources)


def marked(text: str, size: int = 1, question: str = "When?") -> tuple[str, list[Citation]]:
    marker = Marker(citing(question, SOURCES))
    out = "".join(marker.marked(text[at : at + size] for at in range(0, len(text), size)))
    return out, marker.citations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1887", "1887 [1]"),
        ("In 1887, by Eiffel.", "In 1887, by Eiffel. [1]"),
        ("Built in 1887. It is 330 metres tall.", "Built in 1887. [1] It is 330 metres tall. [2]"),
        ("As tall as Dr. Smith's house. 71432!", "As tall as Dr. Smith's house. [2] 71432! [3]"),
        ("Built in 1887 and 330 metres tall.", "Built in 1887 and 330 metres tall. [1][2]"),
        ('He said "71432." Then he left.', 'He said "71432." [3] Then he left.'),
        ("a: 71432\nb: Not in memory.\nc: 330\n", "a: 71432 [3]\nb: Not in memory.\nc: 330 [2]\n"),
        # Bob's year is Anna's as well, and the names decide.
        ("Bob moved in 2019.", "Bob moved in 2019. [5]"),
        # What is not there is from nowhere.
        ("The pass key is 12345.", "The pass key is 12345."),
        ("The moon is made of cheese.", "The moon is made of cheese."),
        ("Not in memory.", "Not in memory."),
        ("Yes.", "Yes."),
        ("", ""),
        (" ... ", " ... "),
    ],
)  # fmt: skip
def test_whose_a_sentence_is(text: str, expected: str) -> None:
    assert marked(text)[0] == expected


def test_what_is_asked_decides_between_equals() -> None:
    assert marked("2019", question="When did Bob move?")[0] == "2019 [5]"
    assert marked("2019", question="When did Anna move?")[0] == "2019 [4]"
    assert marked("2019", question="Who?")[0] == "2019 [4]"


def test_a_citation_says_where_it_stands() -> None:
    text, (first, second) = marked("It was built in 1887. It is 330 metres tall.")
    assert text[first.start : first.end] == "It was built in 1887."
    assert text[second.start : second.end] == "It is 330 metres tall."
    assert second == Citation(second.start, second.end, 2, "notes", 100, 100 + len(TEXTS[1]))
    assert [text[c.end : c.end + 4] for c in (first, second)] == [" [1]", " [2]"]


def test_a_citation_says_where_around_a_segment_it_stands() -> None:
    one = source("It was built in 1887. ", 1)
    one = replace(one, before="The tower is old.  ", after=" Gustave Eiffel drew it. It is of iron.")
    whole, at = one.context, one.start - len(one.before)
    marker = Marker(citing("Who?", [one]))
    assert "".join(marker.marked(["Gustave Eiffel. In 1887. An old tower."])).count("[1]") == 3
    said = [whole[c.document_start - at : c.document_end - at] for c in marker.citations]
    assert said == ["Gustave Eiffel drew it.", one.text, "The tower is old."]


def test_the_question_decides_between_sentences_that_say_the_same() -> None:
    one = replace(
        source("It is in Lund. ", 1),
        before="The ferry to Lund was built by Eva Holm. It sank. ",
        after="The tower was built by Eva Holm.",
    )
    for asked, said in (("tower", one.after), ("ferry", "The ferry to Lund was built by Eva Holm.")):
        start, end = citing(f"Who built the {asked}?", [one]).place(1, "Eva Holm")
        at = one.start - len(one.before)
        assert one.context[start - at : end - at] == said


def test_a_part_is_cited_from_what_the_decoder_was_given_for_it() -> None:
    first, second = source("The tower is of glass.", 0), source("Room 3 holds glass.", 1)
    parts = [Part("Who built it?", "Who built it?", [first]), Part("b:", "What is in b?", [second])]
    for sources in ([first, second], [second, first]):
        marker = Marker(Citer(parts, sources))
        text = "".join(marker.marked(["Who built it? glass\nb: glass. It is glass.\n"]))
        assert [sources[one.source - 1] for one in marker.citations] == [first, second, second]
        assert text.count("[1]") + text.count("[2]") == 3


def test_marks_stream_when_a_sentence_has_ended() -> None:
    pieces = ["It was built", " in 1887.", " It", " is", " 330 metres tall."]
    said = list(Marker(citing("?", SOURCES)).marked(pieces))
    assert "".join(said[:3]).endswith("in 1887. [1] It") or "".join(said[:4]).startswith(
        "It was built in 1887. [1] It"
    )


def test_labels_and_nothing_to_cite() -> None:
    citer = citing("When?", SOURCES, "When was it built?")
    marker = Marker(citer)
    assert "".join(marker.marked(["When was it built? ", "1887"])) == "When was it built? 1887 [1]"
    assert "".join(Marker(citing("When?", [])).marked(["In 1887."])) == "In 1887."


WORDS = ["Anna", "Ulm", "1887", "built", "Dr.", "e.g.", "3.14", "the", "[1]", "...", "!", "\u3002", '"']
GAPS = ["", " ", "\n", "  "]
TEXT = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(GAPS))).map(
    lambda parts: "".join(map("".join, parts))
)


@given(TEXT | st.text(max_size=40), st.integers(1, 9))
def test_marks_never_change_words_and_how_pieces_are_cut_has_no_say(text: str, size: int) -> None:
    out, citations = marked(text, size)
    assert unmarked(out, citations) == text
    assert (out, citations) == marked(text, max(len(text), 1))
    for citation in citations:
        assert out[citation.start : citation.end] in text
        assert out[citation.end :].startswith((" [", f"[{citation.source}]"))


SENTENCE = st.lists(
    st.text(alphabet="abcdefghijkl", min_size=3, max_size=6), min_size=3, max_size=8
).map(lambda said: " ".join(said).capitalize() + ".")


@given(st.lists(SENTENCE, min_size=1, max_size=5, unique=True), st.data())
def test_a_copied_sentence_cites_its_source(texts: list[str], data: st.DataObject) -> None:
    copied = data.draw(st.sampled_from(texts))
    held = [f" {' '.join(words(text))} " for text in texts]
    assume(sum(f" {' '.join(words(copied))} " in one for one in held) == 1)
    marker = Marker(citing("Which?", [source(text, n) for n, text in enumerate(texts)]))
    out = "".join(marker.marked([copied]))
    assert out == f"{copied} [{texts.index(copied) + 1}]"
