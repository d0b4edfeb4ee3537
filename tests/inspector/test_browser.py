"""Every action of the inspector's page in a real browser, and texts that would act if they could."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Error, Page, expect

from benchmarks import inspector
from benchmarks.writer import batch, opened
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.errors import InputError
from larimar_memory.inspector import actions
from larimar_memory.larimar import Larimar

from .conftest import FERRY, HOSTILE, ISLAND, TOKEN, Endless

ARGUMENTS = ["--host-resolver-rules=MAP evil.test 127.0.0.1"]
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff\U000e0041]")

OPENED = "all => all.forEach((one) => one.open = true)"

Served = Callable[..., str]

# A machine that does much else is slow, and not wrong.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser of this machine's."""
    try:
        with inspector.browser(*ARGUMENTS) as started:
            yield started
    except InputError as error:
        pytest.skip(str(error))


class Tab:
    """A page, and what went wrong in it: messages of its console, errors, dialogs, foreign requests."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.wrong = list[str]()
        # What an action refuses is a status of its own, which the console tells as well.
        self.fine = ["400 (Bad Request)"]
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", self._told)
        # What the page's own questions are answered with.
        self.answers = list[str]()
        self.page.on("request", lambda request: self.asked.add(request.url.split("/")[2]))
        self.asked = set[str]()

    def _told(self, dialog: Dialog) -> None:
        if self.answers:
            dialog.accept(self.answers.pop())
        else:
            self.wrong.append(dialog.message)
            dialog.dismiss()

    def _heard(self, message: ConsoleMessage) -> None:
        if not any(text in message.text for text in self.fine):
            self.wrong.append(message.text)


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A tab in which nothing goes wrong."""
    opened = Tab(browser)
    yield opened
    opened.context.close()
    assert opened.wrong == []
    assert len(opened.asked) <= 1


@pytest.fixture
def page(tab: Tab) -> Page:
    tab.page.set_default_timeout(30_000)
    return tab.page


def view(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()


def ask(page: Page, question: str, button: str = "Answer") -> None:
    view(page, "Ask")
    page.get_by_label("Question").fill(question)
    page.get_by_role("button", name=button, exact=True).click()


def write(path: Path, encoder: Any, texts: dict[str, str], **how: Any) -> None:
    with Larimar.open(path, encoder=encoder) as memory:
        memory.write(list(texts.values()), list(texts), **how)


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


def test_episodes_lead_to_their_documents(page: Page, served: Served) -> None:
    page.goto(served())
    rows = page.locator(".row")
    page.get_by_label("List").select_option("Episodes")
    expect(rows).to_have_count(1)
    rows.first.click()
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Episode trip to Ren").click()
    expect(rows).to_have_count(4)


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
        r"probability (0\.\d+), threshold 0\.500, margin \+(0\.\d+)",
        meter.get_attribute("aria-valuetext") or "",
    )
    assert said is not None
    assert float(said[1]) - 0.5 == pytest.approx(float(said[2]), abs=1e-3)
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


def test_a_document_is_edited(page: Page, served: Served, path: Path) -> None:
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
    with Larimar.open(path, encoder=None) as memory:
        assert memory.text("books/ren.txt") == "The lighthouse is closed. <b>Bold</b>"
        assert memory.page(matching="ren.txt")[0].metadata == {"pages": 1152921504606846977}
    page.get_by_role("button", name="Edit").click()
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


# --- texts that would act ---


def test_hostile_texts_are_only_shown(
    page: Page, tab: Tab, served: Served, path: Path, encoder: SentenceEncoder
) -> None:
    with Larimar.open(path, encoder=encoder) as memory:
        for space in ("default", "<script>alert(1)</script>\u202e"):
            metadata = [{text: [text]} for text in HOSTILE.values()]
            episode = "<img src=x onerror=alert(2)>\u202e"
            ids, texts = list(HOSTILE), list(HOSTILE.values())
            memory.write(texts, ids, metadata, namespace=space, episode=episode)
    page.goto(served(write=True))
    elements = "script:not([src='app.js']), svg, style, img:not([src='icon.svg']), [onerror], b i"

    def sound() -> None:
        assert page.locator(elements).count() == 0
        assert "owned" not in page.title()
        seen = page.evaluate(
            "[document.title, ...[...document.querySelectorAll('*')].flatMap((one) => "
            "[...[...one.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data), "
            "one.title ?? '', one.getAttribute('aria-label') ?? ''])]"
        )
        assert not [text for text in seen if UNSEEN.search(text)]

    for id, text in HOSTILE.items():
        page.goto(page.url.split("#")[0] + "#documents")
        page.locator(f".row[data-id={_quoted(id)}]").click()
        shown = page.locator("#documents pre.text")
        expect(shown).to_contain_text(UNSEEN.split(text)[0][:20].strip())
        sound()
        page.get_by_role("button", name="Edit").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        sound()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Forget").click()
        sound()
        page.keyboard.press("Escape")
        ask(page, text.replace("\r", " ").replace("\n", " "), "Recall only")
        expect(page.locator(".scope h2")).to_be_visible()
        if page.get_by_role("button", name="Show the nearest anyway").count():
            page.get_by_role("button", name="Show the nearest anyway").click()
        expect(page.locator(".cards > li")).not_to_have_count(0)
        sound()
        view(page, "Documents")
    marks = page.locator(".rows .unseen").all_inner_texts()
    assert {"U+202E", "U+202C", "BEL", "ESC", "U+200B", "U+E0041", "U+2066", "U+FEFF"} <= {*marks}
    page.get_by_label("List").select_option("Episodes")
    expect(page.locator(".row")).to_have_count(2)
    sound()
    page.get_by_label("Namespace").select_option(index=0)
    expect(page.get_by_label("Namespace")).to_have_value("<script>alert(1)</script>\u202e")
    sound()
    page.get_by_label("List").select_option("Documents")
    page.locator(".row[data-id]").first.click()
    page.get_by_role("button", name="Forget").click()
    page.get_by_role("button", name="Forget for good").click()
    expect(page.get_by_role("dialog")).to_contain_text("No byte is left")
    sound()
    page.get_by_role("button", name="Close").click()
    view(page, "Receipts")
    sound()


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\{ord(char):x} " for char in text) + '"'


