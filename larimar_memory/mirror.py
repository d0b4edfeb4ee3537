"""Keep a memory equal to a folder, whatever files are added, changed, moved or deleted there."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from larimar_memory import validate
from larimar_memory.errors import InputError, MemoryBusyError
from larimar_memory.larimar import Larimar
from larimar_memory.text.files import (
    NO_TEXT,
    FileText,
    Skipped,
    inside,
    is_hidden,
    looked_at,
    read_file,
    shown,
    size_of,
)
from larimar_memory.text.formats import Limits
from larimar_memory.text.ignored import RULES, Ignored
from larimar_memory.types import DEFAULT_NAMESPACE, OnProgress, WriteProgress

_LIMITS = Limits()
_WAKE_MILLISECONDS = 1_000
"""Time between two checks whether to stop, or to catch up on what could not be written."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What was done to the memory.

    Attributes:
        read: files that were read, even if their text is unchanged.
        forgotten: ids of documents whose files are gone.
    """

    read: int
    forgotten: tuple[str, ...]


class Mirror:
    """Keeps a namespace's documents in step with the files of a folder.

    mirror = Mirror(memory, "notes")
    mirror.follow()  # until Ctrl-C; `mirror.catch_up()` catches up once

    A document's id is its file's absolute path, so folders of the same name never meet. Documents that
    are not files of the folder are left alone. Hidden files, files that Git would ignore and files that
    operating systems leave behind do not count as part of the folder. If a file cannot be read, its
    document stays as it is.

    Args:
        episode, encoding, limits, password: as in `larimar ingest`; see `text.files.read_file`.
        on_file: called with each file that is read, or with why it is skipped.
        on_progress: as in `Larimar.write_each`, while it catches up.

    Raises:
        InputError: if it is not a folder, or the package that watches folders is not installed.
    """

    def __init__(
        self,
        memory: Larimar,
        folder: str | os.PathLike[str],
        *,
        namespace: str = DEFAULT_NAMESPACE,
        episode: str | None = None,
        encoding: str = "utf-8",
        limits: Limits = _LIMITS,
        password: str | None = None,
        on_file: Callable[[FileText | Skipped], None] = lambda _: None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self.memory, self.folder = memory, Path(os.path.abspath(Path(folder).expanduser()))
        self.namespace = validate.check_name(namespace, "namespace")
        self._episode, self._encoding = validate.check_episode(episode), encoding
        self._limits, self._password = limits, password
        self._on_file, self._on_progress = on_file, on_progress
        self._check_folder()
        try:
            import watchfiles

            Ignored(self.folder)
        except ImportError as error:
            raise InputError(
                f"The folder {shown(self.folder)} cannot be watched.",
                f"To watch folders, larimar-memory[watch] must be installed ({error.name} is not).",
                'Run `pip install "larimar-memory[watch]"`.',
            ) from error
        self._watch = watchfiles.watch

    def catch_up(self) -> Changed:
        """Compare the folder with the memory, by content, and make the memory equal to it."""
        return self._update([self.folder], self._on_progress)

    def take(self, paths: Iterable[Path]) -> Changed:
        """As `catch_up`, for files or folders that changed, whether they exist or are gone.

        Args:
            paths: absolute paths; those outside the folder are skipped.
        """
        roots = {
            path.parent if path.name == RULES else path
            for path in paths
            if path.is_relative_to(self.folder)
        }
        alone = [root for root in sorted(roots) if roots.isdisjoint(root.parents)]
        return self._update(alone, None)

    def follow(
        self,
        stop: threading.Event | None = None,
        on_change: Callable[[Changed], None] = lambda _: None,
        debounce: int = 1_000,
    ) -> None:
        """Catch up, and then follow the changes in the folder until stopped.

        If another process keeps the memory from being written, `on_file` is called, and a later check
        catches up.

        Args:
            stop: ends it when set; None follows until an error or Ctrl-C.
            on_change: called after each set of changes.
            debounce: longest time for which changes are gathered, in milliseconds.

        Raises:
            InputError: if the folder is gone; the memory stays as it is.
            MemoryFileError: if the memory cannot be written.
            KeyboardInterrupt: at Ctrl-C; what was committed is kept.
        """
        # The folder is already watched when the first set comes, so no change is missed.
        real, behind = self.folder.resolve(), True
        for changes in self._watch(
            real,
            watch_filter=None,
            stop_event=stop,
            debounce=debounce,
            rust_timeout=_WAKE_MILLISECONDS,
            yield_on_timeout=True,
        ):
            if not (changes or behind):
                continue
            self._check_folder()
            try:
                paths = [self.folder / Path(path).relative_to(real) for _, path in changes]
                done = self.catch_up() if behind else self.take(paths)
                behind = False
            except MemoryBusyError as error:
                why = f"{error.what} {error.why}"
                self._on_file(Skipped(shown(self.folder), why, "It is caught up later."))
                behind = True
                continue
            on_change(done)

    def _check_folder(self) -> None:
        if not self.folder.is_dir():
            raise InputError(
                f"The folder {shown(self.folder)} cannot be watched.",
                "There is no such folder.",
                "Name a folder; where it is gone, the memory is left as it is.",
            )

    def _update(self, roots: list[Path], on_progress: OnProgress | None) -> Changed:
        ignored, there, passed = Ignored(self.folder), list[Path](), set[str]()
        for root in roots:
            for found in self._found(root, ignored):
                if isinstance(found, Path):
                    there.append(found)
                else:
                    passed.add(found.name)
                    # A single changed file is reported only if it holds text.
                    if root.is_dir():
                        self._on_file(found)
        read, without = self._write(there, on_progress)
        named = {shown(path) for path in there} - without
        gone = [
            id
            for id in self._held({shown(root) for root in roots})
            if id not in named and not _is_in(id, passed)
        ]
        if gone:
            self.memory.forget(ids=gone, namespace=self.namespace)
        return Changed(read, tuple(gone))

    def _found(self, root: Path, ignored: Ignored) -> Iterator[Path | Skipped]:
        """The files at a path, if it counts as part of the folder."""
        below = root.relative_to(self.folder).parts
        if any(map(is_hidden, below)) or ignored(root):
            return
        if root.is_dir() and (root == self.folder or not root.is_symlink()):
            try:
                yield from inside(root, ignored)
            except InputError as error:
                yield Skipped(shown(root), error.why, error.remedy)
        elif root.exists():
            yield looked_at(root)

    def _held(self, roots: set[str]) -> list[str]:
        """Ids of the documents whose files are, or were, there."""
        held = self.memory.documents(namespace=self.namespace) if roots else ()
        return [d.id for d in held if d.metadata.get("source") == d.id and _is_in(d.id, roots)]

    def _write(self, paths: list[Path], on_progress: OnProgress | None) -> tuple[int, set[str]]:
        """Write files; returns how many were read, and the names of those that hold no text now."""
        waiting, without, last, read = deque(paths), set[str](), "", 0
        total = sum(map(size_of, paths))

        def texts() -> Iterator[FileText]:
            nonlocal last, read
            while waiting:
                path = waiting.popleft()
                try:
                    found = read_file(
                        path, encoding=self._encoding, limits=self._limits, password=self._password
                    )
                except InputError as error:
                    if error.why == NO_TEXT or not path.exists():
                        without.add(shown(path))
                    else:
                        self._on_file(Skipped(shown(path), error.why, error.remedy))
                    continue
                self._on_file(found)
                last, read = found.id, read + 1
                yield replace(found, episode=self._episode)

        def told(done: WriteProgress) -> None:
            if on_progress is not None:
                on_progress(replace(done, total_characters=max(total, done.characters)))

        while waiting:
            before = read
            try:
                self.memory.write_each(texts(), namespace=self.namespace, on_progress=told)
            except InputError as error:
                if read == before:
                    raise
                # The last file changed while it was read; those before it are written.
                self._on_file(Skipped(last, error.why, error.remedy))
        return read, without


def _is_in(name: str, folders: set[str]) -> bool:
    """Whether a path is one of the folders, or inside one of them."""
    return name in folders or any(above.as_posix() in folders for above in PurePosixPath(name).parents)
