"""The stream of a list that follows: rows of new events, what is recorded of it, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

import web.dashboard.event_stream
from audit_trail.embedded.broker import Broker
from domain.access.principal import Principal, Role
from domain.event import Actor, AuditEvent, Outcome, Patient, Source
from tests.databases import PROJECTED, Databases
from tests.hospital import hospital, record
from tests.waiting import eventually
from tests.web.conftest import NO_BROKER
from tests.web.dashboard.people import FROM_PAGE, KEY, Browser, dashboard
from tests.web.dashboard.test_pages import EVIL
from tests.web.read_audit.recorded_server import OnRecord, make_topic
from web.authentication.sessions import NAME, Sessions, SessionTimes
from web.dashboard.event_stream import MOST_STREAMS, message
from web.read_audit.publication import Otherwise

STREAM = {"Accept": "text/event-stream", **FROM_PAGE}


class Event(NamedTuple):
    name: str
    data: str
    id: str


def now(id: str, **fields: object) -> AuditEvent:
    """An event of this moment."""
    known = {
        "event_id": uuid4(),
        "type": "record.read",
        "occurred_at": datetime.now(UTC),
        "source": Source(service="patient-service"),
        "actor": Actor(id=id),
        "patients": (Patient(id="17"),),
    }
    return AuditEvent(**{**known, **fields})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    with databases.copy(PROJECTED) as url:
        record(url, hospital())
        yield url


@pytest.fixture(scope="module")
def clock() -> list[float]:
    """Seconds that the server's clock of sessions is ahead."""
    return [0.0]


@pytest.fixture(scope="module")
def served(
    url: str, broker: Broker, tmp_path_factory: pytest.TempPathFactory, clock: list[float]
) -> Iterator[OnRecord]:
    make_topic(broker.bootstrap_servers, "live")
    with dashboard(
        url,
        broker.bootstrap_servers,
        "live",
        tmp_path_factory.mktemp("issuer"),
        times=SessionTimes(1800, 36_000),
        clock=lambda: datetime.now(UTC).timestamp() + clock[0],
    ) as served:
        yield served


@pytest.fixture
def browser(served: OnRecord) -> Iterator[Browser]:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        yield browser


