"""How many accesses of staff have a reason that a rule knows, by department."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

from domain.errors import ConflictError, Reason
from event_store.database import Connection
from event_store.statements import load
from queries.detection.results import DepartmentAccesses, ExplainedAccesses, RuleShare
from queries.filters.checks import check_time

_SQL = load(__package__, "explained.sql")
MAX_DEPARTMENTS = 500
MAX_RANGE = timedelta(days=366)


def check_range(since: datetime, until: datetime) -> None:
    """Raise `RejectedError` that names the time when the range is empty or too long."""
    check_time("since", since)
    check_time("until", until)
    if until <= since:
        raise ConflictError(Reason.INVALID_FIELD, "the range ends before it begins", field="until")
    if until - since > MAX_RANGE:
        raise ConflictError(Reason.INVALID_FIELD, f"at most {MAX_RANGE.days} days", field="since")


def find_explained(connection: Connection, since: datetime, until: datetime, as_of: int) -> ExplainedAccesses:
    """The accesses of the days that begin within the range, of at most `MAX_DEPARTMENTS` departments."""
    with connection.cursor() as cursor:
        values = {"since": since, "until": until, "departments": MAX_DEPARTMENTS}
        cursor.execute(_SQL["by_department"], values)
        rows: list[tuple[str, str, int]] = cursor.fetchall()
    departments = [
        _department(name, [RuleShare(rule, count) for _, rule, count in group])
        for name, group in groupby(rows, itemgetter(0))
    ]
    accesses = sum(each.accesses for each in departments)
    explained = sum(each.explained for each in departments)
    return ExplainedAccesses(
        departments=departments,
        accesses=accesses,
        explained=explained,
        share=explained / accesses if accesses else None,
        as_of_position=as_of,
    )


def _department(name: str, shares: list[RuleShare]) -> DepartmentAccesses:
    by_rule = [each for each in shares if each.rule_id]
    accesses, explained = (sum(each.accesses for each in some) for some in (shares, by_rule))
    return DepartmentAccesses(
        department=name or None,
        accesses=accesses,
        explained=explained,
        unexplained=accesses - explained,
        share=explained / accesses if accesses else 0.0,
        by_rule=by_rule,
    )
