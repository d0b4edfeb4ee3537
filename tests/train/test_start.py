"""A code of fewer positions begins with what a code of more positions has learnt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from larimar_memory.latents import LatentCodec, LatentConfig, save_bundle
from larimar_memory.train.start import mix_in, start_from
from tests.latents.test_latent_memory import SIZES, random_codec
from tests.tiny import tiny_decoder

TEXTS = ["abcdefg", "hijklmnopqrstuv", "wx"]


@pytest.fixture(scope="module")
def learnt() -> LatentCodec:
    return random_codec(tiny_decoder(max_position_embeddings=512))


def begun(learnt: LatentCodec, folder: Path, **changes: float) -> LatentCodec:
    save_bundle(learnt, folder)
    config = LatentConfig.model_validate(learnt.config.model_dump() | changes)
    codec = random_codec(learnt.decoder, 1, config)
    start_from(codec, folder)
    return codec


@pytest.mark.parametrize("n", [2, 3, 4])
def test_its_latents_are_those_side_by_side(n: int, learnt: LatentCodec, tmp_path: Path) -> None:
    codec = begun(learnt, tmp_path, ratio=n, dz=n * SIZES.dz, limit=15, step=0.1)
    for z, merged in zip(learnt.encode(TEXTS), codec.encode(TEXTS), strict=True):
        whole = merged.reshape(-1, SIZES.dz)
        torch.testing.assert_close(
            torch.from_numpy(whole[: len(z)]), torch.from_numpy(z), rtol=0.02, atol=0.05
        )
        assert len(whole) - len(z) < n


def test_its_keys_and_values_are_the_means(learnt: LatentCodec, tmp_path: Path) -> None:
    codec = begun(learnt, tmp_path, ratio=2, dz=2 * SIZES.dz)
    for head in (learnt.head, codec.head):
        # What is beside the linear map sees the mean of the latents, not each.
        head.leave.weight.zero_()
    z = torch.randn(3, 8, SIZES.dz)
    apart = learnt.head.unit(z)
    together = codec.head.unit(z.reshape(3, 4, -1))
    mean = apart.reshape(3, 4, 2, *apart.shape[2:]).mean(2)
    torch.testing.assert_close(together, mean, rtol=0.02, atol=0.05)


def test_two_steps_of_merging_are_one(learnt: LatentCodec, tmp_path: Path) -> None:
    half = begun(learnt, tmp_path / "one", ratio=2, dz=2 * SIZES.dz)
    step_by_step = begun(half, tmp_path / "half", ratio=4, dz=4 * SIZES.dz)
    at_once = begun(learnt, tmp_path / "again", ratio=4, dz=4 * SIZES.dz)
    for name, tensor in at_once.state_dict().items():
        torch.testing.assert_close(step_by_step.state_dict()[name], tensor, rtol=0.01, atol=0.01)


@pytest.mark.parametrize(
    "changes", [{"ratio": 2}, {"ratio": 2, "dz": 24}, {"ratio": 2, "dz": 16, "depth": 1.0}]
)
def test_a_code_of_any_other_size_takes_the_adapters_only(
    changes: dict[str, float], learnt: LatentCodec, tmp_path: Path
) -> None:
    codec = begun(learnt, tmp_path, **changes)
    fresh = random_codec(learnt.decoder, 1, codec.config).state_dict()
    taken = learnt.state_dict()
    for name, tensor in codec.state_dict().items():
        theirs = taken if name.startswith("adapters.") else fresh
        torch.testing.assert_close(tensor, theirs[name], rtol=0.01, atol=0.01)


@pytest.mark.parametrize("sizes", [{"squeeze": 6}, {"ratio": 4, "spread": 2}])
def test_another_step_or_length_is_no_other_size(
    sizes: dict[str, int], learnt: LatentCodec, tmp_path: Path
) -> None:
    first = random_codec(learnt.decoder, 2, SIZES.model_copy(update=sizes))
    codec = begun(first, tmp_path, step=0.1, limit=12)
    for name, tensor in codec.state_dict().items():
        torch.testing.assert_close(tensor, first.state_dict()[name], rtol=0.01, atol=0.01)


@pytest.mark.parametrize(("changes", "all_of_it"), [({}, True), ({"ratio": 2}, False)])
def test_what_it_began_with_is_mixed_in(
    changes: dict[str, float], all_of_it: bool, learnt: LatentCodec, tmp_path: Path
) -> None:
    codec = begun(learnt, tmp_path, **changes)
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.add_(1.0)
    since = {name: x.clone() for name, x in codec.state_dict().items()}
    mix_in(codec, tmp_path, 0.25)
    trained = {name for name, _ in codec.named_parameters()}
    for name, x in codec.state_dict().items():
        began = name in trained and (all_of_it or name.startswith("adapters."))
        torch.testing.assert_close(x, since[name] - 0.25 * began, rtol=0, atol=1e-5)
