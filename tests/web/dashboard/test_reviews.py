"""Reviews on the pages: what they show, to whom, and what their forms do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest

from audit_trail.embedded.broker import Broker
from domain.reviews.commands import ReviewKind, Strata
from tests.databases import MIGRATED, Databases
from tests.detection.reviews.given_reviews import NOW, granted
from tests.waiting import eventually
from tests.web.dashboard.detecting import DetectingTrail, deleted, detecting, hostile_search
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from tests.web.dashboard.test_alerts_and_cases import send, words
from tests.web.dashboard.test_pages import EVIL, _Tags
from tests.web.read_audit.recorded_server import OnRecord, make_topic


@pytest.fixture(scope="module")
def trail(databases: Databases) -> Iterator[DetectingTrail]:
    """Two deletions by `eve`, one by a reviewer, one by an officer, and what is full of attacks."""
    with databases.copy(MIGRATED) as url, detecting(url) as trail:
        trail.append(*map(deleted, ("eve", "eve", "reviewer", "privacy-officer")), hostile_search(30))
        yield trail


@pytest.fixture(scope="module")
def served(
    trail: DetectingTrail, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnRecord]:
    make_topic(broker.bootstrap_servers, "reviews")
    with dashboard(
        trail.url, broker.bootstrap_servers, "reviews", tmp_path_factory.mktemp("issuer")
    ) as served:
        yield served


@pytest.fixture
def officer(served: OnRecord) -> Iterator[Browser]:
    with Browser(served) as browser:
        browser.sign_in("privacy-officer", "/reviews")
        yield browser


@pytest.fixture
def reviewer(served: OnRecord) -> Iterator[Browser]:
    with Browser(served) as browser:
        browser.sign_in("reviewer", "/my-items")
        yield browser


def test_a_reviewer_decides_one_item_after_the_other_without_scripts(
    reviewer: Browser, officer: Browser, trail: DetectingTrail
) -> None:
    path = trail.review("reviewer", name="One by one", due_at=NOW + timedelta(days=1))
    page = reviewer.get("/my-items")
    assert "3 of your items are not decided. Item 1 of the review One by one" in words(page.text)
    assert "eve deleted Patient p-1" in words(page.text)
    none = send(reviewer, page, "/items/1/decide", reason="kept <text>")
    assert none.status_code == 400
    assert "Verdict: choose what it was" in words(none.text)
    assert "kept &lt;text&gt;</textarea>" in none.text
    page = send(reviewer, none, "/items/1/decide", verdict="policy_breach", reason="No order.", seconds="75")
    assert "2 of your items are not decided. Item 2" in words(page.text)
    [skip] = re.findall(r'href="(/my-items\?[^"]*)"', page.text)
    page = reviewer.get(skip.replace("&amp;", "&"))
    # The third item is about the reviewer, and nobody has it.
    assert "Item 4" in words(page.text)
    page = send(reviewer, page, "/items/4/decide", verdict="justified", reason="Asked for it.")
    assert "1 of your items is not decided. Item 2" in words(page.text)
    page = send(reviewer, page, "/items/2/decide", verdict="unclear", reason="Nobody knows.")
    assert f"{path}/items" not in page.text
    item = reviewer.get(f"{path}/items/1")
    assert "policy breach" in words(item.text)
    assert "after 1 minute" in words(item.text)
    again = send(reviewer, item, "/items/1/decide", verdict="justified", reason="There was an order.")
    assert "Decided before 1 time;" in words(again.text)
    assert reviewer.get(f"{path}/items/3").status_code == 404
    shown = words(officer.get(path).text)
    assert "3 of 4" in shown
    assert "Items about you are not shown to you, and others decide them: 1." in shown


def test_an_officer_gives_an_item_to_somebody_else_and_closes_the_review(
    officer: Browser, reviewer: Browser, trail: DetectingTrail
) -> None:
    path = trail.review("reviewer", "second-officer", name="To be closed", strata=Strata.TYPE)
    page = officer.get(path)
    assert "4 items of 4 candidates, divided by type of event" in words(page.text)
    assert 'aria-label="Stratum"' in page.text
    assert f'action="{path}/items' not in page.text
    item = officer.get(f"{path}/items/1")
    wrong = send(officer, item, "/items/1/reassign", reviewer="eve", reason="why not")
    assert wrong.status_code == 409
    assert "the item is about this person: choose another" in words(wrong.text)
    assert 'value="eve"' in wrong.text
    given = send(officer, wrong, "/items/1/reassign", reviewer="privacy-officer", reason="A leave.")
    assert "Reviewer you" in words(given.text)
    assert reviewer.get(f"{path}/items/1").status_code == 404
    late = reviewer.get(f"{path}/items/3")
    assert late.status_code == 404
    mine = send(officer, given, "/items/1/decide", verdict="justified", reason="Seen.")
    assert "The decision" in mine.text
    page = officer.get(f"{path}?list=mine")
    assert len(re.findall(rf'href="{path}/items/\d+"', page.text)) == 1
    only = officer.get(f"{path}?list=justified&reviewer=privacy-officer")
    assert len(re.findall(rf'href="{path}/items/\d+"', only.text)) == 1
    closed = send(officer, page, "/close", reason="Enough was seen.")
    assert "Enough was seen." in closed.text
    assert f'action="{path}' not in closed.text
    again = officer.post(
        f"{path}/close", data={"command": str(uuid4()), "reason": "twice"}, headers=FROM_PAGE
    )
    assert again.status_code == 409
    assert "this review is closed" in words(again.text)
    assert "You wrote: twice" in words(again.text)
    assert path in officer.get("/reviews?list=closed").text
    assert path not in officer.get("/reviews").text


def test_roles_are_revoked_and_items_without_a_reviewer_are_listed(
    officer: Browser, trail: DetectingTrail
) -> None:
    trail.append(granted("eve", "surgeon"), granted("privacy-officer", "auditor"))
    path = trail.review("eve", name="Grants", reviewed=ReviewKind.GRANTS, filter={}, sample_size=10)
    page = officer.get(f"{path}?list=unassigned")
    assert "nobody: all reviewers are its subject" in page.text
    [item] = set(re.findall(rf'href="({path}/items/\d+)"', page.text))
    assert "eve has surgeon since" in officer.get(item).text
    given = send(officer, officer.get(item), "/reassign", reviewer="privacy-officer", reason="He is free.")
    done = send(officer, given, "/decide", verdict="revoke", reason="He left.")
    assert "Verdict revoke" in words(done.text)


@pytest.mark.parametrize(
    ("persona", "allowed", "linked"),
    [
        ("auditor", True, {"/reviews"}),
        ("security-officer", True, {"/reviews"}),
        ("reviewer", True, {"/reviews", "/my-items"}),
        ("n.nightshift", False, set()),
        ("analyst", False, set()),
        ("operator", False, set()),
        ("patient-1007", False, set()),
    ],
)
def test_each_role_gets_the_pages_of_its_rights(
    served: OnRecord, persona: str, allowed: bool, linked: set[str]
) -> None:
    with Browser(served) as browser:
        start = browser.sign_in(persona)
        _, _, navigation = start.text.partition("<nav")
        for path in ("/reviews", "/my-items"):
            assert browser.get(path).status_code == (200 if allowed else 403), path
            assert (f'href="{path}"' in navigation.partition("</nav>")[0]) == (path in linked), path


def test_who_may_not_act_has_no_form_and_is_refused(
    served: OnRecord, reviewer: Browser, trail: DetectingTrail
) -> None:
    path = trail.review("second-officer", name="Of somebody else")
    command = {"command": str(uuid4())}
    decide = {"verdict": "justified", "reason": "no"} | command
    assert reviewer.get(path).status_code == reviewer.get(f"{path}/items/1").status_code == 404
    with Browser(served) as auditor:
        page = auditor.sign_in("auditor", f"{path}/items/1")
        assert "eve deleted" in page.text
        for browser in (reviewer, auditor):
            for form, fields in (
                ("items/1/decide", decide),
                ("items/1/reassign", {"reviewer": "auditor", "reason": "mine"} | command),
                ("close", {"reason": "over"} | command),
            ):
                assert f'action="{path}' not in page.text
                answer = browser.post(f"{path}/{form}", data=fields, headers=FROM_PAGE)
                assert answer.status_code == 403, form
    foreign = reviewer.post(f"{path}/items/1/decide", data=decide, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert trail.rows(f"SELECT decided FROM review WHERE review_id = '{path.rpartition('/')[2]}'") == [(0,)]


def test_nothing_of_a_hostile_event_can_act_in_a_page(officer: Browser, trail: DetectingTrail) -> None:
    path = trail.review(
        EVIL[:200], name=EVIL, purpose=EVIL, filter={"type": ["record.searched"]}, strata=Strata.ACTOR
    )
    for each in ("/reviews", path, f"{path}/items/1"):
        page = officer.get(each)
        assert page.status_code == 200, each
        assert "alert(1)" in page.text
        assert "<script>alert" not in page.text
        for tag, attributes in _Tags(page.text).found:
            assert tag not in {"img", "iframe", "style", "object", "embed"}
            assert tag != "script" or attributes["src"] == "/assets/dashboard.js"
            assert not any(name.startswith("on") or name == "style" for name in attributes)
            for name in ("href", "src", "action"):
                assert (attributes.get(name) or "/").startswith(("/", "#"))


def test_wrong_addresses_are_refused(officer: Browser, trail: DetectingTrail) -> None:
    path = trail.review("reviewer", name="Wrong addresses")
    for wrong in ("/reviews?list=new", f"{path}?list=new", "/my-items?after=x"):
        assert officer.get(wrong).status_code == 400, wrong
    for wrong in ("/reviews?after=x", f"{path}?after=x"):
        assert officer.get(wrong).status_code == 409, wrong
    for wrong in (f"/reviews/{uuid4()}", "/reviews/x", f"{path}/items/99", f"{path}/items/{'9' * 5000}"):
        assert officer.get(wrong).status_code == 404, wrong


def test_what_is_read_is_on_record_with_the_page(
    officer: Browser, served: OnRecord, trail: DetectingTrail
) -> None:
    path = f"{trail.review('reviewer', name='On record')}/items/1"
    officer.get(path)

    def is_on_record() -> bool:
        reads = [each for each in served.events() if each.type == "audit_log.read"]
        return any(each.request is not None and each.request.path == path for each in reads)

    eventually(is_on_record)
