"""The training loop: stages in turn, resumed exactly, measured on the way."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.optim import Optimizer

from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.errors import InputError
from larimar_memory.latents.bundle import figures_of, save_bundle
from larimar_memory.latents.codec import LatentCodec
from larimar_memory.train import checkpoint
from larimar_memory.train.answers import Answers
from larimar_memory.train.answers_recipe import AnswersRecipe
from larimar_memory.train.balance import balance
from larimar_memory.train.evaluate import from_exact, from_latents, recall
from larimar_memory.train.grounded import Grounded, Lessons
from larimar_memory.train.passages import read_folder
from larimar_memory.train.predicting import predict
from larimar_memory.train.recipe import Recipe, Stage
from larimar_memory.train.sampling import Sample, Sampler, SampleSource, draw_length
from larimar_memory.train.stages import Exact, Learner, Recite, Regress
from larimar_memory.train.start import mix_in, start_from

_LEARNERS: dict[str, Callable[[LatentCodec, Stage, Recipe, SampleSource], Learner]] = {
    "exact": Exact,
    "regress": Regress,
    "recite": Recite,
    "answer": Answers,
}
_SMOOTHING = 0.9


@dataclass(slots=True)
class Progressed:
    """How far training has come; everything that a resumed run needs besides tensors.

    Random numbers come from generators seeded by (recipe's seed, stage, step), so these two counters
    are the random state too.
    """

    stage: int = 0
    step: int = 0
    total_steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    checked: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome of a run of `train`.

    Attributes:
        done: whether all stages are finished; if not, the time was up, and the run can be resumed.
        bundle: folder of the exported codec.
        progress: how far training came, with the last free-running check's figures.
    """

    codec: LatentCodec
    done: bool
    bundle: Path
    progress: Progressed


def train(
    recipe: Recipe,
    decoder: TransformersDecoder,
    data: Path | tuple[SampleSource, SampleSource],
    out: Path,
    *,
    start: Path | None = None,
    lessons: Lessons | None = None,
    resume: bool = True,
    time_limit: float | None = None,
    show: bool = False,
) -> Trained:
    """Train a codec for a decoder by a recipe, then export it to `out / "bundle"`.

    `out` also receives checkpoints and `log.jsonl`. A run that was stopped continues from its last
    checkpoint, and ends with the same weights as one that was not.

    Args:
        data: a folder of text, or a source to train on and one to check on.
        start: a bundle for the same decoder, from which new stages start, as `start_from` takes it;
            without one, everything begins at random.
        lessons: questions and the answering adapter, for stages that "ground" answers.
        resume: continue from the checkpoint in `out`, if there is one; otherwise start anew.
        time_limit: seconds after which to stop, with a checkpoint.
        show: draw a progress bar.

    Raises:
        InputError: if there is no text, the checkpoint is of another recipe or damaged, the adapters of
            `start` are of another rank than the recipe's, there is no `start` to `keep` a share of, or
            there are no `lessons` for a stage that needs them.
        ModelError: if the decoder cannot use latents, or `start` is not a bundle for it.
    """
    began = time.perf_counter()
    if recipe.keep and start is None:
        raise InputError(
            "Training cannot begin from nothing.",
            f"The recipe keeps a share of {recipe.keep:g} of the weights that training begins with.",
            "Name a bundle to start from (--start), or a recipe that keeps nothing.",
        )
    if lessons is None and any(stage.kind == "ground" for stage in recipe.stages):
        raise InputError(
            "Training cannot begin.",
            'The recipe has a stage that learns to "ground" answers, and there are no questions.',
            "Name a folder of rows (--rows), or a recipe without that stage.",
        )
    # The decoder may answer afterwards, so training restores what it changes.
    with torch.random.fork_rng(), plain_attention(decoder.model):
        torch.manual_seed(recipe.seed)
        codec = LatentCodec(decoder, recipe.codec)
        found = checkpoint.load(out) if resume else None
        progress, tensors = Progressed(), dict[str, Tensor]()
        if found is not None:
            progress, tensors = _restored(codec, recipe, *found), found[0]
        elif start is not None:
            start_from(codec, start)
        if isinstance(data, Path):
            texts, held_out = read_folder(data, seed=recipe.seed, limit_mb=recipe.text_mb)
            tokenizer, rare = decoder.tokenizer, recipe.rare
            data = Sampler(texts, tokenizer, rare=rare), Sampler(held_out, tokenizer, rare=rare)
        out.mkdir(parents=True, exist_ok=True)
        run = _Run(recipe, codec, *data, out, progress, tensors, lessons)
        steps = sum(stage.steps for stage in recipe.stages)
        with bar(steps, show, progress.total_steps) as advance:
            done = run.to_the_end(began, time_limit, advance)
        if done and recipe.keep and start is not None:
            mix_in(codec, start, recipe.keep)
        if done and recipe.balance:
            run.balance()
        if done:
            run.predict()
    codec.eval().requires_grad_(False)
    figures = {"recipe": recipe.model_dump(mode="json"), "tokens": progress.tokens}
    figures |= {"seconds": round(progress.seconds, 1), "checked": progress.checked}
    if start is not None:
        figures["before"] = figures_of(start)
    save_bundle(codec, out / "bundle", figures)
    return Trained(codec, done, out / "bundle", progress)


@dataclass
class _Run:
    """A run of `train`; `tensors` are those of its checkpoint, until they are restored."""

    recipe: Recipe
    codec: LatentCodec
    source: SampleSource
    held_out: SampleSource
    out: Path
    progress: Progressed
    tensors: dict[str, Tensor]
    lessons: Lessons | None = None
    learner: Learner | None = None

    def to_the_end(self, began: float, limit: float | None, advance: Any) -> bool:
        """Run all stages that are left; false if the time is up first."""
        at, saved = self.progress, time.perf_counter()
        base, before = at.seconds, at.total_steps
        while at.stage < len(self.recipe.stages):
            stage = self.recipe.stages[at.stage]
            learner = self.learner = self._learner(stage)
            optimizer = self._optimizer(stage)
            if at.step == 0:
                learner.begin(self._rng("begin"))
            checkpoint.restore_optimizer(optimizer, self.codec, self.tensors)
            learner.tensors |= checkpoint.with_prefix("stage.", self.tensors)
            self.tensors = {}
            mean = 0.0
            while at.step < stage.steps:
                now = time.perf_counter()
                # However short the time, a run takes one step, so that repeated runs come to an end.
                late = limit is not None and now - began > limit and at.total_steps > before
                if late or now - saved > self.recipe.save_every:
                    self._save(optimizer, learner)
                    saved = now
                if late:
                    return False
                loss, size = self._step(stage, learner, optimizer)
                mean = loss if not mean else _SMOOTHING * mean + (1 - _SMOOTHING) * loss
                at.seconds = base + time.perf_counter() - began
                rate = size / (time.perf_counter() - now)
                self._log(stage=stage.kind, step=at.step, loss=loss, tokens_per_second=rate)
                advance(stage.kind, mean, rate, at.checked)
                if at.step % self.recipe.check_every == 0 or at.step == stage.steps:
                    self._check(stage, learner)
            at.stage, at.step = at.stage + 1, 0
            self._save()
            saved = time.perf_counter()
        return True

    def balance(self) -> None:
        """Balance latents by the last stage's loss; checkpoints keep them as they were before."""
        # If the stage has just run, its learner need not ask the teacher again.
        learner = self.learner or self._learner(self.recipe.stages[-1])
        balance(self.codec, learner, learner.labelled(self._rng("balance"), self.recipe.balance))

    def predict(self) -> None:
        """Fit how the latents are stored, on the text that was trained on."""
        predict(self.codec, self.source, self._rng("predict"), self.recipe.calibration)

    def _learner(self, stage: Stage) -> Learner:
        if stage.kind == "ground" and self.lessons is not None:
            return Grounded(self.codec, stage, self.recipe, self.source, self.lessons)
        return _LEARNERS[stage.kind](self.codec, stage, self.recipe, self.source)

    def _step(self, stage: Stage, learner: Learner, optimizer: Optimizer) -> tuple[float, int]:
        for group in optimizer.param_groups:
            group["lr"] = group["highest"] * schedule(stage, self.progress.step)
        batches = learner.batches(self._rng("step"))
        size = sum(batch.size for batch in batches)
        total = 0.0
        for batch in batches:
            # Weighted by labels, so that a step does not depend on how it is cut into batches.
            loss = learner.loss(batch) / size
            loss.backward()
            total += float(loss.detach())
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, self.recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        self.progress.step += 1
        self.progress.total_steps += 1
        self.progress.tokens += size
        return total, size

    def _optimizer(self, stage: Stage) -> Optimizer:
        """AdamW for the parameters that the stage trains; everything else is frozen."""
        codec, groups = self.codec, list[dict[str, Any]]()
        codec_rate = 0.0 if stage.kind == "exact" else stage.codec_rate
        adapter_rate = 0.0 if stage.kind == "regress" else stage.adapter_rate
        for rate, parameters in (
            (codec_rate, [*codec.encoder.parameters(), *codec.head.parameters()]),
            (adapter_rate, list(codec.adapters.parameters())),
        ):
            for parameter in parameters:
                parameter.requires_grad_(rate > 0)
            for decay, matrices in ((self.recipe.decay, True), (0.0, False)):
                chosen = [p for p in parameters if (p.ndim > 1) is matrices]
                if rate and chosen:
                    groups.append({"params": chosen, "highest": rate, "weight_decay": decay})
        return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)

    def _check(self, stage: Stage, learner: Learner) -> None:
        if stage.kind == "regress":
            return
        # The same segments at every check of a stage, so that the figures can be compared.
        rng = random.Random(f"{self.recipe.seed}:check")  # noqa: S311 - no secrets are drawn
        samples = list[Sample]()
        for _ in range(self.recipe.check_segments):
            length = draw_length(rng, stage.shortest, self.recipe.longest(stage))
            samples += self.held_out.samples(rng, 1, length)
        make = from_exact if stage.kind == "exact" else from_latents
        checked = {"stage": stage.kind, **recall(self.codec, samples, make).to_dict()}
        if isinstance(learner, Answers | Grounded):
            checked["divergence"] = learner.held_out(self.held_out, self.recipe.check_questions)
        self.progress.checked = checked
        self._log(step=self.progress.step, **checked)

    def _rng(self, purpose: str) -> random.Random:
        at = f"{self.recipe.seed}:{self.progress.stage}:{self.progress.step}"
        return random.Random(f"{at}:{purpose}")  # noqa: S311 - no secrets are drawn

    def _save(self, optimizer: Optimizer | None = None, learner: Learner | None = None) -> None:
        tensors = {f"codec.{name}": x for name, x in self.codec.state_dict().items()}
        if learner is not None:
            tensors |= {f"stage.{name}": x for name, x in learner.tensors.items()}
        if optimizer is not None:
            tensors |= checkpoint.optimizer_tensors(optimizer, self.codec)
        counters = {**asdict(self.progress), "recipe": self.recipe.model_dump(mode="json")}
        checkpoint.save(self.out, tensors, counters)

    def _log(self, **values: Any) -> None:
        checkpoint.log(self.out, values, self.progress.seconds)


