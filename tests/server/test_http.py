"""Over HTTP: who is let in, whose memory it is, and many at once."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError

from larimar_memory.errors import InputError
from larimar_memory.server import LOOPBACK, OnDemand, Tokens, listen

from .conftest import ASKED, FACT, at, called

ANA, BEN = "a-token-of-ana-7d1c", "a-token-of-ben-93fe"
TOKENS = {"user:ana": ANA, "user:ben": BEN}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "stats"}}


def post(url: str, **headers: str) -> httpx2.Response:
    """A call as a program sends it that is no client of the protocol's."""
    accepted = {"Accept": "application/json, text/event-stream", **headers}
    return httpx2.post(url, json=CALL, headers=accepted, timeout=60)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_sixteen_clients_at_once(
    over_http: Callable[..., str], held: OnDemand, mode: Any
) -> None:
    url = over_http()

    async def use(number: int) -> None:
        async with at(url, mode=mode) as client:
            texts = [f"Locker {number}-{n} belongs to person {number * 7 + n}." for n in range(3)]
            ids = [(await called(client, "remember", text=text))["id"] for text in texts]
            for n, text in enumerate(texts):
                asked = f"Whose is locker {number}-{n}?"
                found = (await called(client, "recall", question=asked, k=10))["recalled"]
                assert text in [segment["text"] for segment in found]
            await called(client, "update", id=ids[1], text=f"Locker {number}-1 is free.")
            assert (await called(client, "forget", id=ids[2]))["forgotten"] == 1

    await asyncio.gather(*(use(number) for number in range(16)))
    assert held().stats("ana").documents == 32
    texts = [
        held().text(document.id, namespace="ana") for document in held().documents(namespace="ana")
    ]
    assert sum(text.endswith("free.") for text in texts) == 16


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_each_client_has_a_memory_of_its_own(
    over_http: Callable[..., str], held: OnDemand, mode: Any
) -> None:
    url = over_http(TOKENS)
    async with at(url, ANA, mode=mode) as ana, at(url, BEN, mode=mode) as ben:
        mine = (await called(ana, "remember", text=FACT))["id"]
        theirs = (await called(ben, "remember", text="Ben keeps bees."))["id"]
        # At once, so that a namespace that leaked from one request to another would show.
        counts = await asyncio.gather(*(called(c, "list") for c in (ana, ben) for _ in range(8)))
        assert [[d["id"] for d in c["documents"]] for c in counts] == [[mine]] * 8 + [[theirs]] * 8
        assert (await called(ben, "recall", question=ASKED))["reason"] != "nothing stored"
        assert (await called(ben, "recall", question=ASKED))["recalled"] == []
        assert (await called(ben, "forget", id=mine))["forgotten"] == 0
        assert (await ben.call_tool("update", {"id": mine, "text": "Gone."})).is_error
        assert (await ben.call_tool("list", {"namespace": "user:ana"})).is_error
        assert [r.name for r in (await ben.list_resources()).resources] == [theirs]
        with pytest.raises(MCPError, match="There is no document"):
            await ben.read_resource(f"larimar://document?id={mine}")
        prompt = await ben.get_prompt("recall", {"question": ASKED})
        assert FACT not in str(prompt)
        assert (await called(ben, "stats"))["documents"] == 1
    assert held().text(mine, namespace="user:ana") == FACT


def test_who_shows_no_token_is_refused(over_http: Callable[..., str]) -> None:
    url = over_http(TOKENS)
    assert post(url, Authorization=f"Bearer {ANA}").status_code == 200
    for shown in (
        {},
        {"Authorization": "Bearer no-such-token-at-all"},
        {"Authorization": f"Basic {ANA}"},
    ):
        for answer in (post(url, **shown), httpx2.get(url, headers=shown)):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
    for near in (ANA[:-1], ANA + "x", ANA.upper(), f"{ANA},{BEN}"):
        assert post(url, Authorization=f"Bearer {near}").status_code == 401


