"""What latents of fewer positions and of fewer bytes are worth: the table the default is chosen from.

Trained codecs side by side, and one of them at several steps: sentences said again, and questions
answered from latents against the same questions answered from the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import recitation, squad
from benchmarks.oracle import Oracle, Told, passages, scored
from benchmarks.result import Bar, Figures, bar
from benchmarks.session import Session
from larimar_memory.errors import InputError
from larimar_memory.latents import LatentCodec, load_bundle
from larimar_memory.latents.bundle import figures_of
from larimar_memory.latents.stored import StoredForm

PACKAGES = ()

_LENGTHS = (4, 32)
_LEAST = 0.95


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        prose: tokens of text that sentences are taken from.
        segments: sentences said again.
        questions: on passages.
        steps: at which the first codec's latents are stored, besides its own.
    """

    prose: int
    segments: int
    questions: int
    steps: tuple[float, ...]


FULL = Size(60_000, 200, 60, (0.4, 1.2, 1.6))
QUICK = Size(4_000, 4, 1, (1.0,))


def measure(session: Session, size: Size) -> tuple[Figures, list[Bar]]:
    """A row for every bundle, and for every step of the first.

    Raises:
        InputError: if no questions are given.
    """
    if session.questions is None:
        raise InputError(
            "The benchmark 'curve' cannot run.",
            "It has no questions to ask.",
            "Name a file in SQuAD's JSON with --questions.",
        )
    texts = recitation.drawn(session, size.prose, "curve")
    texts = recitation.openings(session.codec, texts, session.draw("openings"), size.segments, _LENGTHS)
    asked = squad.read(session.questions)
    session.draw("questions").shuffle(asked)
    asked = asked[: size.questions]
    rows = list[Figures]()
    from_text: list[Told] | None = None
    for folder, codec, form in _codes(session, size.steps):
        config = codec.config
        session.note(f"{config.tokens_per_key} tokens a position, {config.dz} numbers, {form.step:g}")
        said = recitation.exactness(codec, texts, form)
        oracle = Oracle(codec, form, session.answering)
        if from_text is None:
            # The same, whatever codec stands beside it.
            from_text = [oracle.from_text(one.question, passages(one)) for one in asked]
        told = [oracle.from_latents(one.question, passages(one)) for one in asked]
        rows.append(
            {
                "tokens_per_position": config.tokens_per_key,
                "dz": config.dz,
                "step": form.step,
                "labels": _labels(figures_of(folder)) if folder else None,
                "bytes_per_token": said["bytes_per_token"],
                "exact": said["exact"],
                "edit_distance": said["edit_distance"],
                **scored({"text": from_text, "latent": told}, asked, session.draw("interval")),
            }
        )
        session.note(f"{said['exact']['count']} said again, F1 {rows[-1]['ratio']:.2f} of text's")
    best = max(row["ratio"] for row in rows)
    kept = rows[0]["ratio"] / best if best else 0.0
    return {"rows": rows}, [
        bar("token F1 from the first bundle's latents over the best row's", kept, f">= {_LEAST}")
    ]


def _codes(
    session: Session, steps: Sequence[float]
) -> Iterator[tuple[Path | None, LatentCodec, StoredForm]]:
    first = session.codec
    own = first.stored_form
    # All at once: a bundle that is not there should not be missed after half an hour.
    others = [(folder, load_bundle(folder, session.decoder)) for folder in session.others]
    yield session.bundle, first, own
    for step in steps:
        yield session.bundle, first, replace(own, step=step)
    for folder, codec in others:
        yield folder, codec, codec.stored_form


def _labels(figures: Figures) -> int:
    """Tokens that a bundle, and those it went on from, were trained on."""
    before = figures.get("before")
    return int(figures.get("tokens", 0)) + (_labels(before) if before else 0)
