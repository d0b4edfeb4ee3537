"""What a process imports: the model classes of transformers take two seconds, and are not needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.model

PROGRAM = """
import sys
from larimar_memory import Larimar

def heavy():
    names = "transformers", "transformers.modeling_utils", "torch._dynamo"
    return [name for name in names if name in sys.modules]

memory = Larimar.open()
memory.write("Bob lives in Rome.")
print(memory.read("Where does Bob live?").segments[0].text, heavy())
print(memory.answer("Where does Bob live?").text, heavy())
memory.decoder.model
print(memory.answer("Where does Bob live?").text, heavy()[1:2])
"""


def test_reads_and_answers_do_without_the_librarys_models() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "Bob lives in Rome. []",
        "Rome ['transformers']",
        "Rome ['transformers.modeling_utils']",
    ]
