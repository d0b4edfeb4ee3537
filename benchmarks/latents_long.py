"""Long reads, up to whole documents: from text, from latents, from the decoder's own keys and values.

Held-out questions are asked of their passage among those of the others, until so many tokens are
recalled; passages stand in the order of the words that they share with the question. Each question is
answered in all ways, one after the other, so that whatever slows the machine slows all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.keyvalues import KeyValues, Stored, stored
from benchmarks.oracle import PROBABILITY, interval, ratio
from benchmarks.result import Bar, Figures, bar
from benchmarks.session import Session
from benchmarks.squad import token_f1
from larimar_memory.answer import STOP, Answerer
from larimar_memory.decoders.base import Generation
from larimar_memory.decoders.prompt import instruction, passage
from larimar_memory.errors import InputError
from larimar_memory.larimar import Larimar
from larimar_memory.latents.latent_memory import LatentMemory, in_windows
from larimar_memory.recall.contexts import recalled
from larimar_memory.stores.base import Span
from larimar_memory.train.rows import Row, read_rows
from larimar_memory.train.shown import likest, units_of
from larimar_memory.types import DEFAULT_NAMESPACE, AnswerOptions, Grounding, Readout, RecalledSegment

PACKAGES = ()

FILES = ("fairytaleqa", "nq_open_gold", "squadshifts_newwiki")
"""Files of prose whose held-out rows are asked."""

TEXT, LATENTS = "text", "latents"
_STORED = "keys and values"
_CHARS = (500, 2_000)
_ANSWER_TOKENS = 16
_FEWER = ((0.5, ">= 0.88"), (0.25, ">= 0.75"))


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        questions: how many are asked of so many recalled tokens.
        bits: of keys and values.
        linked: tokens at the beginning of each piece that are read again.
        links: bits with which that is measured.
        most: recalled tokens up to which all of these are measured.
        far: bits beyond them, without links.
        shares: of the positions of latents that are kept, besides all.
    """

    questions: Mapping[int, int]
    bits: tuple[int, ...]
    linked: int
    links: tuple[int, ...]
    most: int
    far: tuple[int, ...]
    shares: tuple[float, ...]


_CHAT_TOKENS = 400
"""Room beside what is recalled: for instructions, the question and the answer."""

