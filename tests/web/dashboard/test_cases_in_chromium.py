"""Alerts and cases in a real browser: one case from its alert to its end, accessible, and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from audit_trail.embedded.broker import Broker
from domain.reviews.commands import Strata
from tests.databases import MIGRATED, Databases
from tests.web.dashboard.chromium import Open
from tests.web.dashboard.detecting import (
    EVIL_RULE,
    DetectingTrail,
    case_about,
    deleted,
    detecting,
    with_alerts,
)
from tests.web.dashboard.people import dashboard
from tests.web.dashboard.test_pages import EVIL
from tests.web.read_audit.recorded_server import OnRecord, make_topic

pytestmark = pytest.mark.needs_program("chromium")


@pytest.fixture(scope="module")
def trail(databases: Databases) -> Iterator[DetectingTrail]:
    with databases.copy(MIGRATED) as url, detecting(url) as trail:
        with_alerts(trail)
        yield trail


@pytest.fixture(scope="module")
def served(
    trail: DetectingTrail, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnRecord]:
    make_topic(broker.bootstrap_servers, "cases")
    with dashboard(trail.url, broker.bootstrap_servers, "cases", tmp_path_factory.mktemp("issuer")) as served:
        yield served


def pages(trail: DetectingTrail) -> list[str]:
    [(alert, case)] = trail.rows(
        f"SELECT alert_id, case_id FROM case_alert JOIN alert USING (alert_id) WHERE rule_id = '{EVIL_RULE}'"
    )
    review = trail.review("privacy-officer", "reviewer", name=EVIL, strata=Strata.TYPE)
    return [
        *("/alerts", f"/alerts/{alert}", "/cases?list=all", f"/cases/{case}"),
        *("/questions", "/rules", f"/rules/{EVIL_RULE}"),
        *("/reviews", review, f"{review}/items/1", "/my-items"),
    ]


def serious(page: Page) -> list[tuple[str, str]]:
    found = Axe().run(page).response["violations"]
    return [
        (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in {"serious", "critical"}
    ]


def test_from_an_alert_to_a_decision(page_of: Open, trail: DetectingTrail) -> None:
    trail.append(deleted("n.nightshift"))
    case_about(trail, "n.nightshift")
    officer = page_of("privacy-officer", "/alerts?actor=n.nightshift")
    officer.get_by_role("link", name="A record was deleted").first.click()
    assert "Events of the evidence" in officer.content()
    officer.get_by_role("link", name="Open its case").click()
    # By keyboard alone, from the field to the button.
    officer.get_by_label("The question").fill("Why did you delete it?")
    officer.keyboard.press("Tab")
    officer.keyboard.press("Enter")
    officer.get_by_role("heading", name="The open question").wait_for()
    nurse = page_of("n.nightshift", "/questions")
    nurse.get_by_label("Your answer").fill("It was a test record.")
    nurse.get_by_role("button", name="Answer").click()
    nurse.get_by_text("Your answer is recorded.").wait_for()
    officer.reload()
    assert "It was a test record." in officer.locator(".story").inner_text()
    officer.get_by_role("radio", name=re.compile("Justified")).check()
    decide = officer.locator("form[action$='/decide']")
    decide.get_by_label("Why").fill("A test record.")
    decide.get_by_role("button").dblclick()
    officer.get_by_role("heading", name="Open it again").wait_for()
    story = officer.locator(".story").inner_text()
    assert story.count("Paul Privacy decided: justified") == 1
    officer.goto("/cases?list=decided")
    assert officer.get_by_role("link", name="A record was deleted").count() == 1


def test_the_page_measures_for_how_long_an_item_was_looked_at(page_of: Open, trail: DetectingTrail) -> None:
    path = trail.review("reviewer", name="Measured")
    page = page_of("reviewer", "/my-items")
    page.wait_for_timeout(1200)
    page.get_by_role("radio", name=re.compile("Justified")).check()
    page.get_by_label("Why").fill("On duty.")
    page.get_by_role("button", name="Decide").click()
    page.get_by_text("of your items").or_(page.get_by_text("You have no items")).first.wait_for()
    [(seconds,)] = trail.rows(
        f"SELECT seconds FROM review_item WHERE review_id = '{path.rpartition('/')[2]}' AND item = 1"
    )
    assert 1 <= seconds < 60


def test_new_alerts_are_announced_on_an_open_list(page_of: Open, trail: DetectingTrail) -> None:
    page = page_of("privacy-officer", "/alerts?actor=late")
    assert "No alert is like this" in page.content()
    case_about(trail, "late")
    page.get_by_role("link", name="1 new alert: show it").click(timeout=30_000)
    assert page.get_by_role("link", name="A record was deleted").count() == 1


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.thorough)])
def test_axe_finds_nothing_serious(page_of: Open, trail: DetectingTrail, scheme: str) -> None:
    page = page_of("privacy-officer", color_scheme=scheme, viewport={"width": 1280, "height": 900})
    page.on("dialog", lambda _: pytest.fail("a script of a rule or an event ran"))
    for path in pages(trail):
        page.goto(path)
        assert serious(page) == [], path


def test_no_page_is_wider_than_a_phone(page_of: Open, trail: DetectingTrail) -> None:
    page = page_of("privacy-officer", viewport={"width": 390, "height": 800})
    for path in pages(trail):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
