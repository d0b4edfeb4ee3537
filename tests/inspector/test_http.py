"""What the inspector gives over HTTP, and whom it refuses; no browser is needed."""

from __future__ import annotations

import gc
from typing import Any

import httpx2
import pytest

from larimar_memory.inspector import actions
from larimar_memory.inspector.actions import ACTIONS, WINDOW
from larimar_memory.inspector.app import STATIC
from larimar_memory.inspector.guard import HEADERS
from larimar_memory.larimar import Larimar
from larimar_memory.stores.postgres.address import is_address
from larimar_memory.system.on_demand import OnDemand

from .calls import done, lines, refused
from .conftest import BOTH, FERRY, ISLAND, PORT, TALK, TOKEN, Endless, Open, client

# --- whom it refuses ---


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        f"evil.test:{PORT}",
        "127.0.0.1",
        "127.0.0.1:1",
        f"127.0.0.1.evil.test:{PORT}",
        f"localhost.:{PORT}",
        "",
    ],
)
def test_another_host_is_refused(inspected: Open, host: str) -> None:
    """A name that is made to lead to this machine names itself as the host."""
    http = client(inspected())
    for answer in (
        http.get("/", headers={"Host": host}),
        http.post("/api/memory", headers={"Host": host}, json={}),
    ):
        assert answer.status_code == 421
        assert "documents" not in answer.text


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.test",
        f"http://127.0.0.1:{PORT + 1}",
        f"https://127.0.0.1:{PORT}",
        "null",
        f"http://localhost:{PORT}",
    ],
)
def test_a_page_of_another_origin_is_refused(inspected: Open, origin: str) -> None:
    http = client(inspected())
    answer = http.post("/api/memory", headers={"Origin": origin}, json={})
    assert (answer.status_code, "stats" in answer.text) == (403, False)
    # Nor is it told by anything that it may read an answer, or send a token.
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    before = http.options("/api/memory", headers=asked)
    assert before.status_code == 403
    assert not [name for name in before.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}"])
def test_its_own_page_is_let_in(inspected: Open, host: str) -> None:
    with client(inspected(), host=host) as http:
        answer = http.post("/api/memory", headers={"Origin": f"http://{host}"}, json={})
        assert answer.json()["stats"]["documents"] == 5


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper()])
@pytest.mark.parametrize("name", [*ACTIONS, "nothing"])
def test_without_the_token_nothing_is_told(inspected: Open, token: str, name: str) -> None:
    http = client(inspected(write=True), token)
    for address in (f"/api/{name}", f"/api/{name}?token={TOKEN}"):
        answer = http.post(address, json={})
        assert answer.status_code == 401
        assert answer.text == "The token is missing, or is none of this server."


def test_the_page_itself_holds_nothing_and_says_what_it_may_do(inspected: Open) -> None:
    http = client(inspected(), token="")
    assert len(list(STATIC.iterdir())) > 8
    for file in STATIC.iterdir():
        answer = http.get(f"/{file.name}")
        assert (answer.status_code, answer.content) == (200, file.read_bytes())
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        if file.suffix == ".js":
            assert answer.headers["content-type"].startswith("text/javascript")
    assert http.get("/").content == (STATIC / "index.html").read_bytes()
    policy = http.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


MAKES_HTML = (
    *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "setHTML", "DOMParser"),
    *("eval(", "style=", "onclick", "createContextualFragment", "srcdoc"),
)


def test_the_page_loads_nothing_from_elsewhere_and_makes_no_html_of_texts() -> None:
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8")
        assert "://" not in text.replace("http://www.w3.org/2000/svg", ""), file.name
        for word in MAKES_HTML:
            assert word not in text, (file.name, word)


@pytest.mark.parametrize(
    "place", ["/../app.py", "/%2e%2e/app.py", "/static/../../app.py", "//etc/passwd", "/app.py"]
)
def test_no_other_file_is_served(inspected: Open, place: str) -> None:
    answer = client(inspected()).get(place)
    assert answer.status_code in (404, 405)
    assert "import" not in answer.text


def test_it_is_asked_by_post_alone(inspected: Open) -> None:
    http = client(inspected())
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        assert http.request(method, "/api/memory").status_code in (404, 405)


# --- what it gives ---


