"""A chain with a conversation around it: its prompt gets the history, and its turns are kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import Field

from langchain_larimar.one_body import OneBody, Way


class Remembering(OneBody[Any, Any]):
    """A chain whose prompt gets the history and whose turns are kept; see `LarimarMemory.remembering`.

    Args:
        chain: takes a mapping with the history filled in.
        turns: the `LarimarMemory`.
        as_text: whether the history is text.
    """

    chain: Runnable[Any, Any]
    turns: Any = Field(exclude=True)
    as_text: bool = False

    async def body(
        self, way: Way, given: Any, config: RunnableConfig, options: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Run the chain with the history, and keep the turn once its reply is complete."""
        turns, reply = self.turns.at(config), None
        filled = await way.work(self._filled, turns, given)
        async with aclosing(way.run(self.chain, filled, config, **options)) as chunks:
            async for chunk in chunks:
                reply = chunk if reply is None else reply + chunk
                yield chunk
        await way.work(lambda: turns.save(turns.said(given), turns.replied(reply)))

    def _filled(self, turns: Any, given: Any) -> dict[str, Any]:
        said = turns.said(given)
        history = turns.load_text(said) if self.as_text else turns.load(said)
        fields = given if isinstance(given, Mapping) else {turns.input_key or "input": given}
        return {**fields, turns.memory_key: history}
