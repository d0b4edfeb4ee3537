"""The adapter for the Agent Memory Benchmark, driven in the order in which its runner calls it."""

from __future__ import annotations

import asyncio
import json
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import agent_memory
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from tests.tiny import tiny_decoder


@dataclass
class Document:
    """As the benchmark has it: what is ingested, and what is retrieved."""

    id: str
    content: str
    user_id: str | None = None
    messages: list[dict[str, Any]] | None = None
    timestamp: str | None = None
    context: str | None = None
    source_ids: list[str] | None = None
    tags: list[str] | None = None


class Base(ABC):
    """As the benchmark has it: hooks, and asynchronous twins that work in threads."""

    name: str
    concurrency: int = 4
    supports_filters = False

    def initialize(self) -> None: ...  # noqa: B027

    def cleanup(self) -> None: ...  # noqa: B027

    def prepare(self, store_dir: Path, **how: Any) -> None: ...  # noqa: B027

    @abstractmethod
    def ingest(self, documents: list[Document]) -> None: ...

    async def async_ingest(self, documents: list[Document]) -> None:
        await asyncio.to_thread(self.ingest, documents)

    @abstractmethod
    def retrieve(self, query: str, k: int = 10, user_id: str | None = None) -> Any: ...

    async def async_retrieve(self, query: str, k: int, user_id: str | None, stamp: str | None) -> Any:
        return await asyncio.to_thread(self.retrieve, query, k, user_id, stamp)  # type: ignore[call-arg]

    async def async_direct_answer(self, query: str, user_id: str | None) -> Any:
        return await asyncio.to_thread(self.direct_answer, query, user_id=user_id)  # type: ignore[attr-defined]


class Runner:
    """The order of calls of the benchmark's own: by unit, or all documents before all questions."""

    def __init__(self, memory: Any, folder: Path, k: int = 10) -> None:
        self.memory, self.folder, self.k = memory, folder, k

    def run(
        self,
        documents: list[Document],
        queries: list[tuple[str, str | None]],
        by_unit: bool = True,
        skip_ingestion: bool = False,
    ) -> list[list[Document]]:
        memory = self.memory
        memory.initialize()
        units = {d.user_id for d in documents if d.user_id} if by_unit else None
        memory.prepare(self.folder, unit_ids=units, reset=not skip_ingestion)
        found = asyncio.run(self._asked(documents, queries, by_unit, skip_ingestion))
        memory.cleanup()
        return found

    async def _asked(
        self, documents: Any, queries: Any, by_unit: bool, skip_ingestion: bool
    ) -> list[list[Document]]:
        found = dict[str, list[Document]]()
        gate = asyncio.Semaphore(self.memory.concurrency)

        async def ask(query: str, user: str | None) -> None:
            async with gate:
                stamp = "2023-01-01T00:00:00+00:00"
                docs, raw = await self.memory.async_retrieve(query, self.k, user, stamp)
                assert raw is None
                found[query] = docs

        for unit in dict.fromkeys(d.user_id for d in documents) if by_unit else [None]:
            if not skip_ingestion and by_unit:
                await self.memory.async_ingest([d for d in documents if d.user_id == unit])
            elif not skip_ingestion:
                self.memory.ingest(documents)
            mine = [(q, u) for q, u in queries if not by_unit or u == unit]
            await asyncio.gather(*[ask(q, u) for q, u in mine])
        return [found[query] for query, _ in queries]


