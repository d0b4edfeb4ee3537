"""The stage that grounds answers: in latents, by the decoder with its answering adapter on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from larimar_memory.decoders.base import LatentDecoder
from larimar_memory.decoders.prompt import INSTRUCTIONS, passage, passages
from larimar_memory.errors import InputError
from larimar_memory.latents.adapting import adapter_for
from larimar_memory.latents.answering import AnsweringAdapter, load_adapter
from larimar_memory.latents.codec import LatentCodec
from larimar_memory.latents.latent_memory import in_windows
from larimar_memory.latents.prefix import Prefix
from larimar_memory.latents.states import Segments
from larimar_memory.text.segments import segment
from larimar_memory.train.batches import IGNORED, Recital, after_layers, rectangle
from larimar_memory.train.losses import cross_entropy, divergence, unexplained
from larimar_memory.train.packs import Asked, Packs, answer_ids, prompt_ids
from larimar_memory.train.recipe import Recipe, Stage
from larimar_memory.train.rows import Row, read_rows
from larimar_memory.train.sampling import SampleSource
from larimar_memory.train.shown import Shown
from larimar_memory.train.stages import Recite, in_half_precision, noisy

_TOP = 64
_SHOWN_TOKENS = 400


@dataclass(frozen=True, slots=True)
class Lessons:
    """What answers are learnt from.

    Attributes:
        rows: reading comprehension, also rows that are held out.
        adapter: that answers are given with, from text and from latents; it stays as it is.
    """

    rows: Sequence[Row]
    adapter: AnsweringAdapter


def lessons(rows: Path, decoder: LatentDecoder, adapter: Path | None = None) -> Lessons:
    """Rows of a folder, and an answering adapter, by default that which ships for the decoder.

    Raises:
        InputError: if there are no rows, or no adapter ships.
        ModelError: if the adapter is none for the decoder.
    """
    folder = adapter or adapter_for(decoder.name)
    if folder is None:
        raise InputError(
            "Latents cannot learn to ground answers.",
            f"No answering adapter ships for the decoder {decoder.name!r}.",
            "Train one with `larimar train --recipe answers`, and name its folder.",
        )
    return Lessons(read_rows(rows), load_adapter(folder, decoder))


@dataclass(frozen=True, slots=True)
class Reading:
    """Questions asked of one recalled text, side by side.

    Attributes:
        segments: windows of `window` rows, window by window; some rows are empty.
        inputs: what the decoder reads after the prefix: the rest of the chat, then the answer.
        labels: the token that comes next, `IGNORED` where it is not the answer's.
        prompts: of each question, the chat with the text in it, and its answer.
        lengths: tokens of each answer, its end included.
    """

    segments: Segments
    window: int
    inputs: Int[Tensor, "b t"]
    labels: Int[Tensor, "b t"]
    prompts: list[list[int]]
    lengths: list[int]
    seed: int

    @property
    def size(self) -> int:
        """How many labels there are."""
        return sum(self.lengths)


@dataclass(frozen=True, slots=True)
class Teacher:
    """What the teacher, which has read the texts, makes of a `Reading`.

    Attributes:
        tokens: its likeliest ones at every label.
        scores: the natural logarithms of their probabilities.
        read: which of the reading's inputs it has read too, as tokens of their own.
        layers: its hidden states there, after every layer.
    """

    tokens: Int[Tensor, "n top"]
    scores: Float[Tensor, "n top"]
    read: Bool[Tensor, "b t"]
    layers: Sequence[Float[Tensor, "m h"]]


class Grounded(Recite):
    """Answer from latents as the adapted decoder answers from text; recite too.

    What is learnt is the answers, and how likely the teacher finds each token, reading the text: the
    same decoder with its answering adapter on. Where the stage says so, the decoder's hidden states are
    to be the teacher's too, all the way from the question to the answer. Encoder, head and the codec's
    own adapters learn; the answering adapter, which acts beside them, serves text as well, and stays.

    Args:
        lessons: where the questions come from.
        held_out: whether rows are asked that are held out, in place of all others.

    Raises:
        InputError: if the mix has no rows of either kind.
    """

    def __init__(
        self,
        codec: LatentCodec,
        stage: Stage,
        recipe: Recipe,
        source: SampleSource,
        lessons: Lessons,
        *,
        held_out: bool = False,
    ) -> None:
        super().__init__(codec, stage, recipe, source)
        self._adapter = lessons.adapter
        self._lessons = lessons
        for held in (not held_out, held_out):
            rows = [row for row in lessons.rows if row.held_out is held]
            packs = Packs(rows, codec.decoder.tokenizer, stage.mix, _SHOWN_TOKENS, recipe.seed)
            # Told before the first step, not at the first check.
            if not packs.askable:
                kind = "held out" if held else "learnt from"
                raise InputError(
                    "Training cannot begin.",
                    f"Of the files in the stage's mix, no row is {kind}.",
                    "Give rows of those files, some of a split for validation, or change the mix.",
                )
        self._packs, self._texts = packs, [row.context for row in rows]

    def batches(self, rng: random.Random) -> Sequence[Any]:
        """Some batches to recite, then some to answer."""
        recited = int(self.stage.tokens * self.stage.recite_share)
        out: list[Any] = self.recitals(rng, recited) if recited else []
        left = self.stage.tokens - recited
        while left > 0:
            if (made := self._reading(rng)) is not None:
                out.append(made)
                left -= made.size
        return out

    def loss(self, batch: Recital | Reading) -> Float[Tensor, ""]:
        """Cross-entropy with the answers, and divergence from the teacher, in the stage's shares."""
        if isinstance(batch, Recital):
            return super().loss(batch)
        model, prefix = self.codec.anatomy.model, self._prefix(batch)
        wanted = batch.labels != IGNORED
        with self.codec.joined(self._adapter.adapters).attached():
            layers = after_layers(model, prefix, batch.inputs)
        hidden = layers[-1][wanted]
        loss = cross_entropy(hidden, model.lm_head.weight, batch.labels[wanted])
        if not self.stage.taught and not self.stage.near:
            return loss
        teacher = self._teach(batch)
        if self.stage.taught:
            taught = divergence(hidden, model.lm_head.weight, teacher.tokens, teacher.scores)
            loss = (1 - self.stage.taught) * loss + self.stage.taught * taught
        if self.stage.near:
            read = [layer[teacher.read] for layer in layers]
            apart = [unexplained(*pair) for pair in zip(read, teacher.layers, strict=True)]
            loss = loss + self.stage.near * batch.size * torch.stack(apart).mean()
        return loss

    @torch.no_grad()
    def held_out(self, source: SampleSource, questions: int) -> float:
        """Mean cross-entropy of answers to questions that are held out, in nats a token.

        The same questions at every call.
        """
        alone = self.stage.model_copy(update={"noise": 0.0, "taught": 0.0})
        learner = Grounded(self.codec, alone, self.recipe, source, self._lessons, held_out=True)
        rng = random.Random(f"{self.recipe.seed}:grounded")  # noqa: S311 - no secrets are drawn
        loss, labels = 0.0, 0
        while questions > 0:
            if (made := learner._reading(rng)) is not None:
                loss, labels = loss + float(learner.loss(made)), labels + made.size
                questions -= len(made.lengths)
        return loss / labels

    def _reading(self, rng: random.Random) -> Reading | None:
        """Questions drawn from the mix; None where what was drawn cannot be asked."""
        shown, asked = self._packs.drawn(rng)
        if not asked:
            return None
        shown = self._among(shown, rng)
        codec, tokenizer = self.codec, self.codec.decoder.tokenizer
        texts = passages(shown.texts)
        # The best is read last, nearest to the question, as in a prompt.
        windows = [
            window
            for text in reversed(texts)
            for window in in_windows([s.text.strip() for s in segment(text)])
        ]
        count = max(map(len, windows))
        ids = [[codec.tokens(text) for text in window] for window in windows]
        padded = [[*window, *([[]] * (count - len(window)))] for window in ids]
        inputs, labels, prompts = list[list[int]](), list[list[int]](), list[list[int]]()
        answers = [answer_ids(tokenizer, one) for one in asked]
        for one, answer in zip(asked, answers, strict=True):
            rest = self._rest(one)
            inputs.append(rest + answer[:-1])
            labels.append([IGNORED] * (len(rest) - 1) + answer)
            prompts.append(prompt_ids(tokenizer, texts, one) + answer)
        return Reading(
            segments=codec.padded([segment for window in padded for segment in window]),
            window=count,
            inputs=rectangle(inputs, codec.anatomy.end, codec.device),
            labels=rectangle(labels, IGNORED, codec.device),
            prompts=prompts,
            lengths=[len(answer) for answer in answers],
            seed=rng.getrandbits(62),
        )

    def _rest(self, one: Asked) -> list[int]:
        """What stands after the recalled passages."""
        style = INSTRUCTIONS[one.style]
        return self.codec.decoder.around_recalled(one.question, (), one.begun, style)[1]

    def _among(self, shown: Shown, rng: random.Random) -> Shown:
        """The same, often among passages of other texts, in any order."""
        texts, room = list(shown.texts), rng.randint(0, self.stage.beside)
        decoder = self.codec.decoder
        while self._texts and room > 0:
            other = passage(rng.choice(self._texts))
            room -= decoder.count(other)
            if room > 0:
                texts.insert(rng.randint(0, len(texts)), other)
        return Shown(tuple(texts), ("",) * len(texts))

    def _prefix(self, batch: Reading) -> Prefix:
        """One prefix of all segments, for every question."""
        codec, rows = self.codec, len(batch.segments.tokens)
        features = codec.features.in_windows(batch.segments, batch.window)
        with in_half_precision(codec):
            z, mask = codec.encoder(features, batch.segments.mask)
            states = codec.head(noisy(z, self.stage.noise, batch.seed), mask)
        one = codec.placed(states.gaps_first(rows), rows)
        b = len(batch.inputs)
        keys, values = (x.expand(-1, b, -1, -1, -1) for x in (one.keys, one.values))
        return Prefix(keys, values, one.mask.expand(b, -1))

    @torch.no_grad()
    def _teach(self, batch: Reading) -> Teacher:
        """What the teacher makes of the texts, each with a question and its answer."""
        model, end = self.codec.anatomy.model, self.codec.anatomy.end
        # The texts, with which all prompts begin, are read once.
        after = [int((labels != IGNORED).nonzero().max()) + 1 for labels in batch.labels]
        shared = min(len(p) - 1 - n for p, n in zip(batch.prompts, after, strict=True))
        begun = [set(ids) for ids in zip(*batch.prompts, strict=False)][:shared]
        shared = next((n for n, ids in enumerate(begun) if len(ids) > 1), shared)
        texts = torch.tensor([batch.prompts[0][:shared]], device=self.codec.device)
        prompts = [prompt[shared:] for prompt in batch.prompts]
        tokens = rectangle(prompts, end, self.codec.device)
        with self._adapter.attached():
            cache = model.model(input_ids=texts, use_cache=True).past_key_values
            cache.batch_repeat_interleave(len(prompts))
            layers = model.model(
                input_ids=tokens, past_key_values=cache, use_cache=True, output_hidden_states=True
            ).hidden_states[1:]
        labels = list[Tensor]()
        ours, theirs = (torch.zeros_like(ids, dtype=torch.bool) for ids in (batch.inputs, tokens))
        for n, (prompt, length) in enumerate(zip(prompts, batch.lengths, strict=True)):
            labels.append(layers[-1][n, len(prompt) - length - 1 : len(prompt) - 1])
            # The end of a prompt is what is read after the latents, but where a token spans both.
            read, used, ids = len(prompt) - 1, after[n], batch.inputs[n].tolist()
            same = 0
            while same < min(used, read) and prompt[read - 1 - same] == ids[used - 1 - same]:
                same += 1
            ours[n, used - same : used] = theirs[n, read - same : read] = True
        scores = model.lm_head(torch.cat(labels)).float().log_softmax(-1)
        likeliest = scores.topk(min(_TOP, scores.shape[1]))
        states = [layer[theirs] for layer in layers]
        return Teacher(likeliest.indices, likeliest.values, ours, states)
