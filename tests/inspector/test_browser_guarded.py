"""Texts that would act in a browser if they could, and pages that may not ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar

from .conftest import FERRY, HOSTILE, TOKEN
from .pages import UNSEEN, Served, Tab, ask, view

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
