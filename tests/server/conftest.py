"""Fixtures: a memory served inside this process, over HTTP in a thread, or by the command."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from larimar_memory import server as serving
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar
from tests.tiny import tiny_decoder

ROOT = Path(__file__).parents[2]
FACT = "The ferry to Ren leaves at nine every morning."
ASKED = "When does the ferry to Ren leave?"


@pytest.fixture
def held(tmp_path: Path, encoder: SentenceEncoder) -> Iterator[serving.OnDemand[Larimar]]:
    """A memory in a file, opened when it is first used."""
    decoder = tiny_decoder(max_position_embeddings=2_000)
    memory = serving.OnDemand(
        lambda: Larimar.open(tmp_path / "m.larimar", encoder=encoder, decoder=decoder, adapter=False)
    )
    yield memory
    memory.close()


@pytest.fixture
def here(held: serving.OnDemand[Larimar]) -> Any:
    """Its server, for clients in this process."""
    return serving.build(held, lambda: "ana")


@pytest.fixture
def over_http(held: serving.OnDemand[Larimar]) -> Iterator[Callable[..., str]]:
    """Starts a server in a thread, and says where it is."""
    running = list[tuple[Any, threading.Thread]]()

    def start(tokens: dict[str, str] | None = None, names: Sequence[str] = ()) -> str:
        listener = serving.listen(serving.LOOPBACK, 0, tokens=bool(tokens))
        place = serving.namespace_of_client if tokens else lambda: "ana"
        shown = serving.Tokens(tokens) if tokens else None
        server = serving.http_server(serving.build(held, place), listener, shown, names)
        thread = threading.Thread(target=server.run, args=([listener.socket],))
        thread.start()
        running.append((server, thread))
        return listener.url

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join()


def at(url: str, token: str = "", **options: Any) -> Client:
    """A client over HTTP."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Client(
        streamable_http_client(url, http_client=httpx2.AsyncClient(headers=headers, timeout=60)),
        **options,
    )


def by_command(memory: Path, *arguments: str) -> StdioServerParameters:
    """The command that serves a memory file over standard input and output."""
    kept = {"PYTHONPATH", "OMP_NUM_THREADS", "HF_HUB_OFFLINE"} & os.environ.keys()
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "larimar_memory", "serve", "--mcp", "--memory", str(memory), *arguments],
        env={name: os.environ[name] for name in kept},
        cwd=ROOT,
    )


async def called(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    """The structured result of a call that succeeds."""
    done = await client.call_tool(name, arguments)
    assert not done.is_error, said(done)
    return dict(done.structured_content or {})


def said(done: CallToolResult) -> str:
    """What a model reads of a result."""
    return "\n".join(block.text for block in done.content)  # type: ignore[union-attr]
