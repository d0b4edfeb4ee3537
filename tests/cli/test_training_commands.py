"""Latents from the command line: trained for one's own decoder, added to a memory, answered from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from larimar_memory.models import finding
from tests.cli.command import larimar
from tests.train.test_training import texts


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random llama as a folder, with the bundled decoder's tokenizer."""
    folder = tmp_path_factory.mktemp("small")
    for path in finding.resolve(finding.DEFAULT_DECODER).glob("*"):
        if path.name.startswith(("tokenizer", "special", "vocab", "merges", "chat")):
            shutil.copy(path, folder)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    ids = {"vocab_size": 49152, "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": True}
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**sizes, **heads, **ids)).save_pretrained(folder)
    return folder


def trained_in_parts(data: Path, folder: Path, small: Path, of: int) -> dict[str, Any]:
    """What the command says once it is run again, which at first had no time but for a step."""
    command = ["train", str(data), "--out", str(folder / "run"), "--decoder", str(small)]
    command += ["--recipe", str(folder / "recipe.json"), "--json"]
    first = larimar(*command, "--minutes", "0")
    assert first.returncode == 0, first.stderr
    begun = json.loads(first.stdout)
    assert (begun["done"], begun["steps"], begun["of"]) == (False, 1, of)
    ended: dict[str, Any] = json.loads(larimar(*command).stdout)
    return ended


def test_train_add_latents_and_ask(small: Path, tmp_path: Path) -> None:
    data = texts(tmp_path / "texts")
    (tmp_path / "ren.txt").write_text("The ferry to Ren leaves at nine every morning.")
    recipe = {
        "codec": {"dz": 4, "depth": 0.5, "width": 8, "rank": 2, "limit": 16},
        "calibration": 64,
        "importance": 32,
        "check_segments": 2,
        "stages": [
            {"kind": "regress", "steps": 2, "tokens": 32},
            {"kind": "recite", "steps": 2, "tokens": 32},
        ],
    }
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    ended = trained_in_parts(data, tmp_path, small, of=4)
    assert (ended["done"], ended["steps"]) == (True, 4)
    memory, bundle = str(tmp_path / "m.larimar"), ended["bundle"]
    assert larimar("ingest", str(tmp_path / "ren.txt"), "-m", memory).returncode == 0
    question = ["ask", "When does the ferry to Ren leave?", "-m", memory, "--decoder", str(small)]
    question += ["--latents", bundle, "--grounding", "latent", "--max-tokens", "4", "--json"]
    without = larimar(*question)
    assert without.returncode == 1
    assert "recalled segments have no latent made for this decoder" in without.stdout + without.stderr
    options = ["add-latents", "-m", memory, "--decoder", str(small), "--latents", bundle, "--json"]
    refused = larimar(*options, "--share", "0")
    assert refused.returncode == 1
    assert "latent_share=0.0" in refused.stdout + refused.stderr
    added = json.loads(larimar(*options, "--share", "0.5").stdout)
    assert added["made"] == added["segments"] > 0
    answer = json.loads(larimar(*question).stdout)
    assert answer["grounding"] == "latent"
    assert answer["sources"]


def test_an_answering_adapter_is_trained_in_parts(small: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    rows.mkdir()
    row = {"context": "The ferry to Ren leaves at nine.", "question": "When?", "answers": ["at nine"]}
    (rows / "own.jsonl").write_text(json.dumps({**row, "split": "train"}) + "\n")
    recipe = {"kind": "answers", "steps": 2, "packs": 1, "rank": 2, "check_packs": 1}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    ended = trained_in_parts(rows, tmp_path, small, of=2)
    assert (ended["done"], ended["steps"], ended["questions"]) == (True, 2, 2)
    assert (Path(ended["adapter"]) / "adapter.safetensors").exists()

    text = tmp_path / "ferry.txt"
    text.write_text(row["context"])
    memory = ["--memory", str(tmp_path / "m.larimar")]
    assert larimar("ingest", str(text), *memory).returncode == 0
    ask = ["ask", "When does the ferry leave?", *memory, "--decoder", str(small), "--max-tokens", "2"]
    for adapter in (ended["adapter"], "none"):
        assert larimar(*ask, "--adapter", adapter).returncode == 0
    other = larimar(*ask, "--adapter", str(tmp_path))
    assert other.returncode == 1
    assert "There is no answering adapter in" in other.stderr


def test_what_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    missing = larimar("add-latents", "-m", str(tmp_path / "no.larimar"))
    assert missing.returncode == 1
    assert "There is no memory at" in missing.stderr
    unknown = larimar("train", str(tmp_path), "--out", str(tmp_path / "run"), "--recipe", "nonsense")
    assert unknown.returncode == 1
    assert "There is no recipe 'nonsense'" in unknown.stderr.replace("\n", " ")