def schedule(stage: Stage | AnswersRecipe, step: int) -> float:
    """Learning rate at a step, as a share of the highest: a linear rise, then half a cosine down."""
    if step < stage.warmup:
        return (step + 1) / stage.warmup
    done = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.floor + (1 - stage.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _restored(
    codec: LatentCodec, recipe: Recipe, tensors: dict[str, Tensor], counters: dict[str, Any]
) -> Progressed:
    """Put a checkpoint's weights into the codec; returns how far its run had come."""
    checkpoint.check_recipe(counters, recipe)
    codec.load_state_dict(checkpoint.with_prefix("codec.", tensors))
    return Progressed(**{field.name: counters[field.name] for field in fields(Progressed)})


@contextmanager
def plain_attention(model: Any) -> Iterator[None]:
    """On a CPU, attend by plain matrix products: their backward pass is faster at these lengths."""
    before = model.config._attn_implementation
    if model.device.type == "cpu":
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def bar(total: int, show: bool, done: int) -> Iterator[Any]:
    """A progress bar of training, as a function to call after every step."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("loss {task.fields[loss]:.4f}  {task.fields[rate]:,.0f} tokens/s"),
        TextColumn("{task.fields[check]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not show) as drawn:
        task = drawn.add_task("training", total=total, completed=done, loss=0.0, rate=0.0, check="")

        def advance(kind: str, loss: float, rate: float, checked: dict[str, Any] | None) -> None:
            check = f"exact {checked['exact']:.2f}" if checked else ""
            drawn.update(task, advance=1, description=kind, loss=loss, rate=rate, check=check)

        yield advance
