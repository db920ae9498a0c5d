"""What the pages show to whom, that nothing of an event can act in them, and what is recorded of a look."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest

from audit_trail.embedded.broker import Broker
from dashboard.explorer.starter_views import STARTER_VIEWS
from dashboard.links import subject
from domain.event import (
    Actor,
    AuditEvent,
    Change,
    Client,
    Coding,
    Device,
    Disclosure,
    Patient,
    Request,
    Resource,
    Source,
)
from tests.databases import PROJECTED, Databases
from tests.hospital import event, hospital, record
from tests.web.dashboard.letters import reject
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from tests.web.read_audit.recorded_server import OnRecord, make_topic
from web.http.page_paths import POLICY

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}${7*7}javascript:alert(3)"
HOSTILE = UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a66")
NOW = UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a67")
PERSONAS = (
    "auditor", "privacy-officer", "security-officer", "analyst", "n.nightshift", "patient-1007", "device-manager",
    "service-owner", "operator",
)  # fmt: skip
PAGES = (
    "/", "/explore?from=2026-03-01&to=2026-03-01", f"/events/{HOSTILE}", "/patients/17", subject("user", "ada"),
    "/devices/pump-1", "/services/vitals", "/resource?type=Patient&id=17", "/operations", "/find", "/views", "/exports",
    "/operations/dead-letters", "/operations/dead-letters/1",
)  # fmt: skip
LETTERS = set(PAGES[-2:])


def hostile() -> AuditEvent:
    """An event with an attack in every field that takes a text."""
    return event(
        "record.updated",
        12,
        event_id=HOSTILE,
        source=Source(service=EVIL, site=EVIL, instance=EVIL),
        actor=Actor(id=EVIL, name=EVIL, roles=(EVIL,), on_behalf_of=EVIL),
        outcome="serious_failure",
        outcome_reason=EVIL,
        session=EVIL,
        client=Client(address=EVIL, user_agent=EVIL),
        patients=(Patient(id=EVIL, name=EVIL),),
        device=Device(id=EVIL, name=EVIL, software_version=EVIL, configuration_version=EVIL),
        resources=(Resource(type=EVIL, id=EVIL, version=EVIL, data_category=EVIL),),
        changes=(Change(path=EVIL, before=EVIL, after={EVIL: [EVIL]}),),
        purpose_of_use=(EVIL,),
        reason=EVIL,
        correlation_id=EVIL,
        request=Request(method="GET", path=EVIL),
        disclosure=Disclosure(recipient=EVIL, recipient_address=EVIL, description=EVIL, purpose=EVIL),
        codes=(Coding(system=EVIL, code=EVIL, display=EVIL),),
        attributes={EVIL: EVIL},
    )


@pytest.fixture(scope="module")
def served(
    databases: Databases, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnRecord]:
    """One dashboard for the whole file."""
    make_topic(broker.bootstrap_servers, "pages")
    with databases.copy(PROJECTED) as url:
        today = AuditEvent(
            event_id=NOW,
            type="user.login_failed",
            occurred_at=datetime.now(UTC),
            source=Source(service="patient-service"),
            actor=Actor(id="ada"),
        )
        record(url, [*hospital(), hostile(), today])
        reject(url, EVIL.encode(), text=EVIL)
        with dashboard(url, broker.bootstrap_servers, "pages", tmp_path_factory.mktemp("issuer")) as served:
            yield served


class _Tags(HTMLParser):
    """Collects what could act or load: tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    "path", [*PAGES, f"/patients/{quote(EVIL, safe='')}", f"/explore?actor={quote(EVIL)}"]
)
def test_nothing_of_an_event_can_act_in_a_page(served: OnRecord, path: str) -> None:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        page = browser.get(path)
        assert page.status_code == 200
        assert page.headers["content-security-policy"] == POLICY
        assert len(page.content) < 150_000
        for tag, attributes in _Tags(page.text).found:
            assert tag not in {"img", "iframe", "style", "object", "embed"}
            assert tag != "script" or attributes["src"] == "/assets/dashboard.js"
            assert not any(name.startswith("on") or name == "style" for name in attributes)
            for name in ("href", "src", "action"):
                assert (attributes.get(name) or "/").startswith(("/", "#"))
        assert "alert(1)" not in page.text.replace("&lt;script&gt;alert(1)&lt;/script&gt;", "").replace(
            "%3Cscript%3Ealert%281%29%3C%2Fscript%3E", ""
        )


ALLOWED: dict[str, set[str]] = {
    "auditor": set(PAGES),
    "privacy-officer": set(PAGES),
    "security-officer": set(PAGES) - LETTERS,
    "analyst": set(PAGES) - LETTERS,
    "n.nightshift": {PAGES[0], PAGES[1], "/find", "/views", "/exports"},
    "patient-1007": {PAGES[0], PAGES[1], "/find", "/views", "/exports"},
    "device-manager": {PAGES[0], PAGES[1], "/devices/pump-1", "/find", "/views", "/exports"},
    "service-owner": {PAGES[0], PAGES[1], "/find", "/views", "/exports"},
    "operator": {PAGES[0], "/operations", "/find"} | LETTERS,
}


