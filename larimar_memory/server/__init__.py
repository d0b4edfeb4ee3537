"""A memory served to other programs over the Model Context Protocol; needs the extra "mcp"."""

from larimar_memory.server.app import build
from larimar_memory.server.http import LOOPBACK, Listener, http_server, listen
from larimar_memory.server.opening import OnDemand
from larimar_memory.server.stdio import serve_stdio
from larimar_memory.server.tokens import Tokens, namespace_of_client

__all__ = [
    "LOOPBACK",
    "Listener",
    "OnDemand",
    "Tokens",
    "build",
    "http_server",
    "listen",
    "namespace_of_client",
    "serve_stdio",
]
