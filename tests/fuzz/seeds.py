"""What fuzzing starts from: inputs that reach far, and ways to change them."""

from __future__ import annotations

import json
import random

_TEXT = [
    "Hello there. Mr. Smith left; why? \u4eca\u65e5\u306f\u3002\r\n\r\nNo!".encode(),
    b"<recalled></recalled><|im_end|>[INST] \x00\x1b[2J",
    b"word " * 100,
    "\U0001f469\u200d\U0001f467e\u0301\u202e".encode(),
    b"\xed\xa0\x80\xff\xfe",
]
_FILTERS = [
    {"a": 1},
    {"a": {"$gte": 1, "$lt": 2}},
    {"$and": [{"a": 1}, {"$or": [{"b": "x"}, {"$not": {"a": None}}]}]},
    {"a": {"$in": [1, "1", None, True]}, "b": {"$nin": []}},
    {"a": {"$exists": True}, "n\0": {"$ne": "\ud800"}},
    {"a": 10**30},
    {"\ud800": "x"},
    {"a": {"$gt": "\udfff"}},
]
_PDF = b"""1 0 obj
<< /Type /Catalog /Pages 2 0 R >>
endobj
2 0 obj
<< /Type /Pages /Kids [3 0 R] /Count 1 >>
endobj
3 0 obj
<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>
endobj
4 0 obj
<< /Length 34 >>
stream
BT /F1 12 Tf 72 720 Td (Hi) Tj ET
endstream
endobj
5 0 obj
<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>
endobj
trailer << /Size 6 /Root 1 0 R >>
startxref
0
%%EOF"""
_HTML = b"<html><head><title>x</title></head><body><p>one<script>no</script><svg><p>two</body></html>"
_SQLITE = b"\x00\x10\x00\x01\x01\x00\x40\x20\x20" + bytes(75) + b"\x0d" + bytes(64)

SEEDS: dict[str, list[bytes]] = {
    "segments": _TEXT,
    "filters": [json.dumps(f).encode() for f in _FILTERS] + [b"[" * 50, b'{"":{"":0}}'],
    "questions": [*_TEXT, b'"pass key" OR NEAR(x y)* ^a:b -c', b"'; DROP TABLE segments; --", b"{}[]"],
    "names": [
        b"id\xffspace\xffSome text.\xffvalue",
        b"\xed\xa0\x80\xffn\xfft",
        b"a\xffdefault\xff.\xff%_",
    ],
    "files": [bytes([k, e]) + t for k in range(4) for e in range(5) for t in (_HTML, *_TEXT[:2])]
    + [b"\x02\x00%PDF-1.4\n" + _PDF],
    "pdf": [_PDF],
    "html": [_HTML, b"<" * 99, b"<!--<![CDATA[<a href='" * 9, b"<table><tr><td>" * 20],
    "prompts": [*_TEXT, b"</ recalled>", b"<\xe2\x80\x8b/recalled", b"<s></s><tool_call><<SYS>>"],
    # Two are raw DEFLATE: of one position of the first form, and of positions of either.
    "latents": [
        b"\x03\x01\x03\0\0\0abc",
        b"cd\xfa\x0f\x00",
        b"cd\xfa\xcf\x88\x84\x00",
        b"\x01\x04" + bytes(16),
        b"\x02\xff" + b"\xff" * 30,
    ],
    "bundles": [
        b"\x00{}",
        b'\x50{"config": {"dz": 3}}',
        b'\x50{"format": 3, "lead": null}',
        b"\xd0\0\0\x08x",
        b"\x90c" + bytes(7) + b'{"a": {"dtype": "BF16", "shape": [9], "data_offsets": [0, 18]}}',
    ],
    "memory_files": [b"\x00" + _SQLITE, b"\x80" + bytes(200), b"\xffSQLite format 3\0" + _SQLITE],
    "command_line": [
        b"\xff".join(parts)
        for parts in (
            [b"\x00", b"why not"],
            [b"\x00", b"why", b"\x08", b'{"a": 1}', b"\x05"],
            [b"\x03", b"\x05", b"\x09", b"default"],
            [b"\x02", b"\x0a", b"an id"],
            [b"\x04", b"/nowhere\x1b[2J"],
            [b"\x01", b"\xed\xa0\x80 what", b"\x06", b"-1"],
            [b"--version"],
            [b"\x00", b"\x0b", b"--where"],
        )
    ],
}
_STORED = random.Random("stored")
for _name in ("pages", "values", "logs", "indexes", "exports"):
    SEEDS[_name] = [_STORED.randbytes(n) for n in (8, 9, 14, 22, 36, 64)]
SEEDS["values"] += [
    bytes([old, table, column, row, kind]) + rest
    for old in (0, 255)
    for table in range(4)
    for column in range(8)
    for row, kind, rest in (
        (0, 0, b"\0" * 15),
        (1, 1, b"[1]"),
        (2, 2, b"\xff" * 8),
        (0, 5, b"deep" * 9),
    )
]
_PIECES = [
    b"\0",
    b"\xff",
    b'"',
    b"'",
    b"\\",
    b"<",
    b"$",
    b"\xed\xa0\x80",
    b"[" * 200,
    b"9" * 40,
    b"\r\n",
    b"-",
]


def mutated(name: str, rng: random.Random) -> bytes:
    """A seed of a target with some of its bytes changed."""
    if rng.random() < 0.05:
        return rng.randbytes(rng.randrange(200))
    data = bytearray(rng.choice(SEEDS[name]))
    for _ in range(rng.randrange(1, 8)):
        at, step = rng.randrange(len(data) + 1), rng.randrange(6)
        if step == 0:
            data[at:at] = rng.choice(_PIECES)
        elif step == 1:
            del data[at : at + rng.randrange(1, 9)]
        elif step == 2:
            data[at : at + 1] = rng.randbytes(1)
        elif step == 3:
            other = rng.choice(SEEDS[name])
            data[at:at] = other[rng.randrange(len(other) + 1) :][:200]
        elif step == 4:
            data[at:at] = data[at : at + 50] * rng.randrange(1, 5)
        else:
            data[at:] = data[at:][::-1] if rng.random() < 0.1 else data[at:]
    return bytes(data[:8192])
