"""What the benchmarks of one run share: the models, loaded once, the seed and the progress notes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.haystack import Haystack, prose, token_counter
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError, LatentsUnavailableError
from larimar_memory.larimar import Larimar
from larimar_memory.latents import LatentCodec
from larimar_memory.latents.adapting import DecoderAdapter
from larimar_memory.latents.answering import AnsweringAdapter
from larimar_memory.latents.bundle import latents_for, load_bundle
from larimar_memory.models.finding import DEFAULT_DECODER
from larimar_memory.types import WhenKeys, WriteProgress

if TYPE_CHECKING:
    from benchmarks.systems.embeddings import OnceEmbeddings

_NOTE_SECONDS = 5.0


class Session:
    """One run of a benchmark.

    Args:
        seed: of everything that is drawn.
        folder: texts of the user's to search in, or None for those that come with Python.
        note: takes lines of progress.
        questions: a file in SQuAD's JSON.
        latents: trained bundles, the first of them to measure and the others to compare it with; by
            default, the one that ships for the decoder.
        conversations: a folder of conversations, as `benchmarks.talks` reads them.
        rows: a folder of reading comprehension, as `larimar_memory.train.rows` reads it.
        adapter: what the decoder answers with, as `Larimar.open` takes it.
    """

    def __init__(
        self,
        seed: int,
        folder: Path | None,
        note: Callable[[str], None],
        questions: Path | None = None,
        latents: Sequence[Path] = (),
        conversations: Path | None = None,
        rows: Path | None = None,
        adapter: Path | bool = True,
    ) -> None:
        self.seed, self.note, self.questions = seed, note, questions
        self.conversations, self.rows, self.adapter = conversations, rows, adapter
        self._latents = next(iter(latents), None)
        self.others = tuple(latents[1:])
        self._folder = folder

    @cached_property
    def encoder(self) -> SentenceEncoder:
        """The default encoder."""
        self.note("loading the encoder")
        return SentenceEncoder.load()

    @cached_property
    def decoder(self) -> TransformersDecoder:
        """The default decoder."""
        self.note("loading the decoder")
        return TransformersDecoder.load()

    def open(
        self, path: Path | None, *, latents: bool = False, keys: WhenKeys | None = None
    ) -> Larimar:
        """A memory, in RAM without a path, that uses the session's models."""
        codec = self.codec if latents else False
        return Larimar.open(
            path,
            encoder=self.encoder,
            decoder=self.decoder,
            latents=codec,
            adapter=self.adapter,
            keys=keys,
        )

    @cached_property
    def answering(self) -> AnsweringAdapter | None:
        """The adapter that the default decoder answers with."""
        return DecoderAdapter(lambda: self.decoder, self.adapter, DEFAULT_DECODER)()

    @cached_property
    def codec(self) -> LatentCodec:
        """The codec of the bundle, for the default decoder."""
        if self.bundle is None:
            raise LatentsUnavailableError(
                "The latents cannot be measured.",
                f"None ship for the decoder {DEFAULT_DECODER!r}.",
                "Name a trained bundle with --latents.",
            )
        return load_bundle(self.bundle, self.decoder)

    @property
    def bundle(self) -> Path | None:
        """The folder of that bundle, if there is one."""
        return self._latents or latents_for(DEFAULT_DECODER)

    @cached_property
    def langchain_embeddings(self) -> OnceEmbeddings:
        """LangChain's embeddings with the default encoder's weights."""
        from benchmarks.systems.embeddings import OnceEmbeddings

        self.note("loading LangChain's embeddings")
        return OnceEmbeddings()

    @property
    def spared_seconds(self) -> float:
        """What LangChain's stores would have waited for vectors that another one had made."""
        loaded = vars(self).get("langchain_embeddings")
        return 0.0 if loaded is None else float(loaded.saved)

    def questions_for(self, what: str, kind: str) -> Path:
        """The file of questions, for a benchmark that cannot do without.

        Args:
            what: what the benchmark is of.
            kind: which questions it needs.

        Raises:
            InputError: if none was given.
        """
        if self.questions is None:
            raise InputError(
                f"The benchmark of {what} cannot be run.",
                f"It needs {kind}.",
                "Name a file of them in SQuAD's JSON with --questions.",
            )
        return self.questions

    def draw(self, *purpose: object) -> random.Random:
        """Random numbers that depend on the seed and on what they are for, and on nothing else."""
        return random.Random(f"{self.seed}|{purpose}")  # noqa: S311 - no secrets are drawn

    def prose(self, tokens: int) -> Haystack:
        """Real prose of so many tokens; a shorter one is the beginning of a longer one."""
        self.note(f"gathering {tokens:,} tokens of text")
        return prose(tokens, token_counter(self.encoder), seed=self.seed, folder=self._folder)

    def write(
        self,
        memory: Larimar,
        ids: Sequence[str],
        texts: Sequence[str],
        on_commit: Callable[[], None] | None = None,
    ) -> float:
        """Write texts with progress notes; returns the seconds it took."""
        noted = started = time.perf_counter()

        def report(done: WriteProgress) -> None:
            nonlocal noted
            if on_commit is not None:
                on_commit()
            if time.perf_counter() - noted > _NOTE_SECONDS:
                noted = time.perf_counter()
                self.note(f"writing: {done.characters / done.total_characters:.0%}")

        memory.write(texts, ids, on_progress=report)
        return time.perf_counter() - started
