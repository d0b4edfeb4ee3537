"""Paragraphs of real prose: those every CPython brings along, or those of a folder of the user's."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import lzma
import random
import re
import sys
import sysconfig
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

from larimar_memory.errors import InputError

_MIN_WORDS = 6
_MIN_LETTERS = 0.8
_COMMENTS = re.compile(r"^[ \t]*#.*(?:\n[ \t]*#.*)*", re.MULTILINE)
_MARK = re.compile(r"^[ \t]*#+ ?", re.MULTILINE)
_NOT_OURS = {"site-packages", "dist-packages"}
_SUFFIXES = (".txt", ".md", ".jsonl", ".jsonl.xz")


def from_python(order: random.Random) -> Iterator[str]:
    """Paragraphs of the language reference, docstrings, comments and licences, sources shuffled.

    Which there are depends on the Python version and on how it was packaged.
    """
    library = Path(sysconfig.get_path("stdlib"))
    files = [
        path.relative_to(library)
        for pattern in ("*.py", "*.txt", "*.rst")
        for path in library.rglob(pattern)
        if not _NOT_OURS & set(path.parts)
    ]
    sources = [("file", path.as_posix()) for path in sorted(files)]
    sources += [("topic", name) for name in sorted(_topics())]
    sources += [("module", name) for name in sorted(sys.builtin_module_names)]
    order.shuffle(sources)
    for kind, name in sources:
        if kind == "file":
            blocks = _file(library / name)
        else:
            blocks = _module(name) if kind == "module" else [_topics()[name]]
        for block in blocks:
            yield from _paragraphs(block)


def from_folder(folder: Path, order: random.Random) -> Iterator[str]:
    """Paragraphs of all text files under a folder; files, and the records in one, are shuffled.

    Args:
        folder: holds .txt, .md, .jsonl or .jsonl.xz; lines of the latter two have a "text".

    Raises:
        InputError: if the folder has no such file, or one cannot be read.
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.endswith(_SUFFIXES))
    if not files:
        raise InputError(
            f"The folder {folder} cannot be the haystack.",
            f"It has no file that ends in {', '.join(_SUFFIXES)}.",
            "Name a folder of texts, or leave it out to use prose that comes with Python.",
        )
    order.shuffle(files)
    for path in files:
        try:
            texts = _records(path) if ".jsonl" in path.suffixes else [path.read_text(encoding="utf-8")]
        except (ValueError, KeyError, TypeError, OSError, lzma.LZMAError) as error:
            raise InputError(
                f"The file {path} cannot be read as text.",
                f"The reader said: {type(error).__name__}: {error}.",
                'Give UTF-8 text, or JSON lines with a "text".',
            ) from error
        order.shuffle(texts)
        for text in texts:
            yield from filter(None, map(_flowing, re.split(r"\n\s*\n", text)))


def _records(path: Path) -> list[str]:
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return [str(json.loads(line)["text"]) for line in file if line.strip()]


def _topics() -> dict[str, str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return {}
    return dict(topics)


def _module(name: str) -> list[str]:
    """Docstrings of what is built into the interpreter."""
    module = importlib.import_module(name)
    things: list[object] = [module]
    for thing in vars(module).values():
        things += [thing, *vars(thing).values()] if inspect.isclass(thing) else [thing]
    docs = (getattr(thing, "__doc__", None) for thing in things)
    return [doc for doc in docs if isinstance(doc, str)]


def _file(path: Path) -> list[str]:
    """Docstrings and comments of a source file, or the text of another one."""
    try:
        source = path.read_text(encoding="utf-8")
        if path.suffix != ".py":
            return [source]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        # The library's own tests hold files that are broken on purpose.
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    comments = [_MARK.sub("", found[0]) for found in _COMMENTS.finditer(source)]
    return [doc for doc in docs if doc] + comments


def _paragraphs(block: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", textwrap.dedent(block)):
        text = _flowing(paragraph)
        letters = sum(c.isalpha() or c == " " for c in text)
        if text.count(" ") >= _MIN_WORDS and letters >= _MIN_LETTERS * len(text):
            yield text


def _flowing(paragraph: str) -> str:
    return " ".join(paragraph.split())
