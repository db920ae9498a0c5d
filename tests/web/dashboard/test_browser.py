"""The dashboard in a real browser: live, verified, by keyboard, accessible, and without a word in the console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg2
import pytest
from axe_playwright_python.sync_playwright import Axe

from audit_trail.embedded.broker import Broker
from domain.access.principal import Principal, Role
from domain.access.saved_view import MAX_NAME, view_saved
from domain.catalogue import TRAIL_SERVICE
from domain.event import Actor, AuditEvent, Source
from tests.databases import PROJECTED, Databases
from tests.hospital import hospital, record
from tests.web.dashboard.chromium import Open, steps
from tests.web.dashboard.letters import reject
from tests.web.dashboard.people import dashboard
from tests.web.dashboard.test_pages import EVIL, PAGES, hostile
from tests.web.read_audit.recorded_server import OnRecord, make_topic

pytestmark = pytest.mark.needs_program("chromium")
GENUINE = UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a68")
DAY = "from=2026-03-01&to=2026-03-01"
OPEN_ALL = "document.querySelectorAll('details').forEach(each => { each.open = true; })"


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
        views = [
            view_saved(
                f"{owner}'s {EVIL}"[:MAX_NAME],
                f"actor={EVIL}&{DAY}",
                Role.AUDITOR,
                by=Principal(id=owner, roles=frozenset({Role.AUDITOR})),
                owned=0,
                at=events[-1].occurred_at,
                source=Source(service=TRAIL_SERVICE),
            )
            for owner in ("auditor", "somebody")
        ]
        record(url, [*events, hostile(), genuine, *views])
        reject(url, EVIL.encode(), text=EVIL)
        yield url


@pytest.fixture(scope="module")
def served(url: str, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRecord]:
    make_topic(broker.bootstrap_servers, "browser")
    with dashboard(url, broker.bootstrap_servers, "browser", tmp_path_factory.mktemp("issuer")) as served:
        yield served


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
        page.evaluate(OPEN_ALL)
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
        page.evaluate(OPEN_ALL)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_an_attack_in_every_field_executes_nowhere(page_of: Open) -> None:
    page = page_of("auditor")
    page.on("dialog", lambda _: pytest.fail("a script of an event ran"))
    for path in PAGES:
        page.goto(path)
        page.wait_for_load_state("load")
    page.goto(f"/explore?{DAY}")
    assert EVIL[:20] in page.locator("table.events").inner_text()


def newcomer(id: str = "newcomer") -> AuditEvent:
    return AuditEvent(
        event_id=uuid4(),
        type="user.logged_in",
        occurred_at=datetime.now(UTC),
        source=Source(service="patient-service"),
        actor=Actor(id=id),
    )


def test_a_new_event_arrives_in_an_open_page(page_of: Open, url: str) -> None:
    page = page_of("auditor", "/explore?actor=newcomer")
    assert "Nothing matches" in page.locator("#tail").inner_text()
    page.get_by_role("button", name="Follow live").click()
    page.get_by_text("New events appear here").wait_for()
    record(url, [newcomer()])
    page.locator("table.events a", has_text="newcomer logged in").wait_for(timeout=5000)
    assert "Nothing matches" not in page.locator("#tail").inner_text()


def test_what_comes_during_a_pause_is_held_back_counted_and_shown_afterwards(page_of: Open, url: str) -> None:
    page = page_of("auditor", "/explore?actor=pausing&columns=who,type")
    page.get_by_role("button", name="Follow live").click()
    page.get_by_text("New events appear here").wait_for()
    record(url, [newcomer("pausing")])
    rows = page.locator("table.events tbody tr")
    rows.first.wait_for()
    page.get_by_role("button", name="Pause").click()
    record(url, [newcomer("pausing"), newcomer("pausing")])
    resume = page.get_by_role("button", name="Resume (2 new events held back)")
    resume.wait_for()
    assert rows.count() == 1
    resume.click()
    page.get_by_role("button", name="Pause").wait_for()
    assert rows.count() == 3
    rows.first.get_by_role("button", name="Without pausing").click()
    page.wait_for_url("**not_actor=pausing**")


def test_an_open_page_keeps_two_hundred_rows(page_of: Open, url: str) -> None:
    page = page_of("auditor", "/explore?actor=many&columns=who,position")
    page.get_by_role("button", name="Follow live").click()
    page.get_by_text("New events appear here").wait_for()
    rows = page.locator("table.events tbody tr")
    for batch in range(1, 4):
        record(url, [newcomer("many") for _ in range(80)])
        rows.nth(min(80 * batch, 200) - 1).wait_for(state="attached")
    newest = page.locator("table.events tbody tr td:nth-child(2)").first.inner_text()
    assert rows.count() == 200
    assert int(newest) == max(int(each) for each in page.locator("tbody td:nth-child(2)").all_inner_texts())


def test_columns_are_chosen_with_boxes(page_of: Open) -> None:
    page = page_of("auditor", f"/explore?{DAY}")
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="Session").check()
    page.get_by_role("checkbox", name="Address").uncheck()
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**columns=when%2Cwhat%2Cwho%2Cpurpose%2Ctype%2Cservice%2Csession")
    assert page.get_by_role("columnheader", name="Session").count() == 1
    assert page.get_by_role("columnheader", name="Address").count() == 0


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


def test_a_view_is_saved_and_changed_without_javascript(page_of: Open) -> None:
    page = page_of("auditor", f"/explore?{DAY}&type=record.read", java_script_enabled=False)
    page.locator(".starters > summary").click()
    page.get_by_label("Name", exact=True).fill("Reads of the day")
    page.get_by_role("button", name="Save this view").click()
    page.wait_for_url("**/views?done=saved")
    assert "has been sent to the trail" in page.get_by_role("status").inner_text()
    mine = page.locator(".saved-view")
    mine.get_by_label("Share it with").select_option(label="nobody")
    mine.get_by_role("button", name="Change this view").click()
    page.wait_for_url("**/views?done=changed")


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
    page = page_of("auditor", f"/explore?{DAY}", timezone_id="Asia/Tokyo", locale="de-DE")
    page.locator("html[data-zone='Asia/Tokyo']").wait_for(state="attached")
    first = page.locator("table.events time").last
    assert first.get_attribute("datetime") == "2026-03-01T08:00:00+00:00"
    assert first.inner_text() == "01.03.2026 17:00:00"
    assert first.get_attribute("title") == "2026-03-01 08:00:00 UTC"


@pytest.mark.parametrize("script", [True, False])
def test_an_export_is_started_followed_and_downloaded(page_of: Open, url: str, script: bool) -> None:
    page = page_of("auditor", f"/explore?{DAY}&patient=17", java_script_enabled=script, color_scheme="dark")
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE audit_trail.event IN ACCESS EXCLUSIVE MODE")
        page.get_by_text("Export", exact=True).click()
        page.get_by_role("button", name="CSV").click()
        page.get_by_role("button", name="Cancel").wait_for()
        page.get_by_role("link", name="Look again").click()
        page.get_by_role("button", name="Cancel").wait_for()
    download = page.get_by_role("link", name="Download")
    while not script and not download.is_visible():
        page.goto("/exports")
    with page.expect_download() as file:
        download.click()
    assert len(file.value.path().read_text(encoding="utf-8").splitlines()) == 5
    if script:
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Delete").click()
    page.get_by_text("You have no exports").wait_for()


def test_an_operator_asks_without_javascript_and_follows_with_it(page_of: Open, url: str) -> None:
    plain = page_of("operator", "/operations", java_script_enabled=False)
    plain.get_by_label("Why").fill("it looks wrong")
    plain.get_by_role("button", name="Start the rebuild").click()
    plain.wait_for_url("**/operations/requests/*")
    assert "waits for `project`" in plain.content()
    page = page_of("operator", urlsplit(plain.url).path, viewport={"width": 390, "height": 800})
    page.get_by_text("waits for `project`").wait_for()
    for path in ("/operations", "/operations/dead-letters/1", urlsplit(plain.url).path):
        page.goto(path)
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE audit_trail.operation_request SET state = 'done', result = 'it is live', finished_at = now()"
        )
    page.get_by_text("it is live").wait_for()
