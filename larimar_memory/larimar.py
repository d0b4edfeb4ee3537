"""The facade: a memory that is written with texts and read, and answered from, with questions."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from larimar_memory import validate
from larimar_memory.answer import AnswerStream, start_answer
from larimar_memory.decoders.prompt import Message
from larimar_memory.decoders.transformers import Decoder
from larimar_memory.encoders.base import Encoder, check_encoder
from larimar_memory.encoders.none import NoEncoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.latents.latent_memory import Codec, LatentMemory
from larimar_memory.models import finding
from larimar_memory.read import DEFAULT_NAMESPACE, Contents
from larimar_memory.slots.bounded import Room, Slots
from larimar_memory.slots.slots import WhenFull, check_slots
from larimar_memory.stores import Store
from larimar_memory.stores.base import Where
from larimar_memory.stores.sqlite.opening import open_store, written_with
from larimar_memory.text.blocks import Text, check_texts
from larimar_memory.types import Answer, Grounding, Metadata, OnProgress
from larimar_memory.write import write_texts

THRESHOLD = 0.45
"""Cosine under which the memory says "not in memory", for the default encoder."""


class Larimar(Contents):
    """An episodic memory for a frozen language model; made by `Larimar.open`, safe for threads.

    Args:
        store: where segments are kept.
        encoder: makes keys of segments and questions.
        decoder: answers; a name is loaded when the first answer is asked for.
        threshold: score under which a question is out of scope, in [0, 1].
        language: ISO 639-1 code for cutting sentences.
        latents, slots, when_full: as in `open`.
    """

    def __init__(
        self,
        store: Store,
        encoder: Encoder,
        decoder: Decoder | str | os.PathLike[str],
        *,
        path: Path | None = None,
        threshold: float = THRESHOLD,
        language: str = "en",
        latents: bool | Codec = False,
        slots: int | None = None,
        when_full: WhenFull = "blend",
    ) -> None:
        self.store = store
        self.encoder = encoder
        self.path = path
        self.threshold = threshold
        self._language = language
        self._decoder = decoder
        self._decoder_lock = threading.Lock()
        codec = None if isinstance(latents, bool) else latents
        self.latents = LatentMemory(store, lambda: self.decoder, codec)
        self._writes_latents = latents not in (False, None)
        self._limit = slots
        evict = when_full == "evict"
        self._room = Room(store, slots) if slots and evict else None
        self.slots = Slots(store, slots, encoder.dimension) if slots and not evict else None

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        encoder: Encoder | str | os.PathLike[str] | None = finding.DEFAULT_ENCODER,
        decoder: Decoder | str | os.PathLike[str] = finding.DEFAULT_DECODER,
        threshold: float = THRESHOLD,
        language: str = "en",
        create: bool = True,
        read_only: bool = False,
        busy_seconds: float = 5.0,
        synchronous: str = "full",
        latents: bool | Codec = False,
        slots: int | None = None,
        when_full: WhenFull = "blend",
    ) -> Larimar:
        """Open the memory in a file, or one that lives in RAM where no path is given.

        Args:
            path: the memory file; made if it does not exist and `create` is true.
            encoder: a loaded encoder, or whatever else is an `Encoder`, or a folder, wheel or hub
                name. None loads none: a file that was written with any encoder can be looked at,
                forgotten from and purged, and not searched or written.
            decoder: a loaded decoder, or a folder, wheel or hub name, loaded when first needed.
            threshold: score under which the memory says it does not know; 0 answers always.
            language: ISO 639-1 code for cutting sentences.
            create: whether to start a new memory where there is none.
            read_only: read a file that must not, or cannot, be changed.
            busy_seconds: how long to wait while another process writes.
            synchronous: "full", where a write survives a power cut, or "normal", where it survives a
                crash of the process only, and many small writes are faster.
            latents: write a latent beside every segment, for grounding="latent": True for the codec
                that ships for the decoder, or the folder of one. `write_latents` can follow later.
            slots: K, at most so many slots per namespace; by default, a new one for each segment.
            when_full: "blend" lets segments share K fixed slots, less sharply the more there are; use
                256 or more. "evict" forgets the documents first written so that each segment left
                has a slot of its own; `purge` then erases them from the file's free pages too.

        Raises:
            InputError: if an argument cannot be used.
            MemoryFileError: if the file cannot be opened.
            EncoderMismatchError: if it was written with another encoder.
            ModelError: if the encoder cannot be loaded.
        """
        file = None if path is None else Path(path).expanduser()
        if slots is not None:
            check_slots(slots, when_full)
        # The file first: whether it can be used is known before a model has been loaded.
        validate.check_file(file, must_exist=read_only or not create or encoder is None)
        if encoder is None:
            encoder = _no_encoder(file)
        elif isinstance(encoder, str | os.PathLike):
            encoder = SentenceEncoder.load(os.fspath(encoder))
        else:
            check_encoder(encoder)
        store = open_store(
            file,
            encoder=encoder.fingerprint,
            dimension=encoder.dimension,
            create=create,
            read_only=read_only,
            busy_seconds=busy_seconds,
            synchronous=synchronous,
        )
        return cls(
            store,
            encoder,
            decoder,
            path=file,
            threshold=threshold,
            language=language,
            latents=latents,
            slots=slots,
            when_full=when_full,
        )

    @property
    def decoder(self) -> Decoder:
        """The decoder, loaded on first use."""
        with self._decoder_lock:
            if not isinstance(self._decoder, Decoder):
                self._decoder = Decoder.load(os.fspath(self._decoder))
            return self._decoder

    @property
    def decoder_name(self) -> str:
        """The decoder's name, known before it is loaded."""
        decoder = self._decoder
        return decoder.name if isinstance(decoder, Decoder) else os.fspath(decoder)

    def write(
        self,
        texts: str | Iterable[str],
        ids: Sequence[str] | None = None,
        metadatas: Sequence[Metadata] | None = None,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        whole: bool = False,
        on_progress: OnProgress | None = None,
    ) -> list[str]:
        """Write texts, one document each; on return they are durable.

        An id written before is replaced; equal content under the same id changes nothing.

        Args:
            texts: one or more texts.
            ids: a name per text; by default a hash of the text, so that a text is kept once.
            metadatas: a JSON object per text.
            namespace: texts of one namespace are never seen from another.
            whole: keep each text as one segment, whatever its length, so that all of it is read. Its
                key follows from as much of it as the encoder takes in.
            on_progress: called after every commit, from another thread.

        Returns:
            The ids, in the order of the texts.

        Raises:
            InputError: if a text, id or metadata cannot be used; then nothing was written.
            MemoryFileError: if the file cannot be written; what was committed before is intact.
        """
        items = check_texts(texts, ids, metadatas)
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
        """As `write`, for more than can be held: texts are read, by blocks, as they are written.

        Raises:
            InputError: if one cannot be used; those before it were written.
        """
        write_texts(
            self.store,
            self.encoder,
            validate.check_name(namespace, "namespace"),
            texts,
            language=None if whole else self._language,
            on_progress=on_progress,
            latents=self.latents.encode_runs if self._writes_latents else None,
        )
        if self._room is not None:
            self._room.make(namespace)

    def write_latents(
        self,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Make latents for the segments that have none; returns how many. It may be interrupted.

        Args:
            on_progress: called with how many segments were looked at, and how many there are.

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
        whole: bool = False,
    ) -> None:
        """Replace what a document says; its metadata stays unless new ones are given.

        Args:
            whole: as in `write`.

        Raises:
            InputError: if there is no document of that id.
        """
        known = self._known(id, namespace)
        self.write(
            [text],
            [id],
            [known.metadata if metadata is None else metadata],
            namespace=namespace,
            whole=whole,
        )

    def forget(
        self,
        *,
        ids: str | Sequence[str] | None = None,
        where: Where | None = None,
        namespace: str | None = None,
        purge: bool = True,
    ) -> int:
        """Delete documents: by id, by metadata filter, or all of a namespace; returns how many.

        Args:
            ids: ids of documents; unknown ones are passed over.
            where: a metadata filter; with `ids`, both must hold.
            namespace: where to delete; given alone, all of it is deleted.
            purge: also erase every trace from the files, which takes time in proportion to their
                size; without it the content is no longer found, and `purge()` can follow later. If it
                is interrupted, the memory does it when it is next opened for writing.

        Raises:
            InputError: if nothing says what to forget.
            MemoryBusyError: if it is forgotten, and not yet erased because others use the files.
        """
        validate.check_something_to_forget(ids, where, namespace)
        named = [ids] if isinstance(ids, str) else ids
        space = DEFAULT_NAMESPACE if namespace is None else validate.check_name(namespace, "namespace")
        count = self.store.delete(space, ids=named, where=where, to_purge=purge)
        if purge and count:
            self.store.purge()
        elif purge:
            self.store.clear()
        return count

    def purge(self) -> None:
        """Erase from the files every trace of what was forgotten or replaced.

        Raises:
            MemoryBusyError: if a reader or writer elsewhere keeps it from its end.
        """
        self.store.purge()

    def answer(self, question: str, **options: Any) -> Answer:
        """Answer from memory; takes the options of `stream`."""
        return self.stream(question, **options).result()

    def stream(
        self,
        question: str,
        k: int = 5,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        where: Where | None = None,
        neighbours: int = 0,
        hybrid: bool = True,
        threshold: float | None = None,
        grounding: Grounding = "text",
        context_tokens: int = 1024,
        max_tokens: int = 64,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
        fallback: bool = False,
        history: Sequence[Message] = (),
        history_tokens: int = 2048,
        begin: str = "",
    ) -> AnswerStream:
        """Answer from memory, piece by piece; `.result()` gives the whole `Answer`.

        Args:
            k, namespace, where, neighbours, hybrid, threshold: as in `read`.
            grounding: "text" puts recalled text in the prompt; "latent" attaches readouts.
            context_tokens: most prompt tokens spent on recalled text.
            max_tokens, stop, temperature, seed: as in `Decoder.generate`.
            fallback: when the question is out of scope, let the plain decoder answer instead of
                saying that it is not in memory; the answer's grounding is "none" either way.
            history: the chat before the question, oldest first. It goes to the decoder, and the memory
                is read with the question alone.
            history_tokens: most prompt tokens spent on the history, whose latest messages are used.
            begin: words put in the decoder's mouth: the answer begins with them and it goes on from
                there. A small model that is to list several things, or to answer in a certain form,
                does so more often when it is begun for it.

        Raises:
            InputError: if an argument cannot be used.
            LatentsUnavailableError: if latent grounding is asked for and there are no latents.
        """
        started = time.perf_counter()
        history, begin = validate.check_history(history), validate.check_begin(begin)
        readout = self.read(
            question,
            k,
            namespace=namespace,
            where=where,
            neighbours=neighbours,
            hybrid=hybrid,
            threshold=threshold,
        )
        return start_answer(
            readout,
            lambda: self.decoder,
            grounding=grounding,
            context_tokens=context_tokens,
            fallback=fallback,
            started=started,
            latents=self.latents,
            history=history,
            history_tokens=history_tokens,
            begin=begin,
            options={"max_tokens": max_tokens, "stop": stop, "temperature": temperature, "seed": seed},
        )

    def close(self) -> None:
        """Save the index and release the file; a second call does nothing."""
        self.store.close()

    def __enter__(self) -> Larimar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _no_encoder(file: Path | None) -> NoEncoder:
    """What stands for the encoder that a memory file was written with."""
    if file is None:
        raise InputError(
            "A memory in RAM cannot be opened without an encoder.",
            "It is empty, and nothing could be written to it.",
            "Name the file of a memory, or leave encoder=None out.",
        )
    return NoEncoder(*written_with(file))
