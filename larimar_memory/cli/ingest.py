"""The command that writes files to a memory."""

from __future__ import annotations

from typing import Annotated

import typer

from larimar_memory.cli import output
from larimar_memory.cli.options import AsJson, EncoderName, Memory, Namespace, open_memory


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files or folders; - reads standard input.")],
    memory: Memory,
    namespace: Namespace = "default",
    encoder: EncoderName = "",
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of text files.")] = "utf-8",
    with_latents: Annotated[
        bool, typer.Option("--latents", help="Write latents too; see add-latents.")
    ] = False,
    max_pages: Annotated[int, typer.Option(min=1, help="Most pages of a PDF.")] = 10_000,
    max_characters: Annotated[
        int, typer.Option(min=1, help="Most characters of a PDF or HTML file.")
    ] = 20_000_000,
    as_json: AsJson = False,
) -> None:
    """Write files and folders (txt, md, html, pdf, code) to memory. Unchanged files are passed over.

    Interrupted, it keeps what was written; the same command goes on there.
    """
    from larimar_memory.text.files import Files, FileText, Skipped
    from larimar_memory.text.formats import Limits

    count, listed, skipped = 0, list[str](), list[dict[str, str]]()

    def found(one: FileText | Skipped) -> None:
        nonlocal count
        if isinstance(one, FileText):
            count += 1
            # A million names are held only where they are asked for.
            if as_json:
                listed.append(one.id)
            return
        output.print_note(f"skipped {one.name}: {one.why}")
        if as_json:
            skipped.append({"path": one.name, "why": one.why})

    files = Files(paths, encoding=encoding, limits=Limits(max_pages, max_characters), on_found=found)
    try:
        with (
            open_memory(memory, encoder, latents=with_latents) as opened,
            output.write_progress("ingesting", not as_json) as tell,
        ):
            before = opened.stats(namespace)
            opened.write_each(files, namespace=namespace, on_progress=files.progress(tell))
            after = opened.stats(namespace)
    except KeyboardInterrupt:
        output.print_note("Interrupted: what was committed is kept, and the same command goes on.")
        raise
    result = {
        "memory": str(memory),
        "files": listed,
        "skipped": skipped,
        "new_segments": after.segments - before.segments,
        "documents": after.documents,
        "segments": after.segments,
        "bytes_on_disk": after.bytes_on_disk,
    }
    output.print_result(
        result,
        as_json,
        f"{count:,} files read; {memory} holds {after.documents:,} documents, "
        f"{after.segments:,} segments, {after.bytes_on_disk / 1e6:,.1f} MB.",
    )
