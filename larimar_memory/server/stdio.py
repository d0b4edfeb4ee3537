"""A server for one client, on standard input and output."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import anyio
import mcp_types as types
from anyio import to_thread
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

_REFUSED = (
    "The message cannot be read. It is no message of JSON-RPC, is nested too deep, or holds half of a "
    "surrogate pair. Send it as JSON in UTF-8, on one line."
)


def serve_stdio(server: Server[Any]) -> None:
    """Serve until standard input ends. Whatever else prints meanwhile goes to standard error."""

    async def run() -> None:
        lines = _Lines()
        async with stdio_server(stdin=cast("anyio.AsyncFile[str]", lines)) as (read, write):
            lines.answer = write.send
            await server.run(read, write, server.create_initialization_options())

    anyio.run(run)


class _Lines:
    """Lines of standard input. One that is not a message is answered: its sender would wait forever.

    Attributes:
        answer: sends a message to the client.
    """

    answer: Callable[[SessionMessage], Awaitable[None]]

    async def __aiter__(self) -> AsyncIterator[str]:
        while read := await to_thread.run_sync(sys.stdin.buffer.readline):
            line = read.decode("utf-8", "replace")
            try:
                types.jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValidationError:
                error = types.ErrorData(code=types.INVALID_REQUEST, message=_REFUSED)
                refusal = types.JSONRPCError(jsonrpc="2.0", id=_id_in(line), error=error)
                await self.answer(SessionMessage(refusal))
            else:
                yield line


def _id_in(line: str) -> int | str | None:
    """The id of a request; None if it cannot be made out."""
    try:
        id = json.loads(line)["id"]
        return id if isinstance(id, int) or str(id).isascii() else None
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
