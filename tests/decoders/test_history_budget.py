"""How much of what was said before a question reaches the decoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory import Larimar
from larimar_memory.decoders.budget import latest
from larimar_memory.decoders.prompt import NOT_IN_MEMORY, SYSTEM
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from tests.tiny import tiny_decoder

FACT, QUESTION = "The pass key is 71432. Remember it.", "What is the pass key?"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


HISTORY = [user("I am Ana."), assistant("Hello Ana."), user("I keep parrots."), assistant("Lively.")]
ROLES = st.sampled_from([user, assistant])


@pytest.fixture
def tiny(encoder: SentenceEncoder) -> Iterator[Larimar]:
    """A memory whose decoder has a context of 700 tokens, one a byte."""
    decoder = tiny_decoder(max_position_embeddings=700)
    with Larimar.open(encoder=encoder, decoder=decoder) as memory:
        memory.write([FACT])
        yield memory


def asked(memory: Larimar, monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
    """The prompt that the decoder is given."""
    prompts = list[str]()

    def generate(self: TransformersDecoder, tokens: list[int], **_: Any) -> Any:
        prompts.append(self.tokenizer.decode(tokens))
        return generated(self, tokens, max_tokens=1)

    generated = TransformersDecoder.generate
    with monkeypatch.context() as patched:
        patched.setattr(TransformersDecoder, "generate", generate)
        memory.answer(QUESTION, **options)
    (prompt,) = prompts
    return prompt


def test_an_answer_begins_with_what_it_is_begun_with(
    tiny: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = asked(tiny, monkeypatch, max_tokens=1)
    assert asked(tiny, monkeypatch, begin="It is", max_tokens=1) == f"{plain}It is"
    stream = tiny.stream(QUESTION, begin="It is", max_tokens=3)
    pieces = list(stream)
    assert pieces[0] == "It is"
    answer = stream.result()
    assert answer.text == "".join(pieces).strip()
    assert answer.usage.prompt_tokens == tiny.answer(QUESTION, max_tokens=3).usage.prompt_tokens + 5
    # What is not in the memory is not begun, and what the decoder says alone is.
    unknown = tiny.answer(QUESTION, threshold=1.0, begin="It is", max_tokens=1)
    assert unknown.text == NOT_IN_MEMORY
    alone = asked(tiny, monkeypatch, threshold=1.0, fallback=True, begin="It is", max_tokens=1)
    assert alone.endswith("It is")
    assert FACT not in alone
    # It counts: a history that fits without it does not fit with it.
    long = [user("x" * 380)]
    assert "x" * 380 in asked(tiny, monkeypatch, history=long, max_tokens=1)
    assert "x" * 380 not in asked(tiny, monkeypatch, history=long, begin="y" * 100, max_tokens=1)
    for wrong, why in ((5, "begin is a int, not a str"), ("\ud800", "half of a surrogate pair")):
        with pytest.raises(InputError, match=rf"The answer cannot be begun\..*{why}"):
            tiny.answer(QUESTION, begin=wrong)


def test_the_latest_messages_that_fit_reach_the_decoder(
    tiny: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = asked(tiny, monkeypatch, history=HISTORY, max_tokens=1)
    places = [prompt.index(text) for text in (SYSTEM, *(m["content"] for m in HISTORY), "71432")]
    assert places == sorted(places)
    without = asked(tiny, monkeypatch, max_tokens=1)
    for budget, there in (
        (0, []),
        (7, []),
        (8, []),
        (24, HISTORY[2:]),
        (34, HISTORY[2:]),
        (99, HISTORY),
    ):
        shown = asked(tiny, monkeypatch, history=HISTORY, history_tokens=budget, max_tokens=1)
        assert [m for m in HISTORY if m["content"] in shown] == there
        if not there:
            assert shown == without


def test_a_history_never_makes_the_prompt_too_long(
    tiny: Larimar, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = [make(f"{n} {'x' * 60}") for n in range(30) for make in (user, assistant)]
    prompt = asked(tiny, monkeypatch, history=long, max_tokens=9)
    assert 700 - 2 * 70 < len(prompt) <= 700 - 9
    assert long[-1]["content"] in prompt
    assert long[0]["content"] not in prompt


def test_out_of_scope(tiny: Larimar, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = tiny.answer(QUESTION, threshold=1.0, history=HISTORY)
    assert (answer.text, answer.usage.total_tokens) == (NOT_IN_MEMORY, 0)
    prompt = asked(tiny, monkeypatch, threshold=1.0, history=HISTORY, fallback=True, max_tokens=1)
    assert prompt.startswith("I am Ana.\nHello Ana.\nI keep parrots.\nLively.\nWhat is the pass key?")


def test_what_is_for_the_system_stays(tiny: Larimar, monkeypatch: pytest.MonkeyPatch) -> None:
    system = {"role": "system", "content": "Be polite."}
    prompt = asked(tiny, monkeypatch, history=[system, *HISTORY], history_tokens=35, max_tokens=1)
    assert [m for m in HISTORY if m["content"] in prompt] == HISTORY[2:]
    assert "Be polite." in prompt


@given(
    st.lists(st.builds(lambda make, text: make(text), ROLES, st.text(max_size=9))), st.integers(0, 60)
)
def test_as_many_as_there_is_room_for(chat: list[dict[str, str]], budget: int) -> None:
    ends = [chat[n:] for n in range(len(chat) + 1)]
    there_is_room_for = [
        end
        for end in ends
        if len(end) <= 4
        and sum(len(m["content"]) + 1 for m in end) <= budget
        and (end in (chat, []) or end[0]["role"] == "user")
    ]
    assert latest(chat, budget, len, lambda said: len(said) <= 4) == there_is_room_for[0]