@contextmanager
def following(browser: Browser, query: str, **headers: str) -> Iterator[Iterator[Event]]:
    """The events of a stream, as a browser reads them. A comment with an id is an event without a name."""
    with browser.stream("GET", f"/explore/live?{query}", headers=STREAM | headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store, no-transform"
        yield _events(answer.iter_lines())


def _events(lines: Iterator[str]) -> Iterator[Event]:
    name, data, id = "", [], ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "data":
                data.append(value)
            case "id":
                id = value
            case "" if not line and (data or id):
                yield Event(name, "\n".join(data), id)
                name, data, id = "", [], ""


def test_a_new_event_comes_as_a_row_and_is_on_record_before(
    browser: Browser, served: OnRecord, url: str
) -> None:
    with following(browser, "actor=eva,zoe&columns=who,what,type") as events:
        record(url, [now("someone.else"), now("eva"), now("zoe")])
        first = next(events)
        recorded = [each for each in served.events() if each.attributes.get("via") == "subscription"]
        assert [each.attributes["stage"] for each in recorded] == ["started", "delivered"]
        assert [patient.id for patient in recorded[-1].patients] == ["17"]
        assert recorded[-1].session
        assert first.name == "rows"
        assert first.data.index(">zoe<") < first.data.index(">eva<")  # the newest first
        assert "someone.else" not in first.data
        assert first.data.count("<td") == 6
        assert 'name="only" value="actor=eva"' in first.data
        record(url, [now("eva", outcome=Outcome.SERIOUS_FAILURE)])
        second = next(events)
        assert 'class="failed"' in second.data
        assert int(second.id) > int(first.id)


def test_a_stream_continues_after_the_last_event_that_was_seen(browser: Browser, url: str) -> None:
    with following(browser, "actor=uma") as events:
        record(url, [now("uma", type="record.created")])
        seen = next(events)
    record(url, [now("uma", type="record.deleted")])
    # The page was opened long before: what it has seen since comes with the header.
    with following(browser, "actor=uma&position=0", **{"Last-Event-ID": seen.id}) as events:
        missed = next(events)
    assert "record.deleted" in missed.data
    assert "record.created" not in missed.data
    assert browser.get("/explore/live?position=x", headers=STREAM).status_code == 400


def test_more_events_than_a_person_can_read_are_cut_and_it_says_so(browser: Browser, url: str) -> None:
    record(url, [now("flood") for _ in range(130)])
    with following(browser, "actor=flood&position=0") as events:
        found = next(events)
    assert found.data.count("<tr>") == 100
    assert "More events came than are shown here at once" in found.data


def test_nothing_of_an_event_ends_a_line_of_the_stream(browser: Browser, url: str) -> None:
    evil = f"a\rb\nc\r\n\r\nevent: end\ndata: {EVIL}"
    record(url, [now("mallory", reason=evil, actor=Actor(id="mallory", name=evil))])
    with following(browser, "actor=mallory&position=0&columns=who,reason") as events:
        found = next(events)
    assert found.name == "rows"
    assert "<script" not in found.data
    assert message("rows", evil).count(b"\nevent:") == 0


@pytest.mark.parametrize("persona", ["patient-17", "analyst"])
def test_a_row_shows_what_its_reader_may_see(served: OnRecord, url: str, persona: str) -> None:
    with Browser(served) as browser:
        browser.sign_in(persona)
        with following(browser, "type=record.updated&columns=who,patient,what") as events:
            record(
                url,
                [
                    now("x", type="record.updated", actor=Actor(id="g.greta", name="Greta Secret")),
                    now("x", type="record.updated", patients=(Patient(id="18"),), actor=Actor(id="g.other")),
                ],
            )
            rows = next(events).data
    assert "Greta" not in rows
    assert ("patient=18" in rows) is (persona == "analyst")
    assert ("actor=g.greta" in rows) is (persona == "analyst")


def test_a_person_has_a_few_streams_at_once(served: OnRecord, url: str) -> None:
    with Browser(served) as browser, ExitStack() as stack:
        browser.sign_in("privacy-officer")
        for _ in range(MOST_STREAMS):
            stack.enter_context(following(browser, "actor=nobody"))
        with following(browser, "actor=nobody") as events:
            said = next(events)
        assert said.name == "end"
        assert "your limit of 4 subscriptions is reached" in said.data
    # They end with their connections.
    with Browser(served) as browser:
        browser.sign_in("privacy-officer")
        record(url, [now("later")])
        eventually(lambda: _first(browser, "actor=later&position=0").name == "rows")


def _first(browser: Browser, query: str) -> Event:
    with following(browser, query) as events:
        return next(events)


@pytest.mark.parametrize("end", ["signed out", "unused"])
def test_a_stream_ends_with_its_session(
    served: OnRecord, clock: list[float], monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(web.dashboard.event_stream, "HEARTBEAT", 0.2)
    monkeypatch.setattr(web.dashboard.event_stream, "_LONGEST", 3.0 if end == "unused" else 300.0)
    with Browser(served) as browser:
        browser.sign_in("security-officer")
        with following(browser, "actor=nobody") as events:
            if end == "signed out":
                browser.post("/sign-out", headers=FROM_PAGE)
                said = next(event for event in events if event.name)
                assert said == Event("end", "Your session has ended: reload the page to sign in again.", "")
                return
            # Nobody uses it: it is no sign of a person, and the next one is refused.
            assert not [event for event in events if event.name]
        clock[0] = 1801.0
        try:
            again = browser.get("/explore/live?actor=nobody", headers=STREAM)
        finally:
            clock[0] = 0.0
        assert again.status_code == 401
        assert "set-cookie" not in again.headers


def test_a_page_of_another_site_opens_no_stream(browser: Browser) -> None:
    for site in ("cross-site", "same-site"):
        answer = browser.get("/explore/live", headers={**STREAM, "Sec-Fetch-Site": site})
        assert answer.status_code == 403


def test_a_role_without_events_follows_none(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("operator")
        assert browser.get("/explore/live", headers=STREAM).status_code == 403


@pytest.fixture
def without_broker(url: str, tmp_path: Path) -> Iterator[Callable[..., Browser]]:
    """Somebody whose session began before the broker went away."""
    with ExitStack() as stack:

        def begin(**settings: Any) -> Browser:
            served = stack.enter_context(dashboard(url, NO_BROKER, "away", tmp_path, timeout=0.3, **settings))
            sessions = Sessions(KEY, SessionTimes(1800, 36_000))
            session = sessions.begin(Principal(id="a.auditor", roles=frozenset({Role.AUDITOR})))
            browser = stack.enter_context(Browser(served))
            browser.cookies.set(NAME, sessions.seal(session))
            return browser

        yield begin


def test_what_cannot_be_recorded_is_not_shown(without_broker: Callable[..., Browser]) -> None:
    browser = without_broker()
    with following(browser, "position=0") as events:
        assert [next(events).data] == [
            "Following has ended: what you see can't be recorded now, so it is not shown. Try again."
        ]
    page = browser.get("/explore?from=2026-03-01&to=2026-03-01")
    assert page.status_code == 503
    assert "<h1>This look can&#39;t be recorded</h1>" in page.text
    assert "ada" not in page.text


def test_rows_that_are_shown_without_a_record_say_so(without_broker: Callable[..., Browser]) -> None:
    browser = without_broker(otherwise=Otherwise.FLAG)
    with following(browser, "position=0&actor=ada&from=2026-03-01") as events:
        said, rows = next(events), next(events)
    assert said.name == "say"
    assert "what you see is not recorded" in said.data
    assert rows.name == "rows"