FULL = Size(
    {256: 36, 1_000: 24, 2_000: 16, 4_000: 6, 8_000: 3},
    (16, 8, 5, 4, 3, 2, 1),
    8,
    (16, 4),
    1_000,
    (16, 4),
    (0.75, 0.5, 0.25),
)
QUICK = Size({256: 2, 500: 1}, (16, 4), 4, (16,), 256, (4,), (0.5,))


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage in a memory, and in the forms that are measured.

    Attributes:
        segment: the first one, with all others around it, and all their latents.
        tokens: of its text.
        pieces: its keys and values by bits, a window of the memory's in each.
        thinned: the segment with all latents, by the share of their positions that is kept.
    """

    segment: RecalledSegment
    tokens: int
    pieces: Mapping[int, tuple[Stored, ...]]
    thinned: Mapping[float, RecalledSegment]

    @property
    def places(self) -> int:
        """Positions of its latents, of which each segment has one more than it has tokens."""
        return self.tokens + len(self.segment.latents)


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one question answered in one way."""

    token_f1: float
    first: float
    seconds: float
    positions: int
    bytes_per_token: float


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Ask all questions in all ways.

    Raises:
        InputError: if there are no held-out rows.
    """
    rows, room = _drawn(session, size), session.decoder.context - _CHAT_TOKENS
    with session.open(None, latents=True) as memory:
        started = time.perf_counter()
        memory.write([row.context for row in rows], [str(n) for n in range(len(rows))])
        wrote = time.perf_counter() - started
        ways = _Ways(session, memory, size)
        held = [ways.passage(str(n)) for n in range(len(rows))]
        session.note(f"wrote {sum(p.tokens for p in held):,} tokens in {wrote:.0f} s")
        # The first answers load what is loaded once, and are nobody's.
        for way in ways.of(0).values():
            way(rows[0], held[:1])
        found = dict[int, list[dict[str, Told]]]()
        recalled_tokens = dict[int, list[int]]()
        for tokens, count in size.questions.items():
            found[tokens], recalled_tokens[tokens] = [], []
            for number in range(count):
                shown = _shown(rows[number], held, number, min(tokens, room))
                recalled_tokens[tokens].append(sum(one.tokens for one in shown))
                told = {name: way(rows[number], shown) for name, way in ways.of(tokens).items()}
                found[tokens].append(told)
            session.note(f"{count} questions asked of {tokens:,} tokens")
    figures, bars = report(session, found, recalled_tokens)
    figures["write"] = {
        "tokens": sum(p.tokens for p in held),
        "seconds": wrote,
        "exact_seconds": ways.seconds,
        "speed_over_exact": ways.seconds / wrote,
    }
    return figures, bars


def report(
    session: Session,
    found: Mapping[int, Sequence[Mapping[str, Told]]],
    tokens: Mapping[int, Sequence[int]],
) -> tuple[Figures, list[Bar]]:
    """Figures and bars.

    Args:
        found: by the tokens asked for, what came of each question, by way.
        tokens: that were recalled for each.
    """
    rows: list[Figures] = [
        {
            "tokens": length,
            "recalled": statistics.median(tokens[length]),
            "questions": len(told),
            "ways": {name: _summary(told, name) for name in told[0]},
        }
        for length, told in found.items()
    ]
    every = [told for some in found.values() for told in some]
    common = [name for name in every[0] if all(name in told for told in every)]
    f1 = {name: [told[name].token_f1 for told in every] for name in common}
    quality = ratio(f1[LATENTS], f1[TEXT])
    all_ways = [told for told in every if len(told) == max(map(len, every))]
    means = {name: statistics.mean(t[name].token_f1 for t in all_ways) for name in all_ways[0]}
    taken = {name: statistics.mean(t[name].bytes_per_token for t in all_ways) for name in all_ways[0]}
    needed = _needed(means, taken, means[LATENTS])
    times = {row["tokens"]: row["ways"][LATENTS]["first_over_text"] for row in rows}
    figures: Figures = {
        "rows": rows,
        "together": {
            name: {"token_f1": means[name], "bytes_per_token": taken[name]} for name in all_ways[0]
        },
        "questions_together": len(all_ways),
        "ratio": quality,
        "ratio_interval": interval(f1[LATENTS], f1[TEXT], session.draw("interval")),
        "keys_and_values_as_good": needed,
    }
    bars = [
        bar(f"time to first token, {length:,} tokens recalled, latents over text", times[length], least)
        for length, least in ((2_000, "<= 0.3"), (8_000, "<= 0.15"))
        if length in times
    ]
    return figures, [
        *bars,
        bar("bytes of latents that a read needs, a token", taken[LATENTS], "<= 60"),
        bar("token F1 of long reads, latents over text", quality, ">= 0.93"),
        *(
            bar(f"the same with {share:g} of the positions", ratio(f1[name], f1[TEXT]), least)
            for share, least in _FEWER
            if (name := named_share(share)) in f1
        ),
        bar(
            "bytes of keys and values that answer as well, over those of latents",
            taken[needed] / taken[LATENTS],
            ">= 50",
        ),
    ]


def _needed(means: Mapping[str, float], taken: Mapping[str, float], least: float) -> str:
    """The smallest keys and values that answer so well; the largest where none do."""
    stored_ways = sorted((name for name in means if name.startswith(_STORED)), key=taken.__getitem__)
    return next((name for name in stored_ways if means[name] >= least), stored_ways[-1])


def _summary(told: Sequence[Mapping[str, Told]], name: str) -> Figures:
    mine = [one[name] for one in told]
    return {
        "token_f1": statistics.mean(one.token_f1 for one in mine),
        "first_token_seconds": statistics.median(one.first for one in mine),
        # Of the same question, a moment apart.
        "first_over_text": statistics.median(one[name].first / one[TEXT].first for one in told),
        "seconds": statistics.median(one.seconds for one in mine),
        "positions": statistics.median(one.positions for one in mine),
        "bytes_per_token": statistics.mean(one.bytes_per_token for one in mine),
    }


def _drawn(session: Session, size: Size) -> list[Row]:
    """Held-out rows of prose with an answer, on different texts; more than enough to fill all reads."""
    if session.rows is None:
        raise InputError(
            "The benchmark 'latents_long' cannot run.",
            "It has no questions to ask.",
            "Name a folder of reading comprehension with --rows.",
        )
    every = [
        row
        for row in read_rows(session.rows)
        if row.held_out and row.answers and row.file in FILES
        if _CHARS[0] <= len(row.context) <= _CHARS[1] and not units_of(row.context).talked
    ]
    session.draw("rows").shuffle(every)
    rows, wanted = list[Row](), max(size.questions)
    texts = set[str]()
    for row in every:
        if row.context not in texts:
            texts.add(row.context)
            rows.append(row)
        # An English word is longer than a token, in the mean.
        if len(rows) >= max(size.questions.values()) and sum(len(r.context) for r in rows) > 5 * wanted:
            break
    if not rows:
        raise InputError(
            "The benchmark 'latents_long' cannot run.",
            f"None of the rows in {session.rows} is held out, of {', '.join(FILES)} and has an answer.",
            "Name the folder with those files.",
        )
    return rows


def _shown(row: Row, held: Sequence[Passage], own: int, tokens: int) -> list[Passage]:
    """A question's passage and the likest others, as many as there is room for, likest first."""
    order = likest(row.question, [one.segment.context for one in held])
    left, kept = tokens - held[own].places, {own}
    for n in order:
        if n != own and held[n].places <= left:
            kept.add(n)
            left -= held[n].places
    return [held[n] for n in order if n in kept]


