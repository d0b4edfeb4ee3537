"""The facade: a memory that takes texts, and reads or answers questions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float
from typing_extensions import Unpack

from larimar_memory import answer, read, validate
from larimar_memory.answer import AnswerStream
from larimar_memory.assembly import assemble
from larimar_memory.decoders.base import Decoder, check_decoder
from larimar_memory.encoders.base import Encoder
from larimar_memory.errors import InputError
from larimar_memory.forget import Forgetting
from larimar_memory.holdings import Holdings
from larimar_memory.index import OnKeys, make_keys
from larimar_memory.keywords import AnswerKeywords, ReadKeywords
from larimar_memory.latents.adapting import LEAST, DecoderAdapter
from larimar_memory.latents.latent_memory import Codec, LatentMemory, check_share
from larimar_memory.models import finding
from larimar_memory.models.loading import importing
from larimar_memory.recall.found import Candidate
from larimar_memory.recall.search import Recall
from larimar_memory.slots import Slots, WhenFull, check_slots, evict_oldest
from larimar_memory.stores.base import Store
from larimar_memory.stores.opening import place_of
from larimar_memory.stores.options import StoreOptions
from larimar_memory.system import forking
from larimar_memory.text.blocks import Text, check_texts
from larimar_memory.types import (
    DEFAULT_NAMESPACE,
    Answer,
    AnswerOptions,
    Metadata,
    OnProgress,
    ReadOptions,
    Readout,
    WhenKeys,
)
from larimar_memory.write import is_whole, write_texts

THRESHOLD = 0.5
"""Default threshold of a read: below this probability, the memory says "not in memory"."""


class Larimar(Holdings, Forgetting, AbstractContextManager["Larimar"]):
    """An episodic memory for a frozen language model; `Larimar.open` makes one. Safe for threads.

    Attributes:
        store, encoder, threshold: as in `open`.
        path: the memory file; None in RAM or in a database.
        latents: makes, finds and places the latents of segments.
        slots: the shared slots that the memory is read through; None if segments share none.
        most: most segments that a namespace keeps; beyond that, the documents written first are
            forgotten. None if there is no such limit.
    """

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        decoder: Decoder | str | os.PathLike[str],
        *,
        path: Path | None = None,
        threshold: float | None = None,
        language: str = "en",
        latents: bool | Codec = False,
        latent_share: float = 1.0,
        adapter: bool | str | os.PathLike[str] = True,
        slots: int | None = None,
        when_full: WhenFull = "blend",
        eager: bool = False,
    ) -> None:
        self.store, self.encoder, self.path = store, encoder, path
        self.threshold = THRESHOLD if threshold is None else threshold
        self._default_threshold = THRESHOLD if threshold is None else None
        self._language, self._recall = language, Recall(store, encoder, language)
        named = isinstance(decoder, str | os.PathLike)
        self._decoder = decoder if named else check_decoder(decoder, "The memory cannot be opened.")
        self._decoder_lock = forking.Lock()
        codec = None if isinstance(latents, bool) else latents
        self.latents = LatentMemory(store, lambda: self.decoder, codec, self.decoder_name, latent_share)
        self._adapter = DecoderAdapter(lambda: self.decoder, adapter, self.decoder_name)
        self._writes_latents, self._eager = latents not in (False, None), eager
        self._limit = slots
        evict = when_full == "evict"
        self.most = slots if evict else None
        self.slots = Slots(store, slots, encoder.dimension) if slots and not evict else None

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "The memory cannot be pickled or copied.",
            "It holds an open file, or texts in RAM.",
            "Pass its path on, and open it with `Larimar.open(path)` where it is needed.",
        )

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        store: Store | None = None,
        encoder: Encoder | str | os.PathLike[str] | None = finding.DEFAULT_ENCODER,
        decoder: Decoder | str | os.PathLike[str] = finding.DEFAULT_DECODER,
        threshold: float | None = None,
        language: str = "en",
        latents: bool | Codec = False,
        latent_share: float = 1.0,
        adapter: bool | str | os.PathLike[str] = True,
        slots: int | None = None,
        when_full: WhenFull = "blend",
        keys: WhenKeys | None = None,
        **file_options: Unpack[StoreOptions],
    ) -> Larimar:
        """Open the memory in a file or a database, or, without a path, a new one in RAM.

        Args:
            path: the memory file, or the address of a PostgreSQL database with pgvector, such as
                "postgresql://user@host/database"; made if it does not exist and `create` is true.
            store: keeps the segments, in place of a file; its keys must be the encoder's.
            encoder: an `Encoder`, or the folder, wheel or hub name of one. None loads no encoder: you
                can then look at a file, forget from it and purge it, whatever encoder it was written
                with, but neither search nor write it.
            decoder: a `Decoder`, or the folder, wheel or hub name of one, loaded when first needed.
            threshold: below this probability, the memory says "Not in memory."; with 0 it never does.
                By default .5; an adapter that refuses by itself is asked from .05 on.
            language: ISO 639-1 code of the language, whose rules cut sentences.
            latents: write a latent for every segment, for grounding="latent". True uses the bundled
                codec of the decoder; otherwise, the folder of one. `write_latents` can add latents
                later.
            latent_share: share of its positions that a new latent keeps: those that the decoder looks
                at most to say the segment again. Less than 1 makes latents smaller and prefixes
                shorter, and takes longer to write.
            adapter: answers from memory use it. True is the decoder's bundled adapter, if there is one;
                otherwise, the folder of one, or False for the plain decoder.
            slots: K, the most slots per namespace; by default, each segment has a new slot.
            when_full: "blend" lets segments share K fixed slots, and reads get less sharp as segments
                are added; use 256 slots or more. "evict" forgets the documents written first, so that
                each segment has a slot of its own; `purge` then erases them from the file's free pages
                too.
            keys: when segments get fine keys. "lazy": when they are read, or by `index`; until then
                coarse keys and words find them, and writing is many times as fast. "eager": while they
                are written. By default, an existing file stays as it was made, and a new one is lazy
                if the encoder has a table of coarse keys and there are no `slots`.
            file_options: `create`, `read_only`, `busy_seconds`, `synchronous`; see `StoreOptions`.

        Raises:
            InputError: if an argument cannot be used.
            MemoryFileError: if the file cannot be opened.
            EncoderMismatchError: if it was written with another encoder.
            ModelError: if the encoder cannot be loaded.
        """
        place = place_of(path)
        check_slots(slots, when_full)
        validate.check_threshold(threshold)
        check_share(latent_share)
        store, encoder = assemble(place, store, encoder, keys, slots, file_options)
        return cls(
            store,
            encoder,
            decoder,
            path=place if isinstance(place, Path) else None,
            threshold=threshold,
            language=language,
            latents=latents,
            latent_share=latent_share,
            adapter=adapter,
            slots=slots,
            when_full=when_full,
            eager=keys == "eager",
        )

    @property
    def decoder(self) -> Decoder:
        """The decoder, loaded on first use."""
        with self._decoder_lock:
            if isinstance(self._decoder, str | os.PathLike):
                with importing():
                    from larimar_memory.decoders.transformers import TransformersDecoder
                self._decoder = TransformersDecoder.load(os.fspath(self._decoder))
            return self._decoder

    @property
    def decoder_name(self) -> str:
        """The decoder's name, known before it is loaded."""
        decoder = self._decoder
        return os.fspath(decoder) if isinstance(decoder, str | os.PathLike) else decoder.name

    def write(
        self,
        texts: str | Iterable[str],
        ids: Sequence[str] | None = None,
        metadatas: Sequence[Metadata] | None = None,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        episode: str | None = None,
        whole: bool = False,
        on_progress: OnProgress | None = None,
    ) -> list[str]:
        """Write texts, each as a document; on return they are durable.

        A text replaces what was written under its id before; equal content changes nothing.

        Args:
            ids: an id per text; by default a hash of the text, so that equal texts are kept once.
            metadatas: a JSON object per text.
            namespace: the namespace to write to; no other namespace sees its texts.
            episode: name of the episode that they belong to, in order: a book, a conversation.
            whole: keep each text as one segment; its key represents as much of it as the encoder reads.
            on_progress: called after every commit, from another thread.

        Returns:
            The ids, in the order of the texts.

        Raises:
            InputError: if a text, id, metadata or episode cannot be used; then nothing was written.
            MemoryFileError: if the file cannot be written; what was committed before is intact.
        """
        items = check_texts(texts, ids, metadatas, episode)
        self.write_each(items, namespace=namespace, whole=whole, on_progress=on_progress)
        return [item.id for item in items]

    def write_each(
        self,
        texts: Iterable[Text],
        *,
        namespace: str = DEFAULT_NAMESPACE,
        whole: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        """As `write`, for more texts than fit in RAM: they are read in blocks while they are written.

        Raises:
            InputError: if a text cannot be used; those before it were written.
        """
        write_texts(
            self.store,
            self.encoder,
            validate.check_name(namespace, "namespace"),
            texts,
            language=None if whole else self._language,
            on_progress=on_progress,
            latents=self.latents.encode_runs if self._writes_latents else None,
            fine=self._eager,
        )
        if self.most is not None:
            evict_oldest(self.store, namespace, self.most)

    def index(self, namespace: str | None = None, *, on_progress: OnKeys | None = None) -> int:
        """Make the fine keys that a lazy memory lacks; returns how many. It may be interrupted.

        Args:
            namespace: only this namespace; by default all.
            on_progress: called with how many segments have a fine key, and how many there are.

        Raises:
            InputError: if the memory was opened without an encoder, and keys are lacking.
            MemoryFileError: if the file cannot be written; what was committed before is kept.
        """
        if namespace is not None:
            validate.check_name(namespace, "namespace")
        return make_keys(self.store, self.encoder, namespace, on_progress)

    def write_latents(
        self,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Make latents for the segments that have none; returns how many. It may be interrupted.

        Args:
            on_progress: called with how many segments were visited, and how many there are.

        Raises:
            LatentsUnavailableError: if there is no codec for the decoder.
        """
        return self.latents.write(validate.check_name(namespace, "namespace"), on_progress)

    def update(
        self,
        id: str,
        text: str,
        metadata: Metadata | None = None,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        whole: bool | None = None,
    ) -> None:
        """Replace a document's text; it keeps its episode and, unless new ones are given, its metadata.

        Args:
            whole: as in `write`; by default, the text stays one segment if it was written as one.

        Raises:
            InputError: if there is no document with that id.
            MemoryFileError: if the file cannot be written, or `whole` is not given and the document's
                text is damaged.
        """
        known = read.known(self.store, validate.check_name(namespace, "namespace"), id)
        kept = [known.metadata if metadata is None else metadata]
        whole = is_whole(self.store, namespace, known) if whole is None else whole
        self.write([text], [id], kept, namespace=namespace, episode=known.episode, whole=whole)

    def read(self, question: str, k: int | None = None, **how: Unpack[ReadKeywords]) -> Readout:
        """Address the memory with a question.

        Args:
            k: most segments to return, 5 by default.
            how: `options`, a `ReadOptions`, and any of its fields, which override it.

        Raises:
            InputError: if an argument cannot be used.
        """
        options, settings = validate.read_options(k, how), (self.threshold, self.slots, self.latents)
        return read.read(self._recall, question, options, *settings)

    def search(
        self, question: str | Float[np.ndarray, " d"], k: int | None = None, **how: Unpack[ReadKeywords]
    ) -> list[Candidate]:
        """Find the k segments that match best, whatever they score; best first, with their keys.

        Args:
            question: a text, or a key, of any length, to search by; with a key, words do not count.
            k, how: as in `read`.
        """
        options = validate.read_options(k, how)
        if unused := {"neighbours", "threshold"} & how.keys():
            raise TypeError(f"Larimar.search() takes no {' and no '.join(sorted(unused))}")
        return read.search(self._recall, question, options, self.slots)

    def answer(
        self, question: str | Readout, k: int | None = None, **how: Unpack[AnswerKeywords]
    ) -> Answer:
        """Answer from memory, as `stream` does piece by piece."""
        return self.stream(question, k, **how).result()

    def stream(
        self, question: str | Readout, k: int | None = None, **how: Unpack[AnswerKeywords]
    ) -> AnswerStream:
        """Answer from memory, piece by piece; `.result()` gives the whole `Answer`.

        Args:
            question: a text, or the `Readout` of one. A readout is shown as it is, and so for each part
                of its question, unless `reading` says how it was read: what is around it, or what a
                part finds, may be what its filter left out.
            k: most segments to read, 5 by default.
            how: `reading`, a `ReadOptions`, `options`, an `AnswerOptions`, and any of their fields,
                which override them.

        Raises:
            InputError: if an argument cannot be used.
            LatentsUnavailableError: if grounding is "latent" and a recalled segment has no latent.
        """
        started = time.perf_counter()
        reading, options = validate.answer_options(k, how)
        known = not isinstance(question, Readout) or "reading" in how
        if isinstance(question, Readout):
            readout, reading = question, replace(reading, namespace=question.namespace)
        else:
            question = validate.check_question(question, validate.MAX_QUESTION_CHARS)
            reading = self.answer_reading(reading, options)
            readout = self.read(question, options=reading)
        parts = partial(self.read, options=reading) if known else None
        around = partial(self._recall.surroundings, reading)
        given = (lambda: self.decoder, self.latents, started, parts, self._language, self._adapter)
        # What a read brought along was asked for, and is all that is shown.
        shown = around if options.around and known and not reading.neighbours else None
        return answer.start(readout, options, *given, shown)

    def answer_reading(self, reading: ReadOptions, options: AnswerOptions) -> ReadOptions:
        """How an answer reads: with an adapter's threshold, where none was named, and it can refuse.

        Where its words are begun, it cannot; where the plain decoder is to answer in its place, what is
        out of scope is decided before.
        """
        if reading.threshold is not None or self.threshold != self._default_threshold:
            return reading
        asked = not options.begin and not options.fallback and self._adapter.refuses
        return replace(reading, threshold=LEAST) if asked else reading

    def close(self) -> None:
        """Save keys and index, and release the file; a second call does nothing."""
        self._recall.fine_keys.close()
        self.store.close()

    def __exit__(self, *_: object) -> None:
        self.close()