def test_a_direction_stays_within_its_text(page: Page, served: Served, path: Path) -> None:
    with Larimar.open(path) as memory:
        memory.write(["\u05e9\u05dc\u05d5\u05dd"], ["\u05e2\u05d1\u05e8\u05d9\u05ea.txt"])
    page.goto(served())
    row = page.locator(".row").last
    expect(row).to_contain_text("segment")
    name, facts = row.locator(".id"), row.locator(".facts")
    assert name.bounding_box()["x"] == pytest.approx(facts.bounding_box()["x"], abs=1)  # type: ignore[index]


def test_a_text_cannot_become_html_even_by_mistake(tab: Tab, served: Served) -> None:
    page = tab.page
    tab.fine += ["TrustedHTML", "Content Security Policy"]
    page.goto(served())
    with pytest.raises(Error, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<img src=x onerror=alert(1)>'")
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("fetch('http://evil.test/')")
    assert "evil.test" not in tab.asked


# --- who may ask ---


def test_a_name_that_was_made_to_lead_here_is_refused(browser: Browser, served: Served) -> None:
    tab = Tab(browser)
    address = served().replace("127.0.0.1", "evil.test")
    tab.page.goto(address)
    assert "served to this machine alone" in tab.page.inner_text("body")
    assert tab.page.locator("nav").count() == 0
    tab.context.close()


def test_a_page_elsewhere_learns_nothing(browser: Browser, served: Served) -> None:
    tab, url = Tab(browser), served(write=True).split("#")[0]
    elsewhere = "http://elsewhere.test/"
    tab.page.route(elsewhere, lambda route: route.fulfill(body="<p></p>", content_type="text/html"))
    tab.page.goto(elsewhere)
    for how in (
        "{method: 'POST', body: '{}'}",
        f"{{method: 'POST', body: '{{}}', headers: {{Authorization: 'Bearer {TOKEN}'}}}}",
    ):
        with pytest.raises(Error, match="Failed to fetch"):
            tab.page.evaluate(f"fetch('{url}api/memory', {how})")
    opaque = tab.page.evaluate(
        f"fetch('{url}api/forget', {{method: 'POST', mode: 'no-cors', body: '{{\"id\": \"talk/0\"}}'}})"
        ".then((answer) => answer.type, () => 'failed')"
    )
    assert opaque in ("opaque", "failed")
    framed = (
        "new Promise((done) => { const frame = document.createElement('iframe'); frame.onload = () => "
        "{ try { done(frame.contentDocument.body.innerText); } catch (error) { done('closed'); } }; "
        f"frame.src = '{url}'; document.body.append(frame); }})"
    )
    assert tab.page.evaluate(framed) == "closed"
    frame = tab.page.frames[-1]
    assert frame.locator("nav").count() == 0
    own = Tab(browser)
    own.page.goto(f"{url}#token={TOKEN}")
    expect(own.page.locator(".row")).to_have_count(4)
    for one in (tab, own):
        one.context.close()


def test_without_a_token_the_page_says_what_to_do(tab: Tab, served: Served) -> None:
    url = served()
    tab.fine.append("401 (Unauthorized)")
    tab.page.goto(url.split("#")[0])
    expect(tab.page.get_by_role("alert")).to_contain_text("The address has no token.")
    tab.page.goto(f"{url}x")
    tab.page.reload()
    expect(tab.page.get_by_role("alert")).to_contain_text("is none of this server")
    tab.page.goto(url)
    tab.page.reload()
    expect(tab.page.locator(".row")).to_have_count(4)
    tab.page.reload()
    expect(tab.page.locator(".row")).to_have_count(4)


def test_a_server_that_has_ended_is_told(tab: Tab, served: Any) -> None:
    page = tab.page
    tab.fine.append("ERR_CONNECTION_REFUSED")
    page.goto(served())
    expect(page.locator(".row")).to_have_count(4)
    served.stop()
    page.get_by_text(FERRY).click()
    expect(page.get_by_role("alert")).to_contain_text("Start `larimar inspect` again.")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_be_empty()


# --- how it is used ---


def test_it_is_used_by_keyboard(page: Page, served: Served) -> None:
    page.goto(served())
    rows = page.locator(".row")
    expect(rows).to_have_count(4)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    rows.first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="talk/1")).to_be_visible()
    expect(rows.nth(1)).to_have_attribute("aria-current", "true")
    view(page, "Ask")
    expect(page.get_by_label("Question")).to_be_focused()
    page.keyboard.type(FERRY)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".cards > li").first).to_contain_text(FERRY)
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) != "none"


