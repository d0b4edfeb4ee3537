"""The systems that are compared, one small file each, behind one protocol."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.systems.base import ANSWER_TOKENS, Piece, Reply, System

if TYPE_CHECKING:
    from benchmarks.session import Session

_PLACES = {
    "Larimar": ("own", "LarimarText"),
    "Larimar, widened": ("own", "LarimarWide"),
    "Larimar, latents": ("own", "LarimarLatent"),
    "RetrievalQA, FAISS": ("vector_faiss", "Faiss"),
    "RetrievalQA, Chroma": ("vector_chroma", "Chroma"),
    "BM25": ("words", "Words"),
    "whole text": ("whole", "Whole"),
}

NAMES = tuple(_PLACES)
OURS, WIDE, LATENT, FAISS, CHROMA, BM25, WHOLE = NAMES

__all__ = ["ANSWER_TOKENS", "NAMES", "Piece", "Reply", "System", "open_system"]


def open_system(name: str, session: Session, folder: Path) -> System:
    """A system with nothing in it.

    Args:
        name: one of `NAMES`.
        session: has the models.
        folder: an empty folder for its files.
    """
    module, thing = _PLACES[name]
    system: System = getattr(import_module(f"{__name__}.{module}"), thing)(session, folder)
    return system
