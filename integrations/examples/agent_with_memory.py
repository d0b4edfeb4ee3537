"""An agent that remembers each of its users from one thread to the next, and when it was said.

At the end one of them is forgotten, with a receipt. It runs offline: a script stands in for the model,
and shows what a model would read. For a hosted model, leave out the class and the script; the other
lines stay as they are:

    from langchain.chat_models import init_chat_model

    model = init_chat_model("anthropic:claude-sonnet-4-5")  # pip install langchain-anthropic
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
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
    """Tell the agent something, ask for it in other threads, as another user too, and forget it."""
    script = ["I have noted it.", "It is 4711.", "I have noted it.", "It was 4711.", "I do not know."]
    model = Scripted(messages=iter(script))
    today = datetime(2026, 5, 4, 9, tzinfo=timezone.utc)  # a clock for the example; leave it out
    with tempfile.TemporaryDirectory() as folder, Larimar.open(Path(folder) / "a.larimar") as memory:
        agent = create_agent(
            model,
            middleware=[LarimarMiddleware(memory, clock=lambda: today)],
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

        say("ana", "4 May", "Please remember that the alarm code of the office is 4711.")
        today += timedelta(days=1)
        say("ana", "5 May", "What is the alarm code of the office?")
        today += timedelta(days=7)
        say("ana", "12 May", "The alarm code of the office has been changed to 2963.")
        say("ana", "also 12 May", "What did I say about the alarm code of the office last week?")
        say("bob", "his own", "What is the alarm code of the office?")

        receipt = memory.forget(
            where={"said_at": {"$exists": True}}, namespace="conversation:ana", receipt=True
        )
        print(f"--- forgotten: {len(receipt.documents)} lines, nothing left: {receipt.erased}")
        print(f"--- receipts, none changed: {len(memory.receipts(verify=True))}")


if __name__ == "__main__":
    main()
