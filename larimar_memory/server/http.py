"""A server for many clients over HTTP: on this machine, or elsewhere with a token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import uvicorn
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel.server import Server
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl

from larimar_memory.errors import InputError
from larimar_memory.server.tokens import Tokens
from larimar_memory.system import listening
from larimar_memory.system.listening import Listener, in_url

PATH = "/mcp"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_SECONDS_TO_END = 3


def listen(host: str, port: int, *, tokens: bool) -> Listener:
    """Listen for clients of the protocol; see `listening.listen`."""
    return listening.listen(host, port, tokens=tokens, path=PATH)


def http_server(
    server: Server[Any], listener: Listener, tokens: Tokens | None, names: Sequence[str] = ()
) -> uvicorn.Server:
    """The server at a listener: `.run(sockets=[listener.socket])` serves until a signal ends it.

    A request must name a known host. If a page in a browser sends it, the page must come from a known
    host too: a page elsewhere whose name is made to resolve to this machine is refused.

    Args:
        tokens: the tokens that clients must show; None lets in whoever can connect.
        names: further host names by which clients know the server.

    Raises:
        InputError: if one of `names` is not a host.
    """
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        # No request depends on another, so a client can carry on after the server restarts.
        stateless_http=True,
        json_response=True,
        transport_security=_security(listener, names),
        # No server issues tokens; the setting needs the address of one, and gets this server's.
        auth=AuthSettings(issuer_url=AnyHttpUrl(listener.url), resource_server_url=None)
        if tokens
        else None,
        token_verifier=tokens,
    )
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
    return uvicorn.Server(config)


def _security(listener: Listener, names: Sequence[str]) -> TransportSecuritySettings:
    own = _LOOPBACK_NAMES if listener.loopback else ()
    known = [listener.host, *map(_checked, names)]
    hosts = [*dict.fromkeys([*own, *map(in_url, known)])]
    origins = [f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts]
    return TransportSecuritySettings(
        allowed_hosts=[pattern for host in hosts for pattern in (host, f"{host}:*")],
        allowed_origins=[place for at in origins for place in (at, f"{at}:{listener.port}")],
    )


def _checked(name: str) -> str:
    """A host, in the form in which browsers send it."""
    try:
        return str(ip_address(name.strip("[]")))
    except ValueError as error:
        if re.fullmatch(r"[\w.-]+", name, re.ASCII):
            return name.lower()
        raise InputError(
            f"The name {name!r:.60} cannot be used.",
            "It is no name of a host: it is empty, or has a scheme, a port or a path.",
            "Give the host alone, such as memory.example.org.",
        ) from error
