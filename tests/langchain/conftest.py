"""Fixtures: a written memory in RAM, a chat model that follows a script, and runs of agents."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import Field

from langchain_larimar import LarimarMemory, LarimarStore, LarimarVectorStore
from larimar_memory.decoders.transformers import TransformersDecoder
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar

from .entries import FAKE
from .vaults import FACT

TEXTS = {
    "ops": (
        "The backup server of the observatory is called Heron. The pass key of the vault is 71432.\n\n"
        "Maintenance takes place every Tuesday at noon. The telescope was built in Jena in 1974."
    ),
    "zoo": "The zoo has three red pandas. The oldest panda is called Mimi and eats bamboo at dawn.",
    "food": "Our canteen serves lentil soup on Fridays. Bread is baked in the cellar before sunrise.",
}
QUESTION = "What is the pass key of the vault?"
OUT_OF_SCOPE = "Who won the chess championship in Reykjavik?"

TURNS = [
    ("My sister Ana keeps two parrots in Lisbon.", "Parrots are lively company."),
    ("The printer on the third floor is out of toner.", "I will order toner for it."),
    ("Please remember that the alarm code is 4711.", "I have noted the alarm code."),
    ("What goes well with lentil soup?", "Bread and a little vinegar."),
    ("How far away is the moon?", "About 384,000 kilometres."),
    ("Thank you, that is all for now.", "You are welcome."),
]
ASKED = "What is the alarm code?"

LOOKALIKES = [
    *("ana", "Ana", "ana ", " ana", "ana\u200b", "\u0430na", "ana:", "ana/", "ana%", "_na", "an"),
    *("\u00e9va", "e\u0301va", "conversation:ana", "user:ana", "ana' OR '1'='1", "ana\nbob", "../ana"),
]
"""Ids of users who are not the same, however alike they look."""


PLACES = ["ram", "file", "database"]


def place(request: pytest.FixtureRequest) -> Any:
    """Where a memory is, by the name that a fixture has as its parameter."""
    if request.param == "database":
        return request.getfixturevalue("address")
    return request.getfixturevalue("tmp_path") / "m.larimar" if request.param == "file" else None


@dataclass
class Context:
    """The context of an agent's run."""

    user_id: Any = None


async def run(agent: Any, how: str, given: Any, config: Any = None, **options: Any) -> dict[str, Any]:
    """The last state of an agent's run, by the method of that name."""
    if how == "ainvoke":
        return dict(await agent.ainvoke(given, config, **options))
    if how == "astream":
        states = agent.astream(given, config, stream_mode="values", **options)
        return dict([state async for state in states][-1])
    if how == "stream":
        return dict(list(agent.stream(given, config, stream_mode="values", **options))[-1])
    return dict(agent.invoke(given, config, **options))


HOW = ("invoke", "ainvoke", "stream", "astream")


async def longest_block(work: Awaitable[Any]) -> float:
    """Seconds for which the event loop did nothing else, at most, while work was done."""
    task, longest, last = asyncio.ensure_future(work), 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await task
    return longest


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[int]]:
    """Reads, writes and deletions that take a second; the threads that each was done in."""
    threads = defaultdict[str, set[int]](set)
    for name in ("read", "write", "forget"):
        method = getattr(Larimar, name)

        def watched(*args: Any, name: str = name, method: Any = method, **kwargs: Any) -> Any:
            threads[name].add(threading.get_ident())
            time.sleep(1)
            return method(*args, **kwargs)

        monkeypatch.setattr(Larimar, name, watched)
    return threads


def count_words(messages: list[BaseMessage]) -> int:
    """The tokens of messages, for a model that has one a word."""
    return sum(len(str(message.text).split()) for message in messages)


class ScriptedChat(GenericFakeChatModel):
    """Answers from a script, word by word when streamed, and keeps the prompts it was given."""

    prompts: list[list[BaseMessage]] = Field(default_factory=list)
    options: list[dict[str, Any]] = Field(default_factory=list)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.prompts.append(messages)
        self.options.append(kwargs)
        return super()._generate(messages, *args, **kwargs)

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """A model that an agent can give tools to; its script says when they are called."""
        return self.bind(tools=[tool.name for tool in tools])

    @property
    def prompt(self) -> str:
        """The text of the only prompt so far."""
        (messages,) = self.prompts
        return "\n".join(str(m.text) for m in messages)


@pytest.fixture
def chat() -> ScriptedChat:
    return ScriptedChat(messages=cycle(["The pass key is 71432."]))


@pytest.fixture(scope="session")
def notes(encoder: SentenceEncoder, decoder: TransformersDecoder) -> Iterator[Larimar]:
    """Three documents in the default namespace and one in another, for tests that only read them."""
    with noted(None, encoder, decoder) as memory:
        yield memory


@contextmanager
def noted(where: Any, encoder: SentenceEncoder, decoder: TransformersDecoder) -> Iterator[Larimar]:
    """The same, wherever they are."""
    with Larimar.open(where, encoder=encoder, decoder=decoder) as memory:
        memory.write(
            list(TEXTS.values()), list(TEXTS), [{"topic": name, "start": "mine"} for name in TEXTS]
        )
        memory.write(["The pass key of the vault is 99999."], ["other"], namespace="other")
        yield memory


@pytest.fixture(params=PLACES[1:])
def store(request: pytest.FixtureRequest, encoder: SentenceEncoder) -> Iterator[Larimar]:
    """An empty memory, in a file and in a database."""
    with Larimar.open(place(request), encoder=encoder) as opened:
        yield opened


@pytest.fixture
def turns(store: Larimar) -> LarimarMemory:
    """A conversation of six turns of which the last two are always in the prompt."""
    memory = LarimarMemory(store, "ana", window=2)
    for said, reply in TURNS:
        memory.save(said, reply)
    return memory


@pytest.fixture(params=PLACES)
def items(request: pytest.FixtureRequest, encoder: SentenceEncoder) -> Iterator[LarimarStore]:
    """A LangGraph store in RAM, in a file and in a database."""
    with Larimar.open(place(request), encoder=encoder) as memory:
        yield LarimarStore(memory)


@pytest.fixture(scope="session")
def vault(encoder: SentenceEncoder, decoder: TransformersDecoder) -> Iterator[Larimar]:
    """One fact in each of two namespaces, with latents."""
    with Larimar.open(None, encoder=encoder, decoder=decoder, latents=True) as memory:
        memory.write([FACT.format(714)], ["vault"], [{"floor": 2}])
        memory.write([FACT.format(999)], ["theirs"], namespace="other")
        yield memory


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], Any]]:
    """What the decoder is given: tokens, and what stands in front of them."""
    given, generate = list[tuple[list[int], Any]](), TransformersDecoder.generate

    def spy(self: TransformersDecoder, tokens: Sequence[int], **options: Any) -> Any:
        given.append((list(tokens), options.get("conditioning")))
        return generate(self, tokens, **options)

    monkeypatch.setattr(TransformersDecoder, "generate", spy)
    return given


@pytest.fixture(params=PLACES)
def entries(request: pytest.FixtureRequest) -> Iterator[LarimarVectorStore]:
    """An empty vector store, in every place."""
    opened = LarimarVectorStore(FAKE, path=place(request))
    yield opened
    opened.memory.close()
