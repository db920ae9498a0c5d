"""Chromium, and pages in it of people who have signed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Request, sync_playwright

from tests.installed import installed

_REFUSED = "Failed to load resource: the server responded with a status of 500"
"""What Chromium says of the proof that the server refuses for an altered event."""
Open = Callable[..., Page]


@contextmanager
def started() -> Iterator[Browser]:
    """A browser."""
    with (
        sync_playwright() as playwright,
        closing(
            # The tests may run as root, for whom Chromium's own sandbox does not start.
            playwright.chromium.launch(executable_path=installed("chromium"), args=["--no-sandbox"])
        ) as browser,
    ):
        yield browser


@contextmanager
def pages_of(chromium: Browser, port: int) -> Iterator[Open]:
    """`open(persona, path, **options)`: a page of somebody who has signed in; its console stays empty."""
    said: list[str] = []

    def told(request: Request) -> None:
        if urlsplit(request.url).hostname != "127.0.0.1":
            said.append(f"request to {request.url}")

    with ExitStack() as stack:

        def open(persona: str, path: str = "/", **options: Any) -> Page:
            base = f"http://127.0.0.1:{port}"
            page = stack.enter_context(closing(chromium.new_context(base_url=base, **options))).new_page()
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", told)
            page.goto(path)
            page.locator(f"a[href$='persona={persona}']").click()
            return page

        yield open
    assert [line for line in said if not line.startswith(_REFUSED)] == []


def steps(page: Page) -> str:
    """Verify the event of a page; what it says."""
    page.get_by_role("button", name="Verify it in this browser").click()
    page.wait_for_selector(".steps li:has-text('erified'), .steps li:has-text('Genuine')")
    return page.locator(".steps").inner_text()
