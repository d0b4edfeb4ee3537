"""The `larimar` command."""

from larimar_memory.cli.app import main

__all__ = ["main"]
