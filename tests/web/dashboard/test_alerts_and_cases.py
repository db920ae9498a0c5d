"""Alerts, cases, questions and rules on the pages: what they show, to whom, and what their forms do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from audit_trail.embedded.broker import Broker
from tests.databases import MIGRATED, Databases
from tests.forwarding.alerts import an_alert
from tests.waiting import eventually
from tests.web.dashboard.detecting import EVIL_RULE, RULE, DetectingTrail, case_about, detecting, with_alerts
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from tests.web.dashboard.test_pages import EVIL, _Tags
from tests.web.read_audit.recorded_server import OnRecord, make_topic
from web.dashboard import case_commands


@pytest.fixture(scope="module")
def trail(databases: Databases) -> Iterator[DetectingTrail]:
    with databases.copy(MIGRATED) as url, detecting(url) as trail:
        with_alerts(trail)
        yield trail


@pytest.fixture(scope="module")
def served(
    trail: DetectingTrail, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnRecord]:
    make_topic(broker.bootstrap_servers, "alerts")
    with dashboard(
        trail.url, broker.bootstrap_servers, "alerts", tmp_path_factory.mktemp("issuer")
    ) as served:
        yield served


@pytest.fixture
def officer(served: OnRecord) -> Iterator[Browser]:
    with Browser(served) as browser:
        browser.sign_in("privacy-officer", "/alerts")
        yield browser


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def form_of(page: httpx2.Response, action: str) -> dict[str, str]:
    """The hidden fields of a form of a page."""
    [found] = re.findall(rf'<form[^>]*action="[^"]*{action}"[^>]*>(.*?)</form>', page.text, re.DOTALL)
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', found))


def send(browser: Browser, page: httpx2.Response, action: str, **fields: str) -> httpx2.Response:
    """Fill in a form of a page and send it, as a browser without scripts does."""
    [path] = re.findall(rf'<form[^>]*action="([^"]*{action})"', page.text)
    return browser.post(path, data=form_of(page, action) | fields, headers=FROM_PAGE)


def test_alerts_are_listed_the_newest_first_and_filtered_by_the_address(officer: Browser) -> None:
    page = officer.get("/alerts")
    assert page.status_code == 200
    titles = re.findall(r'href="/alerts/[^"]+"><bdi>([^<]*)', page.text)
    assert "A record was deleted" in titles
    assert unescape(titles[0]) == EVIL
    only = officer.get("/alerts?actor=eve&level=high&state=open&from=2020-01-01")
    assert re.findall(r'href="/alerts/[^"]+"><bdi>([^<]*)', only.text) == ["A record was deleted"]
    assert "No alert is like this" in officer.get("/alerts?state=suppressed").text
    of_rule = officer.get(f"/alerts?rule={RULE}")
    assert "Only alerts of the rule A record was deleted" in words(of_rule.text)
    for wrong, status in (("level=huge", 400), ("state=new", 400), ("from=soon", 400), ("after=x", 409)):
        assert officer.get(f"/alerts?{wrong}").status_code == status


def test_an_open_list_says_how_many_alerts_came_since(officer: Browser, trail: DetectingTrail) -> None:
    page = officer.get("/alerts?level=high")
    [live] = re.findall(r'data-refresh="([^"]+)"', page.text)
    refresh = {"X-Refresh": "1", **FROM_PAGE}
    assert officer.get(unescape(live), headers=refresh).text.strip() == ""
    case_about(trail, "newcomer")
    said = officer.get(unescape(live), headers=refresh)
    assert "1 new alert: show it" in words(said.text)
    assert 'href="/alerts?level=high"' in said.text


def test_an_alert_says_why_and_shows_the_events_of_its_evidence(officer: Browser) -> None:
    page = officer.get("/alerts?actor=eve")
    [path] = re.findall(r'href="(/alerts/[^"?]+)"', page.text)
    alert = officer.get(path)
    text = words(alert.text)
    assert "type has record.deleted" in text
    assert "Open its case" in text
    assert f'href="/rules/{RULE}"' in alert.text
    [evidence] = re.findall(r'aria-label="Events of the evidence".*?</table>', alert.text, re.DOTALL)
    assert evidence.count('href="/events/') == 1
    assert officer.get(f"/alerts/{uuid4()}").status_code == 404


def test_the_event_of_an_alert_leads_to_it(officer: Browser, trail: DetectingTrail) -> None:
    event, claimed = an_alert(), an_alert(source={"service": "ehr"})
    trail.append(event, claimed)
    assert f'href="/alerts/{event.event_id}"' in officer.get(f"/events/{event.event_id}").text
    assert "Open the alert" not in officer.get(f"/events/{claimed.event_id}").text


def test_nothing_of_a_hostile_rule_or_event_can_act_in_a_page(
    officer: Browser, trail: DetectingTrail
) -> None:
    [(alert,)] = trail.rows(f"SELECT alert_id FROM alert WHERE rule_id = '{EVIL_RULE}'")
    [(case,)] = trail.rows(f"SELECT case_id FROM case_alert WHERE alert_id = '{alert}'")
    paths = (
        "/alerts",
        f"/alerts/{alert}",
        "/cases?list=all",
        f"/cases/{case}",
        "/rules",
        f"/rules/{EVIL_RULE}",
    )
    for path in paths:
        page = officer.get(path)
        assert page.status_code == 200, path
        assert "alert(1)" in page.text
        assert "<script>alert" not in page.text
        for tag, attributes in _Tags(page.text).found:
            assert tag not in {"img", "iframe", "style", "object", "embed"}
            assert tag != "script" or attributes["src"] == "/assets/dashboard.js"
            assert not any(name.startswith("on") or name == "style" for name in attributes)
            for name in ("href", "src", "action"):
                assert (attributes.get(name) or "/").startswith(("/", "#"))


def test_a_case_is_assigned_commented_asked_about_answered_and_decided_without_scripts(
    served: OnRecord, officer: Browser, trail: DetectingTrail
) -> None:
    path = case_about(trail, "n.nightshift")
    page = officer.get(path)
    assert "opened the case for an alert" in page.text
    page = send(officer, page, "/assign", assignee="privacy-officer", reason="on duty")
    assert page.status_code == 200
    assert "assigned the case to Paul Privacy" in words(page.text)
    page = send(officer, page, "/comment", text="The record of\r\na <neighbour>?")
    assert "The record of\na &lt;neighbour&gt;?" in page.text
    page = send(officer, page, "/ask", employee="n.nightshift", question="Why did you delete it?")
    assert "has not answered yet" in page.text
    with Browser(served) as nurse:
        mine = nurse.sign_in("n.nightshift", "/questions")
        assert "Why did you delete it?" in mine.text
        assert "neighbour" not in mine.text
        assert nurse.get(path).status_code == 403
        mine = send(nurse, mine, f"/questions/{path.rpartition('/')[2]}", answer="It was a test record.")
        assert "Your answer is recorded." in mine.text
        assert "Nobody asks you anything now." in mine.text
        form = {"command": str(uuid4()), "answer": "One more thing."}
        more = nurse.post(f"/questions/{path.rpartition('/')[2]}", data=form, headers=FROM_PAGE)
        assert more.status_code in {403, 409}
    page = send(
        officer, officer.get(path), "/decide", verdict="justified", reason="A test record.", seconds="40"
    )
    text = words(page.text)
    assert "It was a test record." in text
    assert "Paul Privacy decided: justified, after 40 seconds of review" in text
    assert "Ask the employee" not in text
    assert path not in officer.get("/cases?list=mine").text
    assert path in officer.get("/cases?list=decided").text
    page = send(officer, page, "/reopen", reason="It was not.")
    assert "opened the case again" in page.text
    assert path in officer.get("/cases?list=mine").text


def test_a_form_that_is_sent_twice_does_nothing_twice(officer: Browser, trail: DetectingTrail) -> None:
    page = officer.get(case_about(trail, "twice"))
    for _ in range(2):
        again = send(officer, page, "/comment", text="only once")
        assert again.status_code == 200
        assert again.text.count("only once") == 1
    other = send(officer, page, "/comment", text="another text in the same form")
    assert other.status_code == 409
    assert "this command id was used for another command" in other.text
    assert "another text in the same form</textarea>" in other.text


def test_who_decides_second_sees_what_was_decided_and_keeps_the_text(
    served: OnRecord, officer: Browser, trail: DetectingTrail
) -> None:
    path = case_about(trail, "contested")
    with Browser(served) as other:
        theirs = other.sign_in("second-officer", path)
        mine = officer.get(path)
        done = send(other, theirs, "/decide", verdict="policy_breach", reason="No treatment.")
        assert done.status_code == 200
    late = send(officer, mine, "/decide", verdict="false_alarm", reason="The rule is wrong.")
    assert late.status_code == 409
    text = words(late.text)
    assert "This was not done: this case is decided" in text
    assert "Olaf Officer decided: policy breach" in text
    assert "You wrote: The rule is wrong." in text
    assert trail.rows("SELECT verdict FROM detection_case WHERE actor = 'contested'") == [("policy_breach",)]


def test_what_is_wrong_in_a_form_is_said_and_what_was_typed_stays(
    officer: Browser, trail: DetectingTrail
) -> None:
    page = officer.get(case_about(trail, "careless"))
    empty = send(officer, page, "/decide", verdict="justified", reason="  ")
    assert empty.status_code == 400
    assert "Reason: write at least one word" in words(empty.text)
    assert 'value="justified" required checked' in empty.text
    none = send(officer, page, "/decide", reason="kept <text>")
    assert "Verdict: choose what it was" in words(none.text)
    assert "kept &lt;text&gt;</textarea>" in none.text
    long = send(officer, page, "/assign", assignee="x" * 2000)
    assert long.status_code == 409
    assert officer.post(f"{page.url.path}/comment", data={"text": "x"}, headers=FROM_PAGE).status_code == 400


def test_alerts_like_one_are_suppressed_until_somebody_ends_it(
    officer: Browser, trail: DetectingTrail
) -> None:
    [(alert,)] = trail.rows(f"SELECT alert_id FROM alert WHERE rule_id = '{EVIL_RULE}'")
    page = officer.get(f"/alerts/{alert}")
    fields: dict[str, Any] = {"match.0": "yes", "owner": "privacy-officer", "reason": "a known test"}
    wrong = send(officer, page, "/suppress", days="0", **fields)
    assert wrong.status_code == 400
    assert "Days: write a number from 1 to 365" in words(wrong.text)
    rules = send(officer, page, "/suppress", days="7", **fields)
    _, _, suppressions = rules.text.partition('id="suppressions"')
    assert "a known test" in suppressions
    assert "Paul Privacy" in suppressions
    ended = send(officer, rules, "/end", reason="over")
    assert "Nobody suppresses alerts now." in ended.text


def test_rules_are_listed_with_how_right_they_were_and_their_text(
    officer: Browser, trail: DetectingTrail
) -> None:
    page = officer.get(case_about(trail, "judged"))
    send(officer, page, "/decide", verdict="policy_breach", reason="yes")
    rules = officer.get("/rules")
    row = next(each for each in re.findall(r"<tr.*?</tr>", rules.text, re.DOTALL) if f"/rules/{RULE}" in each)
    assert re.search(r"\d+ % of \d+ case", words(row))
    one = officer.get(f"/rules/{RULE}")
    assert "detection: {deleted: {type: record.deleted}" in unescape(one.text)
    assert officer.get(f"/rules/{uuid4()}").status_code == 404


@pytest.mark.parametrize(
    ("persona", "allowed"),
    [
        ("auditor", {"/alerts", "/cases", "/rules", "/questions"}),
        ("privacy-officer", {"/alerts", "/cases", "/rules", "/questions"}),
        ("security-officer", {"/alerts", "/cases", "/rules", "/questions"}),
        ("reviewer", {"/alerts", "/cases", "/rules", "/questions"}),
        ("n.nightshift", {"/questions"}),
        ("analyst", {"/questions"}),
        ("operator", {"/questions"}),
        ("patient-1007", {"/questions"}),
    ],
)
def test_each_role_gets_the_pages_of_its_rights(served: OnRecord, persona: str, allowed: set[str]) -> None:
    with Browser(served) as browser:
        start = browser.sign_in(persona)
        _, _, navigation = start.text.partition("<nav")
        for path in ("/alerts", "/cases", "/rules", "/questions"):
            status = browser.get(path).status_code
            assert status == (200 if path in allowed else 403), path
            linked = f'href="{path}"' in navigation.partition("</nav>")[0]
            assert linked == (path in allowed and (path != "/questions" or persona == "n.nightshift")), path


def test_the_overview_says_how_many_cases_are_open_to_those_who_may_see_them(
    served: OnRecord, officer: Browser
) -> None:
    text = words(officer.get("/").text)
    assert re.search(r"\d+ Open cases: 1 critical, \d+ high", text)
    assert (
        'href="/cases?list=open"' in officer.get("/?part=live", headers={"X-Refresh": "1", **FROM_PAGE}).text
    )
    with Browser(served) as analyst:
        assert "Open cases" not in analyst.sign_in("analyst").text


def test_an_auditor_sees_a_case_and_has_no_form_of_it(served: OnRecord, trail: DetectingTrail) -> None:
    path = case_about(trail, "audited")
    with Browser(served) as auditor:
        page = auditor.sign_in("auditor", path)
        assert "What happened" in page.text
        assert f'action="{path}' not in page.text
        form = {"command": str(uuid4()), "verdict": "justified", "reason": "no"}
        assert auditor.post(f"{path}/decide", data=form, headers=FROM_PAGE).status_code == 403
        assert (
            auditor.post(f"{path}/decide", data=form, headers={"Sec-Fetch-Site": "cross-site"}).status_code
            == 403
        )
    assert trail.rows("SELECT state FROM detection_case WHERE actor = 'audited'") == [("open",)]


def test_nobody_decides_about_themselves(served: OnRecord, trail: DetectingTrail) -> None:
    path = case_about(trail, "privacy-officer")
    with Browser(served) as browser:
        page = browser.sign_in("privacy-officer", path)
        assert "This case is about you" in page.text
        assert f'action="{path}' not in page.text
        form = {"command": str(uuid4()), "verdict": "justified", "reason": "it was me"}
        assert browser.post(f"{path}/decide", data=form, headers=FROM_PAGE).status_code == 403
    reviewed = case_about(trail, "reviewer")
    with Browser(served) as reviewer:
        reviewer.sign_in("reviewer")
        assert reviewer.get(reviewed).status_code == 404


def test_what_is_read_is_on_record_with_the_page(served: OnRecord, trail: DetectingTrail) -> None:
    path = case_about(trail, "watched")
    with Browser(served) as browser:
        browser.sign_in("security-officer", path)
        reads = [each for each in served.events() if each.type == "audit_log.read"]
        assert any(each.request is not None and each.request.path == path for each in reads)


def test_what_was_sent_while_ingest_was_away_is_done_later_and_its_page_says_so(
    databases: Databases,
    broker: Broker,
    topic: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(case_commands, "_SECONDS", 0.1)
    with (
        databases.copy(MIGRATED) as url,
        detecting(url, working=False) as trail,
        dashboard(url, broker.bootstrap_servers, topic, tmp_path) as served,
        Browser(served) as officer,
    ):
        with trail.working():
            with_alerts(trail)
            path = case_about(trail, "patience")
        page = officer.sign_in("privacy-officer", path)
        sent = [
            send(officer, page, "/decide", verdict="justified", reason="the first"),
            send(officer, officer.get(path), "/decide", verdict="policy_breach", reason="the second"),
        ]
        for each in sent:
            assert "This is stored and not done yet" in each.text
        with trail.working():
            eventually(lambda: bool(trail.rows("SELECT FROM detection_case WHERE state = 'decided'")))
            eventually(lambda: "not done yet" not in officer.get(str(sent[1].url)).text)
        assert "This was not done" not in officer.get(str(sent[0].url)).text
        assert "This was not done: this case is decided" in officer.get(str(sent[1].url)).text
        with Browser(served) as other:
            # What became of a command is told to the person who gave it.
            assert (
                "This was not done"
                not in other.sign_in("security-officer", sent[1].url.raw_path.decode()).text
            )