@BOTH
def test_what_there_is(inspected: Open, place: Any) -> None:
    with client(inspected()) as http:
        told = done(http, "memory")
        assert (told["namespaces"], told["more"], told["write"]) == (
            ["default", "user:cleo"],
            False,
            False,
        )
        assert told["stats"]["path"] == str(place)
        assert told["receipts"] == (not is_address(place))
        assert done(http, "stats", namespace="user:cleo")["documents"] == 1
        health = done(http, "health")
        assert (health["mode"], health["items"]) == ("grow", done(http, "stats")["segments"])


@BOTH
def test_documents_and_episodes_by_pages(inspected: Open) -> None:
    with client(inspected()) as http:
        first = done(http, "documents", count=3)
        assert [d["id"] for d in first["documents"]] == ["talk/0", "talk/1", "talk/2"]
        assert [d["preview"] for d in first["documents"]] == TALK
        assert first["more"]
        last = done(http, "documents", count=3, after="talk/2")
        assert ([d["id"] for d in last["documents"]], last["more"]) == (["books/ren.txt"], False)
        newest = done(http, "documents", count=1, newest=True)
        assert newest["documents"] == last["documents"]
        assert done(http, "documents", matching="REN")["documents"] == last["documents"]
        assert len(done(http, "documents", episode="trip to Ren")["documents"]) == 3
        found = done(http, "episodes")
        assert found == {"episodes": [{"name": "trip to Ren", "documents": 3}], "more": False}
        assert done(http, "documents", namespace="nowhere") == {"documents": [], "more": False}


@BOTH
def test_texts_are_searched(inspected: Open) -> None:
    with client(inspected()) as http:
        first, *others = done(http, "search", text="Who built the lighthouse?")["documents"]
        assert (first["id"], first["preview"] in ISLAND) == ("books/ren.txt", True)
        assert ISLAND[first["start"] : first["end"]].strip() == first["preview"].strip()
        assert len({d["id"] for d in others}) == len(others) == 3


@BOTH
def test_a_long_document_is_shown_by_parts(inspected: Open) -> None:
    opened, text = inspected(write=True), "".join(f"\U0001f9ed{n:06} " for n in range(5_000))
    opened.asking().write([text], ["long"], whole=True)
    with client(opened) as http:
        for at in (0, 20_000, len(text), 10**9):
            part = done(http, "document", id="long", at=at)
            start = part["start"]
            assert part["text"] == text[start : start + WINDOW]
            assert start <= min(at, len(text)) <= start + WINDOW
            assert part["characters"] == len(text)
        assert done(http, "document", id="long", whole=True)["text"] == text
        opened.asking().write(["x" * 200_001], ["longer"], whole=True)
        told = refused(http, "document", id="longer", whole=True)
        assert told == (
            "The document 'longer' cannot be edited here. It has 200,001 characters, more than "
            "200,000. Write it again with `larimar ingest`."
        )


@BOTH
def test_a_question_is_explained_and_answered(inspected: Open) -> None:
    opened = inspected()
    with client(opened) as http:
        read, prompt, *pieces, last = lines(http, question="When does the ferry to Ren leave?", k=2)
        readout = read["readout"]
        own = opened.asking().read("When does the ferry to Ren leave?", 2, explain=True)
        assert {**readout, "seconds": 0} == {**own.to_dict(), "seconds": 0}
        best = readout["segments"][0]
        assert best["text"] == FERRY
        assert sum(part for _, part in best["why"]["features"].values()) == pytest.approx(
            best["why"]["rank_score"]
        )
        assert readout["margin"] == readout["probability"] - readout["threshold"] > 0
        ((system, user),) = prompt["prompts"]
        assert (system["role"], user["role"]) == ("system", "user")
        assert FERRY in user["content"]
        assert prompt["sources"] == [source["id"] for source in last["answer"]["sources"]]
        assert "".join(piece["piece"] for piece in pieces).strip() == last["answer"]["text"]


@BOTH
def test_what_is_only_recalled_is_not_answered(inspected: Open) -> None:
    with client(inspected()) as http:
        assert [*map(list, lines(http, question=FERRY, answer=False))] == [
            ["readout", "slots"],
            ["prompts", "sources"],
        ]
        out = lines(http, question="How tall is the president of Peru?")
        assert out[0]["readout"]["segments"] == out[1]["prompts"] == []
        assert out[-1]["answer"]["text"] == "Not in memory."
        (near, _) = lines(
            http, question="How tall is the president of Peru?", answer=False, threshold=0.0
        )
        assert near["readout"]["segments"]


