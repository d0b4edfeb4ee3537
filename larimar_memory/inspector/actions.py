"""The page's actions; each calls the memory as any program would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias

from larimar_memory import __version__, read
from larimar_memory.errors import InputError
from larimar_memory.inspector import given
from larimar_memory.stores.base import Document, Span
from larimar_memory.system.on_demand import OnDemand
from larimar_memory.system.requests import Arguments, parsed
from larimar_memory.types import AnswerOptions, ReadOptions

if TYPE_CHECKING:
    from larimar_memory.larimar import Larimar

Values: TypeAlias = dict[str, Any]
"""JSON-serialisable values by name."""

PREVIEW = 200
"""Most characters of a text that a list shows."""

WINDOW = 20_000
"""Most characters of a text that are shown at once."""

MOST_EDITED = 200_000
"""Most characters of a text that can be edited in the page."""

NAMES = 1_000
"""Namespaces that can be chosen from; others are named."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """The memory that the page shows.

    Attributes:
        looking: the memory opened without an encoder, which takes no time.
        asking: the memory opened with an encoder, for actions that search or write.
        write: whether texts may be edited and forgotten.
    """

    looking: OnDemand[Larimar]
    asking: OnDemand[Larimar]
    write: bool = False

    def close(self) -> None:
        """Release the memory."""
        self.looking.close()
        self.asking.close()


@dataclass(frozen=True, slots=True)
class Action:
    """An action of the page; one that takes long yields its values piece by piece.

    Attributes:
        writes: whether the action changes the memory.
    """

    arguments: type[Arguments]
    run: Callable[[Inspected, Any], Values | Iterator[Values]]
    writes: bool = False


def memory(inspected: Inspected, _: given.Nothing) -> Values:
    """The memory as a whole: its namespaces and counts, and what the page may do with it."""
    held = inspected.looking()
    names = held.namespaces()
    return {
        "version": __version__,
        "write": inspected.write,
        "receipts": held.store.keeps_receipts,
        "namespaces": names[:NAMES],
        "more": len(names) > NAMES,
        "stats": asdict(held.stats()),
    }


def stats(inspected: Inspected, asked: given.In) -> Values:
    """Counts of a namespace."""
    return asdict(inspected.looking().stats(asked.namespace))


def health(inspected: Inspected, asked: given.In) -> Values:
    """How full and how sharp a namespace is."""
    return inspected.looking().health(asked.namespace).to_dict()


def documents(inspected: Inspected, asked: given.Page) -> Values:
    """A page of documents, each with its beginning."""
    held = inspected.looking()
    found = held.page(
        asked.count + 1,
        namespace=asked.namespace,
        after=asked.after,
        episode=asked.episode,
        matching=asked.matching,
        newest=asked.newest,
    )
    listed = _begun(held, asked.namespace, found[: asked.count])
    return {"documents": listed, "more": len(found) > asked.count}


def episodes(inspected: Inspected, asked: given.Page) -> Values:
    """A page of episodes."""
    found = inspected.looking().episodes(asked.count + 1, namespace=asked.namespace, after=asked.after)
    shown = found[: asked.count]
    return {"episodes": [one._asdict() for one in shown], "more": len(found) > asked.count}


def search(inspected: Inspected, asked: given.Searched) -> Values:
    """The documents that match a text best, each with its best segment."""
    held, best = inspected.asking(), dict[str, Values]()
    for candidate in held.search(asked.text, asked.count, namespace=asked.namespace):
        segment = candidate.segment
        place = {"preview": segment.text[:PREVIEW], "start": segment.start, "end": segment.end}
        best.setdefault(segment.document_id, {**place, "score": candidate.score})
    known = {d.id: d for d in held.store.documents(asked.namespace, ids=list(best))}
    found = [{**_listed(known[id]), **said} for id, said in best.items() if id in known]
    return {"documents": found, "more": False}


def document(inspected: Inspected, asked: given.Named) -> Values:
    """A document with its text, or with a part of it if it is long."""
    held = inspected.looking()
    known = read.known(held.store, asked.namespace, asked.id)
    text = held.text(asked.id, namespace=asked.namespace)
    if asked.whole and len(text) > MOST_EDITED:
        raise InputError(
            f"The document {asked.id!r:.60} cannot be edited here.",
            f"It has {len(text):,} characters, more than {MOST_EDITED:,}.",
            "Write it again with `larimar ingest`.",
        )
    start = 0 if asked.whole else max(min(asked.at, len(text)) - WINDOW // 4, 0)
    return {
        **_listed(known),
        "characters": len(text),
        "metadata": json.dumps(known.metadata, ensure_ascii=False, indent=2),
        "hash": _hash(text),
        "start": start,
        "text": text if asked.whole else text[start : start + WINDOW],
    }


def ready(inspected: Inspected, _: given.Nothing) -> Values:
    """Load the encoder, and name the models that answer questions."""
    held = inspected.asking()
    return {"encoder": held.encoder.fingerprint, "decoder": held.decoder_name}


def ask(inspected: Inspected, asked: given.Asked) -> Iterator[Values]:
    """What a question recalls and why, the prompts for the decoder, and its answer as it comes."""
    held = inspected.asking()
    reading = ReadOptions(
        asked.k,
        asked.namespace,
        neighbours=asked.neighbours,
        threshold=asked.threshold,
        explain=True,
        since=asked.since,
        until=asked.until,
        as_of=asked.as_of,
    )
    options = AnswerOptions(max_tokens=asked.max_tokens, style=asked.style, cite=True)
    reading = held.answer_reading(reading, options)
    readout = held.read(asked.question, options=reading)
    slots = None if readout.slot_weights is None else readout.slot_weights.tolist()
    yield {"readout": readout.to_dict(), "slots": slots}
    stream = held.stream(readout, reading=reading, options=options)
    yield {"prompts": stream.prompts, "sources": [source.id for source in stream.sources]}
    if asked.answer:
        for piece in stream:
            yield {"piece": piece}
        yield {"answer": stream.result().to_dict()}


def receipts(inspected: Inspected, _: given.Nothing) -> Values:
    """The receipts of what was forgotten, newest first; their chain is verified."""
    held = inspected.looking().receipts(verify=True)
    return {"receipts": [receipt.to_dict() for receipt in reversed(held)]}


def update(inspected: Inspected, asked: given.Edited) -> Values:
    """Replace a document's text, unless someone else did so since it was opened."""
    held = inspected.asking()
    if _hash(held.text(asked.id, namespace=asked.namespace)) != asked.was:
        raise InputError(
            f"The document {asked.id!r:.60} was not changed.",
            "Another changed it since it was opened here.",
            "Look at it again, and make the change in what it says now.",
        )
    metadata = None if asked.metadata is None else parsed(asked.metadata, "The metadata")
    held.update(asked.id, asked.text, metadata, namespace=asked.namespace)
    return {"id": asked.id}


