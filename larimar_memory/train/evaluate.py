"""Free-running recall: what the decoder says with nothing but latents to go by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.prefix import Prefix, generation_inputs
from larimar_memory.train.sampling import Sample

MakePrefix = Callable[[LatentCodec, list[list[int]]], Prefix]
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Recall:
    """How well segments were said again, as shares in [0, 1].

    Attributes:
        exact: share of segments said without any difference, the end included.
        edit: mean edit distance in tokens, as a share of the segment's tokens.
        rare: share of rare strings that were said.
        by_length: `exact` by length; a key is the most tokens of its segments.
    """

    segments: int
    exact: float
    edit: float
    rare: float | None
    by_length: dict[int, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        shares = {str(k): round(v, 4) for k, v in sorted(self.by_length.items())}
        values = {**asdict(self), "by_length": shares}
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}


def from_latents(codec: LatentCodec, segments: list[list[int]]) -> Prefix:
    """Prefixes as a reader of memory makes them: from latents."""
    return codec.placed(codec.head(*codec.latents(codec.padded(segments))))


def from_exact(codec: LatentCodec, segments: list[list[int]]) -> Prefix:
    """Prefixes of the decoder's own keys and values, the best that any latent could give."""
    return codec.placed(codec.exact(codec.padded(segments)))


@torch.no_grad()
def say(codec: LatentCodec, prefix: Prefix, limit: int) -> list[list[int]]:
    """What the decoder says greedily after the mark, as a list of ids for each prefix.

    Args:
        limit: most tokens, with the end mark; a list that never ended is cut off there.
    """
    end = codec.anatomy.end
    tokens = torch.full((len(prefix.mask), 1), codec.mark, device=codec.device)
    with codec.adapters.attached():
        out = codec.anatomy.model.generate(
            **generation_inputs(prefix, tokens),
            max_new_tokens=limit,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )
    said = list[list[int]]()
    for row in out[:, 1:].tolist():
        # -1 marks a row that never ended, so that no segment equals it.
        said.append(row[: row.index(end)] if end in row else [*row, -1])
    return said


def recall(
    codec: LatentCodec, samples: Sequence[Sample], make: MakePrefix = from_latents, step: int = 8
) -> Recall:
    """Let the decoder say every sample again from its latent alone.

    Args:
        make: makes the prefixes, from latents or from something else.
        step: lengths are reported in steps of this many tokens.
    """
    by_length = defaultdict[int, list[bool]](list)
    edits, rare = list[float](), list[bool]()
    samples = sorted(samples, key=lambda s: len(s.tokens))
    for at in range(0, len(samples), _BATCH):
        batch = samples[at : at + _BATCH]
        segments = [s.tokens for s in batch]
        with torch.no_grad():
            prefix = make(codec, segments)
        limit = max(len(s) for s in segments) + 4
        for sample, said in zip(batch, say(codec, prefix, limit), strict=True):
            by_length[-(-len(sample.tokens) // step) * step].append(said == sample.tokens)
            edits.append(edit_distance(sample.tokens, said) / len(sample.tokens))
            text = codec.decoder.tokenizer.decode([t for t in said if t >= 0])
            rare += [string in text for string in sample.rare]
    exact = [hit for hits in by_length.values() for hit in hits]
    return Recall(
        segments=len(samples),
        exact=sum(exact) / len(exact),
        edit=sum(edits) / len(edits),
        rare=sum(rare) / len(rare) if rare else None,
        by_length={length: sum(hits) / len(hits) for length, hits in by_length.items()},
    )


def edit_distance(a: Sequence[int], b: Sequence[int]) -> int:
    """Fewest insertions, deletions and replacements that turn `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]
