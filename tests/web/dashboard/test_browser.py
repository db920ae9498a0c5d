"""The dashboard in a real browser: live, verified, by keyboard, accessible, and without a word in the console."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, sync_playwright

from audit_trail.embedded.broker import Broker
from domain.event import Actor, AuditEvent, Source
from tests.databases import PROJECTED, Databases
from tests.hospital import hospital, record
from tests.installed import installed
from tests.web.dashboard.people import dashboard
from tests.web.dashboard.test_pages import EVIL, PAGES, hostile
from tests.web.read_audit.recorded_server import OnRecord, make_topic

pytestmark = pytest.mark.needs_program("chromium")
GENUINE = UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a68")
_REFUSED = "Failed to load resource: the server responded with a status of 500"
"""What Chromium says of the proof that the server refuses for an altered event."""
DAY = "from=2026-03-01&to=2026-03-01"


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    with databases.copy(PROJECTED) as url:
        events = hospital()
        genuine = AuditEvent(
            event_id=GENUINE,
            type="record.read",
            occurred_at=events[-1].occurred_at,
            source=Source(service="patient-service"),
            actor=Actor(id="ada"),
        )
        record(url, [*events, hostile(), genuine])
        yield url


@pytest.fixture(scope="module")
def served(url: str, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRecord]:
    make_topic(broker.bootstrap_servers, "browser")
    with dashboard(url, broker.bootstrap_servers, "browser", tmp_path_factory.mktemp("issuer")) as served:
        yield served


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        closing(
            # The tests may run as root, for whom Chromium's own sandbox does not start.
            playwright.chromium.launch(executable_path=installed("chromium"), args=["--no-sandbox"])
        ) as browser,
    ):
        yield browser


Open = Callable[..., Page]


@pytest.fixture
def page_of(chromium: Browser, served: OnRecord) -> Iterator[Open]:
    """`page_of(persona, path, **options)`: a page of somebody who has signed in; its console stays empty."""
    said: list[str] = []

    def told(request: Request) -> None:
        if urlsplit(request.url).hostname != "127.0.0.1":
            said.append(f"request to {request.url}")

    with ExitStack() as stack:

        def open(persona: str, path: str = "/", **options: Any) -> Page:
            base = f"http://127.0.0.1:{served.port}"
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
    page.get_by_role("button", name="Verify it in this browser").click()
    page.wait_for_selector(".steps li:has-text('erified'), .steps li:has-text('Genuine')")
    return page.locator(".steps").inner_text()


def test_an_event_is_verified_in_the_browser_and_an_altered_one_is_not(page_of: Open, url: str) -> None:
    page = page_of("auditor", f"/events/{GENUINE}")
    assert "Genuine: this event is in the signed log" in steps(page)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_trail.event DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE audit_trail.event SET body = convert_to(replace(convert_from(body, 'UTF8'), 'ada', 'eve'), 'UTF8')"
            " FROM audit_trail.event_identity AS known"
            " WHERE event.position = known.position AND known.event_id = %s",
            [str(GENUINE)],
        )
        assert cursor.rowcount == 1
        connection.commit()
    text = steps(page)
    assert "NOT verified" in text
    assert "Genuine" not in text


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.thorough)])
def test_axe_finds_nothing_serious_on_any_page(page_of: Open, scheme: str) -> None:
    page = page_of("auditor", color_scheme=scheme, viewport={"width": 1280, "height": 900})
    axe = Axe()
    for path in PAGES:
        page.goto(path)
        found = axe.run(page).response["violations"]
        serious = [
            (each["id"], each["nodes"][0]["html"])
            for each in found
            if each["impact"] in {"serious", "critical"}
        ]
        assert serious == [], path


def test_no_page_is_wider_than_a_phone(page_of: Open) -> None:
    page = page_of("auditor", viewport={"width": 390, "height": 800})
    for path in PAGES:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_an_attack_in_every_field_executes_nowhere(page_of: Open) -> None:
    page = page_of("auditor")
    page.on("dialog", lambda _: pytest.fail("a script of an event ran"))
    for path in PAGES:
        page.goto(path)
        page.wait_for_load_state("load")
    page.goto(f"/explore?{DAY}")
    assert EVIL[:20] in page.locator("table.events").inner_text()


def test_a_new_event_arrives_in_an_open_page(page_of: Open, url: str) -> None:
    page = page_of("auditor", "/explore?actor=newcomer")
    assert "Nothing matches" in page.locator("#live").inner_text()
    page.get_by_role("button", name="Follow live").click()
    record(
        url,
        [
            AuditEvent(
                event_id=UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a69"),
                type="user.logged_in",
                occurred_at=datetime.now(UTC),
                source=Source(service="patient-service"),
                actor=Actor(id="newcomer"),
            )
        ],
    )
    page.locator("table.events a", has_text="newcomer logged in").wait_for()


def test_a_brush_over_the_histogram_narrows_the_range(page_of: Open) -> None:
    page = page_of("auditor", f"/explore?{DAY}", timezone_id="UTC")
    slots = page.locator(".slot")
    slots.nth(8).hover()
    page.mouse.down()
    slots.nth(10).hover()
    page.mouse.up()
    page.wait_for_url("**from=2026-03-01T08*to=2026-03-01T11*")
    assert page.locator("table.events tbody tr").count() > 0


def test_the_journey_works_without_javascript(page_of: Open) -> None:
    page = page_of("auditor", f"/explore?{DAY}&type=record.updated", java_script_enabled=False)
    page.locator("table.events a").first.click()
    page.wait_for_url("**/events/*")
    assert "What changed" in page.content()
    page.get_by_role("button", name="Sign out").click()
    assert "Your session has ended" in page.content()


def test_the_journey_works_by_keyboard(page_of: Open) -> None:
    page = page_of("auditor")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(60):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.textContent") == "Events":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/explore")
    page.get_by_label("Actor", exact=True).focus()
    page.keyboard.type("ada")
    page.keyboard.press("Enter")
    page.wait_for_url("**actor=ada**")


def test_times_are_in_the_zone_of_the_browser(page_of: Open) -> None:
    page = page_of("auditor", f"/explore?{DAY}", timezone_id="Asia/Tokyo")
    page.locator("html[data-zone='Asia/Tokyo']").wait_for(state="attached")
    first = page.locator("table.events time").last
    assert first.get_attribute("datetime") == "2026-03-01T08:00:00+00:00"
    assert first.inner_text() == "2026-03-01 17:00:00"
