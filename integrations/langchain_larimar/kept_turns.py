"""The turns of a session as documents of a memory; the cost of finding them does not grow with them.

A line is a document whose metadata says the turn and the role. Lines stand in the order of first
writing, except for turns kept under a key, to which a line can be added late: such lines are found by
their ids, and `last` says how many turns there were by then. `speaker` and `said_at` say who spoke and
when; lines kept by earlier releases lack them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from langchain_larimar.convert import ROLES, Line
from langchain_larimar.moments import moment
from larimar_memory.errors import InputError

if TYPE_CHECKING:
    from larimar_memory import Larimar
    from larimar_memory.stores import Document
    from larimar_memory.types import Metadata, RecalledSegment

_ROLES = ("Human", "AI")
_OURS = frozenset({"turn", "role", "key", "mark", "last"})
_MARKED = "marks"
"""Id of the document whose presence says that every mark of the session is noted."""

_SLACK = 8
"""How many lines a line may be out of place: processes that save at once write in either order."""

_FIRST = 16
_CHUNK = 512


@dataclass(frozen=True)
class KeptTurns:
    """The lines of one session.

    Args:
        namespace: the namespace of the lines.
        episode: the episode of new lines.
    """

    memory: Larimar
    namespace: str
    episode: str

    def last(self) -> int:
        """The number of the last turn, 0 if there is none."""
        wanted = _FIRST
        while True:
            read = self.memory.store.latest(self.namespace, wanted)
            counts = self._counts([d for d in reversed(read) if is_line(d)])
            if counts or len(read) < wanted:
                return max(counts.values(), default=0)
            wanted *= 4

    def latest_turns(self, count: int) -> tuple[list[Document], bool]:
        """Documents of at least the last `count` turns, in order, and whether there are no others."""

        def first(turns: list[int]) -> int:
            distinct = sorted(set(turns))
            return distinct[-count] if len(distinct) >= count else 0

        return self._latest(4 * count, first)

    def latest_lines(self, count: int) -> tuple[list[Line], bool]:
        """The last lines, in order, and whether there are no others."""
        if not count:
            return [], False
        found, whole = self._latest(count, lambda turns: turns[-count] if len(turns) >= count else 0)
        return self.lines(found[max(len(found) - count, 0) :]), whole and len(found) <= count

    def of_turn(self, id: str, turn: int) -> list[Line]:
        """The lines of a document's turn, in order."""
        reach = _SLACK
        while True:
            near = self.memory.store.around(self.namespace, id, reach)
            place = next((n for n, document in enumerate(near) if document.id == id), 0)
            # If a side has fewer lines than asked for, the conversation begins or ends there.
            ends = [near[0]] if place == reach else []
            ends += [near[-1]] if len(near) - place > reach else []
            if not any(is_line(d) and d.metadata["turn"] == turn for d in ends):
                break
            reach *= 4
        same = [d for d in near if is_line(d) and d.metadata["turn"] == turn]
        return self.lines(self._in_order(same))

    def all(self) -> Iterator[Document]:
        """All documents, in order."""
        held = filter(is_line, self.memory.store.documents(self.namespace))
        return iter(sorted(held, key=_turn))

    def lines(self, documents: Iterable[Document]) -> list[Line]:
        """The lines of documents, without those that were forgotten since."""
        from larimar_memory.stores import Span

        lines, left = list[Line](), iter(documents)
        while some := list(islice(left, _CHUNK)):
            found = self.memory.store.spans(self.namespace, [Span(document.id) for document in some])
            for document, segments in zip(some, found, strict=True):
                text = "".join(segment.text for segment in segments)
                with suppress(InputError):
                    if len(text) != document.characters:
                        # It was changed, forgotten or damaged since.
                        text = self.memory.text(document.id, namespace=self.namespace)
                    lines.append(line_of(document.metadata, text))
        return lines

    def add(self, lines: Sequence[Line]) -> None:
        """Keep lines of turns that have no key."""
        # Ids are unique, so that turns saved by two processes at the same moment all stay.
        ids = [f"{line.turn}-{uuid.uuid4().hex}" for line in lines]
        self._write(lines, ids, [_metadata(line) for line in lines], self.episode)

    def put(self, lines: Sequence[Line], key: str, mark: str) -> None:
        """Keep lines as the turn of a key, in place of the old ones; nothing if the mark is kept."""
        before = self._keyed([key])
        if self._is_marked(before, mark):
            return
        last = self.last()
        turn = before[0].metadata["turn"] if before else last + 1
        lines = [replace(line, turn=turn) for line in lines if line.text.strip()]
        ids = [f"{key}-{line.role}" for line in lines]
        late = {"last": last} if turn < last else {}
        if self.memory.most is None:
            # Noted first, but believed only if the turn says the same: a kill in between loses nothing.
            self._note({mark: key})
        own, known = {"key": key, "mark": mark, **late}, {d.id: d.metadata for d in before}
        metadatas = [
            {**_again(line, known.get(id)), **own} for line, id in zip(lines, ids, strict=True)
        ]
        # A turn stays in the thread where it was first said, even if another thread gets it again.
        episode = before[0].episode if before else None
        self._write(lines, ids, metadatas, episode or self.episode)
        old = {d.metadata.get("mark") for d in before} - {mark}
        gone = [*({d.id for d in before} - {*ids}), *(f"{was}-Mark" for was in old)]
        if gone:
            # As after any write that replaces a text, the old one is in the file until a purge.
            self.memory.forget(ids=gone, namespace=self.namespace, purge=False)

    def _is_marked(self, before: Sequence[Document], mark: str) -> bool:
        if any(document.metadata.get("mark") == mark for document in before):
            return True
        store, space = self.memory.store, self.namespace
        if self.memory.most is not None:
            # The number of turns is limited, and notes of marks would outlive them.
            return next(store.documents(space, where={"mark": mark}), None) is not None
        if store.document(space, _MARKED) is None:
            marked = (d.metadata for d in self.all() if {"mark", "key"} <= d.metadata.keys())
            held = {metadata["mark"]: metadata["key"] for metadata in marked}
            self._note(held, whole=True)
        note = store.document(space, f"{mark}-Mark")
        kept = [] if note is None else self._keyed([note.metadata["key"]])
        return any(document.metadata.get("mark") == mark for document in kept)

    def _note(self, marks: dict[str, str], *, whole: bool = False) -> None:
        """Note, in documents without text, the key under which the turn of each mark is kept."""
        import numpy as np

        from larimar_memory.stores import Document, WriteBatch

        nothing = np.zeros((0, self.memory.encoder.dimension), dtype=np.float32)
        notes = [Document(f"{mark}-Mark", "", 0, {"key": key}) for mark, key in marks.items()]
        notes += [Document(_MARKED, "", 0)] if whole else []
        writes = [WriteBatch(note, [], nothing, replace=False) for note in notes]
        self.memory.store.write(self.namespace, writes)

    def _keyed(self, keys: Iterable[str]) -> list[Document]:
        ids = [f"{key}-{role}" for key in keys for role in _ROLES]
        return [d for d in self.memory.store.documents(self.namespace, ids=ids) if is_line(d)]

    def _write(
        self, lines: Sequence[Line], ids: Sequence[str], metadatas: Sequence[Metadata], episode: str
    ) -> None:
        texts = [line.text for line in lines]
        self.memory.write(texts, ids, metadatas, namespace=self.namespace, episode=episode)

    def _latest(self, likely: int, first: Callable[[list[int]], int]) -> tuple[list[Document], bool]:
        """The latest documents, in order, from a certain turn on.

        Args:
            likely: how many documents there may be; more are read if there are more.
            first: gives the first turn that is wanted, from the sorted turns of what was read.

        Returns:
            The documents, perhaps with some earlier ones, and whether there are no others.
        """
        wanted = _FIRST + likely
        while True:
            read = self.memory.store.latest(self.namespace, wanted)
            found = [document for document in reversed(read) if is_line(document)]
            whole = len(read) < wanted
            if not whole:
                found = self._in_order(found)
            ordered = sorted(found, key=_turn)
            since = first([_turn(document) for document in ordered])
            counts = {} if whole else self._counts([d for d in reversed(read) if is_line(d)])
            oldest = [counts[document.id] for document in read[-_SLACK:] if document.id in counts]
            if whole or (oldest and max(oldest) < since):
                return ordered, whole
            wanted *= 4

    def _counts(self, lines: Sequence[Document]) -> dict[str, int]:
        """How many turns there were when each of some consecutive lines was written, by the lines' ids.

        Replies that an earlier release added late do not say how many, and are left out: they stand
        apart from what they reply to.
        """
        before = [None, *(line.metadata.get("key") for line in lines)]
        apart = {
            line.id: line.metadata["key"]
            for key, line in zip(before, lines, strict=False)
            if line.metadata["role"] != "Human"
            and line.metadata.get("key", key) != key
            and "last" not in line.metadata
        }
        answered = self._keyed(dict.fromkeys(apart.values())) if apart else []
        said = {d.metadata["key"] for d in answered if d.metadata["role"] == "Human"}
        return {
            line.id: line.metadata.get("last", _turn(line))
            for line in lines
            if apart.get(line.id) not in said
        }

    def _in_order(self, found: Sequence[Document]) -> list[Document]:
        """Documents, and the others kept under their keys: what a user said comes before its reply."""
        known = {document.id for document in found}
        keys = {d.metadata["key"]: None for d in found if "key" in d.metadata}
        missing = [d for d in self._keyed(keys) if d.id not in known] if keys else []
        said = [document for document in missing if document.metadata["role"] == "Human"]
        replies = [document for document in missing if document.metadata["role"] != "Human"]
        return [*said, *found, *replies]


