"""Find the segments that a question addresses: candidates, their keys, features, ranks, the scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from larimar_memory.encoders.base import Encoder, TokenizingEncoder, keys_of
from larimar_memory.recall import features as feature
from larimar_memory.recall import ranking, scope
from larimar_memory.recall.around import Surroundings
from larimar_memory.recall.candidates import DEPTH, Pool, candidates
from larimar_memory.recall.coverage import Stretch, coverage
from larimar_memory.recall.features import FEATURES, Known
from larimar_memory.recall.fine_keys import FineKeys
from larimar_memory.recall.found import Candidate, Found
from larimar_memory.recall.neighbours import Neighbourhood
from larimar_memory.recall.question import Asked, parts_of
from larimar_memory.recall.soft_words import soft_words
from larimar_memory.recall.stems import stem_idfs, stems_of
from larimar_memory.recall.timely import Timed, in_time, in_turn
from larimar_memory.recall.tokens import Tokens
from larimar_memory.stores.base import Store, StoredSegment, Where, speaker_of
from larimar_memory.stores.filters import also, filter_of
from larimar_memory.system.moments import day_of
from larimar_memory.text.words import words
from larimar_memory.types import ReadOptions, Why

RANKED = 32
"""How many candidates get the encoder's key and all features, if not more are asked for.

