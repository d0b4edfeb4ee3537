"""docs/langchain tells the truth: its code runs and prints what stands below it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import langchain_larimar

ROOT = Path(__file__).parents[2]
PAGES = {
    path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs/langchain").glob("*.mdx")
}
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OFTEN = ["Setup", "Instantiation", "API reference"]
SECTIONS = {
    "chat": ["Overview", *OFTEN[:2], "Invocation", OFTEN[2]],
    "memory": ["Overview", *OFTEN[:2], "Usage", OFTEN[2]],
    "middleware": ["Overview", *OFTEN[:2], "Use with an agent", OFTEN[2]],
    "retriever": ["Overview", *OFTEN[:2], "Usage", "Use within a chain", OFTEN[2]],
    "store": ["Overview", *OFTEN[:2], "Usage", OFTEN[2]],
    "tools": ["Overview", *OFTEN[:2], "Invocation", OFTEN[2]],
    "vectorstore": [
        *OFTEN[:2],
        *("Manage vector store", "Query vector store"),
        "Usage for retrieval-augmented generation",
        OFTEN[2],
    ],
}
"""Of each page, the headings that LangChain's template of its kind has, in order."""

SHOWN = {
    "chat": "ChatLarimar",
    "memory": "LarimarMemory",
    "middleware": "LarimarMiddleware",
    "retriever": "LarimarRetriever",
    "store": "LarimarStore",
    "tools": "larimar_tools",
    "vectorstore": "LarimarVectorStore",
}


def test_every_page_is_known() -> None:
    assert PAGES.keys() == SECTIONS.keys() == SHOWN.keys()


@pytest.mark.model
@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_the_code_prints_what_stands_below_it(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    printed, compared = "", 0
    for kind, body in BLOCK.findall(PAGES[name]):
        if kind == "python":
            assert not printed, "what a block prints stands below it"
            exec(compile(body, f"{name}.mdx", "exec"), names)
            printed = capsys.readouterr().out
        elif kind == "text":
            assert body == printed
            printed, compared = "", compared + 1
    assert not printed
    assert compared >= 2


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_a_page_has_the_form_of_its_kind(name: str) -> None:
    page = PAGES[name]
    told = re.match(r'---\ntitle: "(.+)"\ndescription: "(.+)"\n---\n', page)
    assert told is not None
    assert told[1] == "Larimar integration"
    assert told[2].startswith("Integrate with the Larimar ")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert [heading for heading in headings if heading in SECTIONS[name]] == SECTIONS[name]
    assert (
        page.index("### Credentials") < page.index("### Installation") < page.index("## Instantiation")
    )
    assert page.count("<CodeGroup>") == page.count("</CodeGroup>") >= 1
    assert "(MODULE_NAME)" not in page
    assert "TODO" not in page


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_a_page_names_what_is_shipped(name: str) -> None:
    page = PAGES[name]
    assert f"`{SHOWN[name]}`" in page
    assert hasattr(langchain_larimar, SHOWN[name])
    (extra,) = set(re.findall(r'"larimar-memory\[(\w+)\]"', page))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(rf"^{extra} = \[", project, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for pinned in re.findall(r"--no-deps (.+)", page):
        assert pinned in makefile
    for place in re.findall(r"larimar-memory/blob/main/([\w./]+)", page):
        assert (ROOT / place).exists()
