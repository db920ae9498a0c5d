"""Screenshots of the dashboard for the docs, of a running demonstration: ``make screenshots``.

Start `make demo` first. The pictures go to ``docs/how-to/images``. Each is a page as one of the demonstration's people
sees it. A page that fails ends the run with exit 1 and its name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.installed import installed

FOLDER = Path(__file__).parents[1] / "docs/how-to/images"
_URL = "http://127.0.0.1:8000"
_WIDTH = 1100
_PATIENCE = 20_000
"""Milliseconds for a page, and for what the trail does in the background."""
_DAY = datetime.now(UTC).date()
_DAY_BEFORE = _DAY - timedelta(days=1)
_VIEW = "Break-glass of the last month"


def _verify(page: Page) -> None:
    page.get_by_role("link", name="Nora Nightshift changed").first.click()
    page.get_by_role("button", name="Verify it in this browser").click()
    expect(page.locator(".steps")).to_contain_text("Genuine")


def _export(page: Page) -> None:
    page.get_by_text("Export", exact=True).click()
    page.get_by_role("button", name="CSV").click()
    page.goto("/exports")
    expect(page.get_by_role("link", name="Download", exact=True).first).to_be_visible()


def _save_view(page: Page) -> None:
    page.get_by_text("Views", exact=True).click()
    if page.get_by_role("link", name=_VIEW).count() == 0:
        page.get_by_label("Name", exact=True).fill(_VIEW)
        page.get_by_label("Share it with").select_option(label="Privacy officer")
        page.get_by_role("button", name="Save this view").click()
    _until(page, "/views", _VIEW)


def _make_link(page: Page) -> None:
    page.get_by_label("For whom and why").fill("External auditor, visit of this week")
    page.get_by_role("button", name="Make the link").click()
    _until(page, "/links", "External auditor")


def _until(page: Page, path: str, text: str) -> None:
    """Open `path` until the projection has what a form has sent."""
    page.goto(path)
    for _ in range(_PATIENCE // 500):
        if page.get_by_text(text).count():
            return
        page.wait_for_timeout(500)
        page.goto(path)
    expect(page.locator("main")).to_contain_text(text, timeout=1)


def _open_letter(page: Page) -> None:
    page.locator("table a").first.click()
    expect(page.get_by_role("heading", name="Decide")).to_be_visible()


class Shot(NamedTuple):
    """A picture: whose page, its path, the height that is shown, in pixels, and what is done first.

    `begin` selects what stands at the top of the picture: the page from its beginning, unless it is given.
    """

    name: str
    persona: str
    path: str
    height: int = 700
    prepare: Callable[[Page], None] = lambda _: None
    begin: str = "body"


SHOTS = (
    Shot("overview", "auditor", "/", 760),
    Shot(
        "events",
        "privacy-officer",
        "/explore?patient=1007&last=24h&columns=when,what,who,role,service,address",
        960,
    ),
    Shot("event", "auditor", "/explore?patient=1007&type=record.updated&emergency=true", 700, _verify, "h2"),
    Shot("patient", "privacy-officer", "/patients/1007"),
    Shot("user", "security-officer", "/users?id=n.nightshift", 900),
    Shot("device", "device-manager", f"/devices/monitor-3?at={_DAY}&compared={_DAY_BEFORE}"),
    Shot("service", "auditor", "/services/vitals-service", 900),
    Shot("resource", "auditor", "/resource?type=AllergyIntolerance&id=allergy-1007-1", 520),
    Shot("my-record", "patient-1007", "/patients/1007"),
    Shot("my-activity", "n.nightshift", "/me"),
    Shot("views", "privacy-officer", "/explore?emergency=true&last=30d", 520, _save_view),
    Shot("exports", "auditor", "/explore?patient=1007", 520, _export),
    Shot("links", "auditor", "/links/new?patient=1007&last=7d", 420, _make_link),
    Shot("operations", "operator", "/operations", 900),
    Shot("dead-letter", "operator", "/operations/dead-letters?reason=unknown_type", 760, _open_letter),
)


def main(url: str, folder: Path = FOLDER, shots: Sequence[Shot] = SHOTS) -> None:
    """Take the pictures; exits with 1 at the first page that fails."""
    folder.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=installed("chromium"), args=["--no-sandbox"])
        with closing(chromium):
            for shot in shots:
                try:
                    take(chromium, url, shot, folder / f"{shot.name}.png")
                except (Error, AssertionError) as exc:
                    sys.exit(f"{shot.name}: {exc}")


def take(chromium: Browser, url: str, shot: Shot, file: Path) -> None:
    """Sign in, open the page, and write the picture. Raises playwright's `Error`, or `AssertionError`."""
    context = chromium.new_context(
        base_url=url,
        viewport={"width": _WIDTH, "height": shot.height},
        color_scheme="light",
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    with closing(context):
        context.set_default_timeout(_PATIENCE)
        # The page would reload once to tell the server its zone, while the next one is opened.
        context.add_cookies([{"name": "audit-trail-zone", "value": "UTC", "url": url}])
        page = context.new_page()
        page.goto(shot.path)
        page.locator(f"a[href$='persona={shot.persona}']").click()
        page.get_by_role("button", name="Sign out").wait_for()
        answer = page.goto(shot.path)
        assert answer is not None
        assert answer.ok, f"{page.url} answered {answer.status}"
        shot.prepare(page)
        page.locator(shot.begin).first.evaluate("each => each.scrollIntoView()")
        page.screenshot(path=file)


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] else _URL)
