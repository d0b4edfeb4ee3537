"""Latents in a memory: made when segments are written or later, found when they are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float, Int8

from larimar_memory.decoders.base import Decoder, takes_latents
from larimar_memory.decoders.prompt import disarmed, passages
from larimar_memory.errors import InputError, LatentsUnavailableError
from larimar_memory.stores.base import Span, Store
from larimar_memory.system import forking
from larimar_memory.types import Readout, RecalledSegment, Segment

if TYPE_CHECKING:
    from larimar_memory.latents.answering import AnsweringAdapter
    from larimar_memory.latents.codec import LatentCodec
    from larimar_memory.latents.prefix import LatentReadout
    from larimar_memory.latents.reads import Reads
    from larimar_memory.latents.stored import StoredForm

WINDOW = 8
"""Segments of a document, counted from its beginning, that are read as one text for their latents."""

BATCH_SEGMENTS = 256
"""Segments given their latents in one commit: some seconds of work on two cores."""

Codec: TypeAlias = "LatentCodec | str | os.PathLike[str] | None"
"""A loaded codec, the folder of one, or None for the one that ships for the decoder."""


class LatentMemory:
    """Latents of what a store holds, made by the codec of one decoder; safe for threads.

    Args:
        store: where segments and latents are.
        decoder: gives the decoder, loading it where that has not been done.
        codec: which codec; it is loaded when first needed.
        name: of the decoder, known before it is loaded.
        share: of a latent's positions that is kept when it is made; see `thinning`.
    """

    def __init__(
        self,
        store: Store,
        decoder: Callable[[], Decoder],
        codec: Codec = None,
        name: str | None = None,
        share: float = 1.0,
    ) -> None:
        self._store, self._decoder, self._given, self._name = store, decoder, codec, name
        self._share = share
        self._codec: LatentCodec | None = None
        self._form: StoredForm | None = None
        self._lock = forking.Lock()

    @property
    def codec(self) -> LatentCodec:
        """The codec of the memory's own decoder.

        Raises:
            LatentsUnavailableError: if none was named and none ships for the decoder.
            ModelError: if it cannot be loaded, or is for another decoder.
        """
        with self._lock:
            if self._codec is None:
                given = self._given
                if given is None or isinstance(given, str | os.PathLike):
                    given = self._codec_of(self._decoder())
                self._codec = given
            return self._codec

    @property
    def stored_form(self) -> StoredForm:
        """How that codec's latents lie in the store; read from its files, no decoder is loaded.

        Raises:
            LatentsUnavailableError, ModelError: as `codec` does.
        """
        from larimar_memory.latents.bundle import stored_form_of

        if self._form is None:
            folder = None if self._codec or self._name is None else self._folder(self._name)
            # Once: it is a hash of all the codec's weights.
            self._form = self.codec.stored_form if folder is None else stored_form_of(folder)
        return self._form

    @property
    def reads(self) -> Reads:
        """What reads from that codec's latents were measured to be worth; no decoder is loaded.

        Raises:
            LatentsUnavailableError, ModelError: as `codec` does.
        """
        from larimar_memory.latents.bundle import reads_of

        folder = None if self._codec or self._name is None else self._folder(self._name)
        return self.codec.reads if folder is None else reads_of(folder)

    def better(self, segments: Sequence[RecalledSegment], decoder: Decoder) -> tuple[bool, str]:
        """Whether latents are the better way to answer from segments, and why, in a sentence.

        Where they cannot be used at all, they are not.

        Args:
            decoder: that answers.
        """
        if not takes_latents(decoder):
            return False, f"Text: the decoder {decoder.name!r} takes nothing else."
        if any(z is None for segment in segments for z in segment.latents or (None,)):
            return False, "Text: not all of what was recalled has a latent."
        try:
            unpacked(segments, self.stored_form)
        except LatentsUnavailableError as error:
            return False, f"Text: {error.why[0].lower()}{error.why[1:]}"
        tokens = sum(decoder.count(text) for text in passages(s.context for s in segments))
        from larimar_memory.latents.anatomy import network

        # What reads and writes: to ask for `model` would import transformers' models.
        return self.reads.better(tokens, network(decoder).device.type)

    def _codec_of(self, decoder: Decoder) -> LatentCodec:
        from larimar_memory.latents.anatomy import fingerprint
        from larimar_memory.latents.bundle import load_bundle

        if not takes_latents(decoder):
            raise _no_codec(f"The decoder {decoder.name!r} takes text only.")
        folder = self._folder(decoder.name)
        if folder is None:
            if fingerprint(decoder) != fingerprint(self.codec.decoder):
                raise _no_codec(f"The memory's codec is not for the decoder {decoder.name!r}.")
            return self.codec
        # Kept with the decoder, which the codec refers to: both go when nobody uses them.
        held: dict[Path, LatentCodec] = vars(decoder).setdefault("_codecs", {})
        if folder not in held:
            held[folder] = load_bundle(folder, decoder)
        return held[folder]

    def _folder(self, decoder: str) -> Path | None:
        """The folder of the decoder's codec; None where a loaded codec was given."""
        from larimar_memory.latents.bundle import latents_for

        if isinstance(self._given, str | os.PathLike):
            return Path(self._given).expanduser()
        folder = None if self._given is not None else latents_for(decoder)
        if folder is None and self._given is None:
            raise _no_codec(f"No trained latents ship for the decoder {decoder!r}.")
        return folder

    def encode(self, windows: Sequence[Sequence[str]]) -> list[list[Int8[np.ndarray, " n"]]]:
        """Latents of segments, as they are stored, a list for each window.

        A window is up to `WINDOW` consecutive segments of one document. Where its first segments are
        given alone, they get the latents they get with the others.
        """
        from larimar_memory.latents.thinning import thin

        codec, form = self.codec, self.codec.stored_form
        # Blanks between segments belong to no one; a segment of blanks alone has one token to say.
        texts = [[disarmed(text.strip() or text) for text in window] for window in windows]
        made = [z for window in codec.encode_windows(texts) for z in window]
        said = [text for window in texts for text in window]
        left = iter(thin(codec, said, made, self._share))
        return [[form.pack(next(left)) for _ in window] for window in texts]

    def encode_runs(
        self, namespace: str, runs: Sequence[tuple[str, Sequence[Segment]]]
    ) -> list[list[Int8[np.ndarray, " n"]]]:
        """Latents of segments that are about to be written, a list for each run.

        Args:
            runs: ids of documents, and consecutive segments of them; what is in a window before a run
                is in the store.
        """
        windows, places = list[list[str]](), list[tuple[int, int]]()
        firsts = [segments[0].index if segments else 0 for _, segments in runs]
        before = [Span(run[0], n - n % WINDOW, n - 1) for run, n in zip(runs, firsts, strict=True)]
        known = self._store.spans(namespace, before) if any(n % WINDOW for n in firsts) else None
        for n, (_, segments) in enumerate(runs):
            held = known[n] if known else []
            texts = [s.text for s in held] + [s.text for s in segments]
            places.append((len(windows), len(held)))
            windows += in_windows(texts)
        latents = self.encode(windows)
        ends = [first for first, _ in places[1:]] + [len(windows)]
        return [
            [z for window in latents[first:end] for z in window][held:]
            for (first, held), end in zip(places, ends, strict=True)
        ]

    def write(self, namespace: str, on_progress: Callable[[int, int], None] | None = None) -> int:
        """Give every segment that has none of this codec's a latent; returns how many were made.

        What was committed stays if it is interrupted; the next call goes on.

        Args:
            on_progress: called with the numbers of segments seen and of all.
        """
        total = self._store.stats(namespace).segments
        seen = made = 0
        for rows, _ in self._store.keys(namespace):
            for at in range(0, len(rows), BATCH_SEGMENTS):
                batch = [int(row) for row in rows[at : at + BATCH_SEGMENTS]]
                made += self._write(namespace, batch)
                seen += len(batch)
                if on_progress is not None:
                    on_progress(seen, max(total, seen))
        return made

    def _write(self, namespace: str, rows: list[int]) -> int:
        missing, last = set[int](), dict[tuple[str, int], int]()
        for segment in self._store.fetch(namespace, rows, latents=True):
            if not self._fits(segment.latent):
                missing.add(segment.row)
                window = segment.document_id, segment.index // WINDOW
                last[window] = max(last.get(window, 0), segment.index)
        if not missing:
            return 0
        spans = [Span(document, number * WINDOW, end) for (document, number), end in last.items()]
        found = self._store.spans(namespace, spans)
        latents = self.encode([[segment.text for segment in window] for window in found])
        made = dict[int, Int8[np.ndarray, " n"]]()
        for segments, window_latents in zip(found, latents, strict=True):
            for segment, latent in zip(segments, window_latents, strict=True):
                if segment.row in missing:
                    made[segment.row] = latent
        if made:
            self._store.attach(namespace, list(made), list(made.values()))
        return len(made)

    def _fits(self, latent: np.ndarray | None) -> bool:
        return latent is not None and self.codec.stored_form.holds(latent)

    def check(self, readout: Readout) -> None:
        """Raise LatentsUnavailableError unless every segment has a latent of the memory's codec.

        The codec's files say so: no decoder is loaded, and no prefix is made.
        """
        unpacked(readout.segments, self.stored_form)

    def condition(
        self,
        readout: Readout,
        decoder: Decoder | None = None,
        answering: AnsweringAdapter | None = None,
    ) -> LatentReadout:
        """What stands in front of a prompt so that the decoder answers from a readout.

        Args:
            decoder: that answers, where it is not the memory's own.
            answering: the decoder's answering adapter, where it acts too.

        Raises:
            LatentsUnavailableError: if there is no codec for the decoder, or a segment has no latent.
        """
        codec = self.codec if decoder is None else self._codec_of(decoder)
        return codec.readout(unpacked(readout.segments, codec.stored_form), answering)

    def __copy__(self) -> LatentMemory:
        return self

    def __deepcopy__(self, _: object) -> LatentMemory:
        # A readout that refers to it can be copied; the store and the models are no part of that.
        return self

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # A readout that was pickled has its latents, and no memory any more.
        return type(None), ()


