"""One alert: what the rule found and why, its evidence, its case, and the forms to open a case and to suppress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar
from uuid import uuid4

from dashboard import links
from dashboard.detection.words import (
    HIDDEN,
    KINDS,
    LONGEST,
    FormResult,
    Said,
    alert_state,
    case_link,
    is_own,
    person,
)
from dashboard.event_rows import EventRow, rows_of
from dashboard.render import View
from dashboard.texts import many
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from domain.event import RecordedEvent
from queries.detection.results import AlertView, Handling

MOST_DAYS = 365
"""Days of a suppression, of which the last one is whole: at most 366 days from now."""
_SHORT = 12
"""Letters of a digest; the event of the alert has all."""


class AlertDetail(View, frozen=True, kw_only=True):
    """The page. Each form has the id of the command that it gives, so that sending it twice does nothing twice."""

    template: ClassVar[str] = "alert.html"
    link: str
    level: str
    who: str
    who_link: str
    group: list[tuple[str, str]]
    kind_words: str
    reasons: Sequence[str]
    no_reasons: str
    begins: Moment
    ends: Moment
    raised: Moment
    events: int
    growing: bool
    rule_link: str
    rule_version: str
    state: str
    case_link: str
    event_link: str
    evidence: list[EventRow]
    evidence_note: str
    may_open: bool
    may_suppress: bool
    open_command: str
    suppress_command: str
    most_days: int
    longest: int
    said: Said | None
    typed: Mapping[str, str]
    as_of_position: int


def alert_page(
    alert: AlertView,
    evidence: Sequence[RecordedEvent] | None,
    as_of_position: int,
    viewer: Viewer,
    result: FormResult | None = None,
) -> AlertDetail:
    """The page of one alert. `evidence` are the events that the viewer may see, None for who may see no events."""
    who, who_link = person(alert.actor, viewer)
    by_others = not is_own(viewer, alert.actor)
    return AlertDetail(
        viewer=viewer,
        title=alert.title,
        link=links.alert(alert.alert_id),
        level=alert.level.value,
        who=who,
        who_link=who_link,
        group=[(each.name, HIDDEN if each.value is None else each.value) for each in alert.group],
        kind_words=KINDS[alert.kind],
        reasons=alert.reasons,
        no_reasons="The rule gives no reasons, or they are not shown to you.",
        begins=viewer.moment(alert.begins),
        ends=viewer.moment(alert.ends),
        raised=viewer.moment(alert.raised_at),
        events=alert.events,
        growing=not alert.final,
        rule_link=links.rule(alert.rule_id),
        rule_version=alert.rule_digest[:_SHORT],
        state=alert_state(alert),
        case_link=case_link(alert),
        event_link=links.event(alert.alert_id) if viewer.scope.sees_alerts else "",
        evidence=[] if evidence is None else rows_of(evidence, viewer),
        evidence_note=_note(alert, evidence),
        may_open=(
            alert.case_state is Handling.NONE
            and alert.actor is not None
            and by_others
            and viewer.may(Operation.HANDLE_CASES)
        ),
        may_suppress=(
            viewer.may(Operation.SUPPRESS_ALERTS)
            and by_others
            and all(each.value is not None for each in alert.group)
        ),
        open_command=str(uuid4()),
        suppress_command=str(uuid4()),
        most_days=MOST_DAYS,
        longest=LONGEST,
        said=None if result is None else result.said,
        typed={} if result is None else result.typed,
        as_of_position=as_of_position,
    )


def _note(alert: AlertView, evidence: Sequence[RecordedEvent] | None) -> str:
    """What the table of the evidence leaves out."""
    if evidence is None:
        return "Your roles show no events."
    notes = []
    hidden = len(alert.positions) - len(evidence)
    if hidden > 0:
        notes.append(f"Not shown to you, or not in the database: {many(hidden, 'event')}.")
    more = alert.events - len(alert.positions)
    if more > 0:
        notes.append(
            f"The alert names its first {len(alert.positions)} events; it has {many(more, 'event')} more."
        )
    if not alert.positions:
        notes.append("What is missing has no event: the rule found that something did not happen.")
    return " ".join(notes)
