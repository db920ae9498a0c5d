"""What people decide and load counts from its place in the log on: suppressions, context, and cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from detection.cases.alerts import AlertFacts, subject_of
from detection.cases.case_book import CaseBook
from detection.context.rows import encode_row, make_row
from detection.context.storage import Decision, publish_loads, store_version
from detection.context.tables import TABLES, Format
from detection.live.installed import installed
from detection.pack import pack_files
from domain.alert_level import Level
from domain.cases.commands import EndSuppression, Person, Suppress
from domain.event import AuditEvent
from event_store.database import CONTEXT, Database
from projections import stateful
from projections.rebuild.coordinator import rebuild
from projections.rebuild.verification import verify
from tests.detection.cases.given_cases import PAUL, command
from tests.detection.live.logs import DELETION, activate, deletion, detect, read_by
from tests.projections.rebuild.rebuilds import Rebuilt, parts_of
from tests.signing import TEXT
from tests.trail import Trail

_LIVE = """
SELECT set_config('search_path', schema_name, true)
FROM audit_trail.projection
WHERE live AND name = 'detection'
"""
_MISSING = """
SELECT count(*)
FROM active_rule
WHERE missing <> '{}' AND position = (SELECT max(position) FROM active_rule)
"""
RULE = UUID("6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14")


@pytest.fixture(autouse=True, params=["saved at each batch", "read again"])
def _saving(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of `detect` is a process of its own: it goes on from a saved state, or reads the log again."""
    monkeypatch.setattr(stateful, "SAVE_SECONDS", 0.0 if request.param == "saved at each batch" else 30.0)


@pytest.fixture
def book(new_trail: Trail) -> Iterator[CaseBook]:
    with closing(CaseBook(new_trail.url, TEXT)) as book:
        yield book


def columns(trail: Trail, statement: str) -> list[tuple[Any, ...]]:
    """What the live build says."""
    with trail.reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_LIVE)
        cursor.execute(statement)
        return cursor.fetchall()


def the_same_after_a_rebuild(trail: Trail) -> None:
    given = parts_of(trail, Rebuilt(), source=installed)
    assert verify(given, "detection").different == []
    tables = [table.name for each in installed() if each.name == "detection" for table in each.tables]
    before = {table: sorted(columns(trail, f"SELECT * FROM {table}"), key=repr) for table in tables}
    [outcome] = rebuild(given, ["detection"])
    assert outcome.failure == ""
    assert {table: sorted(columns(trail, f"SELECT * FROM {table}"), key=repr) for table in tables} == before


def after(trail: Trail) -> None:
    """Others have appended: the next position is another one."""
    with trail.reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT size FROM audit_trail.log_state")
        [(trail.size,)] = cursor.fetchall()


def test_a_suppression_holds_back_from_its_place_on_until_it_ends(new_trail: Trail, book: CaseBook) -> None:
    activate(new_trail, DELETION)
    new_trail.append(deletion())
    suppression = uuid4()
    wanted = Suppress(
        rule_id=RULE,
        match={"actor.id": "eve"},
        owner=Person(id="paul"),
        reason="the migration",
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    book.carry_out(command(suppression, wanted, PAUL))
    detect(new_trail)
    after(new_trail)
    new_trail.append(deletion(), deletion("mallory"))
    detect(new_trail)
    book.carry_out(command(suppression, EndSuppression(reason="it is over"), PAUL))
    after(new_trail)
    new_trail.append(deletion())
    detect(new_trail)
    held = columns(
        new_trail, "SELECT actor, suppressed_by IS NOT NULL, positions FROM alert ORDER BY position"
    )
    assert [row[:2] for row in held] == [("eve", False), ("eve", True), ("mallory", False), ("eve", False)]
    assert held[1][2] == [3], "the evidence is kept"
    the_same_after_a_rebuild(new_trail)


def test_an_alert_joins_a_case_and_the_read_model_shows_it(new_trail: Trail, book: CaseBook) -> None:
    activate(new_trail, DELETION)
    new_trail.append(deletion())
    detect(new_trail)
    [(id, raised_at)] = columns(new_trail, "SELECT alert_id, raised_at FROM alert")
    facts = AlertFacts(id=UUID(id), rule_id=RULE, title="A", level=Level.HIGH, raised_at=raised_at)
    received = book.receive(facts, subject_of(RULE, (), "eve"), raised_at)
    detect(new_trail)
    assert columns(new_trail, "SELECT case_id, alert_id FROM case_alert") == [(str(received.case), id)]
    assert columns(new_trail, "SELECT actor, state, alerts FROM detection_case") == [("eve", "open", 1)]
    the_same_after_a_rebuild(new_trail)


def load(trail: Trail, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Load a table, as `audit-trail context load` does, and append the event."""
    canonical = sorted(encode_row(make_row(TABLES[table], row)) for row in rows)

    def publish(event: AuditEvent) -> None:
        after(trail)
        trail.append(event)

    with closing(Database(trail.url, CONTEXT)) as database:
        store_version(database, TABLES[table], canonical, Decision("n.operator", "nightly", Format.CSV))
        publish_loads(database, publish)


def test_context_counts_from_its_load_on_and_explains_accesses(new_trail: Trail) -> None:
    activate(new_trail, *(file.read_text("utf-8") for file in pack_files()))
    new_trail.append(read_by("ada", "17"))
    detect(new_trail)
    [(before,)] = columns(new_trail, _MISSING)
    assert before > 10
    load(new_trail, "staff", [{"id": "ada", "name": "Ada", "family_name": "L", "departments": ["surgery"]}])
    load(new_trail, "patients", [{"id": "17"}, {"id": "18"}])
    load(new_trail, "care_teams", [{"patient": "17", "staff": "ada"}])
    detect(new_trail)
    [(now,)] = columns(new_trail, _MISSING)
    assert now < before
    new_trail.append(read_by("ada", "17"), read_by("ada", "18"))
    detect(new_trail)
    explained = (
        "SELECT department, rule_id <> '', accesses FROM explained_access WHERE department <> '' ORDER BY 2"
    )
    assert columns(new_trail, explained) == [("surgery", False, 1), ("surgery", True, 1)]
    the_same_after_a_rebuild(new_trail)
