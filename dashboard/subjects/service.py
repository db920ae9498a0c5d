"""The page of a service: when it was up and down, failed health checks, missing events, and the use of its API."""

from __future__ import annotations

from datetime import datetime, timedelta

from dashboard.subjects.numbers import numbers
from dashboard.subjects.page import LIMIT, Cell, Part, Period, Section, Subject, Timeline, at
from dashboard.subjects.subject_events import SubjectEvents
from dashboard.texts import title
from dashboard.viewer import Viewer
from domain.access.grants import Operation
from domain.errors import ConflictError
from queries.filters.event_filter import CountBy
from queries.scoped.read_models import ScopedModels
from queries.summaries.results import ServiceActivity, StatePeriod

WIDTH = 960
"""The drawing's own units; the page scales it."""
_MOST_INSTANCES = 10
_CHART = timedelta(days=2)
_CALLS = (("type", "api.called"),)
_STARTS = (("type", "service.restarted"), ("type", "service.started"), ("type", "service.stopped"))
_FAILED = (("type", "health_check.failed"),)


def service_page(models: ScopedModels, viewer: Viewer, id: str) -> Subject | None:
    """A service over time. Blocks; None if nothing is recorded."""
    found = models.service(id, LIMIT)
    if found is None:
        return None
    events = SubjectEvents(models, viewer, (("service", id),), found.first_seen, found.last_seen)
    return Subject(
        viewer=viewer,
        title=f"Service {id}",
        id=id,
        lines=[
            f"{found.events} events. State: {found.state or 'not reported'}.",
            f"{found.restarts} restarts, {found.health_failures} failed health checks.",
        ],
        first=viewer.moment(found.first_seen),
        last=viewer.moment(found.last_seen),
        parts=[
            *_timeline(viewer, found),
            *numbers(viewer, found),
            _periods(viewer, found, events),
            events.listed("Starts, stops and restarts", *_STARTS, nothing="None is reported."),
            events.listed("Failed health checks", *_FAILED, nothing="No health check failed."),
            *_use(viewer, found, events),
            events.listed("The newest events"),
        ],
        link=events.link(),
        as_of_position=found.as_of_position,
    )


def _periods(viewer: Viewer, found: ServiceActivity, events: SubjectEvents) -> Section:
    rows = [
        [
            Cell(each.state),
            at(viewer.moment(each.from_at)),
            at(viewer.moment(each.until_at)) if each.until_at else Cell("now"),
            Cell(str(_length(each, viewer.now))),
            Cell(each.instance or ""),
        ]
        for each in found.periods
    ]
    columns = ["State", "From", "Until", "Length", "Instance"]
    return Section("Up and down", columns, rows, link=events.link(*_STARTS, *_FAILED))


def _length(period: StatePeriod, now: datetime) -> timedelta:
    seconds = int(((period.until_at or now) - period.from_at).total_seconds())
    return timedelta(seconds=max(0, seconds))


def _timeline(viewer: Viewer, found: ServiceActivity) -> list[Part]:
    """The periods from the oldest one that is listed until now."""
    if not found.periods:
        return []
    begin = min(each.from_at for each in found.periods)
    end = max(viewer.now, *(each.until_at or each.from_at for each in found.periods))
    scale = WIDTH / max((end - begin).total_seconds(), 1)
    rows: dict[str, list[Period]] = {}
    for each in reversed(found.periods):
        until = each.until_at or end
        row = rows.setdefault(each.instance or "", [])
        row.append(
            Period(
                x=round((each.from_at - begin).total_seconds() * scale, 2),
                width=round(max((until - each.from_at).total_seconds() * scale, 2), 2),
                state=each.state,
                label=f"{each.state} from {viewer.moment(each.from_at).local} until "
                f"{viewer.moment(each.until_at).local if each.until_at else 'now'}",
            )
        )
    drawn = list(rows.items())[:_MOST_INSTANCES]
    return [Timeline("Up and down over time", drawn, viewer.moment(begin).local, viewer.moment(end).local)]


def _use(viewer: Viewer, found: ServiceActivity, events: SubjectEvents) -> list[Part]:
    rows = [
        [
            at(viewer.moment(each.hour)),
            Cell(each.method),
            Cell(str(each.calls)),
            Cell(str(each.failures)),
            Cell(f"{each.duration_ms / each.calls:.0f} ms" if each.calls else ""),
        ]
        for each in found.api_use
    ]
    columns = ["Hour", "Method", "Calls", "Failures", "Mean time"]
    table = Section("Use of its API", columns, rows, "No call is reported.", events.link(*_CALLS))
    if not rows or not viewer.may(Operation.COUNT_EVENTS):
        return [table]
    chart = events.by_hour("Calls of its API by hour", _CHART, *_CALLS)
    return [chart, table, *_outcomes(viewer, found, events)]


def _outcomes(viewer: Viewer, found: ServiceActivity, events: SubjectEvents) -> list[Part]:
    begin, end = found.first_seen, max(found.last_seen, viewer.now) + timedelta(seconds=1)
    try:
        counts = events.counts(CountBy.OUTCOME, begin, end, *_CALLS)
    except ConflictError as exc:
        return [Section("Calls by outcome", ["Outcome", "Calls"], [], f"Not counted: {exc.message}.")]
    rows = [
        [
            Cell(title(each.key or ""), events.link(*_CALLS, ("outcome", each.key or ""))),
            Cell(str(each.events)),
        ]
        for each in counts.buckets
    ]
    return [Section("Calls by outcome", ["Outcome", "Calls"], rows, "No call is reported.")]
