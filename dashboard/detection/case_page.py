"""One case: its story, its alerts, the question to the employee, and the forms to work on it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar
from uuid import uuid4

from msgspec import Struct

from dashboard import links
from dashboard.detection.words import (
    LONGEST,
    VERDICTS,
    AlertRow,
    FormResult,
    Said,
    alert_row,
    case_state,
    is_own,
    person,
    unshown_text,
    verdict_of,
)
from dashboard.render import View
from dashboard.texts import duration
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from domain.catalogue import TRAIL_SERVICE
from queries.detection.results import CaseDetail, CaseEntry, CaseState, CaseView

FORMS = ("assign", "comment", "ask", "decide", "reopen")
"""The forms of the page: the last part of the path that each is sent to."""

_WORDS = {
    "case.opened": "opened the case",
    "case.alert_joined": "added an alert",
    "case.assigned": "assigned the case to {whom}",
    "case.commented": "commented",
    "case.employee_asked": "asked {whom}",
    "case.employee_answered": "answered",
    "case.decided": "decided: {verdict}{took}",
    "case.reopened": "opened the case again",
}


class StoryLine(Struct, frozen=True, kw_only=True):
    """What somebody did. `quote` is what that person wrote."""

    at: Moment
    who: str
    text: str
    link: str
    quote: str


class OpenQuestion(Struct, frozen=True):
    """What an employee was asked and has not answered."""

    employee: str
    text: str


class CaseDetailPage(View, frozen=True, kw_only=True):
    """The page. `commands` are the ids of the commands that the forms give: sent twice, a form does nothing twice."""

    template: ClassVar[str] = "case.html"
    link: str
    state: str
    is_open: bool
    level: str
    actor: str
    about: str
    about_link: str
    assignee: str
    opened: Moment
    earlier_link: str
    question: OpenQuestion | None
    entries: list[StoryLine]
    more_entries: bool
    alerts: list[AlertRow]
    more_alerts: str
    own: bool
    may_handle: bool
    may_decide: bool
    verdicts: list[tuple[str, str]]
    commands: Mapping[str, str]
    longest: int
    said: Said | None
    typed: Mapping[str, str]
    unshown: str
    as_of_position: int


def case_page(found: CaseDetail, viewer: Viewer, result: FormResult | None = None) -> CaseDetailPage:
    """The page of one case."""
    case = found.case
    about, about_link = person(case.actor, viewer, "no single actor, or not shown")
    own = is_own(viewer, case.actor)
    return CaseDetailPage(
        viewer=viewer,
        title=case.title,
        link=links.case(case.case_id),
        state=case_state(case),
        is_open=case.state is CaseState.OPEN,
        level=case.level.value,
        actor=case.actor or "",
        about=about,
        about_link=about_link,
        assignee=case.assignee_name or case.assignee or "",
        opened=viewer.moment(case.opened_at),
        earlier_link="" if case.earlier_case is None else links.case(case.earlier_case),
        question=_question(case),
        entries=[story_line(each, viewer) for each in found.history],
        more_entries=found.next_entry is not None,
        alerts=[alert_row(each, viewer) for each in found.newest_alerts],
        more_alerts=links.alerts(case=case.case_id) if case.alerts > len(found.newest_alerts) else "",
        own=own,
        may_handle=viewer.may(Operation.HANDLE_CASES) and not own,
        may_decide=viewer.may(Operation.DECIDE_CASES) and not own,
        verdicts=[(value.value, text) for value, text in VERDICTS.items()],
        commands={form: str(uuid4()) for form in FORMS},
        longest=LONGEST,
        said=None if result is None else result.said,
        typed={} if result is None else result.typed,
        unshown="" if result is None else unshown_text(result.typed, _shown_forms(case)),
        as_of_position=found.as_of_position,
    )


def _shown_forms(case: CaseView) -> frozenset[str]:
    """The forms that the state of a case allows."""
    if case.state is CaseState.DECIDED:
        return frozenset({"reopen", "comment"})
    asked = case.asked is not None or case.question is not None
    return frozenset({"decide", "assign", "comment"} | (set() if asked else {"ask"}))


def _question(case: CaseView) -> OpenQuestion | None:
    if case.question is None and case.asked is None:
        return None
    return OpenQuestion(case.asked or "An employee", case.question or "(not shown to you)")


def story_line(entry: CaseEntry, viewer: Viewer) -> StoryLine:
    """What somebody did, in words."""
    by_trail = entry.by_id == TRAIL_SERVICE
    return StoryLine(
        at=viewer.moment(entry.at),
        who="Audit Trail" if by_trail else entry.by_name or entry.by_id,
        text=_done(entry),
        link="" if entry.alert_id is None else links.alert(entry.alert_id),
        quote=entry.text or "",
    )


def _done(entry: CaseEntry) -> str:
    if entry.kind == "case.opened" and entry.alert_id is not None:
        return "opened the case for an alert"
    text = _WORDS.get(entry.kind, entry.kind.removeprefix("case.").replace("_", " "))
    whom = entry.person_name or entry.person or "somebody"
    took = "" if entry.seconds is None else f", after {duration(timedelta(seconds=entry.seconds))} of review"
    return text.format(whom=whom, verdict=verdict_of(entry.verdict), took=took)
