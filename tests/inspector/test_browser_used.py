"""How the page is used: by keyboard, with names, in every colour and width, with much in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks import inspector
from benchmarks.writer import batch, opened
from larimar_memory.inspector import actions

from .conftest import FERRY
from .pages import OPENED, Served, Tab, ask, view

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
