"""The command that serves a memory to other programs."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from larimar_memory.cli import output
from larimar_memory.cli.options import AsJson, DecoderName, EncoderName, Memory, open_memory
from larimar_memory.errors import InputError
from larimar_memory.types import DEFAULT_NAMESPACE
from larimar_memory.validate import check_name


def serve(
    memory: Memory,
    mcp: Annotated[bool, typer.Option("--mcp", help="Serve over the Model Context Protocol.")] = False,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Namespace of all clients.", show_default="default"),
    ] = None,
    http: Annotated[
        int | None,
        typer.Option(
            "--http",
            metavar="PORT",
            min=0,
            max=65_535,
            help="Serve over HTTP, for many clients; 0 for a free port. By default, over standard "
            "input and output.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            help="Interface to listen on; any but this machine's own needs a token.",
            show_default="127.0.0.1",
        ),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="Another host name that clients use; may be repeated."),
    ] = None,
    token: Annotated[
        str,
        typer.Option(
            "--token",
            envvar="LARIMAR_TOKEN",
            show_default=False,
            help="Token that HTTP clients must show; the variable keeps it out of the shell's history.",
        ),
    ] = "",
    tokens: Annotated[
        Path | None,
        typer.Option(
            "--tokens", help="A JSON file of namespaces and their tokens: one for each client."
        ),
    ] = None,
    encoder: EncoderName = "",
    decoder: DecoderName = "",
    as_json: AsJson = False,
) -> None:
    """Serve a memory to Claude, Cursor, VS Code and other MCP clients; make it if there is none.

    The first call that needs a model loads it. A write is on disk when the client gets its answer.
    """
    if not mcp:
        why = "Only the Model Context Protocol is spoken, and it was not asked for."
        raise InputError("There is nothing to serve.", why, "Add `--mcp`.")
    if find_spec("mcp") is None:
        why = "To serve a memory, larimar-memory[mcp] must be installed."
        raise InputError(
            "The memory cannot be served.", why, 'Run `pip install "larimar-memory[mcp]"`.'
        )
    if http is None and (host is not None or names or tokens):
        why = "--host, --name and --tokens are for HTTP, and no port was given."
        raise InputError("The memory cannot be served.", why, "Add `--http PORT`, or leave them out.")
    if tokens and (token or namespace is not None):
        why = "With --tokens, each client has a token and a namespace of its own."
        raise InputError(
            "The memory cannot be served.", why, "Leave --token (or LARIMAR_TOKEN) and --namespace out."
        )
    from larimar_memory import server
    from larimar_memory.stores.opening import called

    space = check_name(DEFAULT_NAMESPACE if namespace is None else namespace, "namespace")
    # Standard output belongs to the protocol.
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    gc.enable()
    held = server.OnDemand(partial(open_memory, memory, encoder, decoder))
    if http is None:
        # The thread that waits for the client's next line cannot be stopped; everything is on disk.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if sys.stdin.isatty():
            output.print_note("This waits for a client of MCP, which starts it itself; Ctrl-C ends it.")
        server.serve_stdio(server.build(held, lambda: space))
        return
    shown = server.Tokens.read(tokens) if tokens else server.Tokens({space: token}) if token else None
    listener = server.listen(host or server.LOOPBACK, http, tokens=shown is not None)
    place = server.namespace_of_client if shown else lambda: space
    running = server.http_server(server.build(held, place), listener, shown, names or ())
    name = called(memory)
    if as_json:
        output.print_json({"memory": name, "url": listener.url})
        sys.stdout.flush()
    else:
        output.print_note(f"{name} is served at {listener.url}")
    running.run(sockets=[listener.socket])
