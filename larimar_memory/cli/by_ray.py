"""`larimar ingest --engine ray`: many processes, here or on a cluster."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from larimar_memory.cli import output
from larimar_memory.cli.passed_over import PassedOver
from larimar_memory.errors import InputError

if TYPE_CHECKING:
    from larimar_memory.text.formats import Limits

ENGINES = ("local", "ray")


def check_engine(
    engine: str, address: str, workers: int | None, gpus: float | None, watch: bool
) -> bool:
    """Whether the engine is Ray.

    Raises:
        InputError: if there is no such engine, or it does not go with the other options.
    """
    if engine not in ENGINES:
        why, remedy = f"There is no engine {engine!r}.", f"Choose one of {', '.join(ENGINES)}."
    elif engine == "ray" and watch:
        why, remedy = "Ray ingests once, and --watch goes on.", "Leave one of them out."
    elif engine == "local" and (address or workers is not None or gpus is not None):
        why, remedy = "--address, --workers and --gpus are Ray's.", "Name it with `--engine ray`."
    else:
        return engine == "ray"
    raise InputError("Nothing was ingested.", why, remedy)


def ingest(
    paths: list[str],
    memory: str,
    as_json: bool,
    passed: PassedOver,
    *,
    namespace: str,
    episode: str | None,
    encoder: str,
    latents: bool,
    encoding: str,
    limits: Limits,
    password: str,
    address: str,
    workers: int | None,
    gpus: float | None,
    shards: str,
) -> None:
    """Write files, folders and Parquet to a memory."""
    from larimar_memory.distributed import ingest as by_ray
    from larimar_memory.distributed.rows import Reading
    from larimar_memory.models import finding
    from larimar_memory.stores.opening import called

    try:
        done = by_ray(
            paths,
            memory,
            namespace=namespace,
            episode=episode,
            encoder=encoder or finding.DEFAULT_ENCODER,
            latents=latents,
            address=address or None,
            workers=workers,
            gpus=gpus or 0,
            shards=shards or None,
            reading=Reading(os.getcwd(), encoding, limits, password),
            progress=not as_json,
            on_skipped=passed.take,
        )
    except KeyboardInterrupt:
        output.print_note("Interrupted: what was committed is kept, and the same command goes on.")
        raise
    finally:
        passed.print_notes()
    output.print_result(
        {"memory": called(memory), "skipped": passed.listed, **asdict(done)},
        as_json,
        f"{done.documents:,} documents of {done.segments:,} segments are new in {called(memory)}; "
        f"{done.seconds:,.0f} s.",
    )
