"""A conversation as the memory of a classic chain."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import Field

from larimar_memory.errors import InputError


@cache
def classic_class() -> Any:
    """The class of `LarimarMemory.as_classic`, made when first needed: langchain-classic is optional.

    Raises:
        InputError: if langchain-classic is not installed.
    """
    try:
        from langchain_classic.base_memory import BaseMemory
    except ImportError as error:
        raise InputError(
            "The classic memory cannot be made.",
            "The package langchain-classic is not installed.",
            "Install it with `pip install langchain-classic`.",
        ) from error

    class LarimarClassicMemory(BaseMemory):
        """A `LarimarMemory` as the memory of a classic chain."""

        turns: Any = Field(exclude=True)
        return_messages: bool = False

        @property
        def memory_variables(self) -> list[str]:
            return [self.turns.memory_key]

        def load_memory_variables(self, inputs: dict[str, Any]) -> dict[str, Any]:
            said = self.turns.said(inputs)
            loaded = self.turns.load(said) if self.return_messages else self.turns.load_text(said)
            return {self.turns.memory_key: loaded}

        def save_context(self, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
            self.turns.save(self.turns.said(inputs), self.turns.replied(outputs))

        def clear(self) -> None:
            self.turns.clear()

    return LarimarClassicMemory
