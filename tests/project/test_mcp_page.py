"""docs/mcp.md and server.json tell the truth: clients that are set up by them get the tools."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from mcp import Client
from typer.main import get_command
from typer.testing import CliRunner

from larimar_memory import __version__
from larimar_memory.cli.app import app
from larimar_memory.server.tools import TOOLS
from tests.server.conftest import by_command

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")
SET_UP: list[dict[str, Any]] = [
    entry
    for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    for servers in json.loads(block).values()
    for entry in servers.values()
]
COMMANDS = "".join(re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)).splitlines()
SERVER = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
SCRIPTS = {"larimar", "larimar-memory"}


def served(words: list[str]) -> dict[str, Any]:
    """What `serve` is told by a command line; it must be one that the command takes."""
    assert words[0] in SCRIPTS
    assert words[1] == "serve"
    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return dict(command.make_context("serve", words[2:]).params)


def test_every_client_is_told_a_command_that_serves() -> None:
    lines = [[entry["command"], *entry["args"]] for entry in SET_UP]
    lines = [line[line.index("larimar-memory") :] if line[0] == "uvx" else line for line in lines]
    lines += [shlex.split(line.partition(" -- ")[2]) for line in COMMANDS if " -- " in line]
    lines += [shlex.split(line) for line in COMMANDS if line.startswith("larimar ")]
    assert len(lines) == 5
    assert all(served(line)["mcp"] for line in lines)
    scripts = (ROOT / "pyproject.toml").read_text().split("[project.scripts]")[1].split("\n[")[0]
    assert set(re.findall(r"^([\w-]+) = ", scripts, re.MULTILINE)) == SCRIPTS


async def test_two_commands_lead_to_the_tools(tmp_path: Path) -> None:
    install, add = COMMANDS[:2]
    assert install == 'pip install "larimar-memory[mcp]"'
    assert add.startswith("claude mcp add larimar -- ")
    words = shlex.split(add.partition(" -- ")[2])
    given = by_command(tmp_path / "m.larimar")
    given.command, given.args = sys.executable, ["-m", "larimar_memory", *words[1:]]
    given.env = {**(given.env or {}), "LARIMAR_MEMORY": str(tmp_path / "m.larimar")}
    async with Client(given) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == list(TOOLS)


def test_the_tables_name_every_tool_and_option() -> None:
    tools = PAGE.split("| tool |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", tools, re.MULTILINE) == list(TOOLS)
    for name, tool in TOOLS.items():
        (hint,) = re.findall(rf"^\| `{name}` .*\| (\w+) \|$", tools, re.MULTILINE)
        assert hint == ("reads" if tool.reads else "overwrites" if tool.destroys else "adds")
    options = PAGE.split("| option |")[1].split("\n\n")[0]
    named = re.findall(r"`(--\w+)", options)
    help = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    assert len(named) == 9
    assert [name for name in named if name not in help] == []


def test_the_registry_entry_is_of_this_package() -> None:
    (package,) = SERVER["packages"]
    assert SERVER["version"] == package["version"] == __version__
    assert len(SERVER["description"]) <= 100
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"<!-- mcp-name: {SERVER['name']} -->" in readme
    assert SERVER["repository"]["url"].endswith(SERVER["name"].removeprefix("io.github."))
    told = [part["value"] for part in package["packageArguments"]]
    assert served([package["identifier"], *told])["mcp"]
    (extra,) = package["runtimeArguments"]
    assert f'mcp = ["{extra["value"]}"]' in (ROOT / "pyproject.toml").read_text()
    assert [package["identifier"], package["transport"]] == ["larimar-memory", {"type": "stdio"}]
