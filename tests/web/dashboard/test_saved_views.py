"""Views that people save, share and delete on the pages, and what the trail has of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from html import unescape
from urllib.parse import urlencode

import httpx2
import psycopg2
import pytest

from audit_trail.embedded.broker import Broker
from audit_trail.serving.development_pages import PERSONAS, Persona
from domain.event import AuditEvent
from tests.databases import HOSPITAL, Databases
from tests.hospital import record
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from tests.web.read_audit.recorded_server import OnRecord, make_topic

DAY = "from=2026-03-01&to=2026-03-01"
TYPES = ("view.saved", "view.changed", "view.deleted")
EVIL = "\"'><script>alert(1)</script>{{7*7}}"
RIGHT_TO_LEFT = "\u202eseman\u202c \u05e9\u05dc\u05d5\u05dd"
SENT = "sent to the trail"
PERSONAS["second-auditor"] = Persona("A second auditor", {"roles": ["auditor"], "name": "Sam Second"})


class Views:
    """A dashboard, its database, and people who have signed in."""

    def __init__(self, served: OnRecord, url: str, stack: ExitStack) -> None:
        self.served = served
        self._url = url
        self._stack = stack
        self._people: dict[str, Browser] = {}
        self._recorded = 0

    def of(self, persona: str) -> Browser:
        if persona not in self._people:
            browser = self._stack.enter_context(Browser(self.served))
            browser.sign_in(persona)
            self._people[persona] = browser
        return self._people[persona]

    def events(self) -> list[AuditEvent]:
        """What was published about views, and not recorded before."""
        return [each for each in self.served.events() if each.type in TYPES][self._recorded :]

    def ingest(self) -> list[AuditEvent]:
        """Do as ingest and the projector do."""
        new = self.events()
        if new:
            record(self._url, new)
        self._recorded += len(new)
        return new

    def post(self, persona: str, path: str = "/views", **form: str) -> httpx2.Response:
        return self.of(persona).post(path, data=form, headers=FROM_PAGE)

    def own(self, persona: str) -> dict[str, tuple[str, str]]:
        """Path and version of the own views, by name."""
        page = self.of(persona).get("/views").text.partition("Shared with me")[0]
        return {
            unescape(name): (path, version)
            for name, path, version in re.findall(
                r'<h3><a[^>]*><bdi>(.*?)</bdi>.*?action="(/views/[0-9a-f-]{36})">.*?name="version" value="([0-9]+)"',
                page,
                re.DOTALL,
            )
        }

    def saved(self, persona: str, name: str, filter: str = f"type=record.read&{DAY}", **form: str) -> None:
        answer = self.post(persona, name=name, filter=filter, **form)
        assert SENT in answer.text
        self.ingest()


@pytest.fixture(scope="module")
def views(databases: Databases, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Views]:
    """One dashboard for the whole file."""
    make_topic(broker.bootstrap_servers, "views")
    with (
        databases.copy(HOSPITAL) as url,
        dashboard(url, broker.bootstrap_servers, "views", tmp_path_factory.mktemp("issuer")) as served,
        ExitStack() as stack,
    ):
        yield Views(served, url, stack)


def test_a_view_is_listed_once_the_trail_has_recorded_it_and_not_before(views: Views) -> None:
    page = views.of("auditor").get(f"/explore?type=record.read&{DAY}&after=&order=oldest")
    kept, *_ = re.findall(r'<input type="hidden" name="filter" value="([^"]*)">', page.text)
    assert unescape(kept) == f"type=record.read&{DAY}"
    answer = views.post("auditor", name="Reads", shared_with="", filter=unescape(kept))
    assert answer.url.path == "/views"
    assert SENT in answer.text
    assert "Reads" not in views.own("auditor")
    [saved] = views.ingest()
    assert (saved.type, saved.actor.id, saved.source.service) == ("view.saved", "auditor", "audit-trail")
    assert "Reads" in views.own("auditor")
    page = views.of("auditor").get("/explore")
    [link] = re.findall(r'<a href="([^"]+)"><bdi>Reads</bdi>', page.text)
    assert "4 events match" in views.of("auditor").get(unescape(link)).text
    assert "Reads" not in views.of("privacy-officer").get("/views").text


def test_a_view_is_shared_with_a_role_and_gives_no_right_to_events(views: Views) -> None:
    views.saved("n.nightshift", "Ours", shared_with="clinician")
    assert "Ours" in views.own("n.nightshift")
    for persona in ("auditor", "patient-1007", "device-manager"):
        for path in ("/views", "/explore"):
            assert "Ours" not in views.of(persona).get(path).text
    page = views.of("n.nightshift").get(f"/explore?type=record.read&{DAY}")
    assert "Nothing matches" in page.text
    path, version = views.own("n.nightshift")["Ours"]
    assert SENT in views.post("n.nightshift", path, name="Ours", shared_with="", version=version).text
    [changed] = views.ingest()
    assert [(each.path, each.before, each.after) for each in changed.changes] == [
        ("shared_with", "clinician", None)
    ]


def test_two_people_of_a_role_share_and_only_the_owner_changes(views: Views) -> None:
    views.saved("auditor", "For auditors", shared_with="auditor")
    views.saved("auditor", "For myself")
    second = views.of("second-auditor")
    for path in ("/views", "/explore"):
        text = second.get(path).text
        assert "For auditors" in text
        assert "by <bdi>auditor</bdi>" in text
        assert "For myself" not in text
        assert "For auditors" not in views.of("analyst").get(path).text
    path, version = views.own("auditor")["For auditors"]
    assert "For auditors" not in views.own("second-auditor")
    for persona in ("second-auditor", "analyst", "patient-1007"):
        for form in ({"name": "Stolen"}, {"shared_with": ""}):
            answer = views.post(persona, path, version=version, **form)
            assert (answer.status_code, "no such view of yours" in answer.text) == (404, True)
        assert views.post(persona, f"{path}/delete", version=version).status_code == 404
        id = path.rpartition("/")[2]
        assert views.post(persona, filter="", replace=f"{id} {version}").status_code == 404
    assert views.ingest() == []
    assert "For auditors" in views.own("auditor")


def test_a_view_gets_another_filter_another_name_and_an_end(views: Views) -> None:
    views.saved("privacy-officer", "First")
    path, version = views.own("privacy-officer")["First"]
    id = path.rpartition("/")[2]
    answer = views.post("privacy-officer", filter="emergency=true&last=7d", replace=f"{id} {version}")
    assert SENT in answer.text
    views.ingest()
    stale = views.post("privacy-officer", path, name="Second", version=version)
    assert (stale.status_code, "has changed since" in stale.text) == (409, True)
    assert views.events() == []
    _, version = views.own("privacy-officer")["First"]
    assert "Nothing was different" in views.post("privacy-officer", path, name="First", version=version).text
    views.post("privacy-officer", path, name="Second", version=version)
    views.ingest()
    assert list(views.own("privacy-officer")) == ["Second"]
    assert "emergency: true, last: 7d" in views.of("privacy-officer").get("/views").text
    _, version = views.own("privacy-officer")["Second"]
    assert SENT in views.post("privacy-officer", f"{path}/delete", version=version).text
    views.ingest()
    assert views.own("privacy-officer") == {}
    assert views.post("privacy-officer", path, name="Third", version=version).status_code == 404


@pytest.mark.parametrize("name", [EVIL, RIGHT_TO_LEFT, "\u202e\u202dx", "a\u0301" * 50])
def test_a_hostile_name_is_text_on_every_page(views: Views, name: str) -> None:
    views.saved("auditor", name, shared_with="auditor")
    assert name in views.own("auditor")
    for persona in ("auditor", "second-auditor"):
        for path in ("/views", "/explore"):
            text = views.of(persona).get(path).text
            assert "<script>alert" not in text
            assert "49" not in re.findall(r"<bdi>(.*?)</bdi>", text)
            assert name in [unescape(each) for each in re.findall(r"<bdi>(.*?)</bdi>", text)]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": "x" * 2000}, "at most 100 characters"),
        ({"name": " \n"}, "give the view a name"),
        ({"name": "a\x07"}, "no control characters"),
        ({"filter": "nonsense=1"}, "no such filter"),
        ({"filter": "zone=UTC&zone=UTC"}, "give it once"),
        ({"filter": "type=record.raed"}, "record.read"),
        ({"filter": "last=forever"}, "write hours or days"),
        ({"filter": urlencode([("type", "record.read")] * 140)}, "at most 2000 characters"),
        ({"filter": urlencode([("user", "1")] * 101)}, "at most 100 parameters"),
        ({"shared_with": "patient"}, "a role of your own"),
        ({"shared_with": "analyst"}, "a role of your own"),
        ({"shared_with": "everybody"}, "no such role"),
        ({"replace": "x"}, "choose one of your views"),
    ],
)
def test_what_is_wrong_with_a_view_is_said_and_nothing_is_recorded(
    views: Views, form: dict[str, str], said: str
) -> None:
    answer = views.post("auditor", **({"name": "A view", "filter": ""} | form))
    assert answer.status_code in {400, 409}
    assert said in unescape(answer.text)
    assert views.events() == []


def test_nobody_saves_what_the_role_may_not_ask(views: Views) -> None:
    for persona, filter in (("device-manager", "address=10.0.0.7"), ("patient-1007", "actor=ada")):
        assert views.post(persona, name="Curious", filter=filter).status_code == 403
    assert views.post("operator", name="No events", filter="").status_code == 403
    assert views.of("operator").get("/views").status_code == 403
    assert views.events() == []


def test_the_events_of_views_tell_no_id_to_those_who_may_not_know_it(views: Views) -> None:
    views.saved("auditor", "About Doe, Jane", f"patient=secret-17&address=10.9.9.9&{DAY}")
    query = "/explore?type=view.saved&type=view.changed&last=24h"
    for persona in ("patient-1007", "device-manager", "service-owner", "n.nightshift"):
        for path in (query, "/views", "/explore"):
            text = views.of(persona).get(path).text
            assert not any(secret in text for secret in ("secret-17", "10.9.9.9", "Doe, Jane"))
    for persona, seen in (("auditor", True), ("security-officer", False), ("analyst", False)):
        [link, *_] = re.findall(r'<a href="(/events/[^"]+)">', views.of(persona).get(query).text)
        page = views.of(persona).get(link).text
        assert "view" in page
        assert ("secret-17" in page) is seen


def test_a_form_of_another_site_saves_nothing(views: Views) -> None:
    browser = views.of("auditor")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = browser.post("/views", data={"name": "Forged", "filter": ""}, headers=headers)
        assert answer.status_code == 403
    assert views.events() == []


def test_a_look_at_views_is_on_record(views: Views) -> None:
    views.of("service-owner").get("/views")
    [look] = [
        each
        for each in views.served.events()
        if each.type == "audit_log.read"
        and each.actor.id == "service-owner"
        and "/views" in str(each.resources)
    ][-1:]
    asked = [each["operation"] for each in look.attributes["questions"]]
    assert asked == ["shared_views", "own_views"]


def test_between_an_upgrade_and_the_rebuild_the_pages_say_that_there_are_no_views(
    served: OnRecord, hospital_url: str
) -> None:
    with closing(psycopg2.connect(hospital_url)) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE user_v3.user_view")
        connection.commit()
    with Browser(served) as browser:
        page = browser.sign_in("auditor", f"/explore?{DAY}")
        assert page.status_code == 200
        for text in ("Saved views can't be read", "Failed sign-ins", "events match"):
            assert text in unescape(page.text)
        assert "Save this view" not in page.text
        asked = browser.get("/views")
        saved = browser.post("/views", data={"name": "Mine", "filter": ""}, headers=FROM_PAGE)
        for answer in (asked, saved):
            assert (answer.status_code, "rebuild the projection" in answer.text) == (503, True)
    assert [each for each in served.events() if each.type in TYPES] == []
