"""The report of `larimar ingest` on files that it does not read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from larimar_memory.cli import output

if TYPE_CHECKING:
    from larimar_memory.text.files import Skipped

_NAMES, _REASONS = 3, 30
_NUMBERS = re.compile(r"\d[\d,.]*")


class PassedOver:
    """Files that were not read: all names for JSON, otherwise a count and a few names per reason."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._reasons = dict[str, tuple[int, str, list[str]]]()
        self.listed = list[dict[str, str]]()

    def take(self, one: Skipped) -> None:
        """Take note of one file."""
        if self._as_json:
            self.listed.append({"path": one.name, "why": one.why})
            return
        # Reasons that differ only in numbers, such as the place of a bad byte, count as one.
        reason, why = _NUMBERS.sub("0", one.why), f"{one.why} {one.remedy}"
        if reason not in self._reasons and len(self._reasons) >= _REASONS:
            reason, why = "", "For other reasons; --json lists each."
        count, why, names = self._reasons.get(reason, (0, why, []))
        self._reasons[reason] = count + 1, why, names + [one.name] * (len(names) < _NAMES)

    def print_notes(self) -> None:
        """Print the counts on standard error."""
        if not self._reasons:
            return
        total = sum(count for count, _, _ in self._reasons.values())
        output.print_note(f"{total:,} skipped:")
        for count, why, names in sorted(self._reasons.values(), key=lambda reason: -reason[0]):
            more = ", ..." if count > len(names) else ""
            output.print_note(f"  {count:,}  {why.strip()}  {', '.join(names)}{more}")
