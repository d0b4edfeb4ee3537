"""Training of latents and of the answering adapter, with checks, and with exact resumption.

trained = train(load_recipe("cpu"), Decoder.load(), Path("texts"), Path("run"), time_limit=3600)
codec = load_bundle(trained.bundle, decoder)
"""

from larimar_memory.train.answering import AdapterTrained, train_answers
from larimar_memory.train.answers_recipe import AnswersRecipe
from larimar_memory.train.evaluate import Recall, recall
from larimar_memory.train.grounded import Lessons, lessons
from larimar_memory.train.loop import Trained, train
from larimar_memory.train.recipe import Recipe, Stage, load_recipe
from larimar_memory.train.sampling import Sample, Sampler, SampleSource

__all__ = [
    "AdapterTrained",
    "AnswersRecipe",
    "Lessons",
    "Recall",
    "Recipe",
    "Sample",
    "SampleSource",
    "Sampler",
    "Stage",
    "Trained",
    "lessons",
    "load_recipe",
    "recall",
    "train",
    "train_answers",
]
