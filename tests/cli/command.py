"""The `larimar` command, run inside this process."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import subprocess
import sys
from typing import Any
from unittest.mock import patch

from larimar_memory.cli import main, output

FACTS = "The lighthouse at Cape Ren was built by Odile Marchetti in 1887. It has a green lamp on top.\n"


def larimar(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this process; the README's commands run in processes of their own."""
    out, err = io.StringIO(), io.StringIO()
    output.console.width = output.errors.width = 200
    with (
        patch.dict(os.environ, environment),
        patch.object(sys, "argv", ["larimar", *arguments]),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
        # The command keeps what it loaded from being looked through; here, others come after it.
        patch.object(gc, "freeze"),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            status: Any = 0
        except SystemExit as stop:
            status = stop.code or 0
        finally:
            gc.enable()
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())
