"""The tools: none opens a file, or knows any namespace but the one it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from mcp_types import Tool, ToolAnnotations
from pydantic import BaseModel

from larimar_memory.decoders.prompt import NOT_IN_MEMORY, disarmed, noted
from larimar_memory.server import schemas
from larimar_memory.stores.values import Document
from larimar_memory.text.blocks import note_id
from larimar_memory.types import RecalledSegment, Where

if TYPE_CHECKING:
    from larimar_memory.larimar import Larimar

SOURCE = {"source": "agent"}
"""Metadata of what a model remembers, along with the time, unless the model says otherwise."""


@dataclass(frozen=True, slots=True)
class Done:
    """The outcome of a tool.

    Attributes:
        result: the outcome for programs.
        texts: the same for a model to read; by default, the result as JSON.
    """

    result: BaseModel
    texts: tuple[str, ...] = ()

    def said(self) -> tuple[str, ...]:
        """The texts for a model, in which nothing spells a delimiter or a control token."""
        return self.texts or (disarmed(self.result.model_dump_json()),)


@dataclass(frozen=True, slots=True)
class MemoryTool:
    """A tool and the function behind it, which takes a memory, a namespace and the arguments."""

    title: str
    description: str
    arguments: type[schemas.Arguments]
    result: type[BaseModel]
    run: Callable[[Larimar, str, Any], Done]
    reads: bool = False
    destroys: bool = False
    dates: bool = False

    def declared(self, name: str) -> Tool:
        """The tool as clients see it."""
        return Tool(
            name=name,
            title=self.title,
            description=self.description,
            input_schema=self.arguments.model_json_schema(),
            output_schema=self.result.model_json_schema(mode="serialization"),
            annotations=ToolAnnotations(
                title=self.title,
                read_only_hint=self.reads,
                destructive_hint=self.destroys,
                # Repeating a call changes nothing more, unless the call notes when it was made.
                idempotent_hint=not self.dates,
                open_world_hint=False,
            ),
        )


def remember(memory: Larimar, namespace: str, given: schemas.Remember) -> Done:
    """Write a text under an id derived from the text; on return it is durable."""
    text = given.text.strip()
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    id, metadata = note_id(text), {**SOURCE, "said_at": now, **(given.metadata or {})}
    memory.write([text], [id], [metadata], namespace=namespace)
    return Done(_written(id), (f"Remembered under the id {id}.",))


def recall(memory: Larimar, namespace: str, given: schemas.Recall) -> Done:
    """Read the segments that a question addresses."""
    readout = memory.read(given.question, given.k, **_which(namespace, given))
    result = schemas.RecallResult(
        recalled=[schemas.recalled(segment) for segment in readout.segments],
        reason=readout.reason,
        probability=readout.probability,
        threshold=readout.threshold,
    )
    return Done(result, (marked(readout.segments) or NOT_IN_MEMORY,))


def answer(memory: Larimar, namespace: str, given: schemas.Answer) -> Done:
    """Answer with the memory's own decoder, and give the sources of the answer."""
    found = memory.answer(given.question, given.k, style=given.style, **_which(namespace, given))
    text = disarmed(found.text)
    result = schemas.AnswerResult(
        text=text,
        grounding=found.grounding,
        confidence=found.confidence,
        reason=found.reason,
        sources=[schemas.recalled(segment) for segment in found.sources],
    )
    return Done(result, tuple(filter(None, (text, marked(found.sources)))))


def _which(namespace: str, given: schemas.Recall) -> dict[str, Any]:
    times = {"since": given.since, "until": given.until, "as_of": given.as_of}
    return {"namespace": namespace, "where": given.where, **times}


def update(memory: Larimar, namespace: str, given: schemas.Update) -> Done:
    """Replace what a document says."""
    memory.update(given.id, given.text.strip(), namespace=namespace)
    return Done(_written(given.id), (disarmed(f"Updated: what has the id {given.id!r}."),))


def forget(memory: Larimar, namespace: str, given: schemas.Forget) -> Done:
    """Delete a document and erase it from the files."""
    count = memory.forget(ids=[given.id], namespace=namespace)
    said = f"Forgotten: what had the id {given.id!r}."
    if not count:
        said = f"Nothing was forgotten: nothing in memory has the id {given.id!r}."
    return Done(schemas.Forgotten(id=given.id, forgotten=count), (disarmed(said),))


def list_(memory: Larimar, namespace: str, given: schemas.List) -> Done:
    """List documents by pages."""
    documents, following = page(memory, namespace, given.cursor, given.limit, given.where)
    listed = [schemas.listed(document) for document in documents]
    return Done(schemas.Listing(documents=listed, next_cursor=following))


def stats(memory: Larimar, namespace: str, given: schemas.Stats) -> Done:
    """Count what the namespace holds; the file's size and path would reveal other namespaces."""
    held = memory.stats(namespace)
    return Done(schemas.Held(**{name: getattr(held, name) for name in schemas.Held.model_fields}))


def page(
    memory: Larimar, namespace: str, cursor: str | None, limit: int, where: Where | None = None
) -> tuple[list[Document], str | None]:
    """A page of documents after the one with the id `cursor`, and the next cursor if there are more.

    If that document is gone, the page is the first one, so that a client that forgets what it lists
    skips nothing.
    """
    # A client may send back something that is not an id at all; no document has that either.
    last = None if cursor is None else memory.store.document(namespace, cursor)
    after = None if last is None else last.id
    found = memory.page(limit + 1, namespace=namespace, after=after, where=where)
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def marked(segments: Iterable[RecalledSegment]) -> str:
    """Segments as a model reads them: as data, each with its id; "" if there are none."""
    found = [(s.document_id, s.context, s.metadata) for s in segments]
    return noted(found) if found else ""


def _written(id: str) -> schemas.Written:
    return schemas.Written(id=id, uri=schemas.uri_of(id))


TOOLS = {
    "remember": MemoryTool(
        "Remember",
        "Remember a fact for later conversations.",
        schemas.Remember,
        schemas.Written,
        remember,
        dates=True,
    ),
    "recall": MemoryTool(
        "Recall",
        "Look up in memory what was remembered earlier, and what documents say.",
        schemas.Recall,
        schemas.RecallResult,
        recall,
        reads=True,
    ),
    "answer": MemoryTool(
        "Answer from memory",
        "Have the memory's own small language model answer a question briefly from what it recalls; "
        "slower than recall.",
        schemas.Answer,
        schemas.AnswerResult,
        answer,
        reads=True,
    ),
    "update": MemoryTool(
        "Update",
        "Replace what is remembered under an id, where it has changed or was wrong.",
        schemas.Update,
        schemas.Written,
        update,
        destroys=True,
    ),
    "forget": MemoryTool(
        "Forget",
        "Forget something that was remembered, for good, by its id.",
        schemas.Forget,
        schemas.Forgotten,
        forget,
        destroys=True,
    ),
    "list": MemoryTool(
        "List documents",
        "List what is in memory, with ids and metadata, in the order of its writing.",
        schemas.List,
        schemas.Listing,
        list_,
        reads=True,
    ),
    "stats": MemoryTool(
        "Memory statistics",
        "Count the documents, segments and characters in memory.",
        schemas.Stats,
        schemas.Held,
        stats,
        reads=True,
    ),
}
"""The tools by name."""
