"""The page of a patient: who accessed the record, in which role, how often and why. For the patient in plain words."""

from __future__ import annotations

from dashboard import links
from dashboard.plain_words import why
from dashboard.subjects.page import LIMIT, Cell, Part, Section, Subject, at, person
from dashboard.subjects.questions import own_questions
from dashboard.subjects.subject_events import SubjectEvents, range_given
from dashboard.viewer import Viewer
from domain.access.grants import Operation
from queries.scoped.read_models import ScopedModels
from queries.summaries.results import PatientAccess, PatientActivity

_CHANGES = (("type", "record.created"), ("type", "record.updated"), ("type", "record.deleted"))


def patient_page(
    models: ScopedModels, viewer: Viewer, id: str, from_text: str = "", to_text: str = ""
) -> Subject | None:
    """Who accessed a patient's data; only in a range of times, if one is given.

    Blocks; None if nothing is recorded. Raises `RejectedError` that names the parameter.
    """
    between = range_given(viewer, from_text, to_text)
    found = models.patient(id, LIMIT, between)
    if found is None:
        return None
    own = id in viewer.scope.own_patients
    first, last = found.first_seen, found.last_seen
    if between is not None:
        first, last = max(first, between.begin), min(last, between.until)
    events = SubjectEvents(models, viewer, (("patient", id),), first, max(first, last), between)
    parts = _own(models, viewer, found, events) if own else _of_staff(viewer, found, events)
    return Subject(
        viewer=viewer,
        title="My record" if own else f"Patient {id}",
        id=id,
        own=own,
        others=tuple(
            Cell(f"Record {each}", links.subject("patient", each))
            for each in viewer.scope.own_patients
            if own and each != id
        ),
        lines=[_summary(found, own=own, range=between is not None)],
        first=viewer.moment(first),
        last=viewer.moment(max(first, last)),
        range=(from_text, to_text),
        is_empty=between is not None and not found.accesses,
        parts=parts,
        link=events.link(),
        as_of_position=found.as_of_position,
    )


def _summary(found: PatientActivity, *, own: bool, range: bool) -> str:
    people = f"{len(found.accesses)}{' or more' if len(found.accesses) == LIMIT else ''}"
    emergencies = sum(each.emergencies for each in found.accesses)
    without = sum(each.without_purpose for each in found.accesses)
    events = sum(each.events for each in found.accesses) if range else found.events
    when = " in this time" if range else ""
    if own:
        return (
            f"{people} people or programs did something with your record{when}, {events} times in all: "
            f"{emergencies} times in an emergency, and {without} times without a reason being given."
        )
    return (
        f"{events} events by {people} people or programs{when}. "
        f"Break-glass: {emergencies}. Accesses without a purpose: {without}."
    )


def _of_staff(viewer: Viewer, found: PatientActivity, events: SubjectEvents) -> list[Part]:
    columns = ["Who", "In the role of", "Accesses", "All events", "Purposes", "First", "Last"]
    rows = [
        [
            person(viewer, each.actor_id, each.actor_name, _marks(each)),
            Cell(", ".join(each.roles) or "not given"),
            Cell(str(each.accesses)),
            Cell(str(each.events), each.actor_id and events.link(("actor", each.actor_id))),
            Cell(", ".join(each.purposes) or "not given"),
            at(viewer.moment(each.first_at)),
            at(viewer.moment(each.last_at)),
        ]
        for each in found.accesses
    ]
    return [
        Section("Who accessed the record", columns, rows, link=events.link()),
        *([events.by_day("By day")] if found.accesses and viewer.may(Operation.COUNT_EVENTS) else []),
        events.listed("Break-glass", ("emergency", "true"), nothing="There was no break-glass access."),
        events.listed("Changes of the record", *_CHANGES, nothing="Nothing was changed."),
        events.listed("The newest events"),
    ]


def _own(models: ScopedModels, viewer: Viewer, found: PatientActivity, events: SubjectEvents) -> list[Part]:
    columns = ["Who", "As", "How often", "Why", "First", "Last"]
    rows = [
        [
            Cell(each.actor_name or each.actor_id or "name not shown", None, _plain_marks(each)),
            Cell(", ".join(each.roles) or "not said"),
            Cell(str(each.events)),
            Cell(why(each.purposes)),
            at(viewer.moment(each.first_at)),
            at(viewer.moment(each.last_at)),
        ]
        for each in found.accesses
    ]
    questions = own_questions(models, viewer, (("patient", found.id),), answers=True)
    return [
        Section("Who opened your record", columns, rows, link=events.link(), note=_about_names(found)),
        events.in_plain_words("What happened, newest first"),
        *([] if questions is None else [questions]),
        *([events.by_day("How much happened on each day")] if found.accesses else []),
    ]


def _about_names(found: PatientActivity) -> str:
    """Why names are missing, and what a patient can do about it."""
    if all(each.actor_name or each.actor_id for each in found.accesses):
        return ""
    return (
        "This page does not show the names of staff. If an access below looks wrong to you, choose "
        "“I don't recognise this” beside it: the privacy office knows who it was."
    )


def _marks(access: PatientAccess) -> tuple[str, ...]:
    counted = (("break-glass", access.emergencies), ("no purpose", access.without_purpose))
    return tuple(f"{name}: {count}" for name, count in counted if count)


def _plain_marks(access: PatientAccess) -> tuple[str, ...]:
    counted = (("in an emergency", access.emergencies), ("no reason was given", access.without_purpose))
    return tuple(f"{name}: {count}" for name, count in counted if count)
