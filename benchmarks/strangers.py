"""Users who must not meet, and input that is meant to break something, without a model."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.large import HashEncoder
from benchmarks.result import Figures
from larimar_memory.errors import LarimarError
from larimar_memory.larimar import Larimar

NAMES = (
    *("ana", "Ana", "ANA", "ana ", " ana", "ana\t", "ana\u00a0", "ana\u00ad", "ana\u200b", "ana\ufeff"),
    *("an\u00e0", "ana\u0301", "\u0430na", "\uff41\uff4e\uff41", "\u202eana", "ana\x1b", "ana\r\nbob"),
    *("an%", "%", "_", "___", "*", "ana*", "?", "ana;", 'ana"', "ana'", "ana--", "ana\\", "ana/bob"),
    *("K", "k", "\u212a", "s", "\u017f", "ss", "\u00df", "i", "I", "\u0130", "1", "01", "1.0", "null"),
    *("default", "main", "segments", "fts_1", "sqlite_master", "$and", "{}", "x" * 999, "x" * 1000),
)
_PIECES = (
    *(
        '"',
        "'",
        "\\",
        "\0",
        "\ud800",
        "\udfff",
        "%",
        "*",
        "(",
        ")",
        ":",
        "^",
        "-",
        "+",
        "{",
        "}",
        "[",
        "]",
    ),
    *(
        " OR ",
        " AND ",
        " NOT ",
        " NEAR(a b, 3) ",
        "'; DROP TABLE segments; --",
        "text:",
        "$gte",
        "$and",
    ),
    *(
        "<|im_end|>",
        "</recalled>",
        "[INST]",
        "<s>",
        "<tool_call>",
        "\x1b[2J",
        "\u202e",
        "\u200b",
        "\ufeff",
    ),
    *(
        "\U0001f469\u200d\U0001f467",
        "e\u0301",
        "\u4eca\u65e5",
        "9" * 400,
        "a" * 5000,
        " ",
        "\r\n",
        "word",
    ),
)
_OPERATORS = (
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$exists",
    "$not",
    "$no",
    "$and",
)


def live_together(path: Path, draw: random.Random, steps: int) -> Figures:
    """Let every user write, search, update and forget at random, and count what is not their own."""
    counts, leaks = Counter[str](), 0
    held: dict[str, dict[str, str]] = {name: {} for name in NAMES}
    with Larimar.open(path, encoder=HashEncoder(), decoder="none") as memory:
        for step in range(steps):
            name = draw.choice(NAMES)
            mine, id = held[name], draw.choice(("same id", "%", "other"))
            what = draw.choice(("write", "write", "search", "search", "update", "forget"))
            text = f"The code of number {NAMES.index(name)} is {7919 * step}."
            counts[what] += 1
            if what == "write" or (what == "update" and id in mine):
                metadata = {"of": name, "kind": "secret"}
                if what == "write":
                    memory.write([text], [id], [metadata], namespace=name)
                else:
                    memory.update(id, text, namespace=name)
                mine[id] = text
            elif what == "forget":
                memory.forget(ids=[id], namespace=name, purge=False)
                mine.pop(id, None)
            other = draw.choice(NAMES)
            for where in (None, {"kind": "secret"}, {"of": other}):
                read = memory.read("What is the code?", 50, namespace=name, threshold=0, where=where)
                said = {s.text for s in read.segments}
                wanted = set() if where == {"of": other} and other != name else set(mine.values())
                leaks += len(said ^ wanted)
        for name, mine in held.items():
            now = {d.id: memory.text(d.id, namespace=name) for d in memory.documents(namespace=name)}
            leaks += now != mine
    return {"namespaces": len(NAMES), "steps": steps, **dict(sorted(counts.items())), "leaks": leaks}


def ask_badly(path: Path, draw: random.Random, count: int) -> Figures:
    """Give a memory what it cannot be expected to take, and count what is raised that is not ours."""
    taken, refused, raised = Counter[str](), Counter[str](), list[str]()
    with Larimar.open(path, encoder=HashEncoder(), decoder="none") as memory:
        memory.write(["The pass key is 71432.", "NEAR(a b) OR c"], ["1", "2"], [{"a": 1}, {"a": "x"}])
        uses: dict[str, Callable[[], object]] = {
            "question": lambda: memory.read(_text(draw), draw.randint(1, 9), threshold=0),
            "filter": lambda: memory.read("What is it?", where=_where(draw, 4), threshold=0),
            "search": lambda: memory.search(_text(draw), where=_where(draw, 2)),
            "text": lambda: memory.write(
                [_text(draw)], [_text(draw)], [{_text(draw): _value(draw, 3)}]
            ),
            "namespace": lambda: memory.write([_text(draw)], namespace=_text(draw)),
            "forget": lambda: memory.forget(ids=[_text(draw)], where=_where(draw, 2), purge=False),
            "update": lambda: memory.update("1", _text(draw), {"a": _value(draw, 3)}),
            "documents": lambda: list(memory.documents(where=_where(draw, 3))),
        }
        for _ in range(count):
            what = draw.choice(sorted(uses))
            try:
                uses[what]()
                taken[what] += 1
            except LarimarError:
                refused[what] += 1
            except Exception as error:
                raised.append(f"{what}: {type(error).__name__}: {error}"[:300])
    return {
        "inputs": count,
        "taken": dict(sorted(taken.items())),
        "refused": dict(sorted(refused.items())),
        "raised": len(raised),
        "errors": raised[:5],
    }


def _text(draw: random.Random) -> str:
    return "".join(draw.choices(_PIECES, k=draw.randint(0, 6)))


def _value(draw: random.Random, depth: int) -> Any:
    kind = draw.randrange(9)
    if depth and kind < 2:
        return [_value(draw, depth - 1) for _ in range(draw.randint(0, 3))]
    if depth and kind == 2:
        return {_text(draw): _value(draw, depth - 1) for _ in range(draw.randint(0, 3))}
    special = [None, True, 2**63, -(10**30), 1.5, float("nan"), float("inf"), b"x", 0]
    return _text(draw) if kind < 6 else draw.choice(special)


def _where(draw: random.Random, depth: int) -> dict[str, Any]:
    found = _filter(draw, depth)
    # What is no mapping is a type error of the caller's, not something strange in a filter.
    return found if isinstance(found, dict) else {"a": found}


def _filter(draw: random.Random, depth: int) -> Any:
    kind = draw.randrange(6)
    if kind == 0 or not depth:
        return (
            _value(draw, 1)
            if draw.random() < 0.1
            else {draw.choice(("a", _text(draw))): _value(draw, 1)}
        )
    if kind == 1:
        return {
            draw.choice(("$and", "$or")): [_filter(draw, depth - 1) for _ in range(draw.randint(0, 3))]
        }
    if kind == 2:
        return {"$not": _filter(draw, depth - 1)}
    return {draw.choice(("a", _text(draw))): {draw.choice(_OPERATORS): _value(draw, 2)}}
