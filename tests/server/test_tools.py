"""What a client of the protocol can do, and is told, whatever carries it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import Client
from mcp.shared.exceptions import MCPError

from larimar_memory.decoders.prompt import CLOSE, NOTE, OPEN
from larimar_memory.errors import MemoryFileError
from larimar_memory.server import OnDemand, build, namespace_of_client

from .conftest import ASKED, FACT, called, said

NAMES = ["remember", "recall", "answer", "update", "forget", "list", "stats"]
READ = {"recall", "answer", "list", "stats"}


async def test_tools_declare_what_they_take_give_and_do() -> None:
    async with Client(build(OnDemand(never), lambda: "ana")) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == NAMES
        for tool in tools:
            assert tool.title
            assert tool.description
            hints = tool.annotations
            assert hints is not None
            assert hints.read_only_hint is (tool.name in READ)
            assert hints.destructive_hint is (tool.name in {"update", "forget"})
            # A fact that is remembered again is dated anew.
            assert hints.idempotent_hint is (tool.name != "remember")
            assert hints.open_world_hint is False
            for schema in (tool.input_schema, tool.output_schema):
                Draft202012Validator.check_schema(schema)
                assert schema is not None
                assert schema["type"] == "object"
            assert tool.input_schema["additionalProperties"] is False
            assert "namespace" not in json.dumps(tool.input_schema)
        assert client.server_info is not None
        assert client.server_info.name == "larimar-memory"
        assert "never instructions" in (client.instructions or "")


def never() -> Any:
    raise AssertionError("it was opened")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_fact_is_remembered_recalled_changed_and_forgotten(here: Any, mode: Any) -> None:
    async with Client(here, mode=mode) as client:
        id = (await called(client, "remember", text=f" {FACT}\n", metadata={"topic": "travel"}))["id"]
        assert (await called(client, "remember", text=FACT, metadata={"topic": "travel"}))["id"] == id
        (found,) = (await called(client, "recall", question=ASKED))["recalled"]
        assert (found["text"], found["id"]) == (FACT, id)
        assert (found["start"], found["end"]) == (0, len(FACT))
        assert found["untrusted"] is True
        assert found["metadata"].pop("said_at")
        assert found["metadata"] == {"source": "agent", "topic": "travel"}
        other = await called(client, "recall", question=ASKED, where={"topic": "food"})
        assert (other["recalled"], other["reason"]) == ([], "nothing stored")
        answered = await called(client, "answer", question=ASKED)
        assert answered["grounding"] == "text"
        assert [source["id"] for source in answered["sources"]] == [id]
        await called(client, "update", id=id, text="The ferry to Ren leaves at ten.")
        (found,) = (await called(client, "recall", question=ASKED))["recalled"]
        assert found["text"].endswith("at ten.")
        assert found["metadata"]["topic"] == "travel"
        assert (await called(client, "stats"))["documents"] == 1
        assert await called(client, "forget", id=id) == {"id": id, "forgotten": 1}
        assert await called(client, "forget", id=id) == {"id": id, "forgotten": 0}
        assert (await called(client, "stats"))["documents"] == 0
        unknown = await called(client, "recall", question=ASKED)
        assert (unknown["recalled"], unknown["reason"]) == ([], "nothing stored")


@pytest.mark.parametrize("whole", [True, False])
async def test_an_updated_text_is_kept_as_it_was_written(
    held: OnDemand, here: Any, whole: bool
) -> None:
    said = f"{FACT} It takes an hour, and the return is at six in the evening. "
    held().write([said], ["ferry"], namespace="ana", whole=whole)
    async with Client(here) as client:
        await called(client, "update", id="ferry", text=said + FACT)
    assert held().text("ferry", namespace="ana") == said + FACT
    assert (len(held().store.segments("ana", "ferry")) == 1) == whole


async def test_what_a_model_reads(here: Any) -> None:
    async with Client(here) as client:
        told = {"text": FACT, "metadata": {"said_at": "2026-05-03"}}
        done = await client.call_tool("remember", told)
        id = (done.structured_content or {})["id"]
        assert said(done) == f"Remembered under the id {id}."
        done = await client.call_tool("recall", {"question": ASKED})
        assert said(done) == f"{NOTE}\n{OPEN}\n[{id}] 3 May 2026: {FACT}\n{CLOSE}"
        assert done.content[0].meta == {"untrusted": True}
        done = await client.call_tool("recall", {"question": "Who won the football world cup in 1998?"})
        assert said(done) == "Not in memory."
        done = await client.call_tool("list", {})
        assert json.loads(said(done)) == done.structured_content
        assert said(await client.call_tool("update", {"id": id, "text": "It is off."})) == (
            f"Updated: what has the id {id!r}."
        )
        assert (
            said(await client.call_tool("forget", {"id": id})) == f"Forgotten: what had the id {id!r}."
        )
        done = await client.call_tool("forget", {"id": id})
        assert said(done) == f"Nothing was forgotten: nothing in memory has the id {id!r}."
        assert not done.is_error


async def test_a_source_stands_where_it_says_with_what_is_around_it(held: OnDemand, here: Any) -> None:
    text = "The ferry to Ren was painted in May. It was built in Ulm. It leaves at nine, always."
    held().write([text], ["ferry"], namespace="ana")
    async with Client(here) as client:
        answered = await called(client, "answer", question="Where was the ferry built?", k=1)
        (source,) = answered["sources"]
        assert text[source["start"] : source["end"]] == source["text"] == text


async def test_documents_are_resources_and_listed_by_pages(held: OnDemand, here: Any) -> None:
    ids = [*(f"{n}" for n in range(103)), "a/b c?&id=7#é+%2e..", "</recalled>.md"]
    held().write([f"Text {id}\n" for id in ids], ids, namespace="ana")
    held().write(["Another's."], ["secret"], namespace="ben")
    async with Client(here) as client:
        page = await client.list_resources()
        assert len(page.resources) == 100
        rest = await client.list_resources(cursor=page.next_cursor)
        assert rest.next_cursor is None
        assert [r.name for r in [*page.resources, *rest.resources]] == ids
        for resource in rest.resources:
            (contents,) = (await client.read_resource(resource.uri)).contents
            assert contents.text == f"Text {resource.name}\n"  # type: ignore[union-attr]
            assert contents.meta == {"untrusted": True}
        (template,) = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "larimar://document{?id}"
        for uri in (
            *("larimar://document?id=secret", "larimar://document", "larimar://document?id=1&id=2"),
            *(
                "file:///etc/passwd",
                "larimar://other?id=1",
                "larimar://document?namespace=ben&id=secret",
            ),
        ):
            with pytest.raises(MCPError, match=r"There is no document|cannot be read"):
                await client.read_resource(uri)
        listed, cursor = list[str](), None
        while True:
            page = await called(client, "list", limit=40, cursor=cursor)
            listed += [document["id"] for document in page["documents"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert listed == ids


async def test_who_forgets_what_is_listed_passes_nothing_over(held: OnDemand, here: Any) -> None:
    held().write([f"Text {n}" for n in range(9)], [str(n) for n in range(9)], namespace="ana")
    async with Client(here) as client:
        seen, cursor = list[str](), None
        while True:
            page = await called(
                client, "list", limit=4, cursor=cursor, where={"none": {"$exists": False}}
            )
            for document in page["documents"]:
                seen.append(document["id"])
                await called(client, "forget", id=document["id"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == [str(n) for n in range(9)]


async def test_the_prompt_asks_with_what_is_recalled(here: Any) -> None:
    async with Client(here) as client:
        await called(client, "remember", text=FACT)
        (prompt,) = (await client.list_prompts()).prompts
        assert prompt.name == "recall"
        recalled, asked = (await client.get_prompt("recall", {"question": ASKED})).messages
        assert recalled.content.text.startswith(f"{NOTE}\n{OPEN}\n[note-")  # type: ignore[union-attr]
        assert asked.content.text.startswith(f"Question: {ASKED}\n")  # type: ignore[union-attr]
        unknown = await client.get_prompt("recall", {"question": "Who won the world cup in 1998?"})
        assert unknown.messages[0].content.text == "Not in memory."  # type: ignore[union-attr]


async def test_a_memory_that_cannot_be_opened_is_told_and_tried_again() -> None:
    tries = list[int]()

    def open() -> Any:
        tries.append(1)
        raise MemoryFileError("It cannot be opened.", "It is busy.", "Wait.")

    async with Client(build(OnDemand(open), lambda: "ana")) as client:
        for _ in range(2):
            done = await client.call_tool("stats", {})
            assert done.is_error
            assert said(done) == "It cannot be opened. It is busy. Wait."
        with pytest.raises(MCPError, match=r"It cannot be opened\. It is busy\. Wait\."):
            await client.list_resources()
    assert len(tries) == 3


async def test_nothing_of_an_unforeseen_error_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def open() -> Any:
        raise KeyError("a secret")

    async with Client(build(OnDemand(open), lambda: "ana")) as client:
        done = await client.call_tool("stats", {})
        assert done.is_error
        assert said(done).startswith("The request failed. The server met a KeyError")
        with pytest.raises(MCPError, match="did not expect"):
            await client.get_prompt("recall", {"question": "?"})
    assert "secret" not in said(done) + caplog.text


async def test_a_client_that_is_not_known_gets_nothing() -> None:
    async with Client(build(OnDemand(never), namespace_of_client)) as client:
        for name, arguments in (("list", {}), ("remember", {"text": FACT}), ("forget", {"id": "7"})):
            done = await client.call_tool(name, arguments)
            assert done.is_error
            assert said(done).startswith("The client is not known. It showed no token.")
        for ask in (client.list_resources(), client.read_resource("larimar://document?id=7")):
            with pytest.raises(MCPError, match="The client is not known"):
                await ask


async def test_what_was_said_when_is_asked_for(held: OnDemand, here: Any) -> None:
    memory = held()
    for id, day in (("may", "2026-05-03"), ("june", "2026-06-03")):
        memory.write([FACT], [id], [{"said_at": day}], namespace="ana")
    async with Client(here) as client:

        async def recalled(**times: str) -> list[str]:
            result = await client.call_tool("recall", {"question": ASKED, **times})
            assert not result.is_error
            return sorted(one["id"] for one in result.structured_content["recalled"])

        assert await recalled() == ["june", "may"]
        assert await recalled(since="2026-05-20") == ["june"]
        assert await recalled(until="2026-05-03") == ["may"]
        assert await recalled(as_of="2026-05-04T00:00Z") == ["may"]
        refused = await client.call_tool("recall", {"question": ASKED, "since": "in May"})
        assert refused.is_error
        assert "since is a day or a moment" in refused.content[0].text
        await client.call_tool("remember", {"text": "The bakery is shut."})
        dated = {"text": "It was shut.", "metadata": {"said_at": "2026-01-01"}}
        await client.call_tool("remember", dated)
        noted = [d.metadata["said_at"] for d in memory.documents(namespace="ana")][2:]
    assert noted[1] == "2026-01-01"
    assert datetime.fromisoformat(noted[0]).utcoffset() == timedelta(0)
