"""Which files of a folder Git would ignore, by the `.gitignore` files in it and above it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

RULES = ".gitignore"


class Ignored:
    """Tells whether Git would ignore a path in a folder; each file of rules is read once.

    Rules apply from the root of the folder's repository down. If the folder is in no repository, or is
    itself ignored there, they apply from the folder down: a folder that is named is wanted.

    Raises:
        ImportError: if pathspec is not installed.
    """

    def __init__(self, folder: Path) -> None:
        from pathspec import GitIgnoreSpec

        self._made = GitIgnoreSpec.from_lines
        self._folder = self._top = folder
        self._rules = dict[Path, GitIgnoreSpec]()
        for above in (folder, *folder.parents):
            if (above / ".git").exists():
                self._top = above
                break
        if self._in_ignored(folder, self._top):
            self._top = folder

    def __call__(self, path: Path) -> bool:
        """Whether the path, or a folder that it is in, is ignored."""
        return self._in_ignored(path, self._folder)

    def _in_ignored(self, path: Path, top: Path) -> bool:
        above = [folder for folder in (path, *path.parents) if folder != top]
        # As in Git, no rule can bring back a file in an ignored folder.
        return any(self._is_ignored(folder) for folder in reversed(above) if folder.is_relative_to(top))

    def _is_ignored(self, path: Path) -> bool:
        ignored, ending = False, "/" if path.is_dir() else ""
        above = [folder for folder in path.parents if folder.is_relative_to(self._top)]
        for folder in reversed(above):
            said = self._of(folder).check_file(path.relative_to(folder).as_posix() + ending).include
            # The rules of the nearest folder win.
            ignored = ignored if said is None else said
        return ignored

    def _of(self, folder: Path) -> GitIgnoreSpec:
        if folder not in self._rules:
            lines = list[str]()
            if (folder / RULES).is_file():
                lines = (folder / RULES).read_text(encoding="utf-8", errors="replace").splitlines()
            self._rules[folder] = self._made(lines)
        return self._rules[folder]
