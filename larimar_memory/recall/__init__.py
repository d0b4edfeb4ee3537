"""From a question to the segments that it addresses."""

from larimar_memory.recall.search import Candidate

__all__ = ["Candidate"]
