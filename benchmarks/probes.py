"""Questions put to a system, what it must find for them, and how well it did."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.peak import Peak
from benchmarks.result import Figures, rate
from benchmarks.session import Session
from benchmarks.systems import ANSWER_TOKENS, Piece, System, open_system

_READ = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """A question.

    Attributes:
        evidence: texts that answer it, blanks aside; each must be read.
        right: the share of what was asked for that an answer says.
        changes: documents as they read while this is asked; None for one that is forgotten.
        document: where the evidence stands, if it may stand elsewhere by chance.
        gone: texts that must not be read, nor answered.
        max_tokens: of the answer.
        begin: what the answer begins with, put in the decoder's mouth.
    """

    question: str
    evidence: tuple[str, ...]
    right: Callable[[str], float]
    changes: Mapping[str, str | None] = field(default_factory=dict)
    document: str = ""
    gone: tuple[str, ...] = ()
    max_tokens: int = ANSWER_TOKENS
    begin: str = ""

    def found(self, pieces: Sequence[Piece]) -> tuple[bool, bool]:
        """Whether the first text read is a right one, and whether all evidence was read."""
        texts = [" ".join(p.text.split()) for p in pieces if self.document in ("", p.document)]
        if any(text in piece.text for text in self.gone for piece in pieces):
            return False, False
        first = bool(pieces) and self.document in ("", pieces[0].document)
        return (
            not self.evidence or (first and any(text in texts[0] for text in self.evidence)),
            all(any(text in piece for piece in texts) for text in self.evidence),
        )

    def document_first(self, pieces: Sequence[Piece]) -> bool | None:
        """Whether the first text read is from the right document; None where any will do.

        How long the texts are that a system cuts documents into does not matter here, as it does for
        `found`: the longer they are, the easier it is for one to hold the evidence.
        """
        return bool(pieces) and pieces[0].document == self.document if self.document else None


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents, and the tasks that are asked of them.

    Attributes:
        kind: what the documents are.
        tokens: their length.
        tasks: probes by the task's name.
    """

    kind: str
    tokens: int
    documents: Mapping[str, str]
    tasks: Mapping[str, Sequence[Probe]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a probe; None for what was not tried.

    Attributes:
        first: the first text read is a right one.
        all_read: all evidence is among the first five texts read.
        document: the first text read is from the right document.
        said: share of what was asked for that the answer says.
        left: a text that was forgotten can still be read in the system's files.
    """

    first: bool | None
    all_read: bool | None
    read_seconds: float
    said: float | None = None
    answer: str = ""
    prompt_tokens: int = 0
    first_token: float = 0.0
    seconds: float = 0.0
    left: bool | None = None
    document: bool | None = None


def run(
    session: Session, name: str, corpus: Corpus, answers: int, *, only_answers: bool = False
) -> Figures:
    """Write a corpus with a fresh system and put all probes to it.

    Args:
        name: the system's.
        answers: probes of each task that are also answered, the first ones; the others only search.
        only_answers: leave the others out.
    """
    # What systems share is loaded before anyone's RAM is measured.
    _ = session.encoder, session.decoder
    gc.collect()
    with tempfile.TemporaryDirectory(prefix="larimar-bench-", ignore_cleanup_errors=True) as where:
        folder = Path(where)
        with Peak() as peak:
            spared = session.spared_seconds
            started = time.perf_counter()
            system = open_system(name, session, folder)
            try:
                system.write(corpus.documents)
                seconds = time.perf_counter() - started
                seconds += session.spared_seconds - spared
                # The first question loads what is loaded once, and is nobody's.
                first = next(iter(corpus.tasks.values()))[0].question
                system.read(first, _READ)
                if answers:
                    system.ask(first, 1)
                size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
                tasks = {
                    task: _outcomes(
                        system,
                        folder,
                        corpus.documents,
                        probes[:answers] if only_answers else probes,
                        answers,
                    )
                    for task, probes in corpus.tasks.items()
                }
            finally:
                system.close()
    return {
        "write_seconds": seconds,
        "write_tokens_per_second": corpus.tokens / seconds,
        "bytes_on_disk": size,
        "ram_mb": peak.megabytes,
        "tasks": {task: summary(outcomes) for task, outcomes in tasks.items()},
    }


def _outcomes(
    system: System, folder: Path, documents: Mapping[str, str], probes: Sequence[Probe], answers: int
) -> list[Outcome]:
    return [
        _outcome(system, folder, documents, probe, answered=n < answers)
        for n, probe in enumerate(probes)
    ]


def _outcome(
    system: System, folder: Path, documents: Mapping[str, str], probe: Probe, *, answered: bool
) -> Outcome:
    for id, text in probe.changes.items():
        if text is None:
            system.forget(id)
        else:
            system.update(id, text)
    left = _in_files(folder, probe.gone) if None in probe.changes.values() else None
    started = time.perf_counter()
    pieces = system.read(probe.question, _READ)
    seconds = time.perf_counter() - started
    first, whole = (None, None) if pieces is None else probe.found(pieces)
    document = None if pieces is None else probe.document_first(pieces)
    outcome = Outcome(first, whole, seconds, left=left, document=document)
    if answered:
        reply = system.ask(probe.question, probe.max_tokens, probe.begin)
        lost = any(text in reply.text for text in probe.gone)
        outcome = replace(
            outcome,
            said=0.0 if lost else probe.right(reply.text),
            answer=reply.text,
            prompt_tokens=reply.prompt_tokens,
            first_token=reply.first_token,
            seconds=reply.seconds,
        )
    for id in probe.changes:
        if id in documents:
            system.update(id, documents[id])
        else:
            system.forget(id)
    return outcome


def _in_files(folder: Path, texts: Sequence[str]) -> bool | None:
    """Whether a text stands in any file of a folder, byte for byte; None if there are no files."""
    held = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    return any(text.encode() in data for text in texts for data in held) if held else None


def summary(outcomes: Sequence[Outcome]) -> Figures:
    """Rates with their intervals, and medians over what was answered."""
    figures: Figures = {}
    read = [o for o in outcomes if o.first is not None]
    if read:
        figures["read_first"] = rate([bool(o.first) for o in read])
        figures["read"] = rate([bool(o.all_read) for o in read])
        figures["read_seconds"] = statistics.median(o.read_seconds for o in read)
    documents = [o.document for o in outcomes if o.document is not None]
    if documents:
        figures["document_first"] = rate(documents)
    left = [o.left for o in outcomes if o.left is not None]
    if left:
        figures["left_in_files"] = rate(left)
    said = [(o, o.said) for o in outcomes if o.said is not None]
    if said:
        figures["answered"] = rate([share == 1.0 for _, share in said])
        figures["said"] = statistics.mean(share for _, share in said)
        for name in ("prompt_tokens", "first_token", "seconds"):
            figures[name] = statistics.median(getattr(o, name) for o, _ in said)
        figures["wrong"] = [o.answer for o, share in said if share < 1.0][:3]
    return figures


def pooled(rows: Sequence[Figures], name: str, task: str, kind: str) -> Figures:
    """One rate of a system in a task, all texts together; of nothing, where it was not tried.

    Args:
        rows: of one system and one text each, with its "tasks"; `task` may be "" for all of them.
        kind: "read_first", "document_first", "read" or "answered".
    """
    return merged(
        [
            found[kind]
            for row in rows
            for of_task, found in row["tasks"].items()
            if row["system"] == name and task in ("", of_task) and kind in found
        ]
    )


def merged(rates: Sequence[Figures]) -> Figures:
    """One rate over all that several rates counted, with its interval."""
    good, of = sum(one["count"] for one in rates), sum(one["of"] for one in rates)
    return rate([True] * good + [False] * (of - good))
