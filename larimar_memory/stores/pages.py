"""Pages of documents and of episodes: the SQL that databases share, and where their SQL differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from larimar_memory.stores.base import Where
from larimar_memory.stores.filters import Condition

LAST = 2**63 - 1
"""The highest number that a document can have."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which documents a page has; see `PageOptions`."""

    after: str | None = None
    episode: str | None = None
    matching: str = ""
    newest: bool = False
    where: Where | None = None

    @property
    def order(self) -> str:
        """The order of its documents' numbers, as a word of SQL."""
        return "DESC" if self.newest else "ASC"


@dataclass(frozen=True, slots=True)
class Words:
    """SQL about a document `d` in which databases differ; a mark is the placeholder of a parameter.

    Attributes:
        mark: the placeholder.
        space: the number of a namespace; one mark.
        named: the condition that `d` has an id; one mark.
        id: makes the value of that mark from an id.
        in_episode: the condition that `d` is in an episode, the value of all of its marks.
        matching: the condition that the id of `d` contains a text; one mark.
        passing: makes the condition that `d` passes a filter.
    """

    mark: str
    space: str
    named: str
    id: Callable[[str], Any]
    in_episode: str
    matching: str
    passing: Callable[[Where], Condition]

    def on(self, page: Page, space: Any) -> Condition:
        """The condition that a document is on a page or a later one.

        Args:
            space: the value of the mark in `space`.

        Raises:
            InputError: if the filter cannot be used.
        """
        ours = f"d.namespace_id = {self.space}"
        conditions, given = [ours], [space]
        if page.after is not None:
            own = f"(SELECT d.id FROM documents d WHERE {ours} AND {self.named})"
            sign, first = ("<", LAST) if page.newest else (">", 0)
            conditions.append(f"d.id {sign} coalesce({own}, {self.mark})")
            given += [space, self.id(page.after), first]
        if page.episode is not None:
            conditions.append(self.in_episode)
            given += [page.episode] * self.in_episode.count(self.mark)
        if page.matching:
            conditions.append(self.matching)
            given.append(page.matching)
        if page.where is not None:
            passing, values = self.passing(page.where)
            conditions.append(passing)
            given += values
        return " AND ".join(conditions), given

    def episodes_after(self, space: Any, count: int, after: str | None) -> Condition:
        """A statement for the next episodes by name, each with its number of documents."""
        sql = (
            f"SELECT d.episode, count(*) FROM documents d WHERE d.namespace_id = {self.space} "
            f"AND d.episode IS NOT NULL AND d.episode > {self.mark} "
            f"GROUP BY d.episode ORDER BY d.episode LIMIT {self.mark}"
        )
        return sql, [space, after or "", count]
