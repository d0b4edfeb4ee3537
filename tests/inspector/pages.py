"""A page of the inspector in a browser, and what is done in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, expect

from larimar_memory.larimar import Larimar

UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff\U000e0041]")

OPENED = "all => all.forEach((one) => one.open = true)"

Served = Callable[..., str]

# A machine that does much else is slow, and not wrong.
expect.set_options(timeout=30_000)


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


def view(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()


def ask(page: Page, question: str, button: str = "Answer") -> None:
    view(page, "Ask")
    page.get_by_label("Question").fill(question)
    page.get_by_role("button", name=button, exact=True).click()


def write(path: Path, encoder: Any, texts: dict[str, str], **how: Any) -> None:
    with Larimar.open(path, encoder=encoder) as memory:
        memory.write(list(texts.values()), list(texts), **how)
