"""The page of operations and the list of dead letters, without the parts that carry out requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from audit_trail.embedded.broker import Broker
from domain.errors import Reason
from domain.event import Actor, ActorKind, AuditEvent, Resource, Source
from event_store.database import GUARD, Database
from event_store.head_places import forget_other_places, note_place
from event_store.integrity_findings import Certainty, Check, NewFinding, see_finding
from event_store.log_verification import note_verification
from tests.databases import PROJECTED, Databases
from tests.hospital import hospital, record
from tests.watcher.known_targets import know
from tests.web.dashboard.letters import reject
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from tests.web.read_audit.recorded_server import OnRecord, make_topic

NOW = datetime.now(UTC)


def health(type: str, minutes_ago: float, service: str, **source: Any) -> AuditEvent:
    """A monitor's word on a service."""
    return AuditEvent(
        event_id=uuid4(),
        type=type,
        occurred_at=NOW - timedelta(minutes=minutes_ago),
        source=Source(service="monitor", **source),
        actor=Actor(kind=ActorKind.SERVICE, id="monitor"),
        resources=(Resource(type="Service", id=service),),
    )


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    with databases.copy(PROJECTED) as url:
        events = [
            health("health_check.failed", 190, "lab-system"),
            health("health_check.failed", 40, "ward-app"),
            health("health_check.recovered", 20, "ward-app"),
            health("health_check.recovered", 20, "ward-app", instance="m-1", sequence=5),
        ]
        record(url, [*hospital(), *events])
        for at in range(60):
            reject(url, b"{}", topic="ward" if at % 2 else "lab", reason=Reason.MISSING_FIELD)
        reject(url, b"\xff\x00", reason=Reason.INVALID_ENCODING, topic="lab")
        know(url, NOW - timedelta(minutes=3), {"archive": "", "portal": "the status is 503, not 200"})
        yield url


@pytest.fixture(scope="module")
def served(url: str, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRecord]:
    make_topic(broker.bootstrap_servers, "operating")
    with dashboard(url, broker.bootstrap_servers, "operating", tmp_path_factory.mktemp("issuer")) as served:
        yield served


@pytest.fixture
def operator(served: OnRecord) -> Iterator[Browser]:
    with Browser(served) as browser:
        browser.sign_in("operator", "/operations")
        yield browser


def ids(text: str) -> list[int]:
    return [int(each) for each in re.findall(r'href="/operations/dead-letters/(\d+)"', text)]


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", "", html)).split())


def facts(html: str) -> dict[str, str]:
    """The terms of a page with what it says of each."""
    return {
        words(term): words(text)
        for term, text in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html, re.DOTALL)
    }


