"""A few questions on a passage and on a conversation, and files of them."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

from larimar_memory.train.rows import Row

PROSE = (
    "The lighthouse at Cape Orin was built in 1871 by Marta Holm. Its lamp burnt whale oil until 1902. "
    "A storm broke the gallery in the winter of 1911. Today it houses a small museum of knots."
)
TALK = (
    "[2024-05-02]\nUser: Book a table for four, please.\nAssistant: At which restaurant?\n"
    "User: The Copper Kettle.\nAssistant: It is booked for 7 pm."
)
ROWS = [
    Row("wiki", PROSE, "Who built the lighthouse?", ("Marta Holm",)),
    Row("wiki", PROSE, "When did a storm break the gallery?", ("in the winter of 1911", "1911")),
    Row("wiki", PROSE, "Who painted the lighthouse?", ()),
    Row("talk", TALK, "Where was a table booked?", ("The Copper Kettle",)),
]


def write(folder: Path, name: str, lines: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    path = folder / name
    path.write_bytes(lzma.compress(text.encode()) if name.endswith(".xz") else text.encode())


def as_line(row: Row) -> dict[str, Any]:
    asked = {"context": row.context, "question": row.question, "answers": list(row.answers)}
    return {**asked, "answerable": bool(row.answers)}
