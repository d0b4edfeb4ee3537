"""An agent whose memory is a server of the Model Context Protocol, over standard input and output.

The server is `larimar serve --mcp`, as Claude, Cursor and IDEs start it; here the protocol's official
client does, and its tools are an agent's. The memory's file is shared with whatever else writes to it.
It runs offline: a script stands in for the model. For a hosted model, leave out the script and its two
helpers; the other lines stay as they are:

    from langchain.chat_models import init_chat_model

    model = init_chat_model("anthropic:claude-sonnet-4-5")  # pip install langchain-anthropic
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.tools import BaseTool, StructuredTool
from mcp import Client, StdioServerParameters

from larimar_memory import Larimar

NAMESPACE = "ana"
"""Whose memory is served: it is fixed when the server is started, and no tool's argument names it."""


class Scripted(GenericFakeChatModel):
    """Replies with the next message of a script, as a model that can call tools."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """The script knows the tools."""
        return self


def call(name: str, **args: str) -> AIMessage:
    """A message that calls a tool."""
    return AIMessage("", tool_calls=[ToolCall(name=name, args=args, id=f"call-{name}")])


def served(memory: Path) -> StdioServerParameters:
    """The command that serves a memory file."""
    options = ["--memory", str(memory), "--namespace", NAMESPACE]
    command = ["-m", "larimar_memory", "serve", "--mcp", *options]
    return StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))


async def tools_of(client: Client) -> list[BaseTool]:
    """The server's tools as LangChain's, with the schemas that it declares."""

    def made(name: str, description: str, schema: dict[str, Any]) -> BaseTool:
        async def run(**arguments: Any) -> str:
            done = await client.call_tool(name, arguments)
            return "\n".join(block.text for block in done.content if block.type == "text")

        return StructuredTool.from_function(
            coroutine=run, name=name, description=description, args_schema=schema
        )

    declared = (await client.list_tools()).tools
    return [made(tool.name, tool.description or "", tool.input_schema) for tool in declared]


async def main() -> None:
    """Let an agent remember over the protocol, and ask the file itself afterwards."""
    script = [
        call("remember", text="The alarm code of the office is 4711."),
        "I will remember that.",
        call("recall", question="What is the alarm code of the office?"),
        "It is 4711.",
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "agent.larimar"
        async with Client(served(file)) as client:
            tools = await tools_of(client)
            print("the server's tools:", ", ".join(tool.name for tool in tools))
            agent = create_agent(Scripted(messages=iter(script)), tools)
            for text in (
                "Please remember that the alarm code of the office is 4711.",
                "What is it again?",
            ):
                answer = await agent.ainvoke({"messages": [{"role": "user", "content": text}]})
                for message in answer["messages"]:
                    message.pretty_print()
        with Larimar.open(file) as memory:
            found = memory.read("What is the alarm code of the office?", namespace=NAMESPACE)
            print("in the file:", found.segments[0].text)


if __name__ == "__main__":
    asyncio.run(main())
