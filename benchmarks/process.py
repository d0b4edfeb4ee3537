"""What is measured from outside: the RAM and the start of a process that opens a memory file."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from larimar_memory.decoders.prompt import NOT_IN_MEMORY
from larimar_memory.errors import LarimarError

QUESTION, MEMORY, BEAMS = "{question}", "{memory}", "{beams}"
ASK = (
    *(sys.executable, "-m", "larimar_memory", "ask", QUESTION),
    *("--memory", MEMORY, "--beams", BEAMS, "--plain"),
)
"""The command whose start is timed; it prints the answer piece by piece, and nothing else."""

RESIDENT = (sys.executable, "-m", "benchmarks.resident")


def first_output(memory: Path, question: str, beams: int = 1) -> tuple[float, str]:
    """Seconds from starting the command to the first byte of its answer, and the answer.

    Args:
        beams: with one, the first byte is of the first token; with more, it is of the whole answer.

    Raises:
        LarimarError: if the command fails, or answers that it does not know.
    """
    given = {QUESTION: question, MEMORY: str(memory), BEAMS: str(beams)}
    command = [given.get(part, part) for part in ASK]
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        with subprocess.Popen(  # noqa: S603 - our own command, no shell
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as process:
            out = process.stdout
            first = out.read(1) if out else b""
            seconds = time.perf_counter() - started
            text = (first + (out.read() if out else b"")).decode("utf-8", "replace").strip()
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace")
    if process.returncode or not text or text == NOT_IN_MEMORY:
        raise _failed("ask", process.returncode, said or text)
    return seconds, text


def resident(memory: Path, questions: Sequence[str], warm: Sequence[str]) -> dict[str, float]:
    """Megabytes of a fresh process before and after it opens the memory and answers.

    Args:
        warm: texts over which the models are warmed first, in a memory in RAM.

    Raises:
        LarimarError: if the process fails.
    """
    task = {"memory": str(memory), "questions": list(questions), "warm": list(warm)}
    done = subprocess.run(  # noqa: S603 - our own command, no shell
        RESIDENT, input=json.dumps(task), capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode:
        raise _failed("resident", done.returncode, done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _failed(name: str, status: int, said: str) -> LarimarError:
    last = (said.strip().splitlines() or ["nothing"])[-1].rstrip(".")
    return LarimarError(
        f"The latency benchmark could not finish, because its {name} command failed.",
        f"It ended with status {status} and said: {last}.",
        "Run `python -m larimar_memory ask` by hand to see whether this installation answers.",
    )
