"""The explorer: its columns, its pivots, people by name, the states it tells apart, its languages and its size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import httpx2
import psycopg2
import pytest

from audit_trail.embedded.broker import Broker
from dashboard.columns import COLUMNS
from dashboard.explorer.page import explore
from dashboard.explorer.people import Meant
from dashboard.links import subject
from dashboard.render import render
from dashboard.viewer import Viewer
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.event import (
    Actor,
    ActorKind,
    AuditEvent,
    Client,
    Device,
    Patient,
    Request,
    Resource,
    Source,
)
from domain.read_audit.query_log import QueryLog
from event_store.database import INGEST, READER, Database
from event_store.log_reader import LogReader
from queries.filters.event_filter import EventFilter, PageRequest
from queries.read_models import ReadModels
from queries.scoped.log import ScopedLog
from queries.scoped.read_models import ScopedModels
from tests.databases import PROJECTED, Databases, away
from tests.hospital import append_only, event, hospital, read, record
from tests.web.dashboard.people import Browser, dashboard
from tests.web.read_audit.recorded_server import OnRecord, make_topic

DAY = "from=2026-03-01&to=2026-03-01"
LARGE_DAY = "from=2026-03-02&to=2026-03-02"
NORA = Actor(id="n.nightshift", name="Nora Nightshift", roles=("nurse",))
OTHER = Actor(id="n.other", name="Dr. Nóra Other-Lang")
ACTING_PATIENT = Actor(id="p-9", name="Nora Patient", kind=ActorKind.PATIENT)
COMMA = Actor(id="Doe,Jane", name="Jane Doe")


def people() -> list[AuditEvent]:
    return [
        read(20, actor=NORA, session="s-9", correlation_id="c-9", device=Device(id="pump-1", name="Pump")),
        read(21, actor=OTHER),
        read(22, "9", actor=ACTING_PATIENT),
        read(23, actor=COMMA),
    ]


def largest(letter: str, minute: int) -> AuditEvent:
    """An event with the longest text that every field may have."""
    id, name = letter * 256, letter * 1024
    return event(
        "record.read",
        24 * 60 + minute,
        source=Source(service=id, site=name, instance=name),
        actor=Actor(id=id, name=name, roles=(name, name), on_behalf_of=id),
        outcome="serious_failure",
        outcome_reason=letter * 5000,
        session=id,
        client=Client(address=id, user_agent=name),
        patients=tuple(Patient(id=f"{n}{letter * 255}", name=name) for n in range(9)),
        device=Device(id=id, name=name),
        resources=tuple(Resource(type=id, id=f"{n}{letter * 255}") for n in range(9)),
        purpose_of_use=(name, name[:-1]),
        reason=letter * 5000,
        emergency=True,
        correlation_id=id,
        request=Request(method="GET", path=letter * 8000, status=500),
    )


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    with databases.copy(PROJECTED) as url:
        large = [largest('"' if number % 2 else "😀", number) for number in range(60)]
        record(url, [*hospital(), *people(), *large])
        yield url


@pytest.fixture(scope="module")
def served(url: str, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRecord]:
    make_topic(broker.bootstrap_servers, "explorer")
    with dashboard(url, broker.bootstrap_servers, "explorer", tmp_path_factory.mktemp("issuer")) as served:
        yield served


@pytest.fixture(scope="module")
def auditor(served: OnRecord) -> Iterator[Browser]:
    with Browser(served) as browser:
        browser.sign_in("auditor")
        yield browser


def headings(page: httpx2.Response) -> list[str]:
    return re.findall(r'<th scope="col">([^<]+)</th>', page.text.partition('class="events"')[2])


def actors(page: httpx2.Response) -> set[str]:
    found = re.findall(r'name="only" value="actor=([^"]+)" aria-label', page.text.partition("<tbody>")[2])
    return {dict(parse_qsl(f"actor={unescape(each)}"))["actor"] for each in found}


def buttons(page: httpx2.Response) -> dict[str, tuple[str, str]]:
    """What each button sends, by its label."""
    found = re.findall(r'<button name="(\w+)" value="([^"]*)" aria-label="([^"]*)"', page.text)
    return {unescape(label): (name, unescape(value)) for name, value, label in found}


def matches(page: httpx2.Response) -> int:
    [count] = re.findall(r"([0-9]+) events match", page.text)
    return int(count)


def test_columns_are_chosen_and_kept_in_links(auditor: Browser) -> None:
    page = auditor.get(f"/explore?{DAY}&columns=session,who,when")
    assert headings(page) == ["Session", "Who", "When"]
    chosen = re.findall(r'name="columns" value="(\w+)" checked', page.text)
    assert chosen == ["when", "who", "session"]
    shown = auditor.get(
        f"/explore?{DAY}&columns=session,who,when&{urlencode([buttons(page)['Only Ada Example']])}"
    )
    assert headings(shown) == ["Session", "Who", "When"]
    assert dict(parse_qsl(str(shown.url.query, "ascii")))["columns"] == "session,who,when"


def test_the_form_leads_to_an_address_that_can_be_shared(auditor: Browser) -> None:
    page = auditor.get(f"/explore?last=&{DAY}&actor=ada&patient=&zone=UTC&columns=when&columns=who")
    assert page.url.query == b"from=2026-03-01&to=2026-03-01&actor=ada&zone=UTC&columns=when%2Cwho"
    assert headings(page) == ["When", "Who"]


def test_every_declared_column_can_be_shown(auditor: Browser) -> None:
    names = ",".join(column.name for column in COLUMNS)
    page = auditor.get(f"/explore?{DAY}&actor=n.nightshift&columns={names}")
    assert headings(page) == [column.heading for column in COLUMNS]
    for text in ("nurse", "pump-1", "Observation o-17", "s-9", "c-9", "patient-service", "user"):
        assert text in page.text
    assert "no such column" in auditor.get("/explore?columns=when,nonsense").text


@pytest.mark.parametrize(
    ("persona", "hidden"),
    [
        (
            "patient-17",
            {"Address", "Program", "Request", "Session", "Correlation id", "Reason", "Why it failed"},
        ),
        ("analyst", {"Reason", "Why it failed"}),
        ("auditor", set()),
    ],
)
def test_a_role_is_not_offered_what_it_may_not_see(served: OnRecord, persona: str, hidden: set[str]) -> None:
    names = ",".join(column.name for column in COLUMNS)
    with Browser(served) as browser:
        browser.sign_in(persona)
        page = browser.get(f"/explore?{DAY}&columns={names}")
        offered = re.findall(r'name="columns" value="\w+"[^>]*> ([^<]+)</label>', page.text)
        assert set(offered) == {column.heading for column in COLUMNS} - hidden
        assert headings(page) == offered
        assert ("Your role may not see these columns" in page.text) is bool(hidden)


@pytest.mark.parametrize(
    ("columns", "value", "only", "without"),
    [
        ("who", "Ada Example", "actor=ada", "not_actor=ada"),
        ("kind", "service", "actor_kind=service", "not_actor_kind=service"),
        ("patient", "17", "patient=17", "not_patient=17"),
        ("device", "Pump", "device=pump-1", "not_device=pump-1"),
        ("purpose", "TREAT", "purpose=TREAT", "not_purpose=TREAT"),
        ("outcome", "success", "outcome=success", "not_outcome=success"),
        ("type", "record.read", "type=record.read", "not_type=record.read"),
        ("category", "data", "category=data", "not_category=data"),
        ("service", "vitals", "service=vitals", "not_service=vitals"),
        ("address", "10.0.0.7", "address=10.0.0.7", "not_address=10.0.0.7"),
        ("session", "s-1", "session=s-1", 'filter={"not": {"session": "s-1"}}'),
        ("correlation_id", "c-1", "correlation_id=c-1", 'filter={"not": {"correlation_id": "c-1"}}'),
        (
            "resource",
            "Observation o-17",
            "resource_type=Observation&resource_id=o-17",
            'filter={"not": {"resource_type": "Observation", "resource_id": "o-17"}}',
        ),
        ("break_glass", "break-glass", "emergency=true", 'filter={"not": {"emergency": true}}'),
    ],
)
def test_a_value_is_included_or_excluded(
    auditor: Browser, columns: str, value: str, only: str, without: str
) -> None:
    path = f"/explore?{DAY}&columns={columns}"
    page = auditor.get(path)
    sent = buttons(page)
    included = auditor.get(f"{path}&{urlencode([sent[f'Only {value}']])}")
    excluded = auditor.get(f"{path}&{urlencode([sent[f'Without {value}']])}")
    for found, wanted in ((included, only), (excluded, without)):
        assert found.status_code == 200
        pairs = parse_qsl(str(found.url.query, "ascii"))
        kept = [pair for pair in pairs if pair[0] not in {"from", "to", "columns"}]
        assert "&".join("=".join(pair) for pair in kept) == wanted
    assert matches(included) + matches(excluded) == matches(page)
    assert matches(included) > 0


def test_several_exclusions_are_chips_that_go_away_one_by_one(auditor: Browser) -> None:
    path = f"/explore?{DAY}&columns=session,correlation_id"
    first = auditor.get(f"{path}&{urlencode([('without', 'session=s-1')])}")
    both = auditor.get(f"{first.url}&{urlencode([('without', 'correlation_id=c-9')])}")
    assert "not: session: s-1" in both.text
    assert "not: correlation id: c-9" in both.text
    sent = buttons(both)
    alone = auditor.get(f"{both.url}&{urlencode([sent['Remove the filter not session: s-1']])}")
    assert "not: session: s-1" not in alone.text
    assert "not: correlation id: c-9" in alone.text


def test_a_cell_leads_to_what_it_names(auditor: Browser, served: OnRecord) -> None:
    page = auditor.get(
        f"/explore?{DAY}&columns=who,patient,device,resource,service,session&actor=n.nightshift"
    )
    for link in (
        subject("user", "n.nightshift"),
        "/patients/17",
        "/devices/pump-1",
        "/resource?type=Observation&amp;id=o-17",
        "/services/patient-service",
        "/explore?session=s-9",
    ):
        assert f'href="{link}' in page.text
    with Browser(served) as browser:
        browser.sign_in("patient-17")
        own = browser.get(f"/explore?{DAY}&columns=patient,service,type")
        assert 'href="/patients/17"' in own.text
        assert 'href="/services/' not in own.text  # this role has no page of a service


def test_the_form_has_only_fields_by_which_the_role_may_query(served: OnRecord) -> None:
    rare = {"service", "address", "session", "correlation_id", "resource_type", "resource_id"}
    for persona, hidden in (
        ("auditor", set()),
        ("device-manager", {"address"}),
        ("patient-17", {"actor", "patient", "device", *rare} - {"service"}),
    ):
        with Browser(served) as browser:
            browser.sign_in(persona)
            page = browser.get(f"/explore?{DAY}").text
            form, folded = page.partition("<summary>More filters")[::2]
            usual, further = (
                set(re.findall(r'name="(\w+)"', each)) for each in (form, folded.partition("</details>")[0])
            )
            assert {"actor", "patient", "device", "type", "outcome", "emergency"} - usual == hidden - rare
            assert rare - further == hidden & rare
            assert "<details><summary>More filters" in page
    with Browser(served) as browser:
        browser.sign_in("auditor")
        assert "<details open><summary>More filters" in browser.get(f"/explore?{DAY}&session=s-9").text


def test_several_people_are_found_by_ids_and_names(auditor: Browser) -> None:
    page = auditor.get(f"/explore?{DAY}&actor=bob,+Nora")
    assert actors(page) == {"bob", "n.nightshift", "n.other", "p-9"}
    said = re.sub(r"<[^>]+>", "", unescape(page.text))
    assert "Nora: Nora Nightshift (n.nightshift) only, Dr. Nóra Other-Lang (n.other) only" in said
    chosen = auditor.get(
        f"/explore?{DAY}&{urlencode([buttons(page)['Only Nora Nightshift (n.nightshift)']])}"
    )
    assert actors(chosen) == {"n.nightshift"}
    [form] = re.findall(r'<form[^>]*action="/exports".*?</form>', page.text, re.DOTALL)
    exported = re.findall(r'name="actor" value="([^"]*)"', form)
    assert set(exported) == {"bob", "n.nightshift", "n.other", "p-9"}


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("nora other", {"n.other"}),
        ("LANG", {"n.other"}),
        ("nigh", {"n.nightshift"}),
        ("Doe,Jane", {"Doe,Jane"}),  # an id with a comma is one id
        ("n.nightshift", {"n.nightshift"}),
        ("Doe Jane, n.other", {"Doe,Jane", "n.other"}),
        ("nobody", set()),
    ],
)
def test_a_name_is_the_beginning_of_words_and_an_id_is_exact(
    auditor: Browser, written: str, found: set[str]
) -> None:
    page = auditor.get(f"/explore?{DAY}&{urlencode({'actor': written})}")
    assert actors(page) == found
    assert ("Nobody with the id or the name nobody is known" in page.text) is (not found)


def test_patients_are_found_by_several_ids_and_never_by_a_name(auditor: Browser) -> None:
    page = auditor.get(f"/explore?{DAY}&patient=17,+18&columns=patient")
    assert {"Only 17", "Only 18"} <= set(buttons(page))
    assert "Only 9" not in buttons(page)
    unknown = auditor.get(f"/explore?{DAY}&patient=Paul")
    assert "No patient with the id Paul is known" in unknown.text
    assert "hold no names of patients" in unescape(unknown.text)


def test_a_name_that_fits_too_many_is_refused_and_searches_nothing(auditor: Browser) -> None:
    page = auditor.get(f"/explore?{DAY}&actor=x")
    assert "write at least two letters of a name" in page.text
    assert '<table class="events">' not in page.text


def test_a_role_without_names_is_told_so_and_learns_nobody(served: OnRecord) -> None:
    for persona in ("analyst", "n.nightshift", "device-manager"):
        with Browser(served) as browser:
            browser.sign_in(persona)
            page = browser.get(f"/explore?{DAY}&actor=Nora")
            assert "Your role finds people by their ids alone" in page.text
            assert "Other" not in page.text
    with Browser(served) as browser:
        browser.sign_in("security-officer")
        page = browser.get(f"/explore?{DAY}&actor=Nora")
        assert actors(page) == {"n.nightshift", "n.other"}  # names of patients are hidden from this role


def test_looking_for_a_name_is_recorded_without_it(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("privacy-officer")
        browser.get(f"/explore?{DAY}&actor=Nightshi")
    looked = [each for each in served.events() if "people_named" in str(each.attributes.get("questions"))]
    assert "n.nightshift" in str(looked[-1].attributes)
    assert "Nightshi" not in str(looked[-1].attributes)


def test_a_list_says_what_is_the_oldest_event_that_it_could_show(auditor: Browser) -> None:
    text = re.sub(r"<[^>]+>", "", auditor.get(f"/explore?{DAY}").text)
    assert "The oldest event that could be shown is that of position 0, recorded 20" in text
    nothing = auditor.get("/explore?from=2020-01-01&to=2020-01-02")
    assert "Nothing matches in this range of times." in nothing.text
    assert "The oldest event that could be shown" in nothing.text


def test_a_role_that_may_not_query_by_a_condition_is_told_which(served: OnRecord) -> None:
    with Browser(served) as browser:
        browser.sign_in("patient-17")
        page = browser.get(f"/explore?{DAY}&session=s-1&type=record.read&not_address=x")
        assert page.status_code == 403
        assert "Your role may not query by session, not address" in page.text
    denied = [each for each in served.events() if each.type == "access.denied"]
    assert "s-1" in str(denied[-1].attributes)


@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "01.03.2026 08:00:00"),
        ("en-US", "Mar 1, 2026 08:00:00"),
        ("en-GB,en", "1 Mar 2026 08:00:00"),
        ("xx, fr;q=0.5, sv;q=0.7", "2026-03-01 08:00:00"),
        ("", "2026-03-01 08:00:00"),
    ],
)
def test_times_are_written_as_the_reader_does(auditor: Browser, language: str, written: str) -> None:
    page = auditor.get(
        f"/explore?{DAY}&zone=UTC&type=user.login_failed", headers={"Accept-Language": language}
    )
    stamp = '<time datetime="2026-03-01T08:00:00+00:00" title="2026-03-01 08:00:00 UTC">'
    assert f"{stamp}{written}</time>" in page.text
    assert 'name="from" value="2026-03-01"' in page.text  # what a program reads stays


@pytest.mark.parametrize("columns", ["", ",".join(column.name for column in COLUMNS)])
@pytest.mark.parametrize("persona", ["auditor", "analyst"])
def test_a_page_of_the_largest_events_is_small(served: OnRecord, persona: str, columns: str) -> None:
    with Browser(served) as browser:
        browser.sign_in(persona)
        page = browser.get(f"/explore?{LARGE_DAY}&columns={columns}")
        assert page.text.count('<tr class="failed">') == 50
        assert len(page.content) < 150_000
        [link] = set(re.findall(r'href="(/events/[^"]+)"', page.text)[:1])
        longest = "&".join(f"not_actor={number:0>80}" for number in range(40))
        long = browser.get(f"/explore?{LARGE_DAY}&columns={columns}&{longest}")
        assert len(long.content) < 150_000
        assert "events match" in long.text
        assert "Not drawn: the filter is too long" in long.text
        assert browser.get(f"/explore?{longest}&{longest}").status_code == 400
        assert "😀" * 200 in browser.get(link).text or "&#34;" * 200 in browser.get(link).text


def test_a_page_of_usual_events_with_a_long_filter_is_small(
    databases: Databases, broker: Broker, tmp_path: Path
) -> None:
    make_topic(broker.bootstrap_servers, "usual")
    names = ",".join(column.name for column in COLUMNS)
    others = urlencode([("not_actor", f"someone.with.a.long.id.{number:03}") for number in range(40)])
    with databases.copy(PROJECTED) as url:
        usual = [
            read(
                minute * 3,
                f"patient-{minute:04}",
                actor=Actor(
                    id=f"n.nightshift{minute}", name=f"Nora Nightshift {minute}", roles=("nurse", "ward-7")
                ),
                session=str(uuid4()),
                correlation_id=str(uuid4()),
                client=Client(address=f"10.20.30.{minute}", user_agent="Mozilla/5.0 (X11; Linux x86_64)"),
                purpose_of_use=("TREAT",),
                device=Device(id=f"pump-{minute}"),
            )
            for minute in range(60)
        ]
        record(url, usual)
        with (
            dashboard(url, broker.bootstrap_servers, "usual", tmp_path) as served,
            Browser(served) as browser,
        ):
            browser.sign_in("auditor")
            for query in (
                "from=2026-02-25&to=2026-03-02",
                f"from=2026-02-25&to=2026-03-02&columns={names}&{others}",
            ):
                page = browser.get(f"/explore?{query}")
                assert page.text.count("<tr>") >= 50
                assert len(page.content) < 150_000
            # Few columns have all their buttons.
            assert len(buttons(browser.get("/explore?from=2026-03-01&to=2026-03-01"))) > 50


def test_an_event_that_is_not_projected_yet_is_not_mistaken_for_nothing(
    databases: Databases, broker: Broker, tmp_path: Path
) -> None:
    make_topic(broker.bootstrap_servers, "behind")
    with databases.copy(PROJECTED) as url:
        record(url, hospital())
        with closing(Database(url, INGEST, size=1)) as database, database.transaction() as connection:
            append_only(connection, [read(30, actor=NORA), read(31, actor=NORA)])
        with (
            dashboard(url, broker.bootstrap_servers, "behind", tmp_path) as served,
            Browser(served) as browser,
        ):
            browser.sign_in("auditor")
            page = browser.get(f"/explore?{DAY}&type=record.deleted")
            assert "The list is 2 events behind the log." in page.text
            assert "Nothing matches so far" in page.text
            assert "Nothing matches in this range" not in page.text


def test_what_is_too_slow_says_what_to_add(databases: Databases) -> None:
    with databases.copy(PROJECTED) as url:
        record(url, hospital())
        _make_slow(url)
        with closing(Database(url, READER, size=2, statement_timeout_ms=300)) as database:
            principal = Principal(id="a", roles=frozenset({Role.AUDITOR}))
            scope = Scope(principal)
            viewer = Viewer(principal=principal, scope=scope, now=datetime.now(UTC))
            pairs = [("service", "patient-service"), ("from", "2026-03-01"), ("to", "2026-03-01")]
            page = explore(
                ScopedModels(ReadModels(database), scope, QueryLog()),
                ScopedLog(LogReader(database), scope),
                viewer,
                EventFilter(service="patient-service"),
                pairs,
                Meant(pairs, [], []),
                PageRequest(first=50),
                31,
            )
    assert page.problem == (
        "it took too long: add a condition on actor, patient, device, resource type, resource id, correlation id, "
        "session, address, or choose a shorter range of times"
    )
    assert page.rows == []
    assert "can't be answered: it took too long" in unescape(render(page).decode())


def _make_slow(url: str) -> None:
    """Every look at the activity takes longer than a statement may."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT schema_name FROM audit_trail.projection WHERE name = 'activity'")
        [(schema,)] = cursor.fetchall()
        cursor.execute(f"ALTER TABLE {schema}.activity RENAME TO kept")
        cursor.execute(
            f"CREATE VIEW {schema}.activity AS SELECT kept.* FROM {schema}.kept, pg_sleep(30) OFFSET 0"
        )
        cursor.execute(f"GRANT SELECT ON {schema}.activity TO PUBLIC")
        connection.commit()


def test_a_database_that_is_away_is_named(databases: Databases, broker: Broker, tmp_path: Path) -> None:
    make_topic(broker.bootstrap_servers, "away")
    with (
        databases.copy(PROJECTED) as url,
        dashboard(url, broker.bootstrap_servers, "away", tmp_path) as served,
        Browser(served) as browser,
    ):
        browser.sign_in("auditor")
        with away(url):
            page = browser.get(f"/explore?{DAY}")
        assert page.status_code == 503
        assert "The database is away" in page.text
        assert page.headers["retry-after"]
