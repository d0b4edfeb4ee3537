"""Where a server listens: for this machine only, or for other clients that show a token."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address

from larimar_memory.errors import InputError

LOOPBACK = "127.0.0.1"
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that clients can already connect to.

    Attributes:
        loopback: whether only this machine reaches it.
    """

    socket: socket.socket
    host: str
    port: int
    loopback: bool
    path: str = ""

    @property
    def url(self) -> str:
        """The address at which it is served."""
        return f"http://{in_url(self.host)}:{self.port}{self.path}"


def listen(host: str, port: int, *, tokens: bool, path: str = "") -> Listener:
    """Listen at an address.

    Args:
        host: name or address of an interface; only a loopback one can do without tokens.
        port: 0 for any that is free.
        path: of what is served, below the address.

    Raises:
        InputError: if nothing can listen there, or anybody could connect.
    """
    refused, remedy = f"Nothing can be served at {host!r}, port {port}.", "Choose another port or host."
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(refused, "There is no such host.", remedy) from error
    # Only the first address of the host is listened at, so it is the one that is checked.
    loopback = ip_address(str(address[0]).partition("%")[0]).is_loopback
    if not loopback and not tokens:
        why = "Other machines can reach it, and no token keeps them out."
        raise InputError(refused, why, "Set LARIMAR_TOKEN, use `--tokens FILE`, or leave `--host` out.")
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InputError(refused, f"The system says: {error.strerror}.", remedy) from error
    return Listener(listener, host, listener.getsockname()[1], loopback, path)


def in_url(host: str) -> str:
    """A host as it is written in a URL."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
