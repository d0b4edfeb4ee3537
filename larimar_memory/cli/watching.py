"""Follow a folder for `larimar ingest --watch`, and report what is done."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from larimar_memory.cli import output
from larimar_memory.errors import InputError
from larimar_memory.mirror import Changed, Mirror
from larimar_memory.text.files import FileText, Skipped

if TYPE_CHECKING:
    from larimar_memory.cli.passed_over import PassedOver
    from larimar_memory.larimar import Larimar


def follow(memory: Larimar, paths: list[str], as_json: bool, passed: PassedOver, **how: Any) -> None:
    """Keep a memory equal to a folder until Ctrl-C, which ends it without an error.

    Args:
        passed: takes the files skipped at the start; later ones are reported one by one, at once.
        how: see `Mirror`.
    """
    if len(paths) != 1:
        raise InputError(
            "Nothing is watched.",
            f"One folder can be watched, and {len(paths)} paths were given.",
            "Name one folder, and run the command for each other one.",
        )
    read, forgotten, started = 0, 0, False

    def take(one: FileText | Skipped) -> None:
        if isinstance(one, FileText):
            return
        if started and not as_json:
            output.print_note(f"{one.name}: {one.why} {one.remedy}".rstrip())
        else:
            passed.take(one)

    def tell(done: Changed) -> None:
        nonlocal read, forgotten, started
        read, forgotten = read + done.read, forgotten + len(done.forgotten)
        if not started:
            passed.print_notes()
        started = True
        if not as_json:
            output.print_note(f"{done.read:,} files read, {len(done.forgotten):,} documents forgotten.")

    mirror = Mirror(memory, paths[0], on_file=take, **how)
    if not as_json:
        output.print_note(f"Watching {mirror.folder}; Ctrl-C ends it.")
    # What was committed is kept, and the same command, run again, catches up.
    with suppress(KeyboardInterrupt):
        mirror.follow(on_change=tell)
    held = memory.stats(mirror.namespace)
    result = {
        "folder": str(mirror.folder),
        "read": read,
        "forgotten": forgotten,
        "skipped": passed.listed,
        "documents": held.documents,
        "segments": held.segments,
    }
    line = f"{read:,} files were read, {forgotten:,} documents forgotten; {held.documents:,} are there."
    output.print_result(result, as_json, line)
