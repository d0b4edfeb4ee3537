"""The pieces of an answer of the memory's own decoder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import closing
from typing import TypeVar

from langchain_core.runnables.config import run_in_executor

Piece = TypeVar("Piece")


def stripped(pieces: Iterable[str]) -> Generator[str, None, None]:
    """The pieces without the blanks at both ends, so that they add up to the answer's text."""
    text, held = "", ""
    for piece in pieces:
        fresh = held + piece if text else piece.lstrip()
        kept = fresh.rstrip()
        held = fresh[len(kept) :]
        if kept:
            text += kept
            yield kept
    if not text:
        yield ""


async def off_loop(pieces: Generator[Piece, None, None]) -> AsyncGenerator[Piece, None]:
    """The same pieces, made in one thread, so that the event loop never waits for the model.

    If the caller leaves early, the generator is closed at its next piece.
    """
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue[Piece | None]()
    left = threading.Event()

    def make() -> None:
        # One thread makes all pieces. If each piece were a task of its own, answers that wait for the
        # decoder could hold every thread of the pool, and the one that has the decoder would get none.
        try:
            with closing(pieces):
                for piece in pieces:
                    if left.is_set():
                        break
                    loop.call_soon_threadsafe(queue.put_nowait, piece)
        finally:
            loop.call_soon_threadsafe(queue.put_nowait, None)

    maker = asyncio.ensure_future(run_in_executor(None, make))
    try:
        while (piece := await queue.get()) is not None:
            yield piece
        await maker
    finally:
        left.set()
