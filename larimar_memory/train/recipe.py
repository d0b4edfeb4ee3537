"""A recipe: the codec's sizes, and the stages that train it one after the other."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from larimar_memory.errors import InputError
from larimar_memory.latents.config import LatentConfig
from larimar_memory.train.answers_recipe import AnswersRecipe


class Stage(BaseModel):
    """One stage of training; its learning rates rise over `warmup` steps and then follow a cosine.

    Attributes:
        kind: "exact" learns to recite from exact keys and values, "regress" to make those, "recite" to
            recite from latents, "answer" to answer from them as the plain decoder does from text,
            "ground" as the decoder does with its answering adapter.
        steps: optimizer steps.
        tokens: tokens recited a step, those given included, or answered.
        codec_rate, adapter_rate: highest learning rates; 0 leaves these weights as they are.
        floor: lowest learning rate, as a share of the highest.
        shortest, longest: tokens of a segment; the longest defaults to the codec's limit, and a longer
            one is placed in pieces.
        readouts: most segments side by side.
        noise: highest deviation of the noise on latents, in units of the latents' own.
        questions: in "answer", how many different ones are asked, about.
        recite_share: in "answer" and "ground", the share of labels that are recited.
        mix: in "ground", of each file of rows, and of made-up `facts`, its share of the questions.
        beside: in "ground", most tokens of other passages that are read with those asked about.
        taught: in "ground", the share of the loss that is learnt from the teacher; the rest is learnt
            from the rows' answers.
        near: in "ground", the weight of the distance from the teacher's hidden states, beside a label's
            loss.
        consecutive: in "answer", the share of questions on sentences that follow one another in a
            passage, whatever their lengths; the others are on segments of unrelated passages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["exact", "regress", "recite", "answer", "ground"]
    steps: int = Field(ge=1)
    tokens: int = Field(default=1024, ge=1)
    codec_rate: float = Field(default=1e-3, ge=0)
    adapter_rate: float = Field(default=1e-3, ge=0)
    warmup: int = Field(default=20, ge=0)
    floor: float = Field(default=0.05, ge=0, le=1)
    shortest: int = Field(default=4, ge=1)
    longest: int | None = Field(default=None, ge=1)
    readouts: int = Field(default=1, ge=1)
    noise: float = Field(default=0.0, ge=0)
    questions: int = Field(default=8192, ge=1)
    recite_share: float = Field(default=0.3, ge=0, le=1)
    consecutive: float = Field(default=0.5, ge=0, le=1)
    mix: dict[str, float] | None = None
    beside: int = Field(default=0, ge=0)
    taught: float = Field(default=0.5, ge=0, le=1)
    near: float = Field(default=0.0, ge=0)


class Recipe(BaseModel):
    """Everything that decides what is trained, except the text and the decoder.

    Attributes:
        calibration: positions from which keys' and values' scales and the first linear code are taken,
            and in the end, how latents are stored.
        importance: labels from which it is learnt what errors in keys and values matter; 0 lets all
            count alike.
        balance: labels, after the last stage, from which it is learnt how exactly each number of a
            latent is to be stored; 0 leaves all numbers as they are.
        keep: share of the weights training began with that is mixed in after the last stage: what was
            learnt before is forgotten less (WiSE-FT, Wortsman et al. 2021, arXiv 2109.01903).
        batch: tokens a forward pass; a step takes as many passes as its tokens need.
        rare: share of segments that rare strings are put into.
        decay: weight decay of matrices.
        clip: largest norm of the gradients.
        text_mb: most megabytes of text read.
        check_every: steps between free-running checks on held-out text.
        check_segments: segments in such a check.
        check_questions: questions in such a check of an "answer" stage, about.
        save_every: seconds between checkpoints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    codec: LatentConfig = LatentConfig()
    stages: tuple[Stage, ...] = Field(min_length=1)
    seed: int = 0
    calibration: int = Field(default=8192, ge=2)
    importance: int = Field(default=4096, ge=0)
    balance: int = Field(default=1024, ge=0)
    keep: float = Field(default=0.0, ge=0, lt=1)
    batch: int = Field(default=512, ge=1)
    rare: float = Field(default=0.3, ge=0, le=1)
    decay: float = Field(default=0.01, ge=0)
    clip: float = Field(default=1.0, gt=0)
    text_mb: int = Field(default=256, ge=1)
    check_every: int = Field(default=200, ge=1)
    check_segments: int = Field(default=48, ge=1)
    check_questions: int = Field(default=48, ge=1)
    save_every: float = Field(default=300.0, ge=0)

    @model_validator(mode="after")
    def _lengths_fit(self) -> Recipe:
        for stage in self.stages:
            if stage.shortest > (longest := self.longest(stage)):
                raise ValueError(f"there are no segments of {stage.shortest} to {longest} tokens")
        return self

    def longest(self, stage: Stage) -> int:
        """Most tokens of a segment in a stage."""
        return stage.longest or self.codec.limit


_EITHER: TypeAdapter[Recipe | AnswersRecipe] = TypeAdapter(
    Annotated[
        Annotated[Recipe, Tag("latents")] | Annotated[AnswersRecipe, Tag("answers")],
        Discriminator(lambda made: made.get("kind", "latents") if isinstance(made, dict) else None),
    ]
)


def load_recipe(name: str | Path) -> Recipe | AnswersRecipe:
    """Read a recipe from a JSON file, or one that ships: "cpu" and "gpu" of latents, "answers".

    Raises:
        InputError: if there is no such recipe or it is not valid.
    """
    shipped = resources.files(__package__) / "recipes"
    known = sorted(p.name.removesuffix(".json") for p in shipped.iterdir() if p.name.endswith(".json"))
    source = shipped / f"{name}.json" if str(name) in known else Path(name)
    try:
        text = source.read_text(encoding="utf-8")
        return _EITHER.validate_json(text)
    except OSError as error:
        raise InputError(
            f"There is no recipe {str(name)!r}.",
            f"It is neither a file nor one of {', '.join(known)}.",
            "Name a JSON file, or a recipe that ships with the package.",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        # The first part says which kind of recipe it was taken for.
        where = ".".join(str(part) for part in first["loc"][1:]) or "the recipe"
        raise InputError(
            f"The recipe {str(name)!r} cannot be used.",
            f"{where}: {first['msg']}.",
            "Correct the file; the shipped recipes show every field.",
        ) from error
