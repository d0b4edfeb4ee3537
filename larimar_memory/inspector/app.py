"""The page's files and its actions over HTTP."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from anyio import CancelScope
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from larimar_memory.errors import InputError, LarimarError
from larimar_memory.inspector.actions import ACTIONS, Inspected, Values
from larimar_memory.inspector.guard import API, Guard
from larimar_memory.system.listening import Listener
from larimar_memory.system.requests import arguments, parsed, unforeseen

STATIC = Path(__file__).parent / "static"
_SECONDS_TO_END = 1
_JSON, _LINES = "application/json", "application/x-ndjson"

# The system's own table may name another type, and browsers then refuse to run the file.
mimetypes.add_type("text/javascript", ".js")


def build(inspected: Inspected, *, token: str, port: int) -> Starlette:
    """The application; it closes the memory when it ends.

    Args:
        token: see `Guard`.
        port: the port at which it is served.
    """

    @asynccontextmanager
    async def until_closed(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            inspected.close()

    async def act(request: Request) -> Response:
        try:
            done = await _done(inspected, request)
        except Exception as error:
            known = error if isinstance(error, LarimarError) else unforeseen(error)
            status = 400 if isinstance(error, InputError) else 500
            return Response(_line(_told(known)), status, media_type=_JSON)
        if isinstance(done, Iterator):
            return _Lines(done)
        return Response(_line(done), media_type=_JSON)

    return Starlette(
        routes=[
            Route(f"{API}{{name}}", act, methods=["POST"]),
            Mount("/", StaticFiles(directory=STATIC, html=True)),
        ],
        middleware=[Middleware(Guard, token=token, port=port)],
        lifespan=until_closed,
    )


def page_server(inspected: Inspected, listener: Listener, token: str) -> uvicorn.Server:
    """The page's server: `.run(sockets=[listener.socket])` serves until a signal ends it."""
    config = uvicorn.Config(
        build(inspected, token=token, port=listener.port),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
    return uvicorn.Server(config)


async def _done(inspected: Inspected, request: Request) -> Values | Iterator[Values]:
    """The values of an action.

    Raises:
        InputError: if there is no such action, it is not allowed, or its arguments cannot be used.
    """
    name = request.path_params["name"]
    action = ACTIONS.get(name)
    if action is None:
        why = f"Those there are: {', '.join(ACTIONS)}."
        raise InputError(f"There is no action {name!r:.60}.", why, "Choose one of them.")
    if action.writes and not inspected.write:
        raise InputError(
            "Nothing was changed.",
            "The inspector was started to look only.",
            "Start it with `larimar inspect MEMORY --write`.",
        )
    given = arguments(action.arguments, parsed(await request.body() or "{}", "The request"))
    return await run_in_threadpool(action.run, inspected, given)


class _Lines(StreamingResponse):
    """Values as lines of JSON; once nobody waits for them, whatever makes them is stopped at once."""

    def __init__(self, values: Iterator[Values]) -> None:
        self._made = _lines(values)
        super().__init__(self._made, media_type=_LINES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Left to the garbage collector, a decoder would go on until the collector happens to run.
            with CancelScope(shield=True):
                await run_in_threadpool(self._made.close)


def _lines(values: Iterator[Values]) -> Generator[bytes, None, None]:
    """Values as lines of JSON; if an error ends them, it is the last line."""
    try:
        for value in values:
            yield _line(value)
    except Exception as error:
        yield _line(_told(error if isinstance(error, LarimarError) else unforeseen(error)))


def _line(values: Values) -> bytes:
    return json.dumps(values, allow_nan=False).encode() + b"\n"


def _told(error: LarimarError) -> Values:
    said = {"what": error.what, "why": error.why, "remedy": error.remedy}
    return {"error": {"type": type(error).__name__, **said}}
