"""Training of latents: stages, checkpoints that resume exactly, free-running checks.

trained = train(load_recipe("cpu"), Decoder.load(), Path("texts"), Path("run"), time_limit=3600)
codec = load_bundle(trained.bundle, decoder)
"""

from larimar_memory.train.evaluate import Recall, recall
from larimar_memory.train.loop import Trained, train
from larimar_memory.train.recipe import Recipe, Stage, load_recipe
from larimar_memory.train.sampling import Sample, Sampler, SampleSource

__all__ = [
    "Recall",
    "Recipe",
    "Sample",
    "SampleSource",
    "Sampler",
    "Stage",
    "Trained",
    "load_recipe",
    "recall",
    "train",
]
