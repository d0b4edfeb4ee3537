"""What `larimar doctor` and `larimar models` say, and their exit statuses."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from larimar_memory import __version__
from larimar_memory.cli import checkup, remedies
from larimar_memory.models import finding
from tests.cli.command import larimar

pytestmark = pytest.mark.model

WELL: dict[str, Any] = {
    "wanting": [],
    "full_text_search": True,
    "cpu": {"kernels": "AVX2"},
    "threads": {"torch": 2, "cores": 2, "OMP_NUM_THREADS": None},
    "memory": {"total_gb": 8.0, "available_gb": 4.0},
    "device": "cpu",
    "number_format": "bfloat16",
    "models": [
        {"role": "encoder", "wheel": "a==1", "path": "a", "sound": True, "converted": None},
        {"role": "decoder", "wheel": "b==1", "path": "b", "sound": True, "converted": "b"},
    ],
    "cache": {"folder": "c", "writable": True, "free_gb": 9.0},
}


def changed(*path: Any, value: Any) -> dict[str, Any]:
    """A machine where all is well but for one thing."""
    found = copy.deepcopy(WELL)
    place: Any = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return found


def test_where_all_is_well_nothing_is_said() -> None:
    assert remedies.findings(WELL) == []


@pytest.mark.parametrize(
    ("found", "kind", "words"),
    [
        (changed("wanting", value=["torch>=2"]), "wrong", "torch>=2"),
        (changed("full_text_search", value=False), "wrong", "FTS5"),
        (changed("models", 0, "path", value=None), "wrong", "a==1"),
        (changed("models", 0, "sound", value=False), "wrong", "SHA-256"),
        (changed("models", 1, "converted", value=""), "slow", "20 seconds"),
        (changed("cache", "writable", value=False), "slow", "LARIMAR_CACHE"),
        (changed("threads", "torch", value=1), "slow", "1 of 2 threads"),
        (changed("threads", "torch", value=4), "slow", "OMP_NUM_THREADS=2"),
        (changed("number_format", value="float32"), "slow", "float32"),
        (changed("cpu", "kernels", value="DEFAULT"), "slow", "AVX-512"),
        (changed("memory", "available_gb", value=0.5), "slow", "0.5 GB"),
    ],
)
def test_each_thing_is_said_in_three_sentences(found: dict[str, Any], kind: str, words: str) -> None:
    (told,) = remedies.findings(found)
    assert told.kind == kind
    assert words in " ".join(told[1:])
    for sentence in told[1:]:
        assert sentence[0].isupper() or sentence[0].isdigit() or sentence.startswith("larimar")
        assert sentence.endswith(".")


def test_the_worst_comes_first() -> None:
    found = changed("models", 1, "converted", value="")
    found["cache"] = {"folder": "c", "writable": False, "free_gb": 9.0}
    assert [told.kind for told in remedies.findings(found)] == ["wrong", "slow"]
    found["cache"] = {"folder": "c", "writable": True, "free_gb": 0.1}
    assert "0.1 GB left" in remedies.findings(found)[0].what
    on_gpu = {**changed("number_format", value="float32"), "device": "cuda"}
    assert remedies.findings(on_gpu) == []


def test_the_doctor_tells_what_is_there() -> None:
    done = larimar("doctor", "--json")
    found = json.loads(done.stdout)
    assert found["versions"]["larimar-memory"] == __version__
    assert {"Python", "SQLite", "torch", "transformers", "langchain-core"} <= {*found["versions"]}
    assert [model["role"] for model in found["models"]] == ["encoder", "decoder"]
    assert all(model["sound"] for model in found["models"])
    assert Path(found["models"][1]["path"]).suffix == ".gguf"
    assert found["cache"]["writable"]
    assert found["threads"]["cores"] >= 1
    assert found["cpu"]["features"]
    assert found["extras"]["langchain"] == []
    assert not {"dev", "docs"} & {*found["extras"]}
    assert found["well"] == all(told["kind"] != "wrong" for told in found["findings"])
    assert done.returncode == (not found["well"])


def test_the_doctor_says_it_in_words() -> None:
    done = larimar("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("versions", "threads", "all-MiniLM-L6-v2", "extras", "All that is needed is there."):
        assert words in done.stdout


def test_what_is_wrong_ends_with_status_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(finding.WheelModel, "locate", lambda self: None)
    done = larimar("doctor", LARIMAR_CACHE=str(tmp_path), HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "HF_HUB_OFFLINE forbids to fetch them. Run `larimar models install` now." in done.stdout
    assert "Something is wrong." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_broken_torch_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = larimar("doctor")
    assert done.returncode == 1
    assert "PyTorch cannot be loaded. Its import ended with ModuleNotFoundError" in done.stderr


def test_requirements_that_are_not_met_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [
        "torch>=99",
        "no-such-package>=1",
        "only-elsewhere>=1; sys_platform == 'none'",
        'no-such-extra>=2; extra == "mcp"',
        'not-told>=1; extra == "dev"',
    ]
    monkeypatch.setattr(checkup.metadata, "requires", lambda name: told)
    extras, wanting = checkup._requirements()
    assert wanting[0].startswith("torch>=99 (there is ")
    assert wanting[1:] == ["no-such-package>=1"]
    assert extras == {"mcp": ["no-such-extra>=2"]}


def test_models_are_listed() -> None:
    done = larimar("models")
    assert done.returncode == 0, done.stderr
    assert "encoder  sentence-transformers/all-MiniLM-L6-v2  " in done.stdout
    assert larimar("models", "install", "--json").returncode == 0
    found = json.loads(larimar("models", "list", "--json").stdout)["models"]
    assert Path(found[1]["converted"], "model.safetensors").is_file()


def test_missing_models_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding.WheelModel, "locate", lambda self: None)
    done = larimar("models")
    assert done.returncode == 1
    assert "not here yet" in done.stdout
    assert "`larimar models install`" in done.stderr


def test_installing_fetches_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, locate = list[str](), finding.WheelModel.locate
    here = set[str]()

    def found(self: finding.WheelModel) -> Path | None:
        return locate(self) if self.distribution in here else None

    def fetch(self: finding.WheelModel, *, force: bool = False) -> Path:
        assert force
        asked.append(self.distribution)
        here.add(self.distribution)
        return Path()

    monkeypatch.setattr(finding.WheelModel, "locate", found)
    monkeypatch.setattr(finding.WheelModel, "fetch", fetch)
    assert larimar("models", "install").returncode == 0
    assert asked == [wheel.distribution for wheel in finding.WHEELS.values()]
