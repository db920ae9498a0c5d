"""The page of a device: its configuration at a day, differences between days, versions and connections."""

from __future__ import annotations

from datetime import timedelta

from dashboard import links
from dashboard.explorer.ranges import moment_of
from dashboard.subjects.page import LIMIT, Cell, Section, Subject, at, person
from dashboard.subjects.subject_events import SubjectEvents
from dashboard.viewer import Viewer
from domain.event import Outcome
from queries.scoped.read_models import ScopedModels
from queries.summaries.configuration import ChangePlace
from queries.summaries.results import ConfigurationChange, ConfigurationValue, DeviceActivity

_AT_ONCE = 1000
_MOST_SETTINGS = 10_000
_CONNECTIONS = (("type", "device.connected"), ("type", "device.disconnected"))
_STATES = {
    True: "It is connected.",
    False: "It is disconnected.",
    None: "Whether it is connected is not reported.",
}


def device_page(
    models: ScopedModels, viewer: Viewer, id: str, day: str = "", other: str = ""
) -> Subject | None:
    """A device over time, and its configuration at the end of `day`, or its differences to that of `other`.

    Blocks; None if nothing is recorded. Raises `RejectedError` that names the field.
    """
    found = models.device(id, LIMIT)
    if found is None:
        return None
    events = SubjectEvents(models, viewer, (("device", id),), found.first_seen, found.last_seen)
    return Subject(
        viewer=viewer,
        title=found.name or f"Device {id}",
        id=id,
        lines=[f"{found.events} events. {_STATES[found.connected]}"],
        first=viewer.moment(found.first_seen),
        last=viewer.moment(found.last_seen),
        days=(day, other),
        parts=[
            _configuration(models, viewer, id, day, other),
            Section(
                "Changes of the configuration",
                ["When", "Who", "Setting", "Before", "After"],
                [_change(viewer, each) for each in found.configuration],
                link=events.link(("type", "configuration.changed")),
            ),
            _versions(viewer, found, events),
            events.listed("Connections", *_CONNECTIONS, nothing="No connection is reported."),
            events.listed("The newest events"),
        ],
        link=events.link(),
        as_of_position=found.as_of_position,
    )


def _change(viewer: Viewer, change: ConfigurationChange) -> list[Cell]:
    moment = viewer.moment(change.occurred_at)
    marks = () if change.outcome is Outcome.SUCCESS else ("failed: the value stayed",)
    return [
        Cell(moment.local, None, marks, moment),
        person(viewer, change.actor_id, None),
        Cell(change.path),
        Cell(viewer.value(change.before)),
        Cell(viewer.value(change.after)),
    ]


def _versions(viewer: Viewer, found: DeviceActivity, events: SubjectEvents) -> Section:
    rows = [
        [Cell(kind), Cell(each.version), at(viewer.moment(each.first_at)), at(viewer.moment(each.last_at))]
        for kind, periods in (
            ("Software", found.software_versions),
            ("Configuration", found.configuration_versions),
        )
        for each in periods
    ]
    return Section("Versions", ["Of", "Version", "First reported", "Last reported"], rows, link=events.link())


def _configuration(models: ScopedModels, viewer: Viewer, id: str, day: str, other: str) -> Section:
    values = _values_at(models, viewer, id, "at", day)
    if other:
        return _differences(viewer, day, values, other, _values_at(models, viewer, id, "compared", other))
    rows = [
        [
            Cell(each.path),
            Cell(viewer.value(each.value)),
            _since(viewer, each),
            person(viewer, each.changed_by, None),
        ]
        for each in values.values()
    ]
    name = f"Configuration at the end of {day}" if day else "Configuration now"
    columns = ["Setting", "Value", "Since", "By"]
    return Section(name, columns, rows, "No setting is recorded.", note=_cut(values), limit=_MOST_SETTINGS)


def _since(viewer: Viewer, value: ConfigurationValue) -> Cell:
    """When the value was set, with the event that says why."""
    if value.since is None:
        return Cell("before its first change")
    return Cell(viewer.moment(value.since).local, links.event(value.event_id))


def _differences(
    viewer: Viewer,
    day: str,
    values: dict[str, ConfigurationValue],
    other: str,
    others: dict[str, ConfigurationValue],
) -> Section:
    name = "Differences of the configuration"
    columns = ["Setting", f"At the end of {day}" if day else "Now", f"At the end of {other}"]
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
    note = _cut(values) or _cut(others)
    return Section(name, columns, rows, "There is no difference.", note=note, limit=_MOST_SETTINGS)


def _cut(values: dict[str, ConfigurationValue]) -> str:
    if len(values) < _MOST_SETTINGS:
        return ""
    return f"Only the first {_MOST_SETTINGS} settings, in the order of their names, are read here."


def _values_at(
    models: ScopedModels, viewer: Viewer, id: str, name: str, day: str
) -> dict[str, ConfigurationValue]:
    moment = moment_of(name, day, viewer, ends=True) - timedelta(microseconds=1) if day else None
    found: dict[str, ConfigurationValue] = {}
    place: ChangePlace | None = None
    while (page := models.device_configuration(id, moment, _AT_ONCE, place)) is not None:
        found |= {each.path: each for each in page.values}
        place = page.end
        if place is None or len(found) >= _MOST_SETTINGS:
            break
    return found
