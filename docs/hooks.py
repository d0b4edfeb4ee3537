"""For mkdocs: pages in the root of the checkout join the site, and links lead to where they are."""

from __future__ import annotations

import logging
import posixpath
import re
from inspect import cleandoc
from pathlib import Path
from typing import Any

from griffe import Extension
from mkdocs.structure.files import File
from typer.main import get_command

from larimar_memory.cli.app import app

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/larimar-memory/larimar-memory/blob/main/"
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
COMMANDS, PLOTS = "<!-- commands -->", "benchmarks/plots/"
_LINK = re.compile(r"```.*?```|`[^`\n]*`|(?<=\]\()(?!\w+:|#)([^)\s]+)", re.DOTALL)
_NAMES = re.compile(r"(?<=    )\w+(?:, \w+)+(?=:\s)")
_log = logging.getLogger("mkdocs.hooks")


class NamesTogether(Extension):
    """Lets one line of a docstring describe several names, as in `start, end: of the segment`."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _NAMES.sub(
                lambda found: found[0].replace(" ", "\u00a0"), obj.docstring.value
            )


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the root, and the plots of the benchmarks."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    for plot in sorted((ROOT / PLOTS).glob("*.svg")):
        files.append(File.generated(config, f"{PLOTS}{plot.name}", abs_src_path=str(plot)))
    return files


def _commands() -> str:
    """Every command that is shown, with its arguments and options."""
    lines = list[str]()
    for name, command in get_command(app).commands.items():
        if command.hidden:
            continue
        lines += [
            "",
            f"## larimar {name}",
            "",
            cleandoc(command.help or "").replace("__", r"\_\_"),
            "",
            "| argument or option | what it does |",
            "|---|---|",
        ]
        for told in command.params:
            argument = told.param_type_name == "argument"
            names = told.name.upper() if argument else ", ".join([*told.opts, *told.secondary_opts])
            lines.append(f"| `{names}` | {(told.help or '').replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead relative links, right in the checkout, to pages of the site or to the repository."""
    place = page.file.src_uri
    source = next((root for root, name in PAGES.items() if name == place), f"docs/{place}")

    def led(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        target, mark, anchor = found[1].partition("#")
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / wanted).exists():
            _log.warning("%s links to %s, which is not there.", source, wanted)
        if wanted.startswith("docs/"):
            wanted = wanted.removeprefix("docs/")
        elif wanted in PAGES:
            wanted = PAGES[wanted]
        elif not wanted.startswith(PLOTS):
            return f"{REPOSITORY}{wanted}{mark}{anchor}"
        return posixpath.relpath(wanted, posixpath.dirname(place) or ".") + mark + anchor

    return _LINK.sub(led, markdown).replace(COMMANDS, _commands() if COMMANDS in markdown else "")
