"""Latents that control the decoder: said again, answered from, their time, their size, their reach."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import needle, passkey, recitation, squad
from benchmarks.oracle import Oracle, compare
from benchmarks.result import Bar, Figures, bar, rate, share
from benchmarks.session import Session
from benchmarks.trials import BEAMS, field
from larimar_memory.latents.bundle import figures_of

PACKAGES = ()

_LENGTHS = (4, 32)
_MILLION = 1_000_000
_BYTES = 150
_K = 5
_ANSWER_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        prose: tokens of text that sentences are taken from.
        segments: sentences said again.
        rare: sentences with each kind of rare string.
        questions: on passages.
        repeats: of each timed answer.
        lengths: tokens of the haystacks.
        trials: pass keys, and needles, in each.
    """

    prose: int
    segments: int
    rare: int
    questions: int
    repeats: int
    lengths: tuple[int, ...]
    trials: int


FULL = Size(60_000, 400, 100, 300, 15, (10_000, 100_000, 1_000_000), 10)
# Not fewer: one sentence missed in sixteen, or one UUID in four, would already miss a bar.
QUICK = Size(4_000, 48, 12, 3, 2, (1_000, 3_000), 2)


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """All that a readout is for, on text that was not trained on."""
    codec = session.codec
    texts = recitation.drawn(session, size.prose, "latents")
    figures: Figures = {"bundle": _described(session.bundle), "config": codec.config.model_dump()}
    bars = list[Bar]()
    figures["said_again"], some = _said_again(session, texts, size)
    bars += some
    if session.questions is not None:
        figures["answers"], some = _answers(session, session.questions, size)
        bars += some
    figures["time"] = _time(session, texts, size)
    times = "first_token_seconds_over_text", "seconds_over_text"
    first, whole = (figures["time"][name] for name in times)
    # What is asked about a text in general is answered at different lengths.
    whole = figures.get("answers", {}).get("seconds_over_text", whole)
    bars += [
        bar("time to first token, 5 segments, latents over text", first, "<= 0.7"),
        bar("time of a whole answer, latents over text", whole, "<= 1.0"),
    ]
    figures["reach"], some = _reach(session, size)
    return figures, bars + some


def _described(folder: Path | None) -> Figures:
    if folder is None:
        return {}
    trained = figures_of(folder)
    return {name: trained.get(name) for name in ("tokens", "seconds", "checked")}


def _said_again(session: Session, texts: list[str], size: Size) -> tuple[Figures, list[Bar]]:
    codec, draw = session.codec, session.draw("openings")
    session.note("saying segments again")
    mixed = recitation.openings(codec, texts, draw, size.segments, _LENGTHS)
    figures: Figures = {"mixed": recitation.exactness(codec, mixed)}
    exact = figures["mixed"]["exact"]
    percent = 100 * share(exact)
    session.note(f"{percent:.1f}% said again exactly")
    bars = [bar("segments of 4 to 32 tokens said again exactly, percent", percent, ">= 97")]
    for (kind, make), least in zip(recitation.RARE.items(), (99, 95, 98), strict=True):
        session.note(f"saying again: {kind}")
        pairs = recitation.with_rare(texts, make, session.draw("rare", kind), size.rare)
        said = recitation.said_again(codec, [text for text, _ in pairs])
        hits = [string in again for (_, string), again in zip(pairs, said, strict=True)]
        figures[kind] = {"recalled": rate(hits)}
        session.note(f"{sum(hits)} of {len(hits)}")
        bars.append(bar(f"{kind} in a sentence recalled, percent", 100 * _share(hits), f">= {least}"))
    return figures, bars