@BOTH
def test_options_of_a_question_are_those_of_a_read(inspected: Open) -> None:
    with client(inspected()) as http:
        dated, _ = lines(http, question=FERRY, answer=False, since="2026-05-02", threshold=0.0)
        assert "talk/0" not in {s["document_id"] for s in dated["readout"]["segments"]}
        (wrong,) = lines(http, question=FERRY, since="someday")
        assert wrong["error"]["type"] == "InputError"
        (empty,) = lines(http, question=" ")
        assert empty["error"]["what"]


def test_slots_are_told(tmp_path: Any, encoder: Any) -> None:
    place = tmp_path / "slots.larimar"
    with Larimar.open(place, encoder=encoder, keys="eager") as memory:
        memory.write(TALK)
    opened = OnDemand(lambda: Larimar.open(place, encoder=encoder, slots=8, read_only=True))
    with client(actions.Inspected(opened, opened)) as http:
        weights = lines(http, question=FERRY, answer=False, threshold=0.0)[0]["slots"]
        assert (len(weights), sum(weights)) == (8, pytest.approx(1))
        assert done(http, "health")["slots"] == 8


# --- what goes wrong ---


@BOTH
@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("nothing", "{}", "There is no action 'nothing'."),
        ("documents", "[1]", "The request cannot be used."),
        ("documents", "{", "The request cannot be used."),
        ("documents", "[" * 100_000, "The request cannot be used."),
        ("documents", '{"count": 0}', "The arguments cannot be used."),
        ("documents", '{"count": 100000}', "The arguments cannot be used."),
        ("documents", '{"count": "5"}', "The arguments cannot be used."),
        ("documents", '{"namespace": ""}', "'' cannot be a namespace."),
        ("documents", '{"namespace": "\\ud800"}', "cannot be a namespace."),
        ("documents", '{"after": ""}', "'' cannot be a"),
        ("documents", '{"matching": "a\\u0000"}', "cannot be a"),
        ("documents", '{"where": {}}', "The arguments cannot be used."),
        ("document", '{"id": "nobody"}', "There is no document 'nobody'."),
        ("document", '{"id": "\\ud800"}', "cannot be a document id."),
        ("document", '{"id": 7}', "The arguments cannot be used."),
        ("ask", '{"question": 7}', "The arguments cannot be used."),
        ("ask", '{"question": "x", "decoder": "y"}', "The arguments cannot be used."),
    ],
)
def test_what_cannot_be_used_is_told(inspected: Open, name: str, body: str, message: str) -> None:
    answer = client(inspected()).post(f"/api/{name}", content=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["what"]
    assert answer.json()["error"].keys() == {"type", "what", "why", "remedy"}


def test_an_error_that_nobody_expected_tells_nothing_of_itself(
    inspected: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret")

    opened = inspected()
    monkeypatch.setattr(type(opened.looking()), "page", broken)
    monkeypatch.setattr(type(opened.looking()), "stream", broken)
    http = client(opened)
    answer = http.post("/api/documents", json={})
    assert answer.status_code == 500
    *_, last = lines(http, question=FERRY)
    for told in (answer.json(), last):
        assert "RuntimeError" in told["error"]["why"]
        assert "secret" not in str(told)


def test_what_the_file_lacks_is_told(inspected: Open, path: Any) -> None:
    opened = inspected()
    path.write_bytes(b"no memory at all")
    answer = client(opened).post("/api/memory", json={})
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "MemoryFileError")


@BOTH
def test_an_answer_that_nobody_waits_for_ends(served: Any) -> None:
    url = served().split("/#")[0]
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
        with http.stream("POST", "/api/ask", json={"question": FERRY, "max_tokens": 1_000}) as answer:
            next(answer.iter_lines())
        assert http.post("/api/memory", json={}).status_code == 200


def test_a_decoder_that_nobody_waits_for_is_stopped(served: Any) -> None:
    decoder = Endless()
    url = served(decoder=decoder).split("/#")[0]
    # What is stopped by the collector alone is stopped whenever it happens to run.
    gc.disable()
    try:
        with (
            httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as http,
            http.stream("POST", "/api/ask", json={"question": FERRY}) as answer,
        ):
            assert any("on and on" in line for line in answer.iter_lines())
        assert decoder.closed.wait(30)
    finally:
        gc.enable()
