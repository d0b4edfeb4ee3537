"""The cache of models: shared by threads, processes and containers, not to be written, or not there."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from larimar_memory.errors import ModelError
from larimar_memory.models import conversion, files, loading
from tests.forks import in_child, needs_fork

ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LARIMAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with weights."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose conversion copies it."""

    def convert(source: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(source.read_bytes())

    monkeypatch.setattr(conversion, "_convert", convert)
    source = tmp_path / "toy.gguf"
    source.write_bytes(b"weights")
    return source


def _unusable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> str:
    """Make the cache unusable; returns what its folder is called, or ""."""
    monkeypatch.delenv("LARIMAR_CACHE", raising=False)
    file = tmp_path / "file"
    file.write_text("not a folder")
    if how == "no home":

        def no_home(*_: object) -> str:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr("platformdirs.user_cache_dir", no_home)
        return ""
    if how == "unknown user":
        monkeypatch.setenv("LARIMAR_CACHE", "~no-such-user/cache")
        return ""
    where = {
        "under a file": file / "cache",
        "a file": file,
        "kernel's": Path("/proc/no/cache"),
        "HOME": file / ".cache" / "larimar-memory",
        "XDG_CACHE_HOME": file / "larimar-memory",
    }[how]
    if how in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv(how, str(file))
    else:
        monkeypatch.setenv("LARIMAR_CACHE", str(where))
    return str(where)


HOW = ["under a file", "a file", "kernel's", "HOME", "XDG_CACHE_HOME", "no home", "unknown user"]


@pytest.mark.parametrize("how", HOW)
def test_hashes_are_made_where_they_cannot_be_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: Path,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    monkeypatch.setenv("LARIMAR_CACHE", str(tmp_path / "good"))
    wanted = files.fingerprint(model)
    _unusable(tmp_path, monkeypatch, how)
    files._go_on_without_note.cache_clear()
    with caplog.at_level(logging.INFO):
        assert files.fingerprint(model) == wanted
        assert files.fingerprint(model) == wanted
    assert [r.levelname for r in caplog.records] == ["INFO"]


@pytest.mark.parametrize("how", HOW)
def test_what_must_be_written_says_where_it_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gguf: Path, how: str
) -> None:
    where = _unusable(tmp_path, monkeypatch, how)
    with pytest.raises(ModelError) as raised:
        conversion.converted(gguf, files.sha256(gguf))
    if where:
        assert raised.value.what == "The model toy.gguf could not be converted."
        assert raised.value.why.startswith(f"Writing to {where}/models failed: ")
        remedy = "Free some space there, or set LARIMAR_CACHE to a folder that can be written."
        assert raised.value.remedy == remedy
    else:
        assert str(raised.value) == (
            "There is no folder for converted models. The user's home folder cannot be determined. "
            "Set LARIMAR_CACHE to a folder that can be written."
        )


