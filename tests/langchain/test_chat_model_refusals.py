"""What the chat model does not take."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_larimar import ChatLarimar
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar

from .vaults import GROUNDINGS, QUESTION, local

TOOL_CALL = {"name": "add", "args": {}, "id": "1"}


PICTURE = [{"type": "text", "text": "Look."}, {"type": "image", "url": "https://example.org/a.png"}]


REFUSED = "The chat cannot be answered. "


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (
            [SystemMessage("Be brief.")],
            "It holds no message of a human. End it with a HumanMessage, which is the question.",
        ),
        (
            [HumanMessage("Hello"), AIMessage("Hello")],
            "It ends with an AIMessage. End it with a HumanMessage, which is the question.",
        ),
        (
            [HumanMessage("Hello"), ToolMessage("4", tool_call_id="1")],
            "It holds a ToolMessage, and the decoder knows nothing of tools. "
            "Leave it out, or give the memory to a chat model that calls tools.",
        ),
        (
            [AIMessage("", tool_calls=[TOOL_CALL]), HumanMessage("Hello")],
            "It holds an AIMessage that calls a tool, and the decoder knows nothing of tools. "
            "Leave it out, or give the memory to a chat model that calls tools.",
        ),
        (
            [HumanMessage(PICTURE)],
            "It holds a HumanMessage with a block of type 'image', and only text is read. "
            "Leave the block out, or put into words what it says.",
        ),
    ],
)
def test_chats_that_cannot_be_answered(vault: Larimar, messages: list[Any], error: str) -> None:
    for grounding in GROUNDINGS:
        with pytest.raises(InputError) as caught:
            local(vault, grounding).invoke(messages)
        assert str(caught.value) == REFUSED + error


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"grounding": "both"}, "A chat model cannot have grounding='both'. It is \"text\", "),
        ({"k": 0}, "Memory cannot be read with k=0."),
        ({"namespace": ""}, "'' cannot be a namespace."),
        (
            {"score_threshold": 2},
            "A chat model cannot have score_threshold=2.* Scores lie between 0 and 1",
        ),
        ({"max_tokens": 0}, "A chat model cannot have max_tokens=0. It is 1 or more. .* for 256."),
        ({"temperature": -1}, "A chat model cannot have temperature=-1.*. It is 0 or more."),
        ({"context_tokens": 0}, "A chat model cannot have context_tokens=0."),
    ],
)
def test_settings_that_cannot_be_used(vault: Larimar, options: dict[str, Any], error: str) -> None:
    with pytest.raises(InputError, match=error):
        ChatLarimar(memory=vault, **options)
    with pytest.raises(InputError, match=error):
        ChatLarimar(memory=vault).invoke(QUESTION, **options)


def test_an_unknown_setting_is_refused(vault: Larimar) -> None:
    with pytest.raises(ValueError, match="timeout"):
        ChatLarimar(memory=vault, timeout=60)
    with pytest.raises(InputError) as caught:
        ChatLarimar(memory=vault).invoke(QUESTION, top_p=0.5)
    assert str(caught.value) == (
        "The chat model cannot take 'top_p'. A call can override stop, grounding, k, namespace, where, "
        "hybrid, neighbours, explain, score_threshold, since, until, as_of, fallback, "
        "context_tokens, max_tokens, temperature, seed, style, cite, beams, around. Leave it out, or "
        "correct its name."
    )


def test_one_decoder_answers(vault: Larimar, decoder: TransformersDecoder) -> None:
    for given in ({"memory": vault, "decoder": decoder}, {"memory": vault, "model": "another"}):
        with pytest.raises(InputError) as caught:
            ChatLarimar(**given)
        assert str(caught.value) == (
            "The chat model cannot be made. A memory answers with its own decoder, and another one was "
            "given. Leave it out, or open the memory with it: `Larimar.open(path, decoder=...)`."
        )
    with pytest.raises(
        InputError, match=r"Its decoder is '.*', and its model was said to be 'another'"
    ):
        ChatLarimar(decoder=decoder, model="another")
    with pytest.raises(InputError, match="Its decoder is a str, without name, context"):
        ChatLarimar(decoder="SmolLM2")
    with pytest.raises(InputError, match="Its memory is a str, not a Larimar"):
        ChatLarimar(memory="notes.larimar")
    with pytest.raises(InputError, match="a cache would go on giving old ones"):
        ChatLarimar(memory=vault, cache=True)


def test_tools_and_schemas_are_refused(vault: Larimar) -> None:
    model = ChatLarimar(memory=vault)
    schema = {"title": "Key", "type": "object", "properties": {"key": {"type": "string"}}}
    for attempt in (lambda: model.bind_tools([]), lambda: model.with_structured_output(schema)):
        with pytest.raises(InputError) as caught:
            attempt()
        assert str(caught.value) == (
            "ChatLarimar takes no tools, and no schema for its output. Its decoder is too small to "
            "write the calls that both need. Give the memory to a chat model that calls tools, with "
            "`larimar_tools(memory)`."
        )
