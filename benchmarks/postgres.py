"""A memory in PostgreSQL beside one in a file, and beside LangChain's PGVector on the same server.

Whether it recalls the same, what a read and a write take, and what a crowd of writers and readers does
to it. Run it with `python -m benchmarks postgres --questions FILE --conversations FOLDER`.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import database, postgres_crowd, postgres_recall, postgres_speed
from benchmarks.result import Bar, Figures
from benchmarks.session import Session

PACKAGES = (*database.PACKAGES, *postgres_speed.PACKAGES)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        recall, speed, crowd: of each part.
    """

    recall: postgres_recall.Size
    speed: postgres_speed.Size
    crowd: postgres_crowd.Size


FULL = Size(postgres_recall.FULL, postgres_speed.FULL, postgres_crowd.FULL)
QUICK = Size(postgres_recall.QUICK, postgres_speed.QUICK, postgres_crowd.QUICK)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """All parts, on one server.

    Raises:
        InputError: if no questions or no conversations are given.
    """
    questions = session.questions_for("PostgreSQL", "questions on passages")
    with database.served() as new:
        speed, fast = postgres_speed.measure(session, size.speed, new)
        crowd, none_lost = postgres_crowd.measure(session, size.crowd, new("crowd"))
        recall, same = postgres_recall.measure(session, questions, size.recall, new)
    return {"recall": recall, "speed": speed, "crowd": crowd}, [*same, *fast, *none_lost]