@pytest.mark.parametrize("persona", PERSONAS)
def test_each_role_gets_the_pages_of_its_rights(served: OnRecord, persona: str) -> None:
    with Browser(served) as browser:
        browser.sign_in(persona)
        for path in PAGES:
            status = browser.get(path).status_code
            assert (status == 200) is (path in ALLOWED[persona]), path
            # 404: an event outside of the scope does not exist for this person.
            assert status in {200, 403, 404}


def test_a_role_that_sees_no_names_finds_none_on_any_page(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("analyst")
        for path in PAGES:
            text = browser.get(path).text
            assert "Ada Example" not in text
            assert "Bob Example" not in text
            assert "cardiac arrest" not in text


def test_every_link_of_the_navigation_opens(served: OnRecord) -> None:
    for persona in PERSONAS:
        with Browser(served) as browser:
            page = browser.sign_in(persona)
            links = [
                attributes["href"]
                for tag, attributes in _Tags(page.text.partition("<nav")[2].partition("</nav>")[0]).found
                if tag == "a"
            ]
            assert links
            for link in links:
                opened = browser.get(str(link))
                # Nora Nightshift has done nothing in this trail.
                assert opened.status_code == 200 or persona in {"n.nightshift", "patient-1007"}


def test_the_overview_counts_the_last_day(served: OnRecord) -> None:
    with Browser(served) as browser:
        text = browser.sign_in("auditor").text
    assert "<strong>1</strong> Failed sign-ins" in text
    assert "<strong>0</strong> Break-glass" in text


def test_a_live_update_of_counts_is_recorded_once_an_interval(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        session = served.events(1)[-1].session

        def looks() -> int:
            return sum(each.session == session and each.type == "audit_log.read" for each in served.events())

        first = looks()
        for _ in range(3):
            part = browser.get("/?part=live", headers={"X-Refresh": "1", **FROM_PAGE})
            assert part.status_code == 200
            assert "<html" not in part.text
            assert "Actors" not in part.text  # what is not recorded names nobody
        assert looks() == first + 1
        page = browser.get("/", headers={"X-Refresh": "1", **FROM_PAGE})
        assert "Actors" in page.text
        assert looks() == first + 2


def test_the_number_of_matches_is_that_of_the_whole_range(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        page = browser.get("/explore?from=2026-03-01&to=2026-03-01&actor=ada")
        assert "6 events match" in page.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("nonsense=1", "no such filter"),
        ("from=yesterday", "write a day as 2026-03-31"),
        ("from=2026-03-02&to=2026-03-01", "the range ends before it begins"),
        ("from=2026-03-01T08:00", "write the time with its offset"),
        ("type=record.raed", "record.read"),
        ("after=x", "not a cursor"),
    ],
)
def test_a_wrong_address_says_what_is_wrong(served: OnRecord, query: str, said: str) -> None:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        page = browser.get(f"/explore?{query}")
        assert page.status_code in {400, 409}
        assert said in page.text
        assert "<h1>" in page.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("purpose=TREAT&from=2020-01-01&to=2026-03-02", "range of times"),
        ("resource_id=17", "resource type: the id of a resource needs its type too"),
    ],
)
def test_a_query_that_cannot_be_answered_says_what_to_add(served: OnRecord, query: str, said: str) -> None:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        page = browser.get(f"/explore?{query}")
        assert page.status_code == 200
        assert "can't be answered" in page.text
        assert said in page.text


def test_the_stored_bytes_are_for_those_who_see_all(served: OnRecord) -> None:
    for persona, status in (("auditor", 200), ("analyst", 403), ("patient-1007", 403)):
        with Browser(served) as browser:
            browser.sign_in(persona)
            answer = browser.get(f"/events/{HOSTILE}/stored")
            assert answer.status_code == status
            assert answer.headers["content-type"].startswith(
                "application/octet-stream" if status == 200 else "text/html"
            )


