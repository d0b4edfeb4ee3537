"""How many numbers a token's latent needs: the best linear code of each size, in closed form.

No codec is trained here. Encoder and linear head of each size are the reduced-rank regression that
training begins with, its network is left at zero, and the adapters are those that ship. So the sizes
are compared with one another; what training adds is in the benchmark `latents`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from benchmarks import recitation
from benchmarks.result import Bar, Figures, bar, share
from benchmarks.session import Session
from larimar_memory.latents import LatentCodec, LatentConfig
from larimar_memory.train.balance import balance
from larimar_memory.train.recipe import Recipe, Stage
from larimar_memory.train.sampling import Sampler
from larimar_memory.train.stages import Regress

PACKAGES = ()

_LENGTHS = (4, 32)
_LEAST = 0.95


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        prose: tokens of text; the codes are fitted to one half of its paragraphs.
        positions: that a code is fitted to.
        segments: of the other half, said again.
        codes: numbers a token, step at which they are stored, depth.
    """

    prose: int
    positions: int
    segments: int
    codes: tuple[tuple[int, float, float], ...]


def _codes() -> Iterator[tuple[int, float, float]]:
    for dz in (64, 96, 128, 192, 256, 384):
        yield dz, 0.8, 0.6
    for step in (0.1, 0.4, 1.2):
        yield 192, step, 0.6
    for depth in (0.33, 0.47, 0.8, 1.0):
        yield 192, 0.8, depth


FULL = Size(60_000, 8192, 100, tuple(_codes()))
QUICK = Size(4_000, 600, 6, ((64, 0.8, 0.6), (192, 0.8, 0.6)))


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """What is said again exactly from codes of several sizes, and the bytes they take."""
    shipped = session.codec
    paragraphs = list(session.prose(size.prose).paragraphs)
    session.draw("codes").shuffle(paragraphs)
    half = len(paragraphs) // 2
    source = Sampler(paragraphs[:half], shipped.decoder.tokenizer)
    sentences = recitation.sentences(paragraphs[half:])
    texts = recitation.openings(shipped, sentences, session.draw("openings"), size.segments, _LENGTHS)
    rows = list[Figures]()
    for dz, step, depth in size.codes:
        session.note(f"fitting {dz} numbers at a step of {step:g}, {depth:.0%} of the layers")
        changes = {"dz": dz, "step": step, "depth": depth}
        codec = _fitted(session, shipped, shipped.config.model_copy(update=changes), source, size)
        said = recitation.exactness(codec, texts)
        rows.append({
            **changes,
            "bytes_per_token": said["bytes_per_token"],
            "exact": said["exact"],
            "edit_distance": said["edit_distance"],
        })  # fmt: skip
    shipped_size = (shipped.config.dz, shipped.config.step, shipped.config.depth)
    best = max(share(row["exact"]) for row in rows)
    own = [
        share(row["exact"]) for row in rows if (row["dz"], row["step"], row["depth"]) == shipped_size
    ]
    kept = own[0] / best if own and best else 0.0
    return {"segments": len(texts), "rows": rows}, [
        bar("said again exactly, the shipped code's size over the best size", kept, f">= {_LEAST}")
    ]


def _fitted(
    session: Session, shipped: LatentCodec, config: LatentConfig, source: Sampler, size: Size
) -> LatentCodec:
    """A codec of the shipped adapters and the best linear code of these sizes."""
    with torch.random.fork_rng():
        torch.manual_seed(session.seed)
        codec = LatentCodec(shipped.decoder, config)
    codec.adapters.load_state_dict(shipped.adapters.state_dict())
    codec.eval().requires_grad_(False)
    stage = Stage(kind="regress", steps=1, shortest=_LENGTHS[0], longest=_LENGTHS[1])
    recipe = Recipe(
        codec=config, stages=(stage,), calibration=size.positions, importance=size.positions // 2
    )
    with torch.enable_grad():
        learns, draw = Regress(codec, stage, recipe, source), session.draw("fit")
        learns.begin(draw)
        balance(codec, learns, learns.batches(draw))
    codec.head.for_reading(codec.anatomy.model.dtype)
    codec.adapters.merge()
    return codec
