"""A memory served to other programs over the Model Context Protocol; needs the extra "mcp"."""

from larimar_memory.server.app import build
from larimar_memory.server.http import http_server, listen
from larimar_memory.server.stdio import serve_stdio
from larimar_memory.server.tokens import Tokens, namespace_of_client
from larimar_memory.system.listening import LOOPBACK, Listener
from larimar_memory.system.on_demand import OnDemand

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