def test_an_id_with_any_letter_has_a_page(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        for id in ("a/b", "a\nb", "é ü", "%2e%2e", "?x=1#y"):
            page = browser.get(f"/patients/{quote(id, safe='')}")
            assert page.status_code == 404
            assert "Nothing is recorded under this id" in page.text


def test_the_files_of_the_pages_need_no_session(served: OnRecord) -> None:
    with Browser(served) as browser:
        for file in ("dashboard.css", "dashboard.js", "verify.js", "icon.svg"):
            answer = browser.get(f"/assets/{file}")
            assert answer.status_code == 200
            assert answer.headers["content-security-policy"] == POLICY
        assert browser.get("/assets/../../setup.cfg", follow_redirects=False).status_code in {303, 401, 404}


def test_a_program_gets_problem_details_where_a_browser_gets_pages(served: OnRecord) -> None:
    with Browser(served) as browser:
        answer = browser.get("/", headers={"Accept": "*/*"})
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


def test_a_device_has_its_configuration_of_any_day(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("device-manager")
        assert "<td>limit</td><td>7</td>" in browser.get("/devices/pump-1").text
        before = browser.get("/devices/pump-1?at=2026-02-28").text
        assert "<td>limit</td><td>5</td><td>before its first change</td>" in before
        compared = browser.get("/devices/pump-1?at=2026-03-01&compared=2026-02-28").text
        assert "<td>limit</td><td>7</td><td>5</td>" in compared
        assert (
            "There is no difference" in browser.get("/devices/pump-1?at=2026-03-01&compared=2026-03-02").text
        )
        assert "at: write a day" in browser.get("/devices/pump-1?at=tomorrow").text


def test_a_patient_questions_an_access_to_the_own_record(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("patient-17")
        page = browser.get("/patients/17")
        [link] = [
            str(attributes["href"]).removesuffix("#question")
            for tag, attributes in _Tags(page.text).found
            if tag == "a" and str(attributes.get("href", "")).startswith("/events/")
        ][-1:]
        assert "I don't recognise this" in browser.get(link).text
        assert browser.post(f"{link}/question", data={"text": " "}, headers=FROM_PAGE).status_code == 400
        said = "Nobody treated me that day: <b>who</b> was it?"
        answer = browser.post(f"{link}/question", data={"text": said}, headers=FROM_PAGE)
        assert "Your question is recorded" in answer.text
    [asked] = [each for each in served.events(1) if each.type == "access.questioned"]
    assert (asked.reason, asked.actor.id, [each.id for each in asked.patients]) == (
        said,
        "patient-17",
        ["17"],
    )
    assert link.endswith(asked.resources[0].id)
    with Browser(served) as browser:
        browser.sign_in("auditor")
        assert browser.post(f"{link}/question", data={"text": "x"}, headers=FROM_PAGE).status_code == 404


def test_every_view_to_begin_with_opens(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        for view in STARTER_VIEWS:
            page = browser.get(view.link)
            assert page.status_code == 200, view.name
            assert "can't be answered" not in page.text, view.name


def test_a_cell_leads_to_events_with_and_without_its_value(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        path = "/explore?from=2026-03-01&to=2026-03-01"
        page = browser.get(path)
        [total] = re.findall(r"([0-9]+) events match", page.text)
        for name in ("Only Bob Example", "Without Bob Example"):
            [pressed] = {
                (str(attributes["name"]), str(attributes["value"]))
                for tag, attributes in _Tags(page.text).found
                if tag == "button" and attributes.get("aria-label") == name
            }
            shown = browser.get(f"{path}&{urlencode([pressed])}")
            [count] = re.findall(r"([0-9]+) events match", shown.text)
            assert int(count) == (2 if pressed[0] == "only" else int(total) - 2)
            assert shown.url.query == (
                b"actor=bob&from=2026-03-01&to=2026-03-01"
                if pressed[0] == "only"
                else b"not_actor=bob&from=2026-03-01&to=2026-03-01"
            )


def test_an_address_with_too_many_parameters_is_refused_before_anything_is_made_of_it(
    served: OnRecord,
) -> None:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        for query in ("user=1&" * 101, "zone=UTC&zone=UTC", "resource_type=a&resource_type=b"):
            page = browser.get(f"/explore?{query}")
            assert page.status_code == 400
            assert len(page.content) < 10_000


@pytest.mark.parametrize(
    "path",
    [
        "/explore?from=0001-01-01T00:00:00Z&zone=America/New_York",
        "/explore?to=9999-12-31T23:59:59Z&zone=Asia/Tokyo",
        "/explore?to=9999-12-31",
        "/devices/pump-1?at=0001-01-01T00:00:00Z",
    ],
)
def test_a_time_that_no_event_can_have_is_refused(served: OnRecord, path: str) -> None:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        page = browser.get(path)
        assert page.status_code == 400
        assert "from 1970 to 2199" in page.text


def test_a_page_that_refuses_is_kept_by_no_cache_and_by_no_frame(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("patient-1007")
        page = browser.get("/patients/17")
        assert page.status_code == 403
        for name, value in (("cache-control", "no-store"), ("x-content-type-options", "nosniff")):
            assert page.headers[name] == value
        assert page.headers.get_list("content-security-policy") == [POLICY]


def test_hidden_values_are_called_hidden(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("analyst")
        assert "<td>limit</td><td>hidden</td>" in browser.get("/devices/pump-1").text
        compared = browser.get("/devices/pump-1?at=2026-03-01&compared=2026-02-28").text
        assert "Values are hidden from your role" in compared


def test_no_other_path_is_a_page(served: OnRecord) -> None:
    with Browser(served) as browser:
        for path in ("/metrics", "/explorex", "/meow", "/findings", "/operations/x"):
            answer = browser.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
