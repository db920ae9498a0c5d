"""The pages of a patient, a user, a device, a service and a resource."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from msgspec import Struct

from dashboard import links
from dashboard.event_rows import EventRow, rows_of
from dashboard.explorer import moment_of
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from domain.access.principal import Role
from queries.filters.event_filter import EventFilter, PageRequest
from queries.history import FieldChange
from queries.scoped.read_models import ScopedModels
from queries.summaries.configuration import ChangePlace
from queries.summaries.results import ConfigurationValue

LIMIT = 100
MAX_SETTINGS = 1000
_MOST_SETTINGS = 10_000
_EVENTS = 20


class Cell(Struct, frozen=True):
    """A cell of a table: a text, and where it leads."""

    text: str
    link: str | None = None


class Section(Struct, frozen=True):
    """A table with a heading. An empty one says `nothing`."""

    name: str
    columns: list[str]
    rows: list[list[Cell]]
    nothing: str = "Nothing is recorded."

    @property
    def is_cut(self) -> bool:
        """Whether there may be more rows than the page shows."""
        return len(self.rows) == LIMIT


class Subject(View, frozen=True, kw_only=True):
    """The page of one subject. `lines` are sentences about it; `link` leads to all its events.

    `days` are the two fields of a device's page by which its configuration at a day is chosen, and compared.
    """

    template: ClassVar[str] = "subject.html"
    lines: list[str]
    first: Moment
    last: Moment
    sections: list[Section]
    events: list[EventRow]
    link: str
    own: bool = False
    days: tuple[str, str] | None = None
    as_of_position: int


def patient_page(models: ScopedModels, viewer: Viewer, id: str) -> Subject | None:
    """Who accessed a patient's data; for the patient in plain words. Blocks; None if nothing is recorded."""
    found = models.patient(id, LIMIT)
    if found is None:
        return None
    own = Role.PATIENT in viewer.principal.roles and id in viewer.principal.patients
    accesses = [
        [
            _user(each.actor_id, each.actor_name),
            Cell(str(each.accesses)),
            Cell(str(each.events)),
            Cell(", ".join(each.purposes) or "not given"),
            _at(viewer.moment(each.first_at)),
            _at(viewer.moment(each.last_at)),
        ]
        for each in found.accesses
    ]
    who = "Who looked at your record" if own else "Who accessed the record"
    columns = ["Who", "Accesses", "All events", "Purposes", "First", "Last"]
    return Subject(
        viewer=viewer,
        title="My record" if own else f"Patient {id}",
        own=own,
        lines=[f"{found.events} events name {'you' if own else 'this patient'}."],
        first=viewer.moment(found.first_seen),
        last=viewer.moment(found.last_seen),
        sections=[Section(who, columns, accesses)],
        events=_events(models, viewer, EventFilter(patient=id)),
        link=links.explore(patient=id),
        as_of_position=found.as_of_position,
    )


def user_page(models: ScopedModels, viewer: Viewer, id: str) -> Subject | None:
    """What a user did. Blocks; None if nothing is recorded."""
    found = models.user(id, LIMIT)
    if found is None:
        return None
    actions = [
        [Cell(each.type, links.explore(user=id, type=each.type)), Cell(str(each.events))]
        for each in found.actions
    ]
    patients = [
        [
            Cell(each.patient_id, links.subject("patient", each.patient_id)),
            Cell(str(each.events), links.explore(user=id, patient=each.patient_id)),
            _at(viewer.moment(each.first_at)),
            _at(viewer.moment(each.last_at)),
        ]
        for each in found.patients
    ]
    sessions = [
        [
            Cell(each.session, links.explore(session=each.session)),
            _at(viewer.moment(each.started_at)) if each.started_at else Cell("not reported"),
            _at(viewer.moment(each.ended_at)) if each.ended_at else Cell("not reported"),
            Cell(str(each.events)),
        ]
        for each in found.sessions
    ]
    return Subject(
        viewer=viewer,
        title=found.name or f"User {id}",
        lines=[f"{found.events} events, {found.logins} sign-ins, {found.failed_logins} failed sign-ins."],
        first=viewer.moment(found.first_seen),
        last=viewer.moment(found.last_seen),
        sections=[
            Section("What", ["Type", "Events"], actions),
            Section("Patients", ["Patient", "Events", "First", "Last"], patients, "No patient."),
            Section("Sessions", ["Session", "Began", "Ended", "Events"], sessions, "No session."),
        ],
        events=_events(models, viewer, EventFilter(user=id)),
        link=links.explore(user=id),
        as_of_position=found.as_of_position,
    )


def device_page(
    models: ScopedModels, viewer: Viewer, id: str, at: str = "", other: str = ""
) -> Subject | None:
    """A device over time, and its configuration at the end of the day `at`, or its differences to that of `other`.

    Blocks; None if nothing is recorded. Raises `RejectedError` that names the field.
    """
    found = models.device(id, LIMIT)
    if found is None:
        return None
    changes = [
        [
            _at(viewer.moment(each.occurred_at)),
            _user(each.actor_id, None),
            Cell(each.path),
            Cell(viewer.value(each.before)),
            Cell(viewer.value(each.after)),
        ]
        for each in found.configuration
    ]
    versions = [
        [Cell(kind), Cell(each.version), _at(viewer.moment(each.first_at)), _at(viewer.moment(each.last_at))]
        for kind, periods in (
            ("Software", found.software_versions),
            ("Configuration", found.configuration_versions),
        )
        for each in periods
    ]
    state = {
        True: "It is connected.",
        False: "It is disconnected.",
        None: "Whether it is connected is not reported.",
    }
    return Subject(
        viewer=viewer,
        title=found.name or f"Device {id}",
        lines=[f"{found.events} events. {state[found.connected]}"],
        first=viewer.moment(found.first_seen),
        last=viewer.moment(found.last_seen),
        days=(at, other),
        sections=[
            _configuration(models, viewer, id, at, other),
            Section("Changes of the configuration", ["When", "Who", "Setting", "Before", "After"], changes),
            Section("Versions", ["Of", "Version", "First reported", "Last reported"], versions),
        ],
        events=_events(models, viewer, EventFilter(device=id)),
        link=links.explore(device=id),
        as_of_position=found.as_of_position,
    )


