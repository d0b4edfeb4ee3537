"""Training of the answering adapter: one pass over packed questions, which resumes exactly."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from larimar_memory.decoders.base import LatentDecoder
from larimar_memory.errors import InputError
from larimar_memory.latents.adapters import Adapters
from larimar_memory.latents.answering import load_adapter, new_adapters, save_adapter
from larimar_memory.latents.description import described
from larimar_memory.train import checkpoint
from larimar_memory.train.answers_recipe import AnswersRecipe
from larimar_memory.train.loop import bar, schedule
from larimar_memory.train.packs import Pack, Packs
from larimar_memory.train.rows import Row, read_rows
from larimar_memory.train.side_by_side import attention_within_packs, hidden_states, laid_out


@dataclass(slots=True)
class Learnt:
    """How far training has come; a resumed run needs this besides tensors.

    Attributes:
        total_steps: optimizer steps taken.
        questions, tokens: how many were read so far.
        checked: the last check's figures.
    """

    total_steps: int = 0
    questions: int = 0
    tokens: int = 0
    seconds: float = 0.0
    checked: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdapterTrained:
    """The outcome of a run of `train_answers`.

    Attributes:
        done: whether all steps are taken; if not, the time was up, and the run can be resumed.
        folder: folder of the exported adapter.
    """

    done: bool
    folder: Path
    progress: Learnt


def train_answers(
    recipe: AnswersRecipe,
    decoder: LatentDecoder,
    data: Path,
    out: Path,
    *,
    start: Path | None = None,
    resume: bool = True,
    time_limit: float | None = None,
    show: bool = False,
) -> AdapterTrained:
    """Train an answering adapter (LoRA, arXiv 2106.09685) and export it to `out / "adapter"`.

    The loss is that of answers alone. The decoder's weights stay as they are.

    Args:
        data: a folder of JSON lines, as `read_rows` takes it; held-out rows are only used for checks.
        start: an adapter for the same decoder to start from if there is no checkpoint; without one, the
            updates begin at zero.
        resume: continue from the checkpoint in `out`, if there is one; otherwise start anew.
        time_limit: seconds after which to stop, with a checkpoint.
        show: draw a progress bar.

    Raises:
        InputError: if there are no rows, the checkpoint is of another recipe or damaged, or `start`
            has another rank than the recipe or is missing where the recipe keeps some of it.
        ModelError: if the decoder is not llama-like, or `start` is not an adapter for it.
    """
    if recipe.keep and start is None:
        raise InputError(
            "Training cannot begin.",
            f"The recipe keeps {recipe.keep} of the adapter that it starts from, and none is given.",
            "Name one as `start`, or set the recipe's keep to 0.",
        )
    began = time.perf_counter()
    rows = read_rows(data, recipe.without)
    out.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(), attention_within_packs(decoder.model):
        torch.manual_seed(recipe.seed)
        run = _Run(recipe, decoder, rows, out)
        if not (resume and run.restore()) and start is not None:
            run.start_from(start)
        with bar(recipe.steps, show, run.progress.total_steps) as advance:
            done = run.to_the_end(began, time_limit, advance)
        run.save()
        if done and start is not None and recipe.keep:
            run.keep(start)
    kept = {"recipe": recipe.model_dump(mode="json"), **asdict(run.progress)}
    if start is not None:
        kept["before"] = described(start)["figures"]
    save_adapter(run.adapters, decoder, out / "adapter", kept)
    return AdapterTrained(done, out / "adapter", run.progress)


class _Run:
    """A run of `train_answers`."""

    def __init__(
        self, recipe: AnswersRecipe, decoder: LatentDecoder, rows: list[Row], out: Path
    ) -> None:
        self.recipe, self.decoder, self.out = recipe, decoder, out
        self.adapters = new_adapters(decoder, recipe.rank)
        self.progress = Learnt()
        groups = [
            {"params": list(self.adapters.down.parameters()), "highest": recipe.down_rate},
            {"params": list(self.adapters.up.parameters()), "highest": recipe.up_rate},
        ]
        self._optimizer = torch.optim.AdamW(
            groups, lr=0.0, betas=(0.9, 0.98), weight_decay=recipe.decay, fused=True
        )
        learnt, held_out = (
            Packs(
                [row for row in rows if row.held_out is held],
                decoder.tokenizer,
                recipe.mix,
                recipe.longest,
                recipe.seed,
            )
            for held in (False, True)
        )
        self._packs = learnt
        self._checks = _made(held_out, list(itertools.islice(held_out.plan(), recipe.check_packs)))

    def start_from(self, folder: Path) -> None:
        """Start from the updates of an adapter."""
        rank = described(folder)["rank"]
        if rank != self.recipe.rank:
            raise InputError(
                "Training cannot begin.",
                f"The adapter in {folder} has rank {rank}, and the recipe {self.recipe.rank}.",
                "Use a recipe with the adapter's rank, or begin from nothing.",
            )
        self.adapters.load_state_dict(load_adapter(folder, self.decoder).adapters.state_dict())

    def keep(self, folder: Path) -> None:
        """Take the mean with an adapter's updates, and check it; checkpoints have what was trained."""
        before = load_adapter(folder, self.decoder).adapters.state_dict()
        trained = self.adapters.state_dict()
        mean = {name: x.lerp(before[name].float(), self.recipe.keep) for name, x in trained.items()}
        self.adapters.load_state_dict(mean)
        self.progress.checked = self._check()
        self._log(step=self.progress.total_steps, kept=self.recipe.keep, **self.progress.checked)

    def restore(self) -> bool:
        """Continue from the checkpoint; false if there is none."""
        if (found := checkpoint.load(self.out)) is None:
            return False
        tensors, counters = found
        checkpoint.check_recipe(counters, self.recipe)
        self.adapters.load_state_dict(checkpoint.with_prefix("adapters.", tensors))
        checkpoint.restore_optimizer(self._optimizer, self.adapters, tensors)
        self.progress = Learnt(**{name: counters[name] for name in Learnt.__slots__})
        return True

    def to_the_end(self, began: float, limit: float | None, advance: Any) -> bool:
        """Take all steps that are left; false if the time is up first."""
        at, saved = self.progress, time.perf_counter()
        base, before, mean = at.seconds, at.total_steps, 0.0
        planned = self._packs.plan()
        for _ in itertools.islice(planned, at.total_steps * self.recipe.packs):
            pass
        while at.total_steps < self.recipe.steps:
            now = time.perf_counter()
            # However short the time, a run takes one step, so that repeated runs come to an end.
            late = limit is not None and now - began > limit and at.total_steps > before
            if late or now - saved > self.recipe.save_every:
                self.save()
                saved = now
            if late:
                return False
            entries = list(itertools.islice(planned, self.recipe.packs))
            packs = _made(self._packs, entries)
            if not packs:
                raise InputError(
                    "Training cannot go on.",
                    f"A step has no question, or their texts are over {self.recipe.longest} tokens.",
                    "Give rows of files that the recipe's mix names, or raise its `longest`.",
                )
            loss = self._step(packs)
            at.total_steps += 1
            at.questions += sum(len(p.rests) for p in packs)
            at.tokens += (size := sum(p.size for p in packs))
            at.seconds = base + time.perf_counter() - began
            mean = loss if not mean else 0.95 * mean + 0.05 * loss
            rate = size / (time.perf_counter() - now)
            self._log(step=at.total_steps, loss=loss, mean=mean, tokens_per_second=rate)
            if at.total_steps % self.recipe.check_every == 0 or at.total_steps == self.recipe.steps:
                at.checked = self._check()
                self._log(step=at.total_steps, **at.checked)
            advance("answers", mean, rate, at.checked)
        return True

    def save(self) -> None:
        """Write a checkpoint."""
        tensors = {f"adapters.{name}": x for name, x in self.adapters.state_dict().items()}
        tensors |= checkpoint.optimizer_tensors(self._optimizer, self.adapters)
        counters = {**asdict(self.progress), "recipe": self.recipe.model_dump(mode="json")}
        checkpoint.save(self.out, tensors, counters)

    def _step(self, packs: list[Pack]) -> float:
        share = schedule(self.recipe, self.progress.total_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = group["highest"] * share
        weight = sum(sum(n**0.5 for n in p.labels) for p in packs)
        losses, _ = answer_losses(self.decoder, self.adapters, packs)
        # An answer counts by the root of its length, lest a few long ones be most of the loss.
        parts = losses.split([n for p in packs for n in p.labels])
        loss = torch.stack([part.sum() / len(part) ** 0.5 for part in parts]).sum() / weight
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self.adapters.parameters()), self.recipe.clip)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return float(loss.detach())

    @torch.no_grad()
    def _check(self) -> dict[str, float]:
        """On held-out rows: loss per token, and shares of answers and refusals that are all right."""
        loss = labels = answered = exact = refusals = refused = 0.0
        for at in range(0, len(self._checks), self.recipe.packs):
            packs = self._checks[at : at + self.recipe.packs]
            losses, right = answer_losses(self.decoder, self.adapters, packs)
            loss, labels = loss + float(losses.sum()), labels + len(losses)
            hits = right.split([n for p in packs for n in p.labels])
            for hit, is_refusal in zip(hits, [r for p in packs for r in p.refused], strict=True):
                whole = bool(hit.all())
                refusals, answered = refusals + is_refusal, answered + (not is_refusal)
                refused, exact = refused + (is_refusal and whole), exact + (not is_refusal and whole)
        return {
            "held_out_loss": loss / max(1.0, labels),
            "exact": exact / max(1.0, answered),
            "refused": refused / max(1.0, refusals),
        }

    def _log(self, **values: Any) -> None:
        checkpoint.log(self.out, values, self.progress.seconds)


def _made(packs: Packs, entries: list[tuple[str, int, int]]) -> list[Pack]:
    return [made for entry in entries if (made := packs.made(*entry)) is not None]


def answer_losses(
    decoder: LatentDecoder, adapters: Adapters, packs: Sequence[Pack]
) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """The cross-entropy of every answer token of some packs, in order, and whether it would be chosen.

    All questions stand in one sequence. Each attends to its shared prompt and to itself, at the
    positions that it would have alone.
    """
    model = decoder.model
    laid = laid_out(packs, model)
    with adapters.learning():
        hidden = hidden_states(model, laid)
    logits = model.lm_head(hidden[laid.wanted - 1]).float()
    labels = laid.tokens[laid.wanted]
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    return losses, logits.argmax(-1) == labels