def test_everything_has_a_name(page: Page, served: Served) -> None:
    page.goto(served(write=True))
    named = (
        "[...document.querySelectorAll('button, input, select, textarea, a, [role=meter]')]"
        ".filter((one) => !one.labels?.length && !one.getAttribute('aria-label'))"
        ".filter((one) => !one.innerText.trim()).map((one) => one.outerHTML)"
    )
    page.get_by_text(FERRY).click()
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate(named) == []
    page.keyboard.press("Escape")
    for name in ("Ask", "Health", "Receipts", "Documents"):
        view(page, name)
        page.wait_for_timeout(200)
        if name == "Ask":
            ask(page, FERRY, "Recall only")
            expect(page.locator(".cards > li").first).to_be_visible()
        page.locator("details").evaluate_all(OPENED)
        assert page.evaluate(named) == []
        expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute(
            "aria-current", "page"
        )
    assert page.locator("html").get_attribute("lang") == "en"


_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const clear = /rgba\\(.*, 0\\)|transparent/;
  const back = (one) => {
    const own = getComputedStyle(one).backgroundColor;
    return clear.test(own) ? back(one.parentElement) : own;
  };
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && !one.disabled && !one.matches("option"))
    .filter((one) => [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((one) => [light(getComputedStyle(one).color), light(back(one)), one.outerHTML])
    .map(([a, b, ...what]) => [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), ...what])
    .filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_can_be_read(browser: Browser, served: Served, scheme: str) -> None:
    """Contrast of every text, at least 4.5 : 1."""
    tab = Tab(browser, color_scheme=scheme)
    page = tab.page
    page.goto(served(write=True))
    page.get_by_text("books/ren.txt").click()
    expect(page.locator("pre.text")).to_be_visible()
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", back)[0]) > 127) == (scheme == "light")
    assert page.evaluate(_CONTRAST) == []
    ask(page, "Who built the lighthouse?", "Recall only")
    expect(page.locator(".cards > li").first).to_be_visible()
    page.locator("details").evaluate_all(OPENED)
    expect(page.locator("mark").first).to_be_visible()
    assert page.evaluate(_CONTRAST) == []
    other = {"light": "dark", "dark": "light"}[scheme]
    while page.locator("html").get_attribute("data-theme") != other:
        page.get_by_role("button", name="Colours").click()
    page.wait_for_timeout(300)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != back
    assert page.evaluate(_CONTRAST) == []
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == other
    assert tab.wrong == []
    tab.context.close()


def test_narrow_screens(browser: Browser, served: Served) -> None:
    tab = Tab(browser, viewport={"width": 320, "height": 640}, has_touch=True)
    page = tab.page
    wide = "document.documentElement.scrollWidth"
    page.goto(served(write=True))
    expect(page.locator(".row")).to_have_count(4)
    assert page.evaluate(wide) <= 320
    page.get_by_text("books/ren.txt").tap()
    expect(page.locator("pre.text")).to_be_visible()
    expect(page.locator(".rows")).to_be_hidden()
    assert page.evaluate(wide) <= 320
    page.get_by_text("All documents").tap()
    expect(page.locator(".rows")).to_be_visible()
    ask(page, "Who built the lighthouse?", "Recall only")
    expect(page.locator(".cards > li").first).to_be_visible()
    page.locator("details").evaluate_all(OPENED)
    assert page.evaluate(wide) <= 320
    for name in ("Health", "Receipts"):
        view(page, name)
        page.wait_for_timeout(200)
        assert page.evaluate(wide) <= 320
    assert tab.wrong == []
    tab.context.close()


def test_many_documents_and_namespaces(
    tab: Tab, served: Served, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tab.page
    monkeypatch.setattr(actions, "NAMES", 3)
    path.unlink()
    inspector.written(path, 20_000)
    store = opened(path)
    for n in range(6):
        store.write(f"user:{n}", [batch(f"of {n}", n)])
    store.close()
    page.goto(served())
    expect(page.locator(".row")).to_have_count(50)
    expect(page.locator("#place")).to_contain_text("20,006 documents")
    page.get_by_label("Order").select_option("newest first")
    expect(page.locator(".row").first).to_contain_text("Locker 19999 ")
    namespace = page.get_by_label("Namespace")
    expect(namespace.locator("option")).to_have_text(["default", "user:0", "user:1", "Another\u2026"])
    tab.answers = ["user:5"]
    namespace.select_option("Another\u2026")
    expect(page.locator(".row")).to_have_count(1)
    expect(page.locator(".row")).to_contain_text("of 5 says")
    expect(namespace).to_have_value("user:5")