class _Ways:
    """All that a question is answered from.

    Attributes:
        seconds: that the decoder took to read the passages.
    """

    def __init__(self, session: Session, memory: Larimar, size: Size) -> None:
        self._session, self._memory, self._size = session, memory, size
        adapter = session.answering
        if adapter is not None:
            adapter = adapter.after_read(PROBABILITY, shown="alone")
        self._told = instruction("brief", adapter is not None)
        self._values, self.seconds = KeyValues(session.codec, adapter), 0.0

    def passage(self, id: str) -> Passage:
        """A document of the memory in all forms."""
        near = self._memory.store.spans(DEFAULT_NAMESPACE, [Span(id, 0, 1 << 20)], latents=True)[0]
        decoder, pieces = self._session.decoder, dict[int, list[Stored]]()
        windows = in_windows([segment.text for segment in near])
        for n, window in enumerate(windows):
            text = passage("".join(window))
            ids = decoder.plain_tokens(f" {text}" if n else text)
            ids += [self._session.codec.mark] * (n + 1 == len(windows))
            started = time.perf_counter()
            states = self._values.states(ids)
            self.seconds += time.perf_counter() - started
            for bits in self._size.bits:
                pieces.setdefault(bits, []).append(stored(ids, states, bits))
        segment = recalled(near[0], 1.0, 1.0, near)
        count = decoder.count(passage(segment.context))
        thinned = dict[float, RecalledSegment]()
        for share in self._size.shares:
            made = LatentMemory(
                self._memory.store, lambda: decoder, self._session.codec, share=share
            ).encode(windows)
            fewer = [z for window in made for z in window]
            held = [replace(s, latent=z) for s, z in zip(near, fewer, strict=True)]
            thinned[share] = recalled(held[0], 1.0, 1.0, held)
        return Passage(segment, count, {bits: tuple(held) for bits, held in pieces.items()}, thinned)

    def of(self, tokens: int) -> dict[str, Callable[[Row, Sequence[Passage]], Told]]:
        """The ways that are measured with so many recalled tokens, by name."""
        size, near = self._size, tokens <= self._size.most
        ways = {TEXT: self._grounded("text"), LATENTS: self._grounded("latent")}
        ways |= {named_share(share): self._grounded("latent", share) for share in size.shares}
        ways |= {named(bits): self._stored(bits, 0) for bits in (size.bits if near else size.far)}
        if near:
            ways |= {named(bits, size.linked): self._stored(bits, size.linked) for bits in size.links}
        return ways

    def _grounded(
        self, grounding: Grounding, share: float = 1.0
    ) -> Callable[[Row, Sequence[Passage]], Told]:
        """As a memory answers whose latents keep a share of their positions."""
        session = self._session
        options = AnswerOptions(
            grounding,
            context_tokens=session.decoder.context,
            max_tokens=_ANSWER_TOKENS,
            # Token by token, as from stored keys and values: the first token is one.
            beams=1,
        )
        answerer = Answerer(
            options, lambda: session.decoder, self._memory.latents, lambda: session.answering
        )

        def tell(row: Row, shown: Sequence[Passage]) -> Told:
            segments = tuple(one.thinned.get(share, one.segment) for one in shown)
            readout = Readout(
                row.question, DEFAULT_NAMESPACE, segments, True, 1, 0, 0, probability=PROBABILITY
            )
            started = time.perf_counter()
            said, _ = answerer.say(readout)
            if grounding == "text":
                held = sum(len(passage(s.context).encode()) for s in segments)
            else:
                held = sum(z.nbytes for s in segments for z in s.latents if z is not None)
            return _told(row, shown, said.pieces, held, started)

        return tell

    def _stored(self, bits: int, linked: int) -> Callable[[Row, Sequence[Passage]], Told]:
        def tell(row: Row, shown: Sequence[Passage]) -> Told:
            pieces = [piece for one in reversed(shown) for piece in one.pieces[bits]]
            held, started = sum(piece.nbytes for piece in pieces), time.perf_counter()
            reading = self._values.readout(pieces, linked)
            decoder = self._session.decoder
            _, prompt = decoder.around_recalled(row.question, instruction=self._told)
            generation = decoder.generate(
                prompt, max_tokens=_ANSWER_TOKENS, stop=STOP, conditioning=reading
            )
            return _told(row, shown, generation, held, started)

        return tell


def named_share(share: float) -> str:
    """What latents are called that keep a share of their positions."""
    return f"{LATENTS}, {share:g} of the positions"


def named(bits: int, linked: int = 0) -> str:
    """What keys and values of so many bits are called."""
    return f"{_STORED}, {bits} bits" + (f", {linked} tokens linked" if linked else "")


def _told(
    row: Row, shown: Sequence[Passage], pieces: Generation | str, held: int, started: float
) -> Told:
    text, first = "", 0.0
    for piece in pieces:
        if piece and not first:
            first = time.perf_counter() - started
        text += piece
    seconds = time.perf_counter() - started
    # A text is what the memory says without asking the decoder.
    positions = 0 if isinstance(pieces, str) else pieces.usage.prompt_tokens
    f1 = token_f1(text.strip(), row.answers)
    return Told(f1, first or seconds, seconds, positions, held / sum(one.tokens for one in shown))
