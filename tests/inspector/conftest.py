"""Fixtures: a memory that is looked at, its application for a client in this process, and a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from starlette.testclient import TestClient

from benchmarks import inspector
from larimar_memory.decoders.base import Generation
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.inspector import Inspected, build, page_server
from larimar_memory.larimar import Larimar
from larimar_memory.system.listening import LOOPBACK, listen
from larimar_memory.system.on_demand import OnDemand
from larimar_memory.types import Usage
from tests.tiny import tiny_decoder

from .pages import Tab

TOKEN, PORT = "a-token-of-the-inspector", 8123
FERRY = "The ferry to Ren leaves at nine every morning."
TALK = [FERRY, "I booked the blue cabin for our trip.", "My sister Clara moved to Oslo."]
ISLAND = (
    "The island of Ren has two villages and one lighthouse. The lighthouse was built in 1864 by "
    "Olga Brandt \U0001f9ed. It burned down in 1901 and was built again in stone."
)
HOSTILE = {
    "<script>document.title='owned'</script>": "<img src=x onerror=\"document.title='owned'\"> costs",
    "rtl\u202egnp.exe": "The password is \u202eterces\u202c and the bell\x07 rings.\x1b[31m red",
    "javascript:alert(1)//\"'>": "</pre></span><svg onload=alert(1)><style>*{display:none}</style>",
    "tags": "Zero\u200bwidth and \U000e0041\U000e0042 tags, \u2066isolated\u2028\ufeff, "
    "caf\u00e9 \U0001f469\u200d\U0001f52c",
    "a/../b?c#d%00 &amp;": "\u05e9\u05dc\u05d5\u05dd, the market opens at seven.\r\nline\rline",
}
"""Texts by the ids that they are written under."""

ARGUMENTS = ["--host-resolver-rules=MAP evil.test 127.0.0.1"]


class Endless:
    """A decoder that writes until it is stopped."""

    name, context = "endless", 100_000

    def __init__(self) -> None:
        self.closed = threading.Event()

    def count(self, text: str) -> int:
        return len(text)

    def chat_tokens(self, chat: Any, begin: str = "") -> list[int]:
        return [0]

    def generate(self, tokens: Any, **_: Any) -> Any:
        def pieces() -> Iterator[str]:
            try:
                while True:
                    yield "on and on "
            finally:
                self.closed.set()

        return Generation(pieces(), Usage())


BOTH = pytest.mark.parametrize("place", ["file", "database"], indirect=True)
"""A test of a memory in a file, and of one in a database."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the memory is, unless it is in a database."""
    return tmp_path / "island.larimar"


@pytest.fixture
def place(request: pytest.FixtureRequest, path: Path, encoder: SentenceEncoder) -> Path | str:
    """A memory: in a file, or by `BOTH` in a database as well."""
    in_file = getattr(request, "param", "file") == "file"
    place = path if in_file else request.getfixturevalue("address")
    with Larimar.open(place, encoder=encoder) as memory:
        said = [{"speaker": "Ana", "said_at": f"2026-05-0{n + 1}T10:00:00+00:00"} for n in range(3)]
        memory.write(TALK, [f"talk/{n}" for n in range(3)], said, episode="trip to Ren")
        memory.write([ISLAND], ["books/ren.txt"], [{"pages": [1, 2**60]}])
        memory.write(["Cleo likes tea."], ["c"], namespace="user:cleo")
    return place


Open = Callable[..., Inspected]


@pytest.fixture
def inspected(place: Path | str, encoder: SentenceEncoder) -> Iterator[Open]:
    """Opens the memory as the command does, with a tiny decoder unless another is given."""
    opened = list[Inspected]()

    def open_(write: bool = False, **how: Any) -> Inspected:
        given = {"create": False, "read_only": not write}
        models = {"encoder": encoder, "decoder": tiny_decoder(max_position_embeddings=2_000)}
        made = Inspected(
            OnDemand(lambda: Larimar.open(place, encoder=None, **given)),
            OnDemand(lambda: Larimar.open(place, **{**given, **models, "adapter": False, **how})),
            write,
        )
        opened.append(made)
        return made

    yield open_
    for one in opened:
        one.close()


def client(inspected: Inspected, token: str = TOKEN, host: str = f"127.0.0.1:{PORT}") -> TestClient:
    """A client in this process."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    app = build(inspected, token=TOKEN, port=PORT)
    return TestClient(app, base_url=f"http://{host}", headers=headers)


@pytest.fixture
def served(inspected: Open) -> Iterator[Callable[..., str]]:
    """Starts a server in a thread, and says the page's address; `stop` of it ends it."""
    running = list[tuple[Any, threading.Thread]]()

    def start(write: bool = False, **how: Any) -> str:
        listener = listen(LOOPBACK, 0, tokens=True)
        server = page_server(inspected(write, **how), listener, TOKEN)
        thread = threading.Thread(target=server.run, args=([listener.socket],))
        thread.start()
        running.append((server, thread))
        return f"{listener.url}/#token={TOKEN}"

    def stop() -> None:
        while running:
            server, thread = running.pop()
            server.should_exit = True
            thread.join()

    start.stop = stop  # type: ignore[attr-defined]
    yield start
    stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser of this machine's."""
    try:
        with inspector.browser(*ARGUMENTS) as started:
            yield started
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture
def tab(browser: Browser, served: Callable[..., str]) -> Iterator[Tab]:
    """A tab in which nothing goes wrong; closed before the server stops, which it may be asking."""
    opened = Tab(browser)
    yield opened
    opened.context.close()
    assert opened.wrong == []
    assert len(opened.asked) <= 1


@pytest.fixture
def page(tab: Tab) -> Page:
    tab.page.set_default_timeout(30_000)
    return tab.page