ANA = Document(
    "ana_session_1",
    json.dumps(
        [
            {"speaker": "Ana", "dia_id": "D1:1", "text": "I adopted a dog called Pixel."},
            {"speaker": "Ben", "dia_id": "D1:2", "text": "Lovely!", "blip_caption": "a brown dog"},
        ]
    ),
    user_id="ana",
    timestamp="2023-05-08T13:56:00+00:00",
    context="Conversation between Ana and Ben",
)
LATER = Document(
    "ana_session_2",
    "",
    user_id="ana",
    messages=[
        {"role": "user", "content": "The alarm code of the office is 4711."},
        {"role": "assistant", "content": "I have noted the alarm code."},
        {"role": "user", "content": "  "},
    ],
    timestamp="2023/06/02 (Fri) 09:30",
)
PLAIN = Document("cy", "[March-15-2024 | Turn 1] User: My sister Ines moved to Coimbra.", user_id="cy")
SHARED = Document("belief-1", "The team deploys on Tuesdays.")
ALL = [ANA, LATER, PLAIN]
QUERIES: list[tuple[str, str | None]] = [
    ("What is Ana's dog called?", "ana"),
    ("What is the alarm code of the office?", "ana"),
    ("Where does Ines live?", "cy"),
]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, encoder: SentenceEncoder) -> dict[str, Any]:
    """The benchmark's packages in miniature, with the adapter registered in them."""
    kept: dict[str, Any] = {}
    for name, parts in {
        "memory_bench": {},
        "memory_bench.memory": {"MemoryProvider": Base, "REGISTRY": kept},
        "memory_bench.models": {"Document": Document},
        "memory_bench.cli": {"app": lambda: kept.setdefault("started", True)},
    }.items():
        module = ModuleType(name)
        vars(module).update(parts)
        monkeypatch.setitem(sys.modules, name, module)
    decoder = tiny_decoder(max_position_embeddings=2_000)
    opened = {"encoder": encoder, "decoder": decoder, "adapter": False}
    monkeypatch.setattr(agent_memory.LarimarProvider, "opened", opened)
    agent_memory.main()
    assert kept.pop("started")
    return kept


def test_both_are_registered_as_memories_of_the_benchmark(registry: dict[str, Any]) -> None:
    assert list(registry) == ["larimar", "larimar-scoped"]
    for name, made in registry.items():
        provider = made()
        assert isinstance(provider, Base)
        assert (provider.name, provider.kind, provider.provider) == (name, "local", "larimar")
        assert provider.supports_filters is False


@pytest.mark.model
def test_units_are_ingested_asked_and_never_meet(registry: dict[str, Any], tmp_path: Path) -> None:
    dog, code, ines = Runner(registry["larimar"](), tmp_path / "store").run(ALL, QUERIES)
    assert dog[0].content == "Ana (8 May 2023): I adopted a dog called Pixel."
    assert dog[0].source_ids == ["ana_session_1"]
    assert (dog[0].user_id, dog[0].timestamp) == ("ana", "2023-05-08T13:56:00+00:00")
    assert code[0].content == "User (2 June 2023): The alarm code of the office is 4711."
    assert {d.source_ids[0] for d in dog + code if d.source_ids} == {"ana_session_1", "ana_session_2"}
    assert [d.content for d in ines] == [PLAIN.content]
    assert len({d.id for d in dog}) == len(dog) == 4
    assert any("(Shows a picture: a brown dog.)" in d.content for d in dog)


@pytest.mark.model
def test_a_batch_for_all_is_kept_for_a_run_that_skips_ingestion(
    registry: dict[str, Any], tmp_path: Path
) -> None:
    asked: list[tuple[str, str | None]] = [("When does the team deploy?", None), *QUERIES[:1]]
    runner = Runner(registry["larimar"](), tmp_path, k=1)
    first = runner.run([SHARED, *ALL], asked, by_unit=False)
    assert [[d.source_ids for d in found] for found in first] == [[["belief-1"]], [["ana_session_1"]]]
    assert runner.run([], asked, by_unit=False, skip_ingestion=True) == first
    assert runner.run([PLAIN], asked, by_unit=False) == [[], []]


