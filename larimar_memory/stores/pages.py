"""Pages of documents and of episodes: the SQL that databases share, and what each says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from larimar_memory.stores.base import Where
from larimar_memory.stores.filters import Condition

LAST = 2**63 - 1
"""No document has a higher number."""


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
        """In which its documents' numbers are."""
        return "DESC" if self.newest else "ASC"


@dataclass(frozen=True, slots=True)
class Words:
    """What a database says in words of its own, of a document `d`; every mark stands for a parameter.

    Attributes:
        mark: of a parameter.
        space: the number of a namespace, by one mark.
        named: that it has an id, by one mark.
        id: what that mark stands for.
        in_episode: that it is of an episode, by marks that all stand for the episode.
        matching: that its id holds a text, by one mark.
        passing: that it passes a filter.
    """

    mark: str
    space: str
    named: str
    id: Callable[[str], Any]
    in_episode: str
    matching: str
    passing: Callable[[Where], Condition]

    def on(self, page: Page, space: Any) -> Condition:
        """The condition that a document is on a page or behind it.

        Args:
            space: what the mark of a namespace stands for.

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
        """A statement of the next episodes by name, each with how many documents it has."""
        sql = (
            f"SELECT d.episode, count(*) FROM documents d WHERE d.namespace_id = {self.space} "
            f"AND d.episode IS NOT NULL AND d.episode > {self.mark} "
            f"GROUP BY d.episode ORDER BY d.episode LIMIT {self.mark}"
        )
        return sql, [space, after or "", count]
