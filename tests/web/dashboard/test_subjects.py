"""The pages of one event, patient, user, device, service and resource, and those of the own record and activity."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from urllib.parse import quote

import pytest

from audit_trail.embedded.broker import Broker
from dashboard.links import subject
from tests.databases import PROJECTED, Databases
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from tests.web.dashboard.subject_trail import (
    ANSWER,
    CHANGED,
    FOREIGN,
    MESSAGE,
    NATIVE_ODD,
    QUESTION,
    READ,
    WORDS,
    record_subjects,
)
from tests.web.read_audit.recorded_server import OnRecord, make_topic

HIDDEN_MESSAGE = "Only a reader who sees all of every event"


@pytest.fixture(scope="module")
def served(
    databases: Databases, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnRecord]:
    """One dashboard for the whole file."""
    make_topic(broker.bootstrap_servers, "subjects")
    with databases.copy(PROJECTED) as url:
        record_subjects(url)
        folder = tmp_path_factory.mktemp("issuer")
        with dashboard(url, broker.bootstrap_servers, "subjects", folder) as served:
            yield served


@pytest.fixture(scope="module")
def auditor(served: OnRecord) -> Iterator[Browser]:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        yield browser


def text_of(page: str) -> str:
    """The words of a page, as a person reads them."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page)))


def section(page: str, name: str) -> str:
    """The part of a page under the heading `name`."""
    [part] = [each for each in re.split(r"<h2[^>]*>", page)[1:] if unescape(each).startswith(f"{name}</h2>")]
    return part


def link(page: str, text: str) -> str:
    """The address behind the only link with this text."""
    [found] = set(re.findall(rf'<a href="([^"]+)"[^>]*>{re.escape(text)}', page))
    return unescape(str(found))


def matches(page: str) -> int:
    [number] = re.findall(r"([0-9]+) events match", page)
    return int(number)


def test_an_event_shows_the_message_as_it_was_received(auditor: Browser) -> None:
    page = auditor.get(f"/events/{FOREIGN}").text
    part = section(page, "The message as it was received")
    assert "FHIR AuditEvent, R4" in part
    assert "\n  &#34;value&#34;: 1.50,\n  &#34;note&#34;: &#34;größer&#34;\n" in part
    assert "<dt>ce_id</dt><dd>one\\xff</dd>" in part
    answer = auditor.get(link(page, "Download the exact bytes"))
    assert (answer.content, answer.headers["content-type"]) == (MESSAGE, "application/octet-stream")


def test_the_message_is_for_those_who_see_all_of_the_event(served: OnRecord) -> None:
    for persona in ("analyst", "security-officer", "patient-17"):
        with Browser(served) as browser:
            browser.sign_in(persona)
            page = browser.get(f"/events/{FOREIGN}").text
            assert HIDDEN_MESSAGE in page
            assert "größer" not in page
            assert browser.get(f"/events/{FOREIGN}/message").status_code == 403


def test_a_change_marks_what_only_one_side_has(auditor: Browser) -> None:
    part = section(auditor.get(f"/events/{CHANGED}").text, "What changed")
    assert "Allergic to <del>penicillin</del> since 1990." in part
    assert "Allergic to <ins>amoxicillin</ins> since 1990." in part
    assert "[\n  &#34;a&#34;,\n<ins>  &#34;c&#34;\n</ins>]" in part


def test_the_link_to_a_session_leads_to_all_of_it(auditor: Browser) -> None:
    newest = auditor.get("/explore?session=s-long&from=2026-03-01&to=2026-03-01").text
    page = auditor.get(re.findall(r'href="(/events/[^"]+)"', newest)[0]).text
    part = section(page, "The same session")
    assert "These are the newest 10." in part
    assert matches(auditor.get(link(part, "All of the same session")).text) == 12


def test_an_event_says_how_somebody_else_can_check_it(auditor: Browser) -> None:
    page = auditor.get(f"/events/{FOREIGN}").text
    [position] = re.findall(r"aics-tlog verify-inclusion .* --index ([0-9]+)", page)
    assert auditor.get(f"/v1/events/{FOREIGN}/proof").text.split("\n")[2] == f"index {position}"
    assert auditor.get(f"/events/{FOREIGN}/stored").content.endswith(MESSAGE)