def is_line(of: Document | RecalledSegment) -> bool:
    """Whether a document or segment belongs to a turn; others may write to the namespace as well."""
    turn, role = of.metadata.get("turn"), of.metadata.get("role")
    return isinstance(turn, int) and isinstance(role, str) and role in ROLES


def line_of(metadata: Metadata, text: str) -> Line:
    """The line that a text is, or is a part of, according to its metadata."""
    role, speaker, at = metadata["role"], metadata.get("speaker"), moment(metadata.get("said_at"))
    named = isinstance(speaker, str) and speaker != role
    said_at = None if at is None else at.isoformat()
    return Line(metadata["turn"], role, text, speaker if named else None, said_at)


def _metadata(line: Line) -> dict[str, Any]:
    said_at = {} if line.said_at is None else {"said_at": line.said_at}
    return {"turn": line.turn, "role": line.role, "speaker": line.speaker or line.role, **said_at}


def _again(line: Line, known: Metadata | None) -> dict[str, Any]:
    """The metadata of a line that replaces a known one; entries that others added stay.

    A user's line keeps its old time, even if it had none; a reply is new, with a time of its own.
    """
    if known is None:
        return _metadata(line)
    said = line.role == "Human"
    made = _metadata(replace(line, said_at=None) if said else line)
    ours = _OURS if said else {*_OURS, "speaker", "said_at"}
    return {**made, **{name: value for name, value in known.items() if name not in ours}}


def _turn(document: Document) -> int:
    return int(document.metadata["turn"])
