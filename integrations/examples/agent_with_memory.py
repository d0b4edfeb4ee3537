"""An agent that remembers each of its users from one thread to the next.

It runs offline: a script stands in for the model, and shows what a model would read. For a hosted
model, leave out the class and the script; the other lines stay as they are:

    from langchain.chat_models import init_chat_model

    model = init_chat_model("anthropic:claude-sonnet-4-5")  # pip install langchain-anthropic
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langgraph.checkpoint.memory import InMemorySaver

from langchain_larimar import LarimarMiddleware
from larimar_memory import Larimar


@dataclass
class Context:
    """What your server knows of a run; it is not for the model, nor for the user, to say."""

    user_id: str


class Scripted(GenericFakeChatModel):
    """Replies with the next line of a script."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        print(f"--- the model reads:\n{messages[-1].text}")
        return super()._generate(messages, *args, **kwargs)


def main() -> None:
    """Tell the agent something, and ask for it in another thread, as the same user and as another."""
    script = ["I have noted the alarm code.", "It is 4711.", "I do not know."]
    model = Scripted(messages=iter(script))
    with Larimar.open() as memory:  # in RAM; `Larimar.open("agent.larimar")` is for good
        agent = create_agent(
            model,
            middleware=[LarimarMiddleware(memory)],
            context_schema=Context,
            checkpointer=InMemorySaver(),
        )

        def say(user: str, thread: str, text: str) -> None:
            answer = agent.invoke(
                {"messages": [{"role": "user", "content": text}]},
                {"configurable": {"thread_id": thread}},
                context=Context(user_id=user),
            )
            print(f"--- the agent tells {user}: {answer['messages'][-1].text}\n")

        say("ana", "monday", "Please remember that the alarm code of the office is 4711.")
        say("ana", "tuesday", "What is the alarm code of the office?")
        say("bob", "tuesday-bob", "What is the alarm code of the office?")


if __name__ == "__main__":
    main()