Of the questions about prose that the ranking was fitted on, 40 candidates put the answering sentence
into the first five for .13 of a point more, and took a quarter more of the encoder's time.
"""

ASKED = 64
"""How many questions' keys are kept: a read is often followed by an answer, or by a read of another
namespace."""


LATEST = 16
"""How many of the newest texts are looked at for when something was last said."""

SEARCHED = 100_000
"""The most segments among which what was said on some days is searched: a filter looks at every
document, which takes a tenth of a second at 16,000."""

AWAY = timedelta(31)
"""After how long without anything said a memory counts as one of the past."""


class Look(NamedTuple):
    """What is known of a question's candidates.

    Attributes:
        cosines: of each with the question, and how much of its words each covers, as in `Candidate`.
    """

    asked: Asked
    pool: Pool
    known: list[Known]
    cosines: list[tuple[float, float]]

    @property
    def kind(self) -> ranking.Kind:
        """The kind of text of the candidates."""
        return ranking.kind_of([speaker_of(one.segment.metadata) for one in self.known])


class Recall:
    """Reads a store; thread-safe.

    Attributes:
        fine_keys: gives segments the encoder's keys.
    """

    def __init__(self, store: Store, encoder: Encoder, language: str) -> None:
        self.store, self.encoder, self.language = store, encoder, language
        self._tokens = Tokens(encoder) if isinstance(encoder, TokenizingEncoder) else None
        self.fine_keys = FineKeys(store, encoder, self._tokens)
        self._key_of = lru_cache(ASKED)(self._made)

    def key_of(self, question: str) -> Float[np.ndarray, " d"]:
        """A question's key, unit length; recent questions' keys are not made again."""
        return self._key_of(question)

    def _made(self, question: str) -> Float[np.ndarray, " d"]:
        key: np.ndarray = keys_of(self.encoder, [question], "question")[0]
        key.flags.writeable = False
        return key

    def ask(
        self,
        question: str,
        key: Float[np.ndarray, " d"],
        options: ReadOptions,
        probe: Float[np.ndarray, " d"] | None = None,
    ) -> Found:
        """The k segments that match a question best, best first, whatever they score.

        If a question has several parts, the best of each part come first.

        Args:
            key: the question's key, unit length.
            options: with `hybrid`, words are searched for as well.
            probe: what the search goes by in place of the key; cosines are still those with the key.
        """
        parts = parts_of(question) if options.hybrid and probe is None else []
        found = [self._one(question, key, options, probe)]
        timed = Timed.of(question) if options.hybrid and probe is None else None
        if timed is not None and self.store.size(options.namespace) <= SEARCHED:

            def ask(text: str, conditions: Sequence[Where]) -> Found:
                within = replace(options, where=also(options.where, conditions))
                return self._one(text, self.key_of(text), within, None)

            found = [in_time(timed, found[0], ask, lambda: self._today(options))]
        if parts:
            found += [self._one(part, self.key_of(part), options, None) for part in parts]
        best = max(found, key=lambda one: one.probability)
        return Found(in_turn([one.candidates for one in found])[: options.k], *best[1:])

    def surroundings(self, options: ReadOptions, question: str) -> Surroundings:
        """What finds the text around a segment that was read for a question by these options."""
        asked = Asked(question, self.language)
        return Surroundings(self.store, options.namespace, asked, filter_of(options))

    def nearest(
        self,
        key: Float[np.ndarray, " d"],
        options: ReadOptions,
        probe: Float[np.ndarray, " d"] | None = None,
    ) -> list[Candidate]:
        """The k segments of largest cosine with a key; words do not count."""
        return self._by_key(key, options, probe)[: options.k]

    def _by_key(
        self, key: Float[np.ndarray, " d"], options: ReadOptions, probe: Float[np.ndarray, " d"] | None
    ) -> list[Candidate]:
        """All candidates, by their cosine with what the search goes by."""
        aim = key if probe is None else probe
        # More than are asked for, so that the search does not decide which of equal keys come first.
        hits = self.store.nearest(options.namespace, aim, max(options.k, DEPTH), options.where)
        rows = [hit.row for hit in hits[: max(options.k, RANKED)]]
        kept = self.fine_keys.given(options.namespace, self.store.fetch(options.namespace, rows))
        found = [Candidate(s, float(s.best_key @ key), float(s.best_key @ aim)) for s in kept]
        return sorted(found, key=lambda one: (-one.rank_score, one.segment.row))

    def look(
        self,
        question: str,
        key: Float[np.ndarray, " d"],
        options: ReadOptions,
        probe: Float[np.ndarray, " d"] | None = None,
    ) -> Look:
        """What is known of the candidates of one question, before they are ranked; as in `ask`.

        Words count, whatever the options say.
        """
        asked, aim = Asked(question, self.language), key if probe is None else probe
        pool = candidates(self.store, asked, aim, options, max(options.k, DEPTH))
        rows = ranking.first(asked, pool, list(pool.places), max(options.k, RANKED))
        around = Neighbourhood(self.store, options.namespace, pool)
        near = dict(zip(rows, around.of(rows, aim), strict=True))
        chosen = self.fine_keys.given(options.namespace, self.store.fetch(options.namespace, rows))
        soft = soft_words(self.encoder, self._tokens, question, [s.text for s in chosen])
        said = [words(s.text) for s in chosen]
        stems = [frozenset(stems_of(own)) for own in said]
        covers = coverage(
            stem_idfs(asked, pool),
            [
                Stretch(s.document_id, s.index, near[s.row].turns_before, own)
                for s, own in zip(chosen, stems, strict=True)
            ],
        )
        known, cosines = list[Known](), list[tuple[float, float]]()
        late, is_read = _lateness(chosen), bool(key.any())
        for n, segment in enumerate(chosen):
            own = segment.best_key
            readable = is_read and bool(own.any())
            covered = 0.0 if readable else feature.covered(asked, set(said[n]), is_read)
            cosines.append((float(own @ key), covered))
            likeness = float(own @ aim) + covered
            alike = None if soft is None else float(soft[n])
            known.append(
                Known(
                    segment,
                    said[n],
                    stems[n],
                    likeness,
                    near[segment.row],
                    covers[n],
                    alike,
                    late[segment.document_id],
                )
            )
        return Look(asked, pool, known, cosines)

    def _today(self, options: ReadOptions) -> date:
        """The day from which "yesterday" is counted: that of `as_of`, or today.

        In a memory to which nothing was said for a month, it is the day of what was said last.
        """
        if (given := day_of(options.as_of)) is not None:
            return given
        today = datetime.now(timezone.utc).date()
        latest = self.store.latest(options.namespace, LATEST)
        days = [day for one in latest if (day := day_of(one.metadata.get("said_at"))) is not None]
        newest = max(days, default=today)
        return today if today - AWAY <= newest <= today else newest

    def _one(
        self,
        question: str,
        key: Float[np.ndarray, " d"],
        options: ReadOptions,
        probe: Float[np.ndarray, " d"] | None,
    ) -> Found:
        if options.hybrid:
            return _ranked(self.look(question, key, options, probe), options.explain)
        aim = key if probe is None else probe
        found = self._by_key(key, options, probe) if aim.any() else []
        return Found(found, max((candidate.score for candidate in found), default=0.0), {})


def _ranked(look: Look, explain: bool) -> Found:
    asked, pool, known, cosines = look
    table = feature.table(asked, pool, known)
    weights = ranking.weights(look.kind)
    scores = np.einsum("nf,f->n", table, weights.rank)
    order = sorted(range(len(known)), key=lambda n: (-float(scores[n]), known[n].segment.row))
    by_key, by_words = dict[int, int](), dict[int, int]()
    if explain:
        by_key = {row: n for n, row in enumerate(pool.by_key, 1)}
        by_words = {row: n for n, row in enumerate(pool.by_words, 1)}
    found = list[Candidate]()
    for n in order:
        row = known[n].segment.row
        why = None
        if explain:
            parts = zip(FEATURES, table[n].tolist(), (table[n] * weights.rank).tolist(), strict=True)
            values = {name: (value, part) for name, value, part in parts}
            why = Why(values, by_key.get(row), by_words.get(row), asked.text)
        cosine, covered = cosines[n]
        found.append(Candidate(known[n].segment, cosine, float(scores[n]), covered, why))
    stems = [known[n].stems for n in order[: scope.FIRST]]
    signs = scope.signs(asked, pool, stems, table[order], scores[order])
    named = dict(zip(scope.SIGNS, map(float, signs), strict=True))
    return Found(found, scope.probability(signs, weights.scope, weights.scope_bias), named)


def _lateness(segments: Sequence[StoredSegment]) -> dict[str, float]:
    """How late each document was said, or first written, among those found: from 0 to 1."""
    times = {s.document_id: (s.metadata.get("said_at"), s.row) for s in segments}
    # A text that is not a time is not late.
    said = {name: (at if day_of(at) else "", row) for name, (at, row) in times.items()}
    order = sorted(said, key=said.__getitem__)
    return {name: n / max(len(order) - 1, 1) for n, name in enumerate(order)}
