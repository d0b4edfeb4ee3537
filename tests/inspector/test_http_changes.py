"""What the inspector changes over HTTP, and what it leaves as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from larimar_memory.errors import LarimarError
from larimar_memory.stores.postgres.address import is_address

from .calls import done, lines, refused
from .conftest import BOTH, FERRY, ISLAND, Open, client


@BOTH
def test_looking_changes_nothing(inspected: Open, place: Any, server: Any) -> None:
    def held() -> Any:
        if not is_address(place):
            return place.read_bytes()
        about = "SELECT d::text FROM larimar.documents d ORDER BY id"
        return server.run(about, database="larimar_tests")

    before = held()
    opened = inspected()
    with client(opened) as http:
        for name, given in [
            ("update", {"id": "talk/0", "text": "x", "was": ""}),
            ("forget", {"id": "talk/0"}),
        ]:
            assert refused(http, name, **given) == (
                "Nothing was changed. The inspector was started to look only. Start it with "
                "`larimar inspect MEMORY --write`."
            )
        lines(http, question=FERRY)
        assert opened.asking().store.document("default", "talk/0") is not None
        with pytest.raises(LarimarError):
            opened.asking().write(["x"])
        with pytest.raises(LarimarError):
            opened.looking().forget(ids=["talk/0"])
    assert held() == before


@BOTH
def test_a_text_is_edited(inspected: Open) -> None:
    opened = inspected(write=True)
    with client(opened) as http:
        held = done(http, "document", id="books/ren.txt")
        assert json.loads(held["metadata"]) == {"pages": [1, 2**60]}
        given = {"id": "books/ren.txt", "was": held["hash"]}
        done(http, "update", **given, text="The lighthouse is closed.")
        assert opened.looking().text("books/ren.txt") == "The lighthouse is closed."
        now = done(http, "document", id="books/ren.txt")
        assert now["metadata"] == held["metadata"]
        read, *_ = lines(http, question="Is the lighthouse closed?", answer=False, threshold=0.0)
        assert "The lighthouse is closed." in {s["text"] for s in read["readout"]["segments"]}
        # Another changed it since.
        told = refused(http, "update", **given, text="mine")
        assert told == (
            "The document 'books/ren.txt' was not changed. Another changed it since it was opened "
            "here. Look at it again, and make the change in what it says now."
        )
        given = {"id": "books/ren.txt", "was": now["hash"], "text": "New."}
        for wrong in ("[1]", "{", "", "[" * 100_000, "7"):
            assert refused(http, "update", **given, metadata=wrong).startswith(
                "The metadata cannot be used."
            )
        assert opened.looking().text("books/ren.txt") == "The lighthouse is closed."
        done(http, "update", **given, metadata='{"a": 1e2, "b": 1152921504606846977}')
        (document,) = opened.looking().page(matching="ren.txt")
        assert document.metadata == {"a": 100.0, "b": 1152921504606846977}
        assert refused(http, "update", **{**given, "id": "nobody"}).startswith(
            "There is no document 'nobody'."
        )


@BOTH
@pytest.mark.parametrize("whole", [True, False])
def test_an_edited_text_is_kept_as_it_was_written(inspected: Open, whole: bool) -> None:
    opened = inspected(write=True)
    opened.asking().write([ISLAND], ["island"], whole=whole)
    with client(opened) as http:
        held = done(http, "document", id="island", whole=True)
        before = held["segments"]
        assert (before == 1) == whole
        text = f"{held['text']} A keeper lives there."
        done(http, "update", id="island", was=held["hash"], text=text, metadata='{"v": 1}')
        now = done(http, "document", id="island", whole=True)
        assert now["text"] == text
        assert (now["segments"] == 1) == whole


def test_a_text_is_forgotten_with_a_receipt(inspected: Open, path: Any) -> None:
    opened = inspected(write=True)
    with client(opened) as http:
        assert done(http, "receipts") == {"receipts": []}
        lines(http, question="Where did Clara move to?", answer=False)
        told = done(http, "forget", id="talk/2")
        receipt = told["receipt"]
        assert (told["forgotten"], receipt["erased"]) == (1, True)
        assert [document["id"] for document in receipt["documents"]] == ["talk/2"]
        assert b"Clara" not in path.read_bytes()
        assert done(http, "receipts")["receipts"] == [receipt]
        found, *_ = lines(http, question="Where did Clara move to?", answer=False, threshold=0.0)
        assert "talk/2" not in {s["document_id"] for s in found["readout"]["segments"]}
        assert refused(http, "document", id="talk/2").startswith("There is no document 'talk/2'.")
        assert done(http, "forget", id="talk/2")["forgotten"] == 0


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_a_text_is_forgotten_where_no_receipt_can_be_kept(inspected: Open, server: Any) -> None:
    said = "SELECT count(*) FROM larimar.segments WHERE text LIKE '%Clara%'"
    assert server.run(said, database="larimar_tests") == [(1,)]
    with client(inspected(write=True)) as http:
        assert done(http, "forget", id="talk/2") == {"forgotten": 1, "receipt": None}
        assert done(http, "forget", id="talk/2") == {"forgotten": 0, "receipt": None}
        assert done(http, "receipts") == {"receipts": []}
        assert refused(http, "document", id="talk/2").startswith("There is no document 'talk/2'.")
    assert server.run(said, database="larimar_tests") == [(0,)]
