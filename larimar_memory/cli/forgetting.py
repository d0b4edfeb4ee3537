"""The commands that forget, and show what was forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from larimar_memory.cli import output
from larimar_memory.cli.options import AsJson, Memory, WhereText, open_memory, parsed

if TYPE_CHECKING:
    from larimar_memory.receipts import Receipt


def forget(
    memory: Memory,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="A document's id; may be repeated.")
    ] = None,
    where: WhereText = "",
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Namespace; alone: forget all of it.")
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="Forget in all namespaces, by id or filter.")
    ] = False,
    receipt: Annotated[
        bool,
        typer.Option(
            "--receipt",
            help="Search every byte of the files for what was forgotten, and keep a receipt; status 1 "
            "if any is left or a file cannot be read.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete documents and erase them from the file: by id, by filter, or a whole namespace."""
    with open_memory(memory, None, create=False) as opened:
        if not receipt:
            count = opened.forget(
                ids=ids or None, where=parsed(where), namespace=namespace, everywhere=everywhere
            )
            output.print_result({"forgotten": count}, as_json, f"{count} documents forgotten.")
            return
        made = opened.forget(
            ids=ids or None,
            where=parsed(where),
            namespace=namespace,
            everywhere=everywhere,
            receipt=True,
        )
    count = len(made.documents)
    if as_json:
        output.print_json({"forgotten": count, "receipt": made.to_dict()})
    else:
        output.print_result({}, as_json, f"{count} documents forgotten.")
        _print(made)
    if not made.erased:
        raise typer.Exit(output.EXIT_ERROR)


def receipts(
    memory: Memory,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also check that none was changed, removed or inserted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the receipts: what was forgotten, when, from which files, and how that was checked."""
    with open_memory(memory, None, create=False, read_only=True) as opened:
        held = opened.receipts(verify=verify)
    if as_json:
        output.print_json({"receipts": [one.to_dict() for one in held], "verified": verify})
        return
    for one in held:
        _print(one)
    count = "1 receipt" if len(held) == 1 else f"{len(held):,} receipts"
    output.print_result({}, False, f"{count}{', all as they were written' if verify else ''}.")


def _print(receipt: Receipt) -> None:
    segments = sum(document.segments for document in receipt.documents)
    of = " of another memory, imported" if receipt.imported else ""
    lines = [
        f"receipt {receipt.number}{of}: {len(receipt.documents):,} documents, {segments:,} segments",
        f"  begun {receipt.begun_at}, ended {receipt.ended_at or 'never: it was interrupted'} (UTC)",
        *(f"  {document.namespace}: {document.id}" for document in receipt.documents),
    ]
    check = receipt.check
    if check is not None:
        files = ", ".join(f"{name} ({size:,} bytes)" for name, size in check.files.items())
        lines.append(f"  looked for {check.pieces:,} pieces in {files or 'no file'}")
        lines.append(f"  left in {', '.join(check.left_in)}" if check.left_in else "  nothing is left")
        if check.unread:
            lines.append(f"  not read: {', '.join(check.unread)}")
        if check.shared:
            lines.append(f"  {check.shared:,} pieces are in what the memory still holds")
    elif receipt.ended_at is not None:
        lines.append("  not looked for in the files: it was interrupted, and erased later")
    output.print_result({}, False, "\n".join([*lines, f"  hash {receipt.hash}"]))
