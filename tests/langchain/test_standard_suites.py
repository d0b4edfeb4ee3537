"""The guide's table of LangChain's own test suites is what the test files here do."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from langchain_tests import integration_tests, unit_tests
from langchain_tests.integration_tests import indexer

FOLDER = Path(__file__).parent
GUIDE = (FOLDER.parents[1] / "docs" / "guides" / "langchain.md").read_text("utf-8")
STANDARD = {
    *unit_tests.__all__,
    *integration_tests.__all__,
    *(name for name in vars(indexer) if name.endswith("TestSuite")),
} - {"SandboxIntegrationTests"}
"""Every suite; the one of sandboxes is there only where deepagents is installed."""

SWITCHES = {
    name
    for suite in (unit_tests.ChatModelUnitTests, integration_tests.VectorStoreIntegrationTests)
    for name in dir(suite)
    if name.startswith(("has_", "supports_"))
}
"""What a class may say that it does not have, so that tests of it are skipped."""

MARKS = ("pytest.mark.xfail", "pytest.mark.skip", "pytest.mark.skipif", "pytest.skip")


def rows() -> list[tuple[list[str], set[str], str]]:
    """Suites, the classes that run them, and what the table says of them."""
    table = re.search(r"<!-- suites -->\n(.*?)<!-- /suites -->", GUIDE, re.DOTALL)
    assert table
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines() if line
    ][2:]
    return [
        (re.findall(r"`(\w+)`", suites), set(re.findall(r"`(test_\w+\.py::\w+)`", runs)), said)
        for suites, runs, said in cells
    ]


class Found:
    """A test class: the suites that it derives from, what it switches off, why tests of it may fail."""

    def __init__(self, node: ast.ClassDef, others: dict[str, Found]) -> None:
        bases = [ast.unparse(base).split(".")[-1] for base in node.bases]
        known = [others[base] for base in bases if base in others]
        self.suites = STANDARD & set(bases) | {suite for base in known for suite in base.suites}
        self.off = {name for base in known for name in base.off}
        self.reasons = {reason for base in known for reason in base.reasons}
        for part in ast.walk(node):
            if isinstance(part, ast.Assign) and ast.unparse(part.value) == "False":
                self.off |= {ast.unparse(t) for t in part.targets} & SWITCHES
            if isinstance(part, ast.FunctionDef) and part.name in SWITCHES:
                self.off |= {part.name} if "return False" in ast.unparse(part) else set()
            if isinstance(part, ast.Call) and ast.unparse(part.func) in MARKS:
                (reason,) = [keyword.value for keyword in part.keywords if keyword.arg == "reason"]
                self.reasons.add(str(ast.literal_eval(reason)))


def found() -> dict[str, Found]:
    """The test classes here that run a suite."""
    classes = dict[str, Found]()
    for path in sorted(FOLDER.glob("test_*.py")):
        here = dict[str, Found]()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                here[node.name] = Found(node, here)
        classes |= {
            f"{path.name}::{name}": each
            for name, each in here.items()
            if each.suites and name.startswith("Test")
        }
    return classes


def test_every_suite_has_a_place_in_the_table() -> None:
    listed = [suite for suites, _, _ in rows() for suite in suites]
    assert sorted(listed) == sorted(STANDARD)


def test_the_table_names_the_classes_that_run_them() -> None:
    classes = found()
    named = set[str]().union(*(runs for _, runs, _ in rows()))
    assert named == set(classes)
    for suites, runs, said in rows():
        there = [classes[name].suites for name in runs if name in classes]
        assert set[str]().union(*there) <= set(suites)
        assert all(any(suite in each for each in there) for suite in suites) or not there
        assert bool(runs) is not said.startswith("not applicable: ")


def test_the_table_says_what_is_skipped_and_what_may_fail() -> None:
    classes = found()
    for _, runs, said in rows():
        each = [classes[name] for name in runs if name in classes]
        off = set[str]().union(*(one.off for one in each))
        if each:
            assert off == set(re.findall(r"`(\w+)`", said)) & SWITCHES
        for reason in set[str]().union(*(one.reasons for one in each)):
            assert reason in said
        if off or any(one.reasons for one in each):
            assert "all pass" not in said


def test_the_search_finds_what_it_should() -> None:
    program = """
class Base(Mixin, integration_tests.ChatModelIntegrationTests):
    has_tool_choice = has_tool_calling = False

    @pytest.mark.xfail(reason="It is slow.")
    def test_stream_time(self): ...

class TestThat(Base):
    @property
    def supports_json_mode(self): return False
"""
    base, that = [node for node in ast.parse(program).body if isinstance(node, ast.ClassDef)]
    each = Found(that, {"Base": Found(base, {})})
    assert each.suites == {"ChatModelIntegrationTests"}
    assert each.off == {"has_tool_choice", "has_tool_calling", "supports_json_mode"}
    assert each.reasons == {"It is slow."}
    assert found()["test_retriever.py::TestStandard"].suites == {"RetrieversIntegrationTests"}
    assert found()["test_tools.py::TestRecallUnit"].suites == {"ToolsUnitTests"}
