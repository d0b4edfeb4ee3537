"""Models after a fork: a child runs them, loads them, or says at once that it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from larimar_memory.larimar import Larimar
from larimar_memory.models.loading import loading
from tests.forks import IN_USE, held_by_another, in_child, needs_fork

pytestmark = needs_fork

ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.larimar"


PARENT = """
import os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from larimar_memory import Larimar
from tests.forks import in_child
path = Path(sys.argv[1])
memory = Larimar.open(path)
memory.write(["The pass key is 71432.", "Bees make honey."])
{before}
def inherited():
    memory.write(["Cats purr."])
    return memory.read("What is the pass key?").segments[0].text
def anew():
    with Larimar.open(path) as again:
        again.write(["Dogs bark."])
        return again.read("Who barks?").segments[0].text
def answer():
    return memory.answer("What is the pass key?").text
print(in_child(inherited), in_child(anew), in_child(answer))
print(memory.read("Who makes honey?").segments[0].text, memory.stats().documents)
print(os.environ.get("TOKENIZERS_PARALLELISM"))
if os.fork() == 0:
    sys.exit(0)
print(os.wait()[1], memory.answer("What is the pass key?").text, memory.read("Who barks?").in_scope)
"""


@pytest.mark.model
@pytest.mark.parametrize(
    ("before", "parallel"),
    [("", None), ("memory.read('honey?')", "true"), ("memory.answer('honey?')", None)],
)
def test_models_run_in_a_child(path: Path, before: str, parallel: str | None) -> None:
    """Of a parent that has only opened, has read, has answered; with as many threads as torch takes."""
    kept = ("OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM")
    environment = {k: v for k, v in os.environ.items() if k not in kept}
    if parallel is not None:
        environment["TOKENIZERS_PARALLELISM"] = parallel
    program = PARENT.format(root=ROOT, before=before)
    done = subprocess.run(
        # Unbuffered: a child would print once more what its parent has not printed yet.
        [sys.executable, "-u", "-W", "ignore", "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.stdout.splitlines() == [
        "('value', 'The pass key is 71432.') ('value', 'Dogs bark.') ('value', '71432')",
        "Bees make honey. 4",
        str(parallel),
        "0 71432 True",
    ]
    assert done.stderr == ""


@pytest.mark.model
def test_a_stream_is_not_gone_on_with_in_a_child(memory: Larimar) -> None:
    memory.write(["The pass key is 71432, and nobody but the keeper of the archive knows it."])
    stream = iter(memory.stream("What is the pass key?"))
    next(stream)
    assert in_child(lambda: next(stream)) == ("ModelError", "The answer" + IN_USE)
    assert "".join(stream)


LOADING = """
import sys, threading
sys.path.insert(0, {root!r})
from larimar_memory import Larimar
from larimar_memory.encoders import sentence
from larimar_memory.system import forking
from tests.forks import in_child
forking.WAIT_SECONDS = 0.1
inside, leave, make = threading.Event(), threading.Event(), sentence._tokenizer
def held(folder):
    inside.set()
    leave.wait(60)
    return make(folder)
sentence._tokenizer = held
thread = threading.Thread(target=Larimar.open)
thread.start()
inside.wait(60)
sentence._tokenizer = make
def anew():
    with Larimar.open() as memory:
        memory.write(["Bees make honey."])
        return memory.read("Who makes honey?").segments[0].text
print(in_child(anew))
leave.set()
thread.join()
print(in_child(anew))
"""


@pytest.mark.model
def test_a_fork_while_another_thread_loads_a_model() -> None:
    """It would wait for ever for what that thread was importing."""
    done = subprocess.run(
        [sys.executable, "-c", LOADING.format(root=ROOT)], capture_output=True, text=True, timeout=300
    )
    lost, works = done.stdout.splitlines()
    assert lost == str(("ModelError", "The libraries of models" + IN_USE))
    assert works == "('value', 'Bees make honey.')"


def test_a_fork_waits_for_a_model_that_is_almost_loaded() -> None:
    leave = threading.Event()

    def load(inside: threading.Event) -> None:
        with loading():
            inside.set()
            leave.wait(0.2)

    def in_turn() -> str:
        with loading():
            return "loaded"

    with held_by_another(load):
        assert in_child(in_turn) == ("value", "loaded")


@pytest.mark.parametrize("held", [True, False])
def test_a_thread_that_loads_may_fork(held: bool) -> None:
    def in_turn() -> str:
        with loading():
            return "loaded"

    with loading() if held else nullcontext():
        assert in_child(in_turn) == ("value", "loaded")
