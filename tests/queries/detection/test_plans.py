"""The plans of queries about detection: however many alerts there are, no page reads all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest

from domain.alert_level import Level
from projections.registry import open_snapshot
from queries.detection.alerts import find_alert, find_alerts, follow_alerts
from queries.detection.cases import find_case, find_cases, find_questions
from queries.detection.results import BEGIN, AlertFilter, CaseFilter, CaseState, Handling, Place
from tests.detection.cases.live_detection import LiveDetection
from tests.trail import Trail

RULE = "6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14"
MANY = """
INSERT INTO {schema}.alert
SELECT n, timestamptz '2026-01-01Z' + n * interval '1 minute', timestamptz '2026-01-01Z', timestamptz '2026-01-01Z', 1,
    true, 'a-' || n, 'match', CASE WHEN n % 3 = 0 THEN '{rule}' ELSE 'rule-' || n % 40 END, 'd', 'Title', 'low', '[]',
    'actor-' || n % 500, '[1]', '[]', NULL
FROM generate_series(1, 30000) AS n;
INSERT INTO {schema}.case_alert
SELECT n, timestamptz '2026-01-01Z', 'a-' || n, 'c-' || n / 3 FROM generate_series(1, 30000) AS n;
INSERT INTO {schema}.detection_case (
    case_id, opened_position, opened_at, opened_by, actor, title, level, reason, state_position, state, alerts, entries,
    position, changed_at
)
SELECT 'c-' || n, 3 * n, timestamptz '2026-01-01Z', 'x', 'actor-' || n % 500, 'Title', 'low', '', 3 * n,
    CASE WHEN n % 50 = 0 THEN 'open' ELSE 'decided' END, 3, 4, 3 * n, timestamptz '2026-01-01Z'
FROM generate_series(0, 10000) AS n;
ANALYZE {schema}.alert, {schema}.case_alert, {schema}.detection_case;
"""
START = datetime(2026, 1, 1, tzinfo=UTC)
ALERTS = [
    AlertFilter(),
    AlertFilter(actor="actor-7"),
    AlertFilter(rule_id=RULE),
    AlertFilter(rule_id=RULE, actor="actor-7"),
    AlertFilter(case_id="c-77"),
    AlertFilter(level=Level.HIGH),
    AlertFilter(handling=Handling.OPEN, suppressed=False),
    AlertFilter(since=START + timedelta(days=3), until=START + timedelta(days=4)),
]
CASES = [
    CaseFilter(),
    CaseFilter(state=CaseState.OPEN),
    CaseFilter(actor="actor-7"),
    CaseFilter(assignee="paul"),
    CaseFilter(asked=True),
]


class Explaining(psycopg2.extensions.cursor):
    """Keeps the plan of each statement before it is executed."""

    plans: list[str] = []  # noqa: RUF012 - one list for all cursors of a test

    def execute(self, query: Any, vars: Any = None) -> None:
        super().execute(f"EXPLAIN {query}", vars)
        self.plans.append("\n".join(row[0] for row in self.fetchall()))
        super().execute(query, vars)


@pytest.fixture
def explained(trail: Trail) -> Iterator[psycopg2.extensions.connection]:
    schema = LiveDetection(trail).build.schema
    with closing(psycopg2.connect(trail.url)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(MANY.format(schema=schema, rule=RULE))
        connection.commit()
        open_snapshot(connection)
        connection.cursor_factory = Explaining
        Explaining.plans.clear()
        yield connection


def test_no_page_reads_all_alerts_or_cases(explained: psycopg2.extensions.connection) -> None:
    for filter in ALERTS:
        for after in (BEGIN, Place(15_000, "a-15000")):
            found = find_alerts(explained, filter, 50, 1, after)
            assert found.alerts or found.next is not None or filter.since or filter.case_id, filter
    for cases in CASES:
        find_cases(explained, cases, 50, 1)
    assert find_alert(explained, "a-77") is not None
    assert find_case(explained, "c-77") is not None
    follow_alerts(explained, Level.HIGH, 100, Place(29_000, "a"))
    find_questions(explained, ["paul"], 10)
    for plan in Explaining.plans:
        for table in ("alert", "case_alert", "detection_case"):
            assert f"Seq Scan on {table} " not in plan, plan
