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
from larimar_memory.latents.states import Segments
from larimar_memory.train.batches import IGNORED, Recital, after, rectangle
from larimar_memory.train.losses import divergence
from larimar_memory.train.questions import ask
from larimar_memory.train.recipe import Recipe, Stage
from larimar_memory.train.sampling import Sample, Source, draw_length, in_rows
from larimar_memory.train.stages import Recite

_LONGEST_ANSWER = 40
_ROWS = 8
_TOP = 64


@dataclass(frozen=True, slots=True)
class Taught:
    """Questions with the teacher's answers.

    Attributes:
        segments: rows * count segments, in the order in which their readouts are placed.
        inputs: the chat after the recalled passages, then the teacher's answer; padded on the right.
        labels: the answer's tokens where the decoder should say them, `IGNORED` elsewhere.
        tokens, scores: the teacher's likeliest next tokens and the logarithms of their probabilities,
            in a row for every label.
        window: how many consecutive segments are read as one text: those of one passage are.
    """

    segments: Segments
    count: int
    inputs: Int[Tensor, "b t"]
    labels: Int[Tensor, "b t"]
    tokens: Int[Tensor, "n top"]
    scores: Float[Tensor, "n top"]
    seed: int
    window: int

    @property
    def size(self) -> int:
        """How many labels there are."""
        return len(self.tokens)


class Answers(Recite):
    """Answer from readouts as the plain decoder answers from the text in its prompt; recite too.

    The teacher is the same decoder without adapters; what it says, greedily, is what is learnt, by the
    divergence of the student's next-token distribution from the teacher's. Answering costs the teacher
    more than learning costs the student, so a limited number of questions is asked over and over.
    """

    def __init__(self, codec: LatentCodec, stage: Stage, recipe: Recipe, source: Source) -> None:
        super().__init__(codec, stage, recipe, source)
        self.decoder = codec.decoder
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
                self._asked[number] = self._taught(self._questioner(number))
            out.append(replace(self._asked[number], seed=rng.getrandbits(62)))
            left -= out[-1].size
        return out

    def loss(self, batch: Recital | Taught) -> Float[Tensor, ""]:
        """Divergence from the teacher, or cross-entropy for what is recited."""
        if isinstance(batch, Recital):
            return super().loss(batch)
        prefix = self.prefix(batch.segments, batch.count, batch.seed, batch.window)
        with self.codec.adapters.attached():
            hidden = after(self.model, prefix, batch.inputs)[batch.labels != IGNORED]
            return divergence(hidden, self.model.lm_head.weight, batch.tokens, batch.scores)

    @torch.no_grad()
    def held_out(self, source: Source, questions: int) -> float:
        """Mean divergence from the teacher, in nats a token, on questions about text not trained on.

        The same questions at every call.
        """
        learner = Answers(self.codec, self.stage.model_copy(update={"noise": 0.0}), self.recipe, source)
        if not self._held_out:
            for number in range(-(-questions // _ROWS)):
                self._held_out.append(learner._taught(learner._questioner(-1 - number)))
        loss = sum(float(learner.loss(batch)) for batch in self._held_out)
        return loss / sum(batch.size for batch in self._held_out)

    def _questioner(self, number: int) -> random.Random:
        """Makes the same questions for a number in every run: nothing of them needs to be kept."""
        return random.Random(f"{self.recipe.seed}:questions:{number}")  # noqa: S311 - no secrets are drawn

    def _taught(self, rng: random.Random) -> Taught:
        count = rng.randint(1, self.stage.readouts)
        shortest = max(8, self.stage.shortest)
        longest = self.stage.longest or self.recipe.codec.limit
        together = rng.random() < self.stage.consecutive
        if together:
            rows = [self.source.consecutive(rng, count, shortest, longest) for _ in range(_ROWS)]
        else:
            length = draw_length(rng, shortest, longest)
            rows = in_rows(self.source.samples(rng, _ROWS * count, length), count)
        questions, prompts = list[str](), list[list[int]]()
        for row in rows:
            wanted = rng.choice(row)
            questions.append(ask(passage(wanted.text), wanted.rare, rng))
            # Best first, as recall gives them; a readout's place is that of its passage in the prompt.
            texts = [passage(sample.text) for sample in reversed(row)]
            prompts.append(self.decoder.chat_tokens(messages(questions[-1], texts)))
        return self._student(rows, questions, *self._teach(prompts), window=count if together else 1)

    @torch.no_grad()
    def _teach(self, prompts: list[list[int]]) -> tuple[list[list[int]], Tensor]:
        """The plain decoder's greedy answers, ends included, and all its logits for their tokens."""
        end, device = self.codec.anatomy.end, self.codec.device
        width = max(len(p) for p in prompts)
        tokens = torch.tensor([[end] * (width - len(p)) + p for p in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        out = self.model.generate(
            tokens,
            attention_mask=mask,
            max_new_tokens=_LONGEST_ANSWER,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
            return_dict_in_generate=True,
            output_logits=True,
        )
        answers, logits = list[list[int]](), list[Tensor]()
        for number, row in enumerate(out.sequences[:, width:].tolist()):
            answer = row[: row.index(end) + 1] if end in row else row
            answers.append(answer)
            logits += [step[number] for step in out.logits[: len(answer)]]
        return answers, torch.stack(logits)

    def _student(
        self,
        rows: list[list[Sample]],
        questions: list[str],
        answers: list[list[int]],
        target: Tensor,
        *,
        window: int,
    ) -> Taught:
        inputs, labels = list[list[int]](), list[list[int]]()
        for question, answer in zip(questions, answers, strict=True):
            _, prompt = self.decoder.around_recalled(question)
            inputs.append(prompt + answer[:-1])
            labels.append([IGNORED] * (len(prompt) - 1) + answer)
        end, device = self.codec.anatomy.end, self.codec.device
        width = max(len(row) for row in inputs)
        likeliest = target.float().log_softmax(-1).topk(min(_TOP, target.shape[1]))
        return Taught(
            segments=self.codec.padded([sample.tokens for row in rows for sample in row]),
            count=len(rows[0]),
            inputs=rectangle(inputs, width, end).to(device),
            labels=rectangle(labels, width, IGNORED).to(device),
            tokens=likeliest.indices,
            scores=likeliest.values,
            seed=0,
            window=window,
        )