def _configuration(models: ScopedModels, viewer: Viewer, id: str, at: str, other: str) -> Section:
    values = _values_at(models, viewer, id, "at", at)
    if other:
        return _differences(viewer, at, values, other, _values_at(models, viewer, id, "compared", other))
    rows = [
        [
            Cell(each.path),
            Cell(viewer.value(each.value)),
            _at(viewer.moment(each.since)) if each.since else Cell("before its first change"),
            _user(each.changed_by, None),
        ]
        for each in values.values()
    ]
    name = f"Configuration at the end of {at}" if at else "Configuration now"
    return Section(name, ["Setting", "Value", "Since", "By"], rows, "No setting is recorded.")


def _differences(
    viewer: Viewer,
    at: str,
    values: dict[str, ConfigurationValue],
    other: str,
    others: dict[str, ConfigurationValue],
) -> Section:
    name = "Differences of the configuration"
    columns = ["Setting", f"At the end of {at}" if at else "Now", f"At the end of {other}"]
    if viewer.hides_values:
        return Section(name, columns, [], "Values are hidden from your role.")
    pairs = [(path, values.get(path), others.get(path)) for path in sorted(values.keys() | others.keys())]
    rows = [
        [
            Cell(path),
            *(Cell("not recorded" if each is None else viewer.value(each.value)) for each in (one, two)),
        ]
        for path, one, two in pairs
        if one is None or two is None or one.value != two.value
    ]
    return Section(name, columns, rows, "There is no difference.")


def _values_at(
    models: ScopedModels, viewer: Viewer, id: str, name: str, day: str
) -> dict[str, ConfigurationValue]:
    moment = moment_of(name, day, viewer, ends=True) - timedelta(microseconds=1) if day else None
    found: dict[str, ConfigurationValue] = {}
    place: ChangePlace | None = None
    while (page := models.device_configuration(id, moment, MAX_SETTINGS, place)) is not None:
        found |= {each.path: each for each in page.values}
        place = page.end
        if place is None or len(found) >= _MOST_SETTINGS:
            break
    return found


def service_page(models: ScopedModels, viewer: Viewer, id: str) -> Subject | None:
    """A service over time. Blocks; None if nothing is recorded."""
    found = models.service(id, LIMIT)
    if found is None:
        return None
    periods = [
        [
            Cell(each.state),
            _at(viewer.moment(each.from_at)),
            _at(viewer.moment(each.until_at)) if each.until_at else Cell("now"),
            Cell(each.instance or ""),
        ]
        for each in found.periods
    ]
    use = [
        [
            _at(viewer.moment(each.hour)),
            Cell(each.method),
            Cell(str(each.calls)),
            Cell(str(each.failures)),
            Cell(f"{each.duration_ms / each.calls:.0f} ms" if each.calls else ""),
        ]
        for each in found.api_use
    ]
    return Subject(
        viewer=viewer,
        title=f"Service {id}",
        lines=[
            f"{found.events} events. State: {found.state or 'not reported'}.",
            f"{found.restarts} restarts, {found.health_failures} failed health checks.",
        ],
        first=viewer.moment(found.first_seen),
        last=viewer.moment(found.last_seen),
        sections=[
            Section("Up and down", ["State", "From", "Until", "Instance"], periods),
            Section("Use of its API", ["Hour", "Method", "Calls", "Failures", "Mean time"], use),
        ],
        events=_events(models, viewer, EventFilter(service=id)),
        link=links.explore(service=id),
        as_of_position=found.as_of_position,
    )


def resource_page(models: ScopedModels, viewer: Viewer, type: str, id: str) -> Subject | None:
    """A resource's history, field by field. Blocks; None if nothing is recorded."""
    found = models.resource(type, id)
    if found is None:
        return None
    history = models.resource_changes(type, id, None, LIMIT)
    return Subject(
        viewer=viewer,
        title=f"{type} {id}",
        lines=[],
        first=viewer.moment(found.first_seen),
        last=viewer.moment(found.last_seen),
        sections=[
            Section(
                "History",
                ["When", "Who", "Field", "Before", "After"],
                [_change(each, viewer) for each in history.changes],
            )
        ],
        events=_events(models, viewer, EventFilter(resource_type=type, resource_id=id)),
        link=links.explore(resource_type=type, resource_id=id),
        as_of_position=found.as_of_position,
    )


def _change(change: FieldChange, viewer: Viewer) -> list[Cell]:
    moment = viewer.moment(change.occurred_at)
    return [
        Cell(moment.local, links.event(change.event_id)),
        _user(change.actor.id, change.actor.name),
        Cell(change.path),
        Cell(viewer.value(change.before)),
        Cell(viewer.value(change.after)),
    ]


def _events(models: ScopedModels, viewer: Viewer, filter: EventFilter) -> list[EventRow]:
    page = models.events(models.prepare(filter), PageRequest(first=_EVENTS))
    return rows_of(page.events, viewer)


def _user(id: str | None, name: str | None) -> Cell:
    if id is None:
        return Cell(name or "not shown or not known")
    return Cell(f"{name} ({id})" if name else id, links.subject("user", id))


def _at(moment: Moment) -> Cell:
    return Cell(moment.local)