def test_a_patients_page_says_who_in_which_role_how_often_and_why(auditor: Browser) -> None:
    page = auditor.get("/patients/17").text
    [row] = [each for each in section(page, "Who accessed the record").split("<tr>") if "Nina Nurse" in each]
    assert text_of(row).split(" nurse ")[1].split() == [
        *("3", "3", "TREAT", "2026-03-01", "09:00:00", "2026-03-01", "10:10:00"),
    ]
    assert "break-glass: 1" in row
    assert "no purpose: 2" in row
    assert "he collapsed" in section(page, "Break-glass")
    assert "Ada Example changed" in section(page, "Changes of the record")
    assert "events by day" in section(page, "By day")


def test_a_patients_page_shows_a_range_of_times(auditor: Browser) -> None:
    begin = quote("2026-03-01T09:01+00:00")
    page = auditor.get(f"/patients/17?from={begin}&to=2026-03-01").text
    assert "5 events by 4 people or programs in this time" in page
    rows = section(page, "Who accessed the record").split("<tr>")
    [row] = [each for each in rows if "Nina Nurse" in each]
    assert text_of(row).split(" nurse ")[1].split()[:3] == ["2", "2", "TREAT"]
    assert "break-glass: 1" not in row
    assert "There was no break-glass access." in page
    assert matches(auditor.get(link(page, "All events")).text) == 5
    for wrong in ("from=2026-03-02&to=2026-03-01", "from=x"):
        assert auditor.get(f"/patients/17?{wrong}").status_code == 400


def test_a_range_in_which_nothing_happened_says_so(auditor: Browser) -> None:
    page = auditor.get("/patients/17?from=2025-03-01&to=2025-03-02").text
    assert "Nothing is recorded in this time." in page
    assert "The oldest event" not in page
    assert "By day" not in page


def test_every_list_that_is_cut_leads_to_all(auditor: Browser) -> None:
    part = section(auditor.get(subject("user", "ada")).text, "The newest events")
    assert "These are the newest 20." in part
    everything = auditor.get("/explore?user=ada&from=2026-01-01&to=2026-12-31").text
    assert matches(auditor.get(link(part, "All of them")).text) == matches(everything) > 20


@pytest.mark.parametrize(
    "path",
    [
        "/patients/17",
        subject("user", "ada"),
        "/devices/pump-1",
        "/services/vitals",
        "/resource?type=Note&id=n/1",
    ],
)
def test_every_page_says_its_zone_its_freshness_and_its_oldest_event(auditor: Browser, path: str) -> None:
    joined = "&" if "?" in path else "?"
    text = text_of(auditor.get(f"{path}{joined}zone=Asia/Tokyo").text)
    assert re.search(r"The oldest event that this page can show is from 2026-03-01 1[78]:", text)
    assert re.search(r"Complete up to position [0-9]+ ?\. Times are in Asia/Tokyo", text)


def test_a_user_has_hours_sessions_failed_sign_ins_patients_and_exports(auditor: Browser) -> None:
    page = auditor.get(f"{subject('user', 'ada')}?zone=Asia/Tokyo").text
    heat = section(page, "Activity by day of the week and hour")
    sunday = heat.partition("Sunday")[2].partition("</tr>")[0]
    counts = re.findall(r"<td class=\"heat[0-4]\">.*?([0-9]+)<", sunday)
    # 8 o'clock in UTC is 17 o'clock there.
    assert {hour: count for hour, count in enumerate(counts) if count != "0"} == {17: "6", 18: "17"}
    assert matches(auditor.get(unescape(re.findall(r'href="([^"]+)"', sunday)[1])).text) == 17
    [session] = [each for each in section(page, "Sessions").split("<tr>") if ">s-1<" in each]
    assert "1:29:00" in session
    assert "ended without a sign-out: no use for 30 minutes" in session
    assert "Ada Example failed to log in" in section(page, "Failed sign-ins")
    assert "exported" in section(page, "Exports and disclosures")
    assert ">17<" in section(page, "Patients")


