"""A machine without a network."""

from __future__ import annotations

import socket
from typing import Any

import pytest


def cut_off(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every attempt to reach another machine fail; returns the list in which each is noted."""
    tried = list[str]()

    def refuse(*args: Any, **_: Any) -> Any:
        tried.append(repr(args[-1]))
        raise OSError("the network is cut off")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    return tried
