"""The command that writes files to a memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from larimar_memory.cli import output
from larimar_memory.cli.by_ray import check_engine
from larimar_memory.cli.by_ray import ingest as by_ray
from larimar_memory.cli.options import AsJson, EncoderName, Memory, Namespace, open_memory
from larimar_memory.cli.passed_over import PassedOver


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files or folders; - reads standard input.")],
    memory: Memory,
    namespace: Namespace = "default",
    episode: Annotated[
        str | None,
        typer.Option("--episode", help="Episode of the files, in their order: a conversation, a book."),
    ] = None,
    encoder: EncoderName = "",
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of text files.")] = "utf-8",
    with_latents: Annotated[
        bool, typer.Option("--latents", help="Write latents too; see add-latents.")
    ] = False,
    max_pages: Annotated[int, typer.Option(min=1, help="Most pages of a PDF.")] = 10_000,
    max_characters: Annotated[
        int, typer.Option(min=1, help="Most characters of a PDF, a document or an HTML file.")
    ] = 20_000_000,
    password: Annotated[
        str,
        typer.Option(
            "--password",
            envvar="LARIMAR_PASSWORD",
            show_default=False,
            help="Password of encrypted PDFs; the variable keeps it out of the shell's history.",
        ),
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep the memory in step with a folder until Ctrl-C.")
    ] = False,
    engine: Annotated[
        str, typer.Option("--engine", help="local, or ray for many processes and machines.")
    ] = "local",
    address: Annotated[
        str,
        typer.Option(
            "--address", help="Address of a Ray cluster.", show_default="RAY_ADDRESS, or this machine"
        ),
    ] = "",
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Number of Ray workers.", show_default="one for each core"),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option("--gpus", help="GPUs for each Ray worker, for latents.", show_default="none"),
    ] = None,
    shards: Annotated[
        str,
        typer.Option(
            "--shards",
            help="Folder that all machines of the cluster see.",
            show_default="beside the memory file",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Write files and folders (txt, md, html, pdf, code) to memory. Skips unchanged files.

    It also reads notebooks, emails, EPUB and OpenDocument; docx, pptx, xlsx and rtf need the extra
    "documents". At the end it lists files of folders that it did not read, with the reason. It does
    not list hidden files and files that systems leave behind (__pycache__, Thumbs.db, ~$ files).

    After an interruption, what was written stays; run again, the command continues from there.

    With --watch, the memory follows what is new, changed, moved or deleted in one folder, except for
    what .gitignore names; the ids of documents are their files' absolute paths.

    With --engine ray, paths may also be addresses such as s3://bucket/folder, and Parquet files with a
    column text and optional columns id and metadata. docs/scaling.md says how.
    """
    from larimar_memory.stores.opening import called
    from larimar_memory.text.files import Files, FileText, Skipped
    from larimar_memory.text.formats import Limits
    from larimar_memory.validate import check_episode

    count, listed, passed = 0, list[str](), PassedOver(as_json)

    def found(one: FileText | Skipped) -> None:
        nonlocal count
        if isinstance(one, Skipped):
            passed.take(one)
            return
        count += 1
        # Only JSON needs all names, and there may be a million.
        if as_json:
            listed.append(one.id)

    check_episode(episode)
    if check_engine(engine, address, workers, gpus, watch):
        by_ray(
            paths,
            memory,
            as_json,
            passed,
            namespace=namespace,
            episode=episode,
            encoder=encoder,
            latents=with_latents,
            encoding=encoding,
            limits=Limits(max_pages, max_characters),
            password=password,
            address=address,
            workers=workers,
            gpus=gpus,
            shards=shards,
        )
        return
    if watch:
        from larimar_memory.cli.watching import follow

        with open_memory(memory, encoder, latents=with_latents) as opened:
            follow(
                opened,
                paths,
                as_json,
                passed,
                namespace=namespace,
                episode=episode,
                encoding=encoding,
                limits=Limits(max_pages, max_characters),
                password=password,
            )
        return
    try:
        files = Files(
            paths,
            encoding=encoding,
            limits=Limits(max_pages, max_characters),
            password=password,
            on_found=found,
        )
        with (
            open_memory(memory, encoder, latents=with_latents) as opened,
            output.write_progress("ingesting", not as_json) as tell,
        ):
            before = opened.stats(namespace)
            texts = (replace(file, episode=episode) for file in files)
            opened.write_each(texts, namespace=namespace, on_progress=files.progress(tell))
            after = opened.stats(namespace)
    except KeyboardInterrupt:
        output.print_note("Interrupted: what was committed is kept, and the same command goes on.")
        raise
    finally:
        passed.print_notes()
    result = {
        "memory": called(memory),
        "files": listed,
        "skipped": passed.listed,
        "new_segments": after.segments - before.segments,
        "documents": after.documents,
        "segments": after.segments,
        "bytes_on_disk": after.bytes_on_disk,
    }
    output.print_result(
        result,
        as_json,
        f"{count:,} files read; {called(memory)} holds {after.documents:,} documents, "
        f"{after.segments:,} segments, {after.bytes_on_disk / 1e6:,.1f} MB.",
    )
