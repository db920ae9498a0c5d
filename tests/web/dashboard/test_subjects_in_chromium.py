"""The pages of subjects in a real browser: accessible, on a phone, and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from audit_trail.embedded.broker import Broker
from dashboard.links import resource, subject
from domain.event import Actor
from tests.databases import PROJECTED, Databases
from tests.hospital import read, record
from tests.web.dashboard.chromium import Open
from tests.web.dashboard.pdf import pages_in, words_of
from tests.web.dashboard.people import dashboard
from tests.web.dashboard.subject_trail import CHANGED, FOREIGN, record_subjects
from tests.web.read_audit.recorded_server import OnRecord, make_topic

pytestmark = pytest.mark.needs_program("chromium")
PAGES = (
    f"/events/{CHANGED}",
    f"/events/{FOREIGN}",
    "/patients/17",
    subject("user", "ada"),
    subject("user", ".."),
    "/devices/pump-1",
    "/services/vitals",
    resource("Note", "n/1"),
)
A4 = {"width": 703, "height": 1017}
"""The room within the margins, in CSS pixels."""
LONG = "A-name-without-any-blank-" * 6


@pytest.fixture(scope="module")
def served(
    databases: Databases, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnRecord]:
    """One dashboard for the whole file. Many have accessed the record of patient 40."""
    make_topic(broker.bootstrap_servers, "paper")
    with databases.copy(PROJECTED) as url:
        record_subjects(url)
        names = [f"user-{number:03}" for number in range(90)] + [LONG]
        record(url, [read(at, "40", actor=Actor(id=name)) for at, name in enumerate(names)])
        with dashboard(url, broker.bootstrap_servers, "paper", tmp_path_factory.mktemp("issuer")) as served:
            yield served


def serious(page: Page) -> list[tuple[str, str]]:
    found = Axe().run(page).response["violations"]
    return [
        (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.thorough)])
def test_axe_finds_nothing_serious_on_the_pages_of_subjects(page_of: Open, scheme: str) -> None:
    page = page_of("auditor", color_scheme=scheme, viewport={"width": 1280, "height": 900})
    for path in PAGES:
        page.goto(path)
        for details in page.locator("details").all():
            details.evaluate("each => { each.open = true; }")
        assert serious(page) == [], path


def test_axe_finds_nothing_serious_on_the_own_pages_and_they_fit_a_phone(page_of: Open) -> None:
    for persona, path in (("patient-17", "/patients/17"), ("ada", "/me")):
        page = page_of(persona, path, viewport={"width": 390, "height": 800})
        page.wait_for_selector("h1")
        assert serious(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_no_page_of_a_subject_is_wider_than_a_phone(page_of: Open) -> None:
    page = page_of("auditor", viewport={"width": 390, "height": 800})
    for path in PAGES:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_an_id_that_browsers_resolve_in_a_path_keeps_its_page(page_of: Open) -> None:
    page = page_of("auditor")
    for id in (".", "..", "a/b"):
        page.goto(subject("patient", id))
        assert page.locator("h1").inner_text() == f"Patient {id}"


CUT_OFF = """() => [...document.querySelectorAll("main *, footer *")].filter((each) => {
  if (!each.getClientRects().length || each.closest(".hidden, svg")) return false;
  const style = getComputedStyle(each);
  const clips = style.overflowX !== "visible" && each.scrollWidth > each.clientWidth + 1;
  return clips || each.getBoundingClientRect().right > innerWidth + 1;
}).map((each) => each.outerHTML.slice(0, 120))"""


def test_on_paper_nothing_is_cut_off_and_the_head_says_whose_page_it_is(page_of: Open) -> None:
    page = page_of("auditor", viewport=A4)
    page.goto("/patients/40")
    page.emulate_media(media="print")
    assert page.evaluate(CUT_OFF) == []
    head = page.locator(".printed").inner_text()
    assert re.search(
        r"Patient 40, id 40\. From Mar 1, 2026 08:00:00 until Mar 1, 2026 09:30:00 \(UTC\)", head
    )
    assert re.search(
        r"complete up to position [0-9]+.* Made by Ada Auditor \(auditor\) at \w+ [0-9]+, 20", head
    )
    pdf = page.pdf(prefer_css_page_size=True)
    words = words_of(pdf)
    assert pages_in(pdf) > 2
    assert words.count("Intheroleof") > 1  # the head of the table on each page
    for name in (*(f"user-{number:03}" for number in range(90)), LONG):
        assert name in words, name
    assert "MadebyAdaAuditor(auditor)" in words
