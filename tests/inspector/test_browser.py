"""Every action of the inspector's page, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar
from larimar_memory.latents.adapting import LEAST

from .conftest import BOTH, FERRY, ISLAND, Endless
from .pages import Served, ask, view, write

# --- documents ---


def test_documents_by_pages(page: Page, served: Served, path: Path, encoder: SentenceEncoder) -> None:
    many = {f"note/{n:03}": f"Locker {n} belongs to person {n}." for n in range(120)}
    write(path, encoder, many, whole=True)
    page.goto(served())
    rows, pager = page.locator(".row"), page.locator(".pager")
    expect(rows).to_have_count(50)
    expect(rows.first).to_contain_text(FERRY)
    expect(pager).to_contain_text("1\u201350")
    expect(page.get_by_role("button", name="Previous")).to_be_disabled()
    page.get_by_role("button", name="Next").click()
    expect(pager).to_contain_text("51\u2013100")
    expect(rows.first).to_be_focused()
    page.get_by_role("button", name="Next").click()
    expect(pager).to_contain_text("101\u2013124")
    expect(rows.last).to_contain_text("Locker 119")
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("button", name="Previous").click()
    expect(pager).to_contain_text("51\u2013100")
    page.get_by_label("Order").select_option("newest first")
    expect(rows.first).to_contain_text("Locker 119")
    expect(page.locator("#place")).to_contain_text("125 documents")
    assert page.url.endswith("/")
    assert page.title() == "island.larimar \u2013 Larimar inspector"


def test_documents_are_searched(page: Page, served: Served) -> None:
    page.goto(served())
    rows = page.locator(".row")
    expect(rows).to_have_count(4)
    page.keyboard.press("/")
    expect(page.get_by_label("Search", exact=True)).to_be_focused()
    page.keyboard.type("Who built the lighthouse?")
    page.keyboard.press("Enter")
    expect(rows.first).to_contain_text("books/ren.txt")
    expect(rows.first).to_contain_text("score")
    rows.first.click()
    expect(page.locator("mark.chosen")).to_be_visible()
    assert page.locator("mark.chosen").inner_text() in ISLAND
    page.get_by_label("Search in").select_option("ids")
    page.get_by_label("Search", exact=True).fill("TALK/")
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Ids with TALK/").click()
    expect(rows).to_have_count(4)
    page.get_by_label("Search", exact=True).fill("nothing is called this")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".pager")).to_contain_text("None")


@BOTH
def test_episodes_lead_to_their_documents(page: Page, served: Served) -> None:
    page.goto(served())
    rows = page.locator(".row")
    page.get_by_label("List").select_option("Episodes")
    expect(rows).to_have_count(1)
    rows.first.click()
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Episode trip to Ren").click()
    expect(rows).to_have_count(4)


def test_a_late_answer_replaces_no_newer_list(page: Page, served: Served) -> None:
    held = list[Route]()
    page.route("**/api/documents*", lambda route: held.append(route))
    with page.expect_request("**/api/documents*"):
        page.goto(served())
    page.get_by_label("List").select_option("Episodes")
    rows = page.locator(".row")
    expect(rows).to_have_count(1)
    with page.expect_response("**/api/documents*") as answered:
        for late in held:
            late.continue_()
    answered.value.finished()
    page.evaluate("() => new Promise(done => setTimeout(done))")
    expect(rows).to_have_count(1)


def test_a_namespace_is_chosen(page: Page, served: Served) -> None:
    page.goto(served())
    expect(page.locator(".row")).to_have_count(4)
    page.get_by_text(FERRY).click()
    page.get_by_label("Namespace").select_option("user:cleo")
    expect(page.locator(".row")).to_have_count(1)
    expect(page.get_by_text("Cleo likes tea.")).to_be_visible()
    expect(page.get_by_text(FERRY)).to_have_count(0)
    ask(page, FERRY, "Recall only")
    expect(page.get_by_text("Not in memory")).to_be_visible()


def test_a_long_document_is_read_by_parts(page: Page, served: Served, path: Path) -> None:
    with Larimar.open(path) as memory:
        memory.write(["".join(f"\U0001f9ed{n:06} " for n in range(6_000))], ["long"], whole=True)
    page.goto(served())
    page.get_by_text("long", exact=True).click()
    text = page.get_by_label("Text", exact=True)
    expect(text).to_contain_text("000000")
    expect(page.get_by_role("button", name="Earlier")).to_have_count(0)
    for shown in ("004374", "005999"):
        page.get_by_role("button", name="Later").click()
        expect(text).to_contain_text(shown)
    expect(page.get_by_role("button", name="Later")).to_have_count(0)
    page.get_by_role("button", name="Earlier").click()
    expect(page.get_by_role("button", name="Later")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("Choose a document")).to_be_visible()


# --- questions ---


@pytest.mark.model
def test_a_question_is_answered_and_explained(page: Page, served: Served, decoder: Any) -> None:
    page.goto(served(decoder=decoder, adapter=True))
    ask(page, "When does the ferry to Ren leave?")
    answer = page.locator(".answer")
    expect(answer.get_by_role("heading", name="Answer")).to_be_visible(timeout=60_000)
    expect(answer).to_contain_text("morning [1]")
    expect(answer).to_contain_text("confidence")
    first = page.locator(".cards > li").first
    expect(first).to_contain_text(FERRY)
    expect(first).to_contain_text("[1]")
    meter = page.get_by_role("meter", name="Probability that the answer is there")
    said = re.fullmatch(
        r"probability (0\.\d+), threshold 0\.050, margin \+(0\.\d+)",
        meter.get_attribute("aria-valuetext") or "",
    )
    assert said is not None
    assert float(said[1]) - LEAST == pytest.approx(float(said[2]), abs=1e-3)
    first.get_by_text("Why: rank").click()
    bars = first.locator("tbody tr")
    assert bars.count() > 5
    parts = [float(text) for text in first.locator("tbody td:last-child").all_inner_texts()]
    widths = [bar.bounding_box()["width"] for bar in first.locator(".part").all()]  # type: ignore[index]
    assert parts == sorted(parts, key=lambda part: -abs(part))
    for part, width in zip(parts, widths, strict=True):
        assert width == pytest.approx(widths[0] * abs(part / parts[0]), abs=1.5)
    expect(page.locator(".prompts")).to_contain_text("<recalled>")
    expect(page.locator(".prompts")).to_contain_text("Question: When does the ferry to Ren leave?")
    expect(page.locator("mark.chosen")).to_have_text(FERRY)
    answer.get_by_role("button", name="Source 1").click()
    expect(first).to_be_focused()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


@BOTH
def test_what_is_recalled_is_shown_in_its_document(page: Page, served: Served) -> None:
    page.goto(served())
    ask(page, "Who built the lighthouse of Ren?", "Recall only")
    card = page.locator(".cards > li").filter(has_text="built in 1864").first
    card.get_by_role("button", name="Show in document").click()
    expect(page.locator("mark.chosen")).to_contain_text("Olga Brandt \U0001f9ed")
    expect(page.get_by_label("Text", exact=True)).to_be_focused()
    # Behind a character that is two in a browser, too.
    card = page.locator(".cards > li").filter(has_text="burned down in 1901").first
    card.get_by_role("button", name="Show in document").click()
    expect(page.locator("mark.chosen")).to_have_text(
        "It burned down in 1901 and was built again in stone."
    )
    expect(page.get_by_role("heading", name="Answer")).to_have_count(0)


def test_what_is_not_in_memory(page: Page, served: Served) -> None:
    page.goto(served())
    ask(page, "How tall is the president of Peru?")
    expect(page.locator(".said")).to_have_text("Not in memory.")
    expect(page.locator(".margin")).to_contain_text("margin -")
    expect(page.locator(".cards > li")).to_have_count(0)
    page.get_by_role("button", name="Show the nearest anyway").click()
    expect(page.locator(".cards > li")).not_to_have_count(0)
    page.get_by_text("What the probability follows from").click()
    expect(page.locator(".scope tr")).not_to_have_count(0)


def test_options_of_a_question(page: Page, served: Served) -> None:
    page.goto(served())
    view(page, "Ask")
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Segments").fill("2")
    page.get_by_label("Threshold").fill("0")
    page.get_by_label("Since").fill("2026-05-02")
    ask(page, "When does the ferry to Ren leave?", "Recall only")
    expect(page.locator(".cards > li")).to_have_count(2)
    expect(page.locator(".cards").get_by_text(FERRY)).to_have_count(0)


def test_an_answer_streams_and_is_stopped(page: Page, served: Served) -> None:
    decoder = Endless()
    page.goto(served(decoder=decoder))
    ask(page, "When does the ferry to Ren leave?")
    expect(page.locator(".said")).to_contain_text("on and on on and on")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    assert decoder.closed.wait(60)


# --- what it changes ---


@BOTH
def test_a_document_is_edited(page: Page, served: Served, place: Path | str) -> None:
    page.goto(served(write=True))
    expect(page.locator("#mode")).to_have_text("can write")
    page.get_by_text("books/ren.txt").click()
    page.get_by_role("button", name="Edit").click()
    text, metadata = page.get_by_label("Text", exact=True).last, page.get_by_label("Metadata, a JSON")
    expect(text).to_be_focused()
    metadata.fill("[1]")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("dialog .problem")).to_contain_text("The metadata cannot be used.")
    metadata.fill('{"pages": 1152921504606846977}')
    text.fill("The lighthouse is closed. <b>Bold</b>")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("pre.text")).to_have_text("The lighthouse is closed. <b>Bold</b>")
    expect(page.locator(".rows")).to_contain_text("The lighthouse is closed.")
    with Larimar.open(place, encoder=None) as memory:
        assert memory.text("books/ren.txt") == "The lighthouse is closed. <b>Bold</b>"
        assert memory.page(matching="ren.txt")[0].metadata == {"pages": 1152921504606846977}
    page.get_by_role("button", name="Edit").click()
    expect(text).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_edit_of_what_another_changed_is_refused(
    page: Page, served: Served, path: Path, encoder: SentenceEncoder
) -> None:
    page.goto(served(write=True))
    page.get_by_text(FERRY).click()
    page.get_by_role("button", name="Edit").click()
    write(path, encoder, {"talk/0": "The ferry sank."})
    page.locator("dialog textarea").first.fill("mine")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("dialog .problem")).to_contain_text("Another changed it since")
    with Larimar.open(path, encoder=None) as memory:
        assert memory.text("talk/0") == "The ferry sank."


def test_line_ends_that_are_not_touched_stay(page: Page, served: Served, path: Path) -> None:
    text = "One line.\r\nAnother\x07 line.\rA third."
    with Larimar.open(path) as memory:
        memory.write([text], ["lines"])
    page.goto(served(write=True))
    page.get_by_text("lines", exact=True).click()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Metadata, a JSON").fill('{"a": 1}')
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    with Larimar.open(path, encoder=None) as memory:
        assert memory.text("lines") == text
        assert memory.page(matching="lines")[0].metadata == {"a": 1}


def test_a_document_is_forgotten_with_a_receipt(page: Page, served: Served, path: Path) -> None:
    page.goto(served(write=True))
    page.get_by_text("My sister Clara").click()
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.get_by_role("button", name="Keep it").click()
    assert b"Clara" in path.read_bytes() + Path(f"{path}-wal").read_bytes()
    page.get_by_role("button", name="Forget").click()
    page.get_by_role("button", name="Forget for good").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("No byte is left in any file.")
    expect(dialog).to_contain_text("default: talk/2, 1 segment")
    expect(dialog).to_contain_text("island.larimar")
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator(".row")).to_have_count(3)
    assert b"Clara" not in path.read_bytes()
    view(page, "Receipts")
    page.get_by_text("1 document", exact=False).last.click()
    expect(page.locator("#receipts .receipt")).to_contain_text("talk/2")
    with Larimar.open(path, encoder=None) as memory:
        (receipt,) = memory.receipts(verify=True)
    expect(page.locator("#receipts code")).to_have_text(receipt.hash)


@pytest.mark.parametrize("place", ["database"], indirect=True)
def test_a_document_of_a_database_is_forgotten_without_a_receipt(page: Page, served: Served) -> None:
    page.goto(served(write=True))
    expect(page.locator("#place")).to_contain_text("5 documents")
    assert page.title() == "larimar_tests \u2013 Larimar inspector"
    page.get_by_text("My sister Clara").click()
    page.get_by_role("button", name="Forget").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(
        "Its text, 1 segment, is erased from the database, which keeps no receipt"
    )
    page.get_by_role("button", name="Forget for good").click()
    expect(dialog).to_contain_text("It is erased.")
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator(".row")).to_have_count(3)
    view(page, "Receipts")
    expect(page.locator("#receipts")).to_contain_text("A database keeps no receipts.")


def test_looking_offers_no_change(page: Page, served: Served) -> None:
    page.goto(served())
    expect(page.locator("#mode")).to_have_text("read-only")
    page.get_by_text(FERRY).click()
    expect(page.get_by_role("heading", name="talk/0")).to_be_visible()
    expect(page.get_by_role("button", name="Edit")).to_have_count(0)
    expect(page.get_by_role("button", name="Forget")).to_have_count(0)
    view(page, "Receipts")
    expect(page.locator("#receipts")).to_contain_text("Nothing was forgotten with a receipt.")


def test_health_and_slots(page: Page, served: Served, path: Path, encoder: SentenceEncoder) -> None:
    path.unlink()
    with Larimar.open(path, encoder=encoder, keys="eager") as memory:
        memory.write([FERRY, ISLAND])
    page.goto(served(slots=8))
    view(page, "Health")
    expect(page.get_by_role("meter", name="Keys made")).to_have_attribute("aria-valuenow", "1.0000")
    expect(page.locator("#health")).to_contain_text("Nothing was asked yet.")
    ask(page, FERRY, "Recall only")
    expect(page.locator(".cards > li")).not_to_have_count(0)
    view(page, "Health")
    expect(page.get_by_role("img", name="Address weights of 8 slots").locator("span")).to_have_count(8)
