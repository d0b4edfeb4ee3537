"""The site is built without a warning, and needs no network to be read."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

import langchain_larimar
import larimar_memory

ROOT = Path(__file__).parents[2]
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\bsrc=["']?(https?:|//)"""
    r"""|<link[^>]*\brel=["']?(?:stylesheet|preconnect|icon)[^>]*\bhref=["']?(https?:|//)"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return place


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    assert [page.name for page in pages if LOADED.search(page.read_text("utf-8"))] == []
    css = "".join(sheet.read_text("utf-8") for sheet in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?https?:", css) == []


def test_pages_of_the_root_are_in_it(site: Path) -> None:
    for page, words in (
        ("changelog", "keep a changelog"),
        ("contributing", "make lint"),
        ("security", "Not promised"),
    ):
        assert words in (site / f"{page}.html").read_text("utf-8")
    assert (site / "benchmarks" / "plots" / "rag.svg").is_file()


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    shown = "".join(page.read_text("utf-8") for page in (site / "reference").glob("*.html"))
    names = [*larimar_memory.__all__, *langchain_larimar.__all__]
    anchors = {
        found.rpartition(".")[2] for found in re.findall(r'id="((?:larimar|langchain)_[\w.]+)"', shown)
    }
    assert sorted({*names} - anchors - {"__version__"}) == []
    assert "larimar train-keys" in shown


def test_pictures_are_of_the_committed_results(tmp_path: Path) -> None:
    """Those that need no model; of the others, that they are there."""
    script = runpy.run_path(str(ROOT / "docs" / "figures.py"))
    images = ROOT / "docs" / "images"
    assert {image.stem for image in images.glob("*.svg")} == {*script["FIGURES"]}
    drawn = ["path", "segments", "slots", "scope"]
    script["draw_all"](drawn, tmp_path)
    if f"matplotlib=={matplotlib.__version__} " in (ROOT / "constraints.txt").read_text("utf-8"):
        for name in drawn:
            same = (tmp_path / f"{name}.svg").read_bytes() == (images / f"{name}.svg").read_bytes()
            assert same, f"python docs/figures.py {name}"
