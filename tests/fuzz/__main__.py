"""Fuzz a target, guided by coverage where atheris is installed: `python -m tests.fuzz segments 100000`.

`python -m tests.fuzz million` puts a million inputs to all targets, more to the faster ones, in about
a quarter of an hour. Without a number of inputs it goes on until it is stopped. Without atheris
(`pip install atheris`), the inputs are random changes of seeds. What fails is printed as bytes, to
become a test. An input that takes longer than `targets.SECONDS` fails; one that hangs inside of C code
ends the process, and is left in the file `input` of the folder /dev/shm/larimar-fuzz-*.
"""

from __future__ import annotations

import atexit
import faulthandler
import random
import sys
import time

from . import seeds

if len(sys.argv) < 2:
    sys.exit(f"{__doc__}\nTargets: million, all, {', '.join(seeds.SEEDS)}")
NAME, COUNT = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else -1

try:
    import atheris
except ImportError:
    atheris = None

MILLION = {
    "segments": 250_000,
    "prompts": 150_000,
    "latents": 107_000,
    "files": 100_000,
    "filters": 100_000,
    "html": 80_000,
    "memory_files": 80_000,
    "pdf": 50_000,
    "exports": 35_000,
    "questions": 30_000,
    "names": 10_000,
    **dict.fromkeys(("pages", "values", "logs", "indexes"), 1_500),
    **dict.fromkeys(("bundles", "command_line"), 1_000),
}
SEVERAL = {"million": MILLION, "all": dict.fromkeys(seeds.SEEDS, COUNT)}

if atheris is not None and NAME not in SEVERAL:
    with atheris.instrument_imports(include=["larimar_memory", "pypdf"]):
        # Imported here, since the package itself does so only when a PDF is read.
        import pypdf  # noqa: F401

        from . import targets
else:
    from . import targets


def blindly(name: str, count: int) -> None:
    """Random changes of the seeds, without a look at what they reach."""
    target, start = targets.TARGETS[name], time.perf_counter()
    for n in range(count):
        data = seeds.mutated(name, random.Random(f"{name}:{n}"))
        try:
            # The alarm does not ring inside of C code; the watchdog ends the process from there.
            faulthandler.dump_traceback_later(3 * targets.SECONDS, exit=True)
            (targets.folder() / "input").write_bytes(data)
            with targets.within():
                target(data)
        except BaseException:
            print(f"{name} fails for {data!r}")
            raise
    faulthandler.cancel_dump_traceback_later()
    seconds = time.perf_counter() - start
    print(f"{name}: {count:,} inputs, {count / seconds:,.0f} a second, none failed")


if atheris is not None and NAME not in SEVERAL:
    corpus = targets.folder() / "corpus"
    atexit.register(targets.clean_up)
    corpus.mkdir()
    for number, seed in enumerate(seeds.SEEDS[NAME]):
        (corpus / str(number)).write_bytes(seed)
    flags = [f"-runs={COUNT}", "-max_len=4096", "-timeout=30", "-rss_limit_mb=4096"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], targets.TARGETS[NAME])
    atheris.Fuzz()
else:
    for one, count in SEVERAL.get(NAME, {NAME: COUNT}).items():
        blindly(one, count if count >= 0 else sys.maxsize)
    targets.clean_up()
