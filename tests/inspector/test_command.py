"""`larimar inspect`: what it prints, what it refuses, and what the package holds of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
import uvicorn

from benchmarks.inspector import INSPECT, written
from larimar_memory.inspector.app import STATIC
from tests.cli.command import larimar


def test_it_says_where_it_serves_and_ends_when_it_is_told(tmp_path: Path) -> None:
    written(tmp_path / "m.larimar", 3)
    process = subprocess.Popen(
        [*INSPECT, "m.larimar"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
    address, _, token = told["url"].partition("/#token=")
    assert address.startswith("http://127.0.0.1:")
    assert (told["memory"], told["write"], len(token) >= 32) == ("m.larimar", False, True)
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx2.post(f"{address}/api/memory", headers=headers, json={})
    assert answer.json()["stats"]["documents"] == 3
    assert token not in httpx2.get(address).text
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == ""


@pytest.mark.parametrize("arguments", [["inspect", "--no-browser"], ["serve", "--mcp", "--http", "0"]])
@pytest.mark.parametrize("as_json", [True, False])
def test_what_it_says_has_no_password(
    arguments: list[str], as_json: bool, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from larimar_memory.larimar import Larimar
    from tests.quick import QuickCoarse

    Larimar.open(address, encoder=QuickCoarse()).close()
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    secret = address.replace("postgres@", "postgres:hidden@")
    name, *rest = arguments
    place = [secret] if name == "inspect" else ["-m", secret]
    done = larimar(name, *place, *rest, *["--json"] * as_json)
    assert done.returncode == 0, done.stderr
    assert address in done.stdout + done.stderr
    assert "hidden" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.larimar"], "There is no memory at no.larimar."),
        (["notes.txt"], "It is not a Larimar"),
        (["m.larimar", "--slots", "4"], "The memory cannot be used with slots."),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    from larimar_memory.larimar import Larimar
    from tests.quick import QuickCoarse

    Path("notes.txt").write_text("no memory")
    Larimar.open("m.larimar", encoder=QuickCoarse()).close()
    done = larimar("inspect", *arguments, "--no-browser")
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larimar_memory.cli.inspect.find_spec", lambda _: None)
    done = larimar("inspect", "m.larimar")
    assert done.returncode == 1
    assert 'Run `pip install "larimar-memory[inspect]"`.' in done.stderr


def test_the_page_needs_nothing_that_is_not_in_its_folder() -> None:
    assert {file.suffix for file in STATIC.iterdir()} == {".html", ".css", ".js", ".svg"}
    index = (STATIC / "index.html").read_text(encoding="utf-8")
    for file in STATIC.glob("*.js"):
        assert f'href="{file.name}"' in index or f'src="{file.name}"' in index


def test_the_page_knows_no_protocol_of_models() -> None:
    code = "import sys, larimar_memory.inspector; print('mcp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
