"""Making and reading a shared link in a real browser: verified, accessible, and without a word in the console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from audit_trail.embedded.broker import Broker
from tests.databases import Databases
from tests.web.dashboard.chromium import steps
from tests.web.dashboard.link_place import SHOWN, Place, served_place

pytestmark = pytest.mark.needs_program("chromium")


@pytest.fixture(scope="module")
def place(databases: Databases, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with served_place(databases, broker, "links-in-a-browser", tmp_path_factory.mktemp("issuer")) as place:
        yield place


def is_accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_an_outsider_verifies_an_event_that_an_auditor_shares(place: Place, chromium: Browser) -> None:
    said: list[str] = []
    with ExitStack() as stack:

        def new_page(**options: Any) -> Page:
            base = f"http://127.0.0.1:{place.served.port}"
            context = chromium.new_context(base_url=base, viewport={"width": 390, "height": 800}, **options)
            page = stack.enter_context(closing(context)).new_page()
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            return page

        maker = new_page(java_script_enabled=False)
        maker.goto(f"/events/{SHOWN}")
        maker.locator("a[href$='persona=auditor']").click()
        maker.get_by_role("link", name="Make a link to this event").click()
        maker.get_by_label("For whom and why").fill("For Otto Outside")
        maker.get_by_role("button", name="Make the link").click()
        address = maker.get_by_label("Link", exact=True).input_value()
        place.settle()

        reader = new_page(color_scheme="dark")
        reader.goto(address)
        assert "Genuine: this event is in the signed log" in steps(reader)
        is_accessible(reader)
        assert reader.locator("nav").count() == 0

        maker = new_page()
        maker.goto(f"/links/new?event={SHOWN}")
        maker.locator("a[href$='persona=auditor']").click()
        is_accessible(maker)
        maker.get_by_label("For whom and why").fill("For Otto Outside, again")
        maker.get_by_role("button", name="Make the link").click()
        is_accessible(maker)
        maker.get_by_role("link", name="Links").last.click()
        is_accessible(maker)
        maker.get_by_role("button", name="Revoke").first.click()
        maker.wait_for_url("**/links?revoked=*")
        place.settle()
        reader.reload()
        assert "This link was revoked" in reader.content()
        is_accessible(reader)
    # Chromium says so of the answer with status 410.
    assert [line for line in said if "status of 410" not in line] == []