def change(url: str, statement: str) -> None:
    """As a superuser, with no trigger in the way."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(statement)


def test_missing_events_are_listed_without_what_an_operator_may_not_see(
    served: OnRecord, operator: Browser
) -> None:
    def listed(browser: Browser) -> list[str]:
        _, _, part = browser.get("/operations").text.partition('id="missing-events"')
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", part)[6:]
        return [words(cell) for cell in cells[:4]] + cells[5:]

    assert listed(operator) == ["monitor", "", "1 to 4", "4 events", "not yet"]
    with Browser(served) as auditor:
        auditor.sign_in("auditor", "/operations")
        assert listed(auditor) == ["monitor", "m-1", "1 to 4", "4 events", "not yet"]


def test_dead_letters_are_listed_the_newest_first_page_by_page(operator: Browser) -> None:
    page = operator.get("/operations/dead-letters")
    found = ids(page.text)
    while older := re.search(r'rel="next" href="([^"]+)"', page.text):
        page = operator.get(older[1].replace("&amp;", "&"))
        found += ids(page.text)
    assert found == list(range(61, 0, -1))


def test_dead_letters_are_found_by_reason_and_topic(operator: Browser) -> None:
    assert ids(operator.get("/operations/dead-letters?reason=invalid_encoding").text) == [61]
    assert len(ids(operator.get("/operations/dead-letters?reason=missing_field&topic=ward").text)) == 30
    assert "There is no dead letter like this" in operator.get("/operations/dead-letters?topic=x").text
    assert operator.get("/operations/dead-letters?reason=bad").status_code == 400
    assert operator.get("/operations/dead-letters?before=x").status_code == 400
    assert operator.get("/operations/dead-letters/62").status_code == 404


def test_what_is_no_id_is_not_found(served: OnRecord) -> None:
    paths = "/operations/requests/{}", "/operations/dead-letters/{}", "/operations/dead-letters/{}/message"
    with Browser(served) as browser:
        browser.sign_in("auditor", "/operations")
        for id in ("x", "-1", "9" * 30, "9" * 5000, "%00", "\u0663"):
            found = [browser.get(path.format(id)).status_code for path in paths]
            assert found == [404, 404, 404], id


def test_what_is_no_text_is_refused_with_the_name_of_its_field(operator: Browser) -> None:
    refused = operator.get("/operations/dead-letters?topic=%00")
    assert (refused.status_code, "topic: not the name" in refused.text) == (400, True)
    refused = operator.post(
        "/operations/rebuild", data={"projection": "user\0", "reason": "why not"}, headers=FROM_PAGE
    )
    assert (refused.status_code, "projection: not the name" in refused.text) == (400, True)
    for id in ("x", "9" * 30):
        address = f"/operations/dead-letters/{id}"
        sent = {"decision": "dismiss", "reason": "why not"}
        assert operator.post(address, data=sent, headers=FROM_PAGE).status_code == 404


def test_a_message_that_is_no_text_is_shown_in_hexadecimal(served: OnRecord) -> None:
    with Browser(served) as browser:
        text = browser.sign_in("auditor", "/operations/dead-letters/61").text
    assert "<pre>000000  ff 00</pre>" in text
    assert "It is not UTF-8 text." in text


def test_a_request_waits_for_a_part_that_was_never_seen_and_says_so(operator: Browser, url: str) -> None:
    page = operator.post(
        "/operations/rebuild", data={"projection": "service", "reason": "nobody is there"}, headers=FROM_PAGE
    )
    assert "waits for `project`, which was never seen" in page.text
    assert "nobody is there" in operator.get("/operations").text
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE audit_trail.operation_request SET state = 'running'")
        cursor.execute(
            "UPDATE audit_trail.operation_request SET state = 'failed', result = 'no', finished_at = now()"
        )
    live = operator.get(f"{page.url.path}?part=live").text
    assert "<html" not in live
    assert 'class="mark bad">failed' in live


def test_the_places_of_signed_heads_say_what_they_have_and_what_is_late(operator: Browser, url: str) -> None:
    with closing(Database(url, GUARD)) as database:
        note_place(database, "old place", 3, "")
        forget_other_places(database, ["folder", "witness w1"])
        note_place(database, "folder", 3, "")
        note_place(database, "witness w1", None, "it is away")
        text = operator.get("/operations").text
        assert "old place" not in text
        assert "it is away" in text
        row = text.partition("folder</th>")[2].partition("</tr>")[0]
        assert "never" not in row
        assert "late" not in row
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(
                "UPDATE audit_trail.head_place SET published_at = now() - interval '1 hour' WHERE place = 'folder'"
            )
        row = operator.get("/operations").text.partition("folder</th>")[2].partition("</tr>")[0]
        assert "late" in row


def test_the_overview_says_when_a_head_was_published_and_which_places_are_late(
    served: OnRecord, url: str
) -> None:
    with closing(Database(url, GUARD)) as database, Browser(served) as browser:
        forget_other_places(database, [])
        assert "to no place yet" in facts(browser.sign_in("auditor").text)["Published"]
        note_place(database, "folder", 3, "")
        note_place(database, "witness w1", None, "it is away")
        published = facts(browser.get("/").text)["Published"]
        assert str(datetime.now(UTC).year) in published
        assert "witness w1: it is away" in published
        assert "folder" not in published
        change(url, "UPDATE audit_trail.head_place SET checked_at = now() - interval '2 hours'")
        assert "folder: the guard has not reported for 2 hours" in facts(browser.get("/").text)["Published"]


def test_pages_say_how_far_the_log_is_verified_and_what_is_wrong(served: OnRecord, url: str) -> None:
    with closing(Database(url, GUARD)) as database, Browser(served) as browser:
        browser.sign_in("auditor")

        def said() -> str:
            text = facts(browser.get("/").text)["Verified"]
            assert text in words(browser.get("/operations").text)
            return text

        assert said() == "The guard has not verified the log yet"
        note_verification(database, due_seconds=60, problem="the database is away")
        change(url, "UPDATE audit_trail.log_verification SET problem_since = now() - interval '3 hours'")
        note_verification(database, due_seconds=60, problem="the database is still away")
        assert said() == "The log could not be verified for 3 hours: the database is still away"
        note_verification(database, due_seconds=60, size=120, everything=True)
        assert re.fullmatch(r"120 events, all of them at [-: 0-9]+", said())
        change(url, "UPDATE audit_trail.log_verification SET all_verified_at = now() - interval '1 day'")
        note_verification(database, due_seconds=60, size=130)
        assert re.fullmatch(r"130 events: the first 120 at [-: 0-9]+, new ones at [-: 0-9]+", said())
        note_verification(database, due_seconds=-1)
        change(url, "UPDATE audit_trail.log_verification SET checked_at = now() - interval '3 hours'")
        assert re.search(r"130 events.*\. The guard has not verified the log for 3 hours$", said())
        found = NewFinding(Check.VERIFY, "log", "7", Certainty.FACT, "the event was altered", 9, position=7)
        with database.transaction() as connection:
            see_finding(connection, found)
        change(url, "UPDATE audit_trail.integrity_finding SET first_seen = now() - interval '3 hours'")
        assert "of the guard: 1. The first: the event was altered (log, 3 hours ago)" in said()
        assert "<strong>1</strong> Open findings of the guard" in browser.get("/").text


def test_the_overview_counts_dead_letters_and_says_when_ingest_last_recorded(
    served: OnRecord, url: str
) -> None:
    tile = re.compile(r'href="/operations/dead-letters"><strong>(\d+)</strong> Dead letters \((\d+) in all\)')
    with Browser(served) as browser:
        text = browser.sign_in("auditor").text
        found = tile.search(text)
        assert found
        assert found.groups() == ("61", "61")
        recorded = facts(text)["Last event recorded"]
        assert re.match(r"(less than a second|\d+ (seconds?|minutes?)) ago", recorded)
        change(
            url, "UPDATE audit_trail.dead_letter SET received_at = now() - interval '2 days' WHERE id <= 31"
        )
        found = tile.search(browser.get("/?part=live").text)
        assert found
        assert found.groups() == ("30", "61")


def test_who_may_not_see_the_state_sees_no_place_no_verification_and_no_dead_letters(
    served: OnRecord,
) -> None:
    with Browser(served) as browser:
        text = browser.sign_in("analyst").text
    assert {"Published", "Verified", "Last event recorded"} <= facts(text).keys()
    assert "Dead letters" not in text
    with Browser(served) as browser:
        text = browser.sign_in("device-manager").text
    assert "Signed" in facts(text)
    assert not {"Published", "Verified", "Last event recorded"} & facts(text).keys()
    assert "Dead letters" not in text


def test_sources_say_when_they_were_last_heard(operator: Browser) -> None:
    text = operator.get("/operations").text
    row = text.partition('<th scope="row">lab-system</th>')[2].partition("</tr>")[0]
    assert "3 hours ago" in row
    assert "only others reported on it" in row
    row = text.partition('<th scope="row">monitor</th>')[2].partition("</tr>")[0]
    assert "only others" not in row


def test_the_overview_has_the_services_that_are_down_now(served: OnRecord) -> None:
    with Browser(served) as browser:
        text = browser.sign_in("auditor").text
    assert "<strong>1</strong> Services down now" in text
    listed = text.partition("<h2>Services down now</h2>")[2].partition("</ul>")[0]
    assert "lab-system" in listed
    assert "ward-app" not in listed
    with Browser(served) as browser:
        text = browser.sign_in("operator").text  # has no overview
    listed = text.partition("<h2>Services down now</h2>")[2].partition("</ul>")[0]
    assert "<li>lab-system, since" in listed
    assert "ward-app" not in listed


@pytest.mark.parametrize("persona", ["device-manager", "service-owner"])
def test_who_sees_some_services_only_gets_no_list_of_those_that_are_down(
    served: OnRecord, persona: str
) -> None:
    with Browser(served) as browser:
        text = browser.sign_in(persona).text
    assert "lab-system</a>, since" not in text
    assert "Services down now" not in text


def test_operations_show_what_is_watched_what_fails_and_that_nobody_looks(operator: Browser) -> None:
    page = operator.get("/operations").text
    table = page.partition('aria-label="Watched targets"')[2].partition("</table>")[0]
    portal, archive = (words(row) for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)[1:])
    assert portal.startswith("portalportalteam portaltcpDown")
    assert re.search(r"not checked for \d+ minutes", portal)
    assert archive.startswith("archivearchiveteam archivetcpUp")
    assert re.search(r"No watcher has looked for \d+ minutes", words(page))


def test_a_follower_shows_how_far_it_is_and_stands_out_when_it_stands_still(
    url: str, operator: Browser
) -> None:
    assert 'id="followers"' not in operator.get("/operations").text
    change(
        url,
        "INSERT INTO audit_trail.follower (name, configuration, destination, start_from, first_position, position,"
        " sent_position, sent, sent_at, problem, problem_since, failed_position) VALUES ('siem', '{}',"
        " 'syslog siem.example:6514', 'beginning', 0, 1, 1, 2, now(), 'position 2: it <b>refuses</b> the record',"
        " now(), 2); INSERT INTO audit_trail.operation_worker (part, host, pid, backend, mark)"
        " VALUES ('forward', 'h', 1, 1, 1)",
    )
    page = operator.get("/operations").text
    [row] = re.findall(r'<tr class="failed"><th scope="row">siem</th>.*?</tr>', page)
    assert "<td>stopped</td>" in row
    assert "syslog siem.example:6514" in row
    assert "it &lt;b&gt;refuses&lt;/b&gt; the record" in row
    assert re.search(r"\d+ events, ", row)