@pytest.mark.parametrize("tokens", [None, TOKENS])
def test_a_page_elsewhere_is_refused(over_http: Callable[..., str], tokens: Any) -> None:
    url = over_http(tokens, names=["memory.lan"])
    shown = {"Authorization": f"Bearer {ANA}"}
    own, port = url.removesuffix("/mcp"), url.rsplit(":")[-1].removesuffix("/mcp")
    for headers in (
        {},
        {"Origin": own},
        {"Origin": f"http://localhost:{port}"},
        {"Host": "memory.lan"},
        {"Host": "memory.lan:8080", "Origin": "https://memory.lan"},
    ):
        assert post(url, **shown, **headers).status_code == 200, headers
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "127.0.0.1.nip.io"):
        assert post(url, **shown, Host=host).status_code == 421, host
    for origin in (
        *("http://evil.example", f"http://evil.example:{port}", "null", "file://"),
        *("http://localhost:1", "http://localhost.evil.example", f"{own}.evil.example", f"{own}0"),
    ):
        assert post(url, **shown, Origin=origin).status_code == 403, origin


@pytest.mark.parametrize(
    "name", ["", "*", "http://a.lan", "a.lan:80", "a.lan/mcp", "a b", "\u0430.lan"]
)
def test_a_name_that_is_no_host_is_refused(over_http: Callable[..., str], name: str) -> None:
    with pytest.raises(InputError, match=r"It is no name of a host: .*\. Give the host alone"):
        over_http(names=[name])


@pytest.mark.parametrize("name", ["Memory.LAN", "192.168.7.7", "fe80::7", "[FE80:0::7]"])
def test_names_are_as_browsers_send_them(over_http: Callable[..., str], name: str) -> None:
    host = {"M": "memory.lan", "1": name}.get(name[0], "[fe80::7]")
    assert post(over_http(names=[name]), Host=host, Origin=f"http://{host}").status_code == 200


def test_what_is_too_large_or_no_message_is_refused(over_http: Callable[..., str]) -> None:
    url = over_http()
    kind = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    large = json.dumps({**CALL, "params": {"name": "x" * 5_000_000}})
    assert httpx2.post(url, content=large, headers=kind).status_code == 413
    for body in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000):
        assert httpx2.post(url, content=body, headers=kind).status_code == 400, body[:9]
    assert httpx2.post(url, content=json.dumps(CALL)).status_code == 400
    assert post(url).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_need_a_token(host: str) -> None:
    with pytest.raises(InputError, match=r"Nothing can be served at .* no token keeps them out\. Set"):
        listen(host, 0, tokens=False)
    listener = listen("0.0.0.0", 0, tokens=True)
    assert not listener.loopback
    listener.socket.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.9.9"])
def test_this_machine_needs_none(host: str) -> None:
    listener = listen(host, 0, tokens=False)
    assert listener.loopback
    assert listener.socket.getsockname()[0].startswith(("127.", "::1"))
    assert listener.url == f"http://{host}:{listener.port}/mcp"
    listener.socket.close()


def test_where_nothing_can_listen_is_told() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            InputError, match=rf"at '127\.0\.0\.1', port {port}\. The system says: Address"
        ):
            listen(LOOPBACK, port, tokens=False)
    for host in ("no.such.host.invalid", "a" * 300, "\0", "[::1"):
        with pytest.raises(InputError, match=r"There is no such host\. Choose another port or host\."):
            listen(host, 0, tokens=False)


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        ({}, "There is none"),
        ({"ana": "short"}, "at least 16 characters"),
        ({"ana": "x" * 15}, "at least 16 characters"),
        ({"ana": 16 * 10**20}, "at least 16 characters"),
        ({"ana": ANA + " "}, "none of them a blank"),
        ({"ana": ANA + "\n"}, "none of them a blank"),
        ({"ana": ANA + "é"}, "all of ASCII"),
        ({"ana": ANA, "ben": ANA}, "Two namespaces have the same one"),
        ({"": ANA}, "cannot be a namespace"),
    ],
)
def test_tokens_that_cannot_be_used_are_refused(tokens: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why) as refused:
        Tokens(tokens)
    assert ANA not in str(refused.value)


def test_a_file_of_tokens_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    with pytest.raises(InputError, match=r"The tokens in .* cannot be used\. The system says: No such"):
        Tokens.read(path)
    wrong = ((f'"{ANA}"', "It is no JSON object"), ("{", "It is not JSON"), ("[" * 10**5, "not JSON"))
    for text, why in wrong:
        path.write_text(text)
        with pytest.raises(InputError, match=why) as refused:
            Tokens.read(path)
        assert ANA not in str(refused.value)
    path.write_text(json.dumps(TOKENS))
    path.chmod(stat.S_IRUSR)
    shown = asyncio.run(Tokens.read(path).verify_token(BEN))
    assert shown is not None
    assert shown.client_id == "user:ben"
    assert asyncio.run(Tokens.read(path).verify_token("\ud800")) is None
