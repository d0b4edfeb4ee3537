"""`larimar serve`: over standard input and output, killed, beside another, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from larimar_memory.larimar import Larimar
from larimar_memory.stores.sqlite import integrity
from tests.cli.command import larimar

from .conftest import ASKED, FACT, ROOT, at, by_command, called

ENVELOPE = {
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
}


def started(memory: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """The command with its streams in our hands."""
    given = by_command(memory, *arguments)
    return subprocess.Popen(
        [given.command, *given.args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def line(id: int, name: str, **arguments: Any) -> bytes:
    """A call as it stands on a line."""
    params = {"name": name, "arguments": arguments, **ENVELOPE}
    body = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}
    return json.dumps(body).encode() + b"\n"


@pytest.mark.model
@pytest.mark.slow
async def test_two_servers_of_one_file(tmp_path: Path) -> None:
    """Every client starts a server of its own, and all of them have the same memory."""
    path = tmp_path / "new" / "m.larimar"
    async with Client(by_command(path)) as one, Client(by_command(path), mode="legacy") as other:
        assert len((await one.list_tools()).tools) == 7
        assert not path.exists()
        id = (await called(one, "remember", text=FACT))["id"]
        (found,) = (await called(other, "recall", question=ASKED))["recalled"]
        assert found["id"] == id
        written = (
            called(server, "remember", text=f"Locker {n}-{name} is free.")
            for n in range(8)
            for name, server in (("a", one), ("b", other))
        )
        assert len({done["id"] for done in await asyncio.gather(*written)}) == 16
        assert (await called(other, "answer", question=ASKED))["text"]
        assert (await called(other, "forget", id=id))["forgotten"] == 1
        assert (await called(one, "recall", question=ASKED))["recalled"] == []
    assert b"ferry" not in path.read_bytes()


@pytest.mark.model
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "m.larimar"
    server = started(path)
    assert server.stdin is not None
    assert server.stdout is not None
    for n in range(60):
        server.stdin.write(line(n, "remember", text=f"Locker {n} belongs to person {n}."))
    server.stdin.flush()
    told = [json.loads(server.stdout.readline()) for _ in range(12)]
    server.kill()
    # Written to the pipe before the kill, and so acknowledged too; the last line may be cut.
    rest = server.communicate()[0].splitlines(keepends=True)
    told += [json.loads(text) for text in rest if text.endswith(b"\n")]
    kept = {answer["result"]["structuredContent"]["id"] for answer in told}
    assert len(kept) == len(told) >= 12
    with Larimar.open(path, encoder=None) as memory:
        held = {document.id: memory.text(document.id) for document in memory.documents()}
    assert kept <= held.keys()
    assert all(re.fullmatch(r"Locker (\d+) belongs to person \1\.", text) for text in held.values())
    assert integrity.check(path).sound


NO_MESSAGES = [
    *(b"garbage", b"", b"[]", b"{}", b"null", b'{"jsonrpc":"2.0"}', b"\xff\xfe", b"[" * 100_000),
    b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"\\ud800"}}',
    b'{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","arguments":{"\\ud83d":1}}}',
]


@pytest.mark.model
def test_every_line_is_answered_and_nothing_else_is_on_standard_output(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no memory")
    server = started(path)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(b"\n".join(NO_MESSAGES) + b"\n" + line(99, "stats"))
    server.stdin.flush()
    answers = [json.loads(server.stdout.readline()) for _ in range(len(NO_MESSAGES) + 1)]
    out, errors = server.communicate(timeout=60)
    assert (server.returncode, out) == (0, b""), errors
    ids = [answer["id"] for answer in answers]
    assert sorted(map(str, ids)) == sorted(map(str, [*[None] * 8, 7, "a", 99]))
    *refused, last = answers
    for answer in refused:
        assert answer["error"]["message"].startswith("The message cannot be read. It is no message")
    # What is wrong with the file is told by the call that first needs it.
    assert last["result"]["isError"]
    assert "It is not a Larimar" in last["result"]["content"][0]["text"]
    assert path.read_text() == "no memory"


def test_it_says_as_json_where_it_serves(tmp_path: Path) -> None:
    server = started(tmp_path / "m.larimar", "--http", "0", "--json")
    assert server.stdout is not None
    told = "".join(iter(lambda: server.stdout.readline().decode(), "}\n")) + "}"
    assert json.loads(told)["url"].startswith("http://127.0.0.1:")
    server.terminate()
    assert server.communicate(timeout=20) == (b"", b"")


@pytest.mark.model
async def test_over_http_with_tokens(tmp_path: Path) -> None:
    tokens = {"user:ana": "a-token-of-ana-7d1c", "user:ben": "a-token-of-ben-93fe"}
    (tmp_path / "tokens.json").write_text(json.dumps(tokens))
    path = tmp_path / "m.larimar"
    server = started(path, "--http", "0", "--tokens", str(tmp_path / "tokens.json"), COLUMNS="20")
    assert server.stderr is not None
    announced = server.stderr.readline().decode()
    url = re.search(r"is served at (http://127\.0\.0\.1:\d+/mcp)$", announced)
    assert url is not None, announced
    async with at(url[1], tokens["user:ana"]) as ana, at(url[1], tokens["user:ben"]) as ben:
        await called(ana, "remember", text=FACT)
        assert (await called(ben, "stats"))["documents"] == 0
    server.terminate()
    assert server.communicate(timeout=20)[0] == b""
    with Larimar.open(path, encoder=None) as memory:
        assert memory.stats("user:ana").documents == 1


HTTP = ("--mcp", "--http", "0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "There is nothing to serve. Only the Model Context Protocol is spoken"),
        (["--mcp", "--host", "127.0.0.1"], "--host, --name and --tokens are for HTTP"),
        (["--mcp", "--tokens", "t.json"], "Add `--http PORT`, or leave them out."),
        (["--mcp", "--name", "a"], "--host, --name and --tokens are for HTTP"),
        (
            ["--mcp", "--http", "0", "--tokens", "t.json", "--token", "x" * 16],
            "of its own. Leave --token",
        ),
        (["--mcp", "--http", "0", "--tokens", "t.json", "-n", "x"], "of its own. Leave --token"),
        (["--mcp", "--http", "0", "--tokens", "no.json"], "The tokens in no.json cannot be used."),
        (
            ["--mcp", "--http", "0", "--token", "short"],
            "The token of namespace 'default' cannot be used.",
        ),
        (["--mcp", "--http", "0", "--host", "0.0.0.0"], "and no token keeps them out."),
        ([*HTTP, "--name", "a.lan:80"], "The name 'a.lan:80' cannot be used."),
        (["--mcp", "-n", ""], "'' cannot be a namespace."),
    ],
)
def test_what_cannot_be_served_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = larimar("serve", *arguments, LARIMAR_TOKEN="")
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larimar_memory.cli.serve.find_spec", lambda _: None)
    done = larimar("serve", "--mcp")
    assert done.returncode == 1
    assert 'Run `pip install "larimar-memory[mcp]"`.' in done.stderr


def test_it_is_up_before_a_model_is_loaded() -> None:
    code = (
        "import sys, larimar_memory.server, larimar_memory.cli;"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
