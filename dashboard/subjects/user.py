"""The page of a user: what was done when, in which sessions, to which patients. For the user in plain words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from dashboard import links
from dashboard.subjects.heat_map import heat_map
from dashboard.subjects.page import LIMIT, Cell, Part, Section, Subject, at, link_to
from dashboard.subjects.questions import own_questions
from dashboard.subjects.subject_events import SubjectEvents
from dashboard.texts import title
from dashboard.viewer import Viewer
from domain.access.grants import Operation
from domain.event import AuditEvent
from queries.scoped.read_models import ScopedModels
from queries.summaries.results import UserActivity, UserSession

_SIGNED_OUT = "user.logged_out"
_ENDS = (("type", "session.ended"), ("type", _SIGNED_OUT))
_EXPORTS = (("type", "record.exported"), ("type", "record.disclosed"))
_FAILED = (("type", "user.login_failed"),)


def user_page(models: ScopedModels, viewer: Viewer, id: str) -> Subject | None:
    """What a user did. Blocks; None if nothing is recorded."""
    found = models.user(id, LIMIT)
    if found is None:
        return None
    own = id in viewer.principal.actors
    events = SubjectEvents(models, viewer, (("user", id),), found.first_seen, found.last_seen)
    return Subject(
        viewer=viewer,
        title="My activity" if own else found.name or f"User {id}",
        id=id,
        own=own,
        others=tuple(
            Cell(each, links.subject("user", each)) for each in viewer.principal.actors if own and each != id
        ),
        lines=[_summary(found, own=own)],
        first=viewer.moment(found.first_seen),
        last=viewer.moment(found.last_seen),
        parts=list(_parts(models, viewer, found, events, own=own)),
        link=events.link(),
        as_of_position=found.as_of_position,
    )


def _summary(found: UserActivity, *, own: bool) -> str:
    if own:
        return (
            f"The trail has {found.events} events of you. You signed in {found.logins} times; "
            f"{found.failed_logins} times it failed with your name."
        )
    return f"{found.events} events. Sign-ins: {found.logins}. Failed sign-ins: {found.failed_logins}."


def _parts(
    models: ScopedModels, viewer: Viewer, found: UserActivity, events: SubjectEvents, *, own: bool
) -> list[Part]:
    heat = []
    if viewer.may(Operation.COUNT_EVENTS):
        name = "When you worked" if own else "Activity by day of the week and hour"
        heat = [heat_map(events, viewer, name)]
    failed = events.listed("Failed sign-ins", *_FAILED, nothing="No sign-in failed.")
    exports = events.listed(
        "Exports and disclosures", *_EXPORTS, nothing="Nothing was exported or disclosed."
    )
    patients = _patients(viewer, found, events, "Whose records you used" if own else "Patients")
    sessions = _sessions(viewer, found, events)
    if not own:
        newest = events.listed("The newest events")
        return [_actions(found, events), *heat, sessions, failed, patients, exports, newest]
    questions = own_questions(models, viewer, (("user", found.id),), answers=False)
    return [
        events.in_plain_words("What you did, newest first"),
        *([] if questions is None else [questions]),
        patients,
        *heat,
        sessions,
        failed,
        exports,
    ]


def _actions(found: UserActivity, events: SubjectEvents) -> Section:
    rows = [
        [Cell(title(each.type), events.link(("type", each.type))), Cell(each.type), Cell(str(each.events))]
        for each in found.actions
    ]
    return Section("What the user did", ["What", "Type", "Events"], rows, link=events.link())


def _patients(viewer: Viewer, found: UserActivity, events: SubjectEvents, name: str) -> Section:
    rows = [
        [
            Cell(each.patient_id, link_to(viewer, "patient", each.patient_id)),
            Cell(str(each.events), events.link(("patient", each.patient_id))),
            at(viewer.moment(each.first_at)),
            at(viewer.moment(each.last_at)),
        ]
        for each in found.patients
    ]
    columns = ["Patient", "Events", "First", "Last"]
    return Section(name, columns, rows, "No patient.", link=events.link(("category", "data")))


def _sessions(viewer: Viewer, found: UserActivity, events: SubjectEvents) -> Section:
    newest = events.newest(*_ENDS, limit=LIMIT)[0] if found.sessions else []
    ends = ends_of_sessions(each.event for each in newest)
    rows = [
        [
            Cell(each.session, events.link(("session", each.session))),
            at(viewer.moment(each.started_at)) if each.started_at else Cell("not reported"),
            at(viewer.moment(each.ended_at)) if each.ended_at else Cell("not reported"),
            Cell(_length(each)),
            _end(ends.get(each.session)),
            Cell(str(each.events)),
        ]
        for each in found.sessions
    ]
    columns = ["Session", "Began", "Ended", "Length", "How it ended", "Events"]
    note = "An end that is not among the newest sign-outs and time-outs of this user is not described."
    return Section("Sessions", columns, rows, "No session.", events.link(), note if found.sessions else "")


def ends_of_sessions(newest: Iterable[AuditEvent]) -> dict[str, AuditEvent]:
    """Session -> the event that says best how it ended, of sign-outs and ends of sessions, the newest first."""
    ends: dict[str, AuditEvent] = {}
    for event in newest:
        # A sign-out is often followed by the end of its session, which says less.
        if event.session is not None and (event.session not in ends or event.type == _SIGNED_OUT):
            ends[event.session] = event
    return ends


def _length(session: UserSession) -> str:
    if session.started_at is None:
        return "not known"
    until = session.ended_at or session.last_seen
    text = str(timedelta(seconds=int(max(until - session.started_at, timedelta()).total_seconds())))
    return text if session.ended_at else f"at least {text}"


def _end(event: AuditEvent | None) -> Cell:
    if event is None:
        return Cell("not reported")
    how = "signed out" if event.type == _SIGNED_OUT else "ended without a sign-out"
    why = event.reason or event.outcome_reason
    return Cell(f"{how}: {why}" if why else how, links.event(event.event_id))