def test_a_device_has_its_connections_and_versions(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("device-manager")
        page = browser.get("/devices/pump-1").text
        connections = text_of(section(page, "Connections"))
        assert connections.index("disconnected") < connections.rindex("connected")
        assert ["<td>2.0</td>" in section(page, "Versions"), "<td>1.0</td>" in page] == [True, True]


def test_a_service_has_its_periods_restarts_failed_checks_and_calls(auditor: Browser) -> None:
    page = auditor.get("/services/vitals").text
    assert re.findall(r'<rect class="(\w+)"', section(page, "Up and down over time"))
    assert "0:01:00" in section(page, "Up and down")
    assert "vitals restarted" in section(page, "Starts, stops and restarts")
    assert "vitals failed its health check" in section(page, "Failed health checks")
    assert "1 events by hour" in text_of(section(page, "Calls of its API by hour"))
    outcomes = section(page, "Calls by outcome")
    assert matches(auditor.get(link(outcomes, "Success")).text) == 1


def test_a_service_says_which_of_its_events_are_missing(auditor: Browser) -> None:
    page = auditor.get("/services/vitals").text
    assert text_of(section(page, "Missing events")).startswith(
        "Missing events Instance Numbers Missing Noticed one 1 to 2 2 events "
    )
    assert text_of(section(page, "Numbers of more than one event")).endswith("Instance Numbers one 3 ")
    assert " one 3 2 2026-03-01 " in text_of(section(page, "Instances that number their events"))
    silent = auditor.get("/services/patient-service").text
    assert "Missing events</h2>" not in silent


def test_a_resource_has_its_history_field_by_field(auditor: Browser) -> None:
    page = auditor.get("/resource?type=Note&id=n/1").text
    assert "Allergic to amoxicillin" in section(page, "text")
    assert "Ada Example (ada)" in section(page, "text")
    assert "2 changes of all fields" in page
    one = auditor.get("/resource?type=Note&id=n/1&field=tags").text
    assert "1 change of the field tags" in one
    assert "penicillin" not in one.partition("The newest events")[0]
    assert auditor.get("/resource?type=Note&id=n/1&after=x").status_code == 409


def test_the_own_record_is_in_plain_words_and_each_row_can_be_questioned(served: OnRecord) -> None:
    with Browser(served) as browser:
        page = browser.sign_in("patient-17", "/patients/17").text
        rows = section(page, "What happened, newest first").split("<tr>")
        [row] = [each for each in rows if f'"/events/{READ}"' in each]
        assert "Somebody (nurse) read your record (Observation o-17), in an emergency" in text_of(row)
        assert "no reason was given" in row
        form = browser.get(link(row, "I don't recognise this"))
        assert 'id="question"' in form.text
        for jargon in ("record.read", "break-glass", "TREAT", "Nina"):
            assert jargon not in page
        [question] = [each for each in rows if f'"/events/{QUESTION}"' in each]
        assert "You asked about an access to your record" in text_of(question)
        assert "recognise" not in question


def test_the_own_questions_stand_with_their_answers(served: OnRecord) -> None:
    with Browser(served) as browser:
        page = browser.sign_in("patient-17", "/patients/17").text
        part = section(page, "The questions that you asked")
        assert WORDS in part
        assert "decided who may see the names of staff in your record" in part
        assert ANSWER not in page  # what staff wrote is hidden from patients; that there is an answer is not
        assert "Paul Privacy" not in part
    with Browser(served) as browser:
        assert "The questions that you asked" not in browser.sign_in("ada", "/me").text


def test_nobody_asks_about_a_question(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("patient-17")
        page = browser.get(f"/events/{QUESTION}")
        assert (page.status_code, "Is this right?" in page.text) == (200, False)
        answer = browser.post(f"/events/{QUESTION}/question", data={"text": "why?"}, headers=FROM_PAGE)
        assert answer.status_code == 404


def test_the_own_activity_is_in_plain_words(served: OnRecord) -> None:
    with Browser(served) as browser:
        page = browser.sign_in("ada", "/me").text
        assert "<h1>My activity</h1>" in page
        did = text_of(section(page, "What you did, newest first"))
        assert "You copied out the record of patient 17" in did
        assert "I don't recognise this" in did
        assert "for treatment" in did
        assert '<a href="/patients/' not in page  # a clinician has no pages of patients


@pytest.mark.parametrize("id", NATIVE_ODD)
def test_an_id_that_a_path_cannot_hold_has_its_pages(auditor: Browser, id: str) -> None:
    for kind, title in (("patient", f"Patient {id}"), ("user", f"User {id}")):
        address = subject(kind, id)
        page = auditor.get(address)
        assert page.status_code == 200, address
        assert f"<h1>{title}</h1>" in page.text
        found = auditor.get(f"/find?kind={kind}&id={quote(id, safe='')}")
        assert f"<h1>{title}</h1>" in found.text


def test_a_page_without_an_id_asks_for_one(auditor: Browser) -> None:
    for path in ("/patients", "/patients/", "/users?id=", "/devices", "/services/"):
        page = auditor.get(path)
        assert page.status_code == 400, path
        assert "give an id" in page.text
