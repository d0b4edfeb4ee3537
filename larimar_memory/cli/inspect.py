"""The command that shows a memory in a browser."""

from __future__ import annotations

import gc
import logging
import secrets
import sys
import webbrowser
from functools import partial
from importlib.util import find_spec
from typing import Annotated

import typer

from larimar_memory.cli import output
from larimar_memory.cli.options import (
    AdapterFolder,
    AsJson,
    DecoderName,
    EncoderName,
    MemoryPlace,
    open_memory,
)
from larimar_memory.errors import InputError


def inspect(
    memory: MemoryPlace,
    write: Annotated[bool, typer.Option("--write", help="Allow editing and forgetting.")] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port; 0 for a free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
    slots: Annotated[
        int | None, typer.Option("--slots", min=1, help="Read the memory through this many slots.")
    ] = None,
    encoder: EncoderName = "",
    decoder: DecoderName = "",
    adapter: AdapterFolder = "",
    as_json: AsJson = False,
) -> None:
    """Look into a memory in a browser: what it holds, what a question recalls, and why.

    Only this machine reaches the page, with the token in its address. Ctrl-C ends it.
    """
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise InputError(
            "The memory cannot be shown.",
            "To show a memory in a browser, larimar-memory[inspect] must be installed.",
            'Run `pip install "larimar-memory[inspect]"`.',
        )
    from larimar_memory import inspector
    from larimar_memory.stores.opening import called
    from larimar_memory.system.listening import LOOPBACK, listen
    from larimar_memory.system.on_demand import OnDemand

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    gc.enable()
    opened = partial(open_memory, memory, create=False, read_only=not write, slots=slots)
    looking = OnDemand(partial(opened, None))
    asking = OnDemand(partial(opened, encoder, decoder, adapter=adapter))
    # Opened now, so that an error of the file is reported here, and not in the page.
    looking()
    listener, token = listen(LOOPBACK, port, tokens=True), secrets.token_urlsafe()
    address = f"{listener.url}/#token={token}"
    name = called(memory)
    if as_json:
        output.print_json({"memory": name, "url": address, "write": write})
        sys.stdout.flush()
    else:
        output.print_note(f"{name} is shown at {address}")
    if browser and not as_json:
        webbrowser.open(address)
    inspected = inspector.Inspected(looking, asking, write)
    inspector.page_server(inspected, listener, token).run(sockets=[listener.socket])