def unpacked(
    segments: Sequence[RecalledSegment], stored_form: StoredForm
) -> list[list[Float[np.ndarray, "m dz"]]]:
    """The latents of recalled segments, and of what is read with each, in their order.

    Raises:
        LatentsUnavailableError: if a segment has no latent of that form.
    """
    # A neighbour of two segments is placed once, with the better one.
    seen, groups, missing = dict[bytes, Int8[np.ndarray, " _"]](), list[list[bytes]](), 0
    for segment in segments:
        groups.append([])
        for stored in segment.latents or (None,):
            if stored is None:
                missing += 1
            elif (held := stored.tobytes()) not in seen:
                seen[held] = stored
                groups[-1].append(held)
    found = dict(zip(seen, stored_form.unpack_all(list(seen.values())), strict=True))
    whole = [[z for held in group if (z := found[held]) is not None] for group in groups]
    missing += sum(z is None for z in found.values())
    if missing or not groups:
        raise LatentsUnavailableError(
            "The answer cannot be grounded in latents.",
            f"{missing} of {missing + sum(map(len, whole))} recalled segments have no latent made for "
            "this decoder.",
            'Call `write_latents` once, open with latents=True, or use grounding="text".',
        )
    return whole


def check_share(share: object) -> None:
    """Raise InputError unless it is a share of its positions that a latent can keep."""
    if isinstance(share, int | float) and 0 < share <= 1:
        return
    raise InputError(
        f"The memory cannot be opened with latent_share={share!r}.",
        "latent_share is the share of its positions that a latent keeps, above 0 and at most 1.",
        "Use such a number; 1 keeps all.",
    )


def in_windows(texts: Sequence[str]) -> list[list[str]]:
    """A document's segments, from its beginning, as they are read together."""
    return [list(texts[at : at + WINDOW]) for at in range(0, len(texts), WINDOW)]


def _no_codec(why: str) -> LatentsUnavailableError:
    return LatentsUnavailableError(
        "The answer cannot be grounded in latents.",
        why,
        'Train them with `larimar train` and name their folder, or use grounding="text".',
    )