def forget(inspected: Inspected, asked: given.Forgotten) -> Values:
    """Erase a document, with a receipt if the memory can keep one."""
    held = inspected.looking()
    if not held.store.keeps_receipts:
        return {"forgotten": held.forget(ids=[asked.id], namespace=asked.namespace), "receipt": None}
    receipt = held.forget(ids=[asked.id], namespace=asked.namespace, receipt=True)
    return {"forgotten": len(receipt.documents), "receipt": receipt.to_dict()}


ACTIONS = {
    "memory": Action(given.Nothing, memory),
    "stats": Action(given.In, stats),
    "health": Action(given.In, health),
    "documents": Action(given.Page, documents),
    "episodes": Action(given.Page, episodes),
    "search": Action(given.Searched, search),
    "document": Action(given.Named, document),
    "ready": Action(given.Nothing, ready),
    "ask": Action(given.Asked, ask),
    "receipts": Action(given.Nothing, receipts),
    "update": Action(given.Edited, update, writes=True),
    "forget": Action(given.Forgotten, forget, writes=True),
}
"""The actions by name."""


def _listed(document: Document) -> Values:
    return {
        "id": document.id,
        "characters": document.characters,
        "segments": document.segments,
        "episode": document.episode,
        "written_at": document.written_at,
    }


def _begun(held: Larimar, namespace: str, found: Iterable[Document]) -> list[Values]:
    """Documents with their beginnings, in one query."""
    shown = list(found)
    begun = held.store.spans(namespace, [Span(document.id, 0, 0) for document in shown])
    return [
        {**_listed(document), "preview": "".join(s.text for s in first)[:PREVIEW]}
        for document, first in zip(shown, begun, strict=True)
    ]


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
