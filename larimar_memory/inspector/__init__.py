"""A page that shows what a memory holds, and why it recalls what it does; needs the extra "inspect"."""

from larimar_memory.inspector.actions import Inspected
from larimar_memory.inspector.app import build, page_server

__all__ = ["Inspected", "build", "page_server"]
