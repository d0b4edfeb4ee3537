"""Latents in a memory: made when segments are written or later, found when they are read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float, Int8

from larimar_memory.decoders.prompt import disarmed
from larimar_memory.decoders.transformers import Decoder
from larimar_memory.errors import LatentsUnavailableError
from larimar_memory.stores.base import Span, Store
from larimar_memory.types import Readout, RecalledSegment, Segment

if TYPE_CHECKING:
    from larimar_memory.latents import LatentCodec
    from larimar_memory.latents.prefixed import LatentReadout

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
    """

    def __init__(self, store: Store, decoder: Callable[[], Decoder], codec: Codec) -> None:
        self._store, self._decoder, self._given = store, decoder, codec
        self._codec: LatentCodec | None = None
        self._lock = threading.Lock()

    @property
    def codec(self) -> LatentCodec:
        """The codec.

        Raises:
            LatentsUnavailableError: if none was named and none ships for the decoder.
            ModelError: if it cannot be loaded, or is for another decoder.
        """
        from larimar_memory.latents import LatentCodec, load_bundle

        with self._lock:
            if self._codec is None:
                decoder = self._decoder()
                if isinstance(self._given, LatentCodec):
                    self._codec = self._given
                elif self._given is not None:
                    self._codec = load_bundle(Path(self._given).expanduser(), decoder)
                else:
                    self._codec = shipped_codec(decoder)
            return self._codec

    def encode(self, windows: Sequence[Sequence[str]]) -> list[list[Int8[np.ndarray, " n"]]]:
        """Latents of segments, as they are stored, a list for each window.

        A window is up to `WINDOW` consecutive segments of one document. Where its first segments are
        given alone, they get the latents they get with the others.
        """
        codec = self.codec
        # Blanks between segments belong to no one; a segment of blanks alone has one token to say.
        texts = [[disarmed(text.strip() or text) for text in window] for window in windows]
        return [[codec.stored_form.pack(z) for z in window] for window in codec.encode_windows(texts)]

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
        return latent is not None and self.codec.stored_form.unpack(latent) is not None

    def condition(
        self, readout: Readout, segments: Sequence[RecalledSegment] | None = None
    ) -> LatentReadout:
        """What stands in front of a prompt; see the function `condition`."""
        return condition(self.codec, readout, segments)


def in_windows(texts: Sequence[str]) -> list[list[str]]:
    """A document's segments, from its beginning, as they are read together."""
    return [list(texts[at : at + WINDOW]) for at in range(0, len(texts), WINDOW)]


def condition(
    codec: LatentCodec, readout: Readout, segments: Sequence[RecalledSegment] | None = None
) -> LatentReadout:
    """What stands in front of a prompt so that the decoder answers from a readout.

    Args:
        codec: of the decoder that answers.
        segments: which of the readout's, best first; by default all.

    Raises:
        LatentsUnavailableError: if a segment has no latent of this codec.
    """
    from larimar_memory.latents.prefixed import LatentReadout

    chosen = readout.segments if segments is None else segments
    groups = [readout.latents[readout.segments.index(segment)] for segment in chosen]
    seen = set[bytes]()
    placed = list[Float[np.ndarray, "m dz"] | None]()
    for group in groups:
        # A neighbour of two segments is placed once, with the better one.
        fresh = [s for s in group if s is None or s.tobytes() not in seen]
        seen |= {s.tobytes() for s in fresh if s is not None}
        # The best stands last, nearest to the question, as its text does in a prompt.
        placed[:0] = [None if s is None else codec.stored_form.unpack(s) for s in fresh]
    latents = [z for z in placed if z is not None]
    if not latents or len(latents) < len(placed):
        raise LatentsUnavailableError(
            "The answer cannot be grounded in latents.",
            f"{len(placed) - len(latents)} of {len(placed)} recalled segments have no latent made "
            "for this decoder.",
            'Call `write_latents` once, open with latents=True, or use grounding="text".',
        )
    return LatentReadout(codec, latents)


def shipped_codec(decoder: Decoder) -> LatentCodec:
    """The codec that ships for a decoder, loaded once for it.

    Raises:
        LatentsUnavailableError: if there is none.
    """
    from larimar_memory.latents.bundle import latents_for, load_bundle

    folder = latents_for(decoder.name)
    if folder is None:
        raise LatentsUnavailableError(
            "The answer cannot be grounded in latents.",
            f"No trained latents ship for the decoder {decoder.name!r}.",
            'Train them with `larimar train` and name their folder, or use grounding="text".',
        )
    # Kept with the decoder, which the codec refers to: both go when nobody uses them.
    if "_codec" not in vars(decoder):
        vars(decoder)["_codec"] = load_bundle(folder, decoder)
    codec: LatentCodec = vars(decoder)["_codec"]
    return codec
