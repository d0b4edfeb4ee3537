"""The last stage: answer from latents as the plain decoder answers from the text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from larimar_memory.decoders.prompt import messages, passage
from larimar_memory.latents.codec import LatentCodec
from larimar_memory.train.batches import IGNORED, Recital, after, rectangle
from larimar_memory.train.losses import divergence
from larimar_memory.train.questions import ask
from larimar_memory.train.recipe import Recipe, Stage
from larimar_memory.train.sampling import SampleSource, draw_length, in_rows
from larimar_memory.train.stages import Recite

_LONGEST_ANSWER = 40
_ROWS = 8
_TOP = 64


@dataclass(frozen=True, slots=True)
class Taught(Recital):
    """Questions with the teacher's answers; the rest of the chat is read after the prefix.

    Attributes:
        tokens, scores: the teacher's likeliest next tokens and the logarithms of their probabilities,
            one row per label.
    """

    tokens: Int[Tensor, "n top"]
    scores: Float[Tensor, "n top"]


class Answers(Recite):
    """Answer from readouts as the plain decoder answers from the text in its prompt; recite too.

    The teacher is the same decoder without adapters. The student learns the teacher's greedy answers;
    the loss is the divergence of its next-token distribution from the teacher's. Answering costs the
    teacher more than learning costs the student, so a limited number of questions is asked repeatedly.
    """

    def __init__(self, codec: LatentCodec, stage: Stage, recipe: Recipe, source: SampleSource) -> None:
        super().__init__(codec, stage, recipe, source)
        self._asked = dict[int, Taught]()
        self._held_out = list[Taught]()

    def batches(self, rng: random.Random) -> Sequence[Any]:
        """Some batches to recite, then some to answer."""
        recited = int(self.stage.tokens * self.stage.recite_share)
        out: list[Any] = self.recitals(rng, recited) if recited else []
        left = self.stage.tokens - recited
        while left > 0:
            number = rng.randrange(-(-self.stage.questions // _ROWS))
            if number not in self._asked:
                self._asked[number] = self._taught(number)
            out.append(replace(self._asked[number], seed=rng.getrandbits(62)))
            left -= out[-1].size
        return out

    def loss(self, batch: Recital) -> Float[Tensor, ""]:
        """Divergence from the teacher, or cross-entropy for what is recited."""
        if not isinstance(batch, Taught):
            return super().loss(batch)
        model, prefix = self.codec.anatomy.model, self.prefix(batch)
        with self.codec.adapters.attached():
            hidden = after(model, prefix, batch.inputs)[batch.labels != IGNORED]
            return divergence(hidden, model.lm_head.weight, batch.tokens, batch.scores)

    @torch.no_grad()
    def held_out(self, source: SampleSource, questions: int) -> float:
        """Mean divergence from the teacher, in nats per token, on questions about held-out text.

        The questions are the same at every call.
        """
        learner = Answers(self.codec, self.stage.model_copy(update={"noise": 0.0}), self.recipe, source)
        if not self._held_out:
            self._held_out = [learner._taught(-1 - n) for n in range(-(-questions // _ROWS))]
        loss = sum(float(learner.loss(batch)) for batch in self._held_out)
        return loss / sum(batch.size for batch in self._held_out)

    def _taught(self, number: int) -> Taught:
        """The questions with a number; they are the same in every run, so none need be kept."""
        rng = random.Random(f"{self.recipe.seed}:questions:{number}")  # noqa: S311 - no secrets are drawn
        count = rng.randint(1, self.stage.readouts)
        shortest, longest = max(8, self.stage.shortest), self.recipe.longest(self.stage)
        together = rng.random() < self.stage.consecutive
        if together:
            rows = [self.source.consecutive(rng, count, shortest, longest) for _ in range(_ROWS)]
        else:
            length = draw_length(rng, shortest, longest)
            rows = in_rows(self.source.samples(rng, _ROWS * count, length), count)
        decoder, questions, prompts = self.codec.decoder, list[str](), list[list[int]]()
        for row in rows:
            wanted = rng.choice(row)
            questions.append(ask(passage(wanted.text), wanted.rare, rng))
            # Best first, as recall gives them; the prompt reverses them, into the order of the latents.
            texts = [passage(sample.text) for sample in reversed(row)]
            prompts.append(decoder.chat_tokens(messages(questions[-1], texts)))
        answers, logits = self._teach(prompts)
        likeliest = logits.float().log_softmax(-1).topk(min(_TOP, logits.shape[1]))
        inputs, labels = list[list[int]](), list[list[int]]()
        for question, answer in zip(questions, answers, strict=True):
            _, prompt = decoder.around_recalled(question)
            inputs.append(prompt + answer[:-1])
            labels.append([IGNORED] * (len(prompt) - 1) + answer)
        return Taught(
            segments=self.codec.padded([sample.tokens for row in rows for sample in row]),
            count=count,
            inputs=rectangle(inputs, self.codec.anatomy.end, self.codec.device),
            labels=rectangle(labels, IGNORED, self.codec.device),
            seed=0,
            window=count if together else 1,
            tokens=likeliest.indices,
            scores=likeliest.values,
        )

    @torch.no_grad()
    def _teach(self, prompts: list[list[int]]) -> tuple[list[list[int]], Float[Tensor, "n v"]]:
        """The plain decoder's greedy answers, with their ends, and its logits for all their tokens."""
        end, device = self.codec.anatomy.end, self.codec.device
        tokens = rectangle(prompts, end, device, "left")
        out = self.codec.anatomy.model.generate(
            tokens,
            attention_mask=rectangle([[1] * len(p) for p in prompts], 0, device, "left"),
            max_new_tokens=_LONGEST_ANSWER,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
            return_dict_in_generate=True,
            output_logits=True,
        )
        answers, logits = list[list[int]](), list[Tensor]()
        for number, row in enumerate(out.sequences[:, tokens.shape[1] :].tolist()):
            answer = row[: row.index(end) + 1] if end in row else row
            answers.append(answer)
            logits += [step[number] for step in out.logits[: len(answer)]]
        return answers, torch.stack(logits)