@pytest.mark.model
def test_k_counts_turns_and_scope_is_the_memorys_own(registry: dict[str, Any], tmp_path: Path) -> None:
    paragraph = " ".join(
        f"The ferry number {n} to the island of Ren leaves the old harbour at {n} in the morning."
        for n in range(1, 12)
    )
    long = Document("long", paragraph, user_id="ana")
    asked: list[tuple[str, str | None]] = [
        ("When does the ferry to Ren leave?", "ana"),
        ("Which gene causes cystic fibrosis?", "ana"),
    ]
    ferry, gene = Runner(registry["larimar"](), tmp_path, k=3).run([long, *ALL[:2]], asked)
    assert ferry[0].source_ids == ["long"]
    assert len({d.source_ids[0] + d.id for d in ferry if d.source_ids}) == len(ferry) == 3
    assert len(gene) == 3
    ferry, gene = Runner(registry["larimar-scoped"](), tmp_path, k=3).run([long, *ALL[:2]], asked)
    assert ferry
    assert gene == []


@pytest.mark.model
def test_it_answers_itself(registry: dict[str, Any], tmp_path: Path) -> None:
    provider = registry["larimar"]()
    provider.prepare(tmp_path)
    provider.ingest(ALL)
    text, context, raw = asyncio.run(provider.async_direct_answer(QUERIES[0][0], "ana"))
    assert isinstance(text, str)
    assert "Ana (8 May 2023): I adopted a dog called Pixel." in context
    assert json.loads(json.dumps(raw))["sources"]
    assert provider.retrieve("   ", 10, "ana") == ([], None)
    provider.cleanup()
    provider.cleanup()
    with pytest.raises(InputError, match=r"not open\. It is opened by `prepare`.* Call `prepare`"):
        provider.retrieve("dog", 3, "ana")


@pytest.mark.model
def test_documents_of_an_earlier_interface(
    registry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["id", "content", "user_id", "messages", "timestamp", "context"]
    older = make_dataclass("Older", [(name, object, None) for name in names])
    provider = registry["larimar"]()
    monkeypatch.setattr(type(provider), "document", older)
    provider.prepare(tmp_path)
    provider.ingest([older("a", "The mill grinds corn.", "ana")])
    (found,), _ = provider.retrieve("What does the mill grind?", 1, "ana")
    provider.cleanup()
    assert found == older("a/0#0", "The mill grinds corn.", "ana")


@pytest.mark.parametrize(
    "content", ["[1, 2]", "[not json", '[{"other": "x"}]', "[]", '["a", "b"]', "[March] User: hello"]
)
def test_what_is_no_list_of_turns_is_one_text(content: str) -> None:
    (text,) = agent_memory.texts(Document("a", content))
    assert (text.id, text.text, text.metadata, text.episode) == ("a/0", content, {}, "a")


def test_turns_of_several_forms() -> None:
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "One."},
        {"role": "system", "content": "Two."},
        {"name": "Cy", "role": "user", "text": "Three."},
        {"content": None},
        {"content": "Four."},
    ]
    made = list(agent_memory.texts(Document("d/1", "", messages=turns, timestamp="no time")))
    assert [(t.id, t.text, dict(t.metadata)) for t in made] == [
        ("d/1/0", "One.", {"speaker": "User"}),
        ("d/1/1", "Two.", {"speaker": "System"}),
        ("d/1/2", "Three.", {"speaker": "Cy"}),
        ("d/1/4", "Four.", {}),
    ]


def test_without_the_benchmark_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "memory_bench", None)
    with pytest.raises(InputError, match=r"cannot be run\. There is no package .* Install a checkout"):
        agent_memory.register()
    monkeypatch.setattr(agent_memory.output, "print_error", lambda error, _: print(error))
    with pytest.raises(SystemExit) as ended:
        agent_memory.main()
    assert ended.value.code == 1
    assert "Install a checkout" in capsys.readouterr().out


def test_the_page_says_what_is_there() -> None:
    page = (Path(__file__).parents[2] / "docs" / "agent_memory_benchmark.md").read_text()
    assert all(f"`{name}`" in page for name in ("larimar", "larimar-scoped"))
    assert "python -m benchmarks.agent_memory run" in page
    assert "commit c0f91a0" in page
    assert "commit c0f91a0" in str(agent_memory.__doc__)
