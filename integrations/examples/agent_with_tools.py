"""An agent that decides itself what to remember, look up and forget; it may say from which days.

It runs offline: a script stands in for the model. For a hosted model, leave out the script and its two
helpers; the other lines stay as they are:

    from langchain.chat_models import init_chat_model

    model = init_chat_model("anthropic:claude-sonnet-4-5")  # pip install langchain-anthropic
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolCall

from langchain_larimar import larimar_tools
from larimar_memory import Larimar


@dataclass
class Context:
    """What your server knows of a run; it is not for the model, nor for the user, to say."""

    user_id: str


class Scripted(GenericFakeChatModel):
    """Replies with the next message of a script, as a model that can call tools."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """The script knows the tools."""
        return self


def call(name: str, **args: str) -> AIMessage:
    """A message that calls a tool."""
    return AIMessage("", tool_calls=[ToolCall(name=name, args=args, id=f"call-{name}")])


def main() -> None:
    """Tell the agent something, and ask for it in another run, as the same user and as another."""
    script = [
        call("remember", text="The alarm code of the office is 4711."),
        "I will remember that.",
        call("recall", question="What is the alarm code of the office?"),
        "It is 4711.",
        call("recall", question="What is the alarm code of the office?", until="2026-05-02"),
        "Before Sunday you had not told me.",
        call("recall", question="What is the alarm code of the office?"),
        "I do not know.",
    ]
    day = datetime(2026, 5, 3, 9, tzinfo=timezone.utc)  # a clock for the example; leave it out
    model = Scripted(messages=iter(script))
    with Larimar.open() as memory:  # in RAM; `Larimar.open("agent.larimar")` is for good
        tools = larimar_tools(memory, clock=lambda: day)
        agent = create_agent(model, tools, context_schema=Context)

        def say(user: str, text: str) -> None:
            answer = agent.invoke(
                {"messages": [{"role": "user", "content": text}]}, context=Context(user_id=user)
            )
            for message in answer["messages"]:
                message.pretty_print()

        say("ana", "Please remember that the alarm code of the office is 4711.")
        say("ana", "What is the alarm code of the office?")
        say("ana", "Which code did I give you before Sunday, 3 May?")
        say("bob", "What is the alarm code of the office?")


if __name__ == "__main__":
    main()