def _answers(session: Session, path: Path, size: Size) -> tuple[Figures, list[Bar]]:
    asked = squad.read(path)
    draw = session.draw("questions")
    draw.shuffle(asked)
    session.note(f"answering {size.questions} questions three ways, each chosen among several answers")
    oracle = Oracle(session.codec, answering=session.answering, beams=BEAMS)
    figures = compare(oracle, asked[: size.questions], draw)
    session.note("answering them token by token")
    one_by_one = compare(
        Oracle(session.codec, answering=session.answering), asked[: size.questions], draw
    )
    figures["one_by_one"] = {
        name: one_by_one[name] for name in ("text", "latent", "ratio", "ratio_interval")
    }
    text, latent = figures["text"]["positions"], figures["latent"]["positions"]
    figures["positions_over_text"] = latent / text
    figures["seconds_over_text"] = figures["latent"]["seconds"] / figures["text"]["seconds"]
    session.note(f"token F1 over that of text: {figures['ratio']:.2f}")
    return figures, [bar("token F1 of answers, latents over text", figures["ratio"], ">= 0.93")]


def _time(session: Session, texts: list[str], size: Size) -> Figures:
    """Both ways in turn, so that whatever slows the machine slows both."""
    oracle = Oracle(session.codec, answering=session.answering)
    question = "What does the text say?"
    found: dict[str, list[tuple[float, float, int]]] = {"text": [], "latent": []}
    for number in range(size.repeats + 1):
        segments = texts[number * _K : (number + 1) * _K]
        for name, tell in (("text", oracle.from_text), ("latent", oracle.from_latents)):
            told = tell(question, segments, _ANSWER_TOKENS)
            # The first round loads what is loaded once.
            if number:
                found[name].append((told.first, told.total, told.positions))
    figures: Figures = {
        name: {
            "first_token_seconds": statistics.median(first for first, _, _ in rows),
            "seconds": statistics.median(total for _, total, _ in rows),
            "positions": statistics.median(positions for _, _, positions in rows),
        }
        for name, rows in found.items()
    }
    for name in ("first_token_seconds", "seconds", "positions"):
        figures[f"{name}_over_text"] = figures["latent"][name] / figures["text"][name]
    return figures


def _reach(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """Pass keys and needles in long text, answered through latents alone; and the file's size."""
    figures: Figures = {}
    hits: dict[str, list[bool]] = {"pass keys": [], "needles": []}
    files = list[tuple[int, int]]()
    for length in size.lengths:
        with field(session, session.prose(length), latents=True) as hay:
            held = hay.memory.stats()
            draw = session.draw("reach", length)
            keys = list[bool]()
            for _ in range(size.trials):
                key = draw.randint(1, passkey.LARGEST_KEY)
                keys.append(passkey.ask(hay, key, draw.random(), "latent", beams=1).right)
            needles, chosen = (
                [
                    needle.ask(hay, number, number / max(1, size.trials - 1), "latent", beams).right
                    for number in range(size.trials)
                ]
                for beams in (1, BEAMS)
            )
            files.append((hay.figures["tokens"], held.bytes_on_disk))
            figures[str(length)] = {
                **hay.figures,
                "pass_keys": rate(keys),
                "needles": rate(needles),
                "needles_chosen_among_several": rate(chosen),
                "bytes_on_disk": held.bytes_on_disk,
                "megabytes_per_million_tokens": _per_million(*files[-1]),
            }
            session.note(f"{length:,} tokens: {sum(keys)} keys, {sum(needles)} needles")
        hits["pass keys"] += keys
        hits["needles"] += needles
    bars = [
        bar(f"{name} answered through latents alone, percent", 100 * _share(found), f">= {least}")
        for (name, found), least in zip(hits.items(), (98, 95), strict=True)
    ]
    return figures, [
        *bars,
        bar("file of a million tokens, latents included, MB", _of_a_million(files), f"<= {_BYTES}"),
    ]


def _per_million(tokens: int, size: int) -> float:
    return size / tokens * _MILLION / 1e6


def _of_a_million(files: Sequence[tuple[int, int]]) -> float:
    """Megabytes of a file of a million tokens, from tokens and bytes of shorter ones, shortest first.

    A file has parts that do not grow, a log and a table of contents among them: of the shortest, they
    are most, so that it is what the longest has more that is carried on.
    """
    (few, small), (many, large) = files[0], files[-1]
    if few == many:
        return _per_million(many, large)
    return large / 1e6 + _per_million(many - few, large - small) * (_MILLION - many) / _MILLION


def _share(hits: list[bool]) -> float:
    return sum(hits) / max(1, len(hits))