def test_what_was_converted_is_read_from_where_nothing_can_be_written(
    cache: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = files.sha256(gguf)
    folder = conversion.converted(gguf, digest)

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(30, "Read-only file system")

    for name in ("mkdir", "touch", "write_text"):
        monkeypatch.setattr(Path, name, refuse)
    assert conversion.converted(gguf, digest) == folder


def test_a_home_in_the_cache_s_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As it comes from a Dockerfile, where no shell replaces it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LARIMAR_CACHE", "~/models")
    assert files.cache_folder() == tmp_path / "models"


@pytest.mark.parametrize(
    "note", [b"", b"0" * 63, b"0" * 65, b"g" * 64, b"\xff" * 64, b"\0" * 64, b"0" * 63 + b"\n", None]
)
def test_a_note_that_is_no_hash_is_made_again(cache: Path, model: Path, note: bytes | None) -> None:
    wanted = files.fingerprint(model)
    (kept,) = (cache / "sha256").iterdir()
    digest = kept.read_bytes()
    kept.unlink()
    kept.mkdir() if note is None else kept.write_bytes(note)
    assert files.fingerprint(model) == wanted
    if note is not None:
        assert kept.read_bytes() == digest


def test_threads_with_a_cold_cache(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in containers, all of them have one number of a process."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with ThreadPoolExecutor(8) as pool:
        for n in range(30):
            cold = tmp_path / f"cache-{n}"
            monkeypatch.setenv("LARIMAR_CACHE", str(cold))
            start = threading.Barrier(8)

            def make(_: int, start: threading.Barrier = start) -> str:
                start.wait()
                return files.fingerprint(model)

            assert len(set(pool.map(make, range(8)))) == 1
            assert len(os.listdir(cold / "sha256")) == 1


@needs_fork
def test_processes_with_a_cold_cache(cache: Path, gguf: Path) -> None:
    digest = files.sha256(gguf)
    with ThreadPoolExecutor(8) as pool:
        made = [
            pool.submit(in_child, lambda: str(conversion.converted(gguf, digest))) for _ in range(8)
        ]
        assert {future.result() for future in made} == {("value", str(next(iter(_folders(cache)))))}
    assert len(list(_folders(cache))) == 1


def _folders(cache: Path) -> Iterator[Path]:
    return (path for path in (cache / "models").iterdir() if path.is_dir())


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError("flock")])
def test_another_is_first_where_nothing_can_be_locked(
    cache: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def no_lock(_: str) -> Any:
        raise error

    monkeypatch.setattr(conversion, "FileLock", no_lock)
    digest, first = files.sha256(gguf), conversion._convert

    def second(source: Path, folder: Path) -> None:
        monkeypatch.setattr(conversion, "_convert", first)
        conversion.converted(gguf, digest)
        first(source, folder)

    monkeypatch.setattr(conversion, "_convert", second)
    folder = conversion.converted(gguf, digest)
    assert files.manifest_holds(folder, digest)
    assert list(_folders(cache)) == [folder]


def test_what_the_killed_left_goes_after_a_day(cache: Path, gguf: Path) -> None:
    digest = files.sha256(gguf)
    target = conversion.target_of(gguf, digest)
    old, young = target.with_name(f"{target.name}.x7.tmp"), target.with_name(f"{target.name}.y8.tmp")
    other = target.with_name(f"another{target.name}.x7.tmp")
    for folder in (old, young, other):
        folder.mkdir(parents=True)
    for folder in (old, other):
        os.utime(folder, (time.time() - 90_000,) * 2)
    assert conversion.converted(gguf, digest) == target
    assert set(_folders(cache)) == {target, young, other}


@pytest.mark.parametrize(
    "manifest", ["", "[]", '{"source_sha256": 1}', '{"files": []}', "\udcff", None]
)
def test_a_manifest_of_any_kind(tmp_path: Path, manifest: str | None) -> None:
    path = tmp_path / "manifest.json"
    if manifest is None:
        path.mkdir()
    else:
        path.write_bytes(manifest.encode("utf-8", "surrogateescape"))
    assert not files.manifest_holds(tmp_path, "0")
    assert not files.manifest_holds(path / "under", "0")


def test_loading_leaves_the_libraries_as_they_were() -> None:
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled
    from transformers.utils import logging as said

    before = said.get_logger().level, said.is_progress_bar_enabled(), are_progress_bars_disabled()
    with pytest.raises(ZeroDivisionError), loading.loading():
        assert not said.is_progress_bar_enabled() / 0
    now = said.get_logger().level, said.is_progress_bar_enabled(), are_progress_bars_disabled()
    assert now == before


def test_what_takes_long_is_logged_and_not_printed(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    told = list[tuple[int, int]]()
    with caplog.at_level(logging.INFO), loading.announce("It takes long.", "going") as tell:
        tell(1, 2)
    assert caplog.messages == ["It takes long."]
    assert told == []
    assert capfd.readouterr() == ("", "")


def test_the_bar_of_transformers_is_ours(capfd: pytest.CaptureFixture[str]) -> None:
    from transformers import modeling_gguf_pytorch_utils as reading

    told, before = list[tuple[int, int]](), reading.tqdm
    with conversion._told(lambda done, total: told.append((done, total))):
        assert list(reading.tqdm(["a", "b"], desc="Converting")) == ["a", "b"]
    assert told == [(1, 2), (2, 2)]
    assert reading.tqdm is before
    assert capfd.readouterr() == ("", "")


LOADING = """
import threading, torch
from larimar_memory import Larimar
start, wrong = threading.Barrier(8), []
def use(n):
    start.wait()
    try:
        with Larimar.open() as memory:
            memory.write([f"The key is {n}."])
            memory.read("What is the key?")
    except BaseException as error:
        wrong.append(repr(error))
threads = [threading.Thread(target=use, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(wrong, torch.get_default_dtype())
"""


def _start(code: str, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "LARIMAR_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.model
def test_eight_threads_open_a_memory_in_a_new_process(cache: Path) -> None:
    """They import transformers, hash the model and load it; what torch makes stays float32."""
    out, err = _start(LOADING, cache).communicate(timeout=300)
    assert out == f"[] {torch.float32}\n"
    assert err == ""


@pytest.mark.model
@pytest.mark.slow
def test_the_first_start_is_silent_after_one_was_killed(cache: Path) -> None:
    """The library prints nothing; two processes share what one of them converts."""
    code = (
        "from larimar_memory.models import finding\n"
        "print(finding.resolve(finding.DEFAULT_DECODER).name)"
    )
    killed = _start(code, cache)
    deadline = time.monotonic() + 60
    while not list(cache.glob("models/*.tmp")):
        assert time.monotonic() < deadline
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    pair = [_start(code, cache) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in pair]
    assert said[0] == said[1]
    name, err = said[0]
    assert err == ""
    manifest = json.loads((cache / "models" / name.strip() / "manifest.json").read_text())
    assert "model.safetensors" in manifest["files"]
