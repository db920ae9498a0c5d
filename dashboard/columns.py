"""The columns of a list of events, declared once as data: the list, its choice and its cells read this table."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from dashboard import links
from dashboard.viewer import Viewer
from domain.access.grants import Part, category_of
from domain.errors import Reason, RejectedError
from domain.event import RecordedEvent
from queries.scoped.read_models import SUMMARIES

PARAMETER = "columns"
"""The parameter with the names of the columns: ``columns=when,what,who``."""
Term = tuple[str, str]
"""A condition of the API and its value."""


class Value(Struct, frozen=True):
    """One value of a cell. `terms` are the conditions that find the events with it: none, one, or type and id.

    `subject` is what it names, as in `links.subject`, and `find`: that all events with it are its page.
    """

    text: str
    terms: tuple[Term, ...] = ()
    subject: tuple[str, str] | None = None
    find: bool = False


Values = list[Value]


class Column(Struct, frozen=True, kw_only=True):
    """A column. `parts` are the parts of an event that it shows: a role that sees none of them is not offered it.

    `values` gives the values of an event. The columns `when` and `what` are written by the template.
    """

    name: str
    heading: str
    values: Callable[[RecordedEvent], Values] = lambda _: []
    parts: frozenset[Part] = frozenset()
    usual: bool = False


def _plain(*texts: object) -> Values:
    return [Value(str(text)) for text in texts if text not in (None, "")]


def _condition(name: str, *values: str | None) -> Values:
    return [Value(value, ((name, value),)) for value in values if value]


def _searched(name: str, value: str | None) -> Values:
    """A value whose page is the list of all events with it."""
    return [Value(value, ((name, value),), find=True)] if value else []


def _who(recorded: RecordedEvent) -> Values:
    actor = recorded.event.actor
    if actor.id is None:
        return _plain(actor.name or "not shown or not known")
    return [Value(actor.name or actor.id, (("actor", actor.id),), links.subject_of(actor))]


def _patients(recorded: RecordedEvent) -> Values:
    return [
        Value(each.name or each.id, (("patient", each.id),), ("patient", each.id))
        for each in recorded.event.patients
    ]


def _device(recorded: RecordedEvent) -> Values:
    device = recorded.event.device
    return (
        []
        if device is None
        else [Value(device.name or device.id, (("device", device.id),), ("device", device.id))]
    )


def _resources(recorded: RecordedEvent) -> Values:
    return [
        Value(
            f"{each.type} {each.id}",
            (("resource_type", each.type), ("resource_id", each.id)),
            ("resource", f"{each.type} {each.id}"),
        )
        for each in recorded.event.resources
    ]


def _service(recorded: RecordedEvent) -> Values:
    service = recorded.event.source.service
    return [Value(service, (("service", service),), ("service", service))]


def _address(recorded: RecordedEvent) -> Values:
    client = recorded.event.client
    return _searched("address", None if client is None else client.address)


def _program(recorded: RecordedEvent) -> Values:
    client = recorded.event.client
    return _plain(None if client is None else client.user_agent)


def _request(recorded: RecordedEvent) -> Values:
    request = recorded.event.request
    if request is None:
        return []
    return _plain(" ".join(str(each) for each in (request.method, request.path, request.status) if each))


def _role(recorded: RecordedEvent) -> Values:
    return _plain(*recorded.event.actor.roles)


def _kind(recorded: RecordedEvent) -> Values:
    return _condition("actor_kind", recorded.event.actor.kind.value)


def _action(recorded: RecordedEvent) -> Values:
    action = recorded.event.action
    return [] if action is None else [Value(action.name.lower(), (("action", action.value),))]


def _outcome(recorded: RecordedEvent) -> Values:
    outcome = recorded.event.outcome.value
    return [Value(outcome.replace("_", " "), (("outcome", outcome),))]


def _break_glass(recorded: RecordedEvent) -> Values:
    return [Value("break-glass", (("emergency", "true"),))] if recorded.event.emergency else []


_STAFF = frozenset({Part.STAFF_IDS})
_CLIENT = frozenset({Part.CLIENT})
_TEXT = frozenset({Part.FREE_TEXT})

COLUMNS = (
    Column(name="when", heading="When", usual=True),
    Column(name="what", heading="What", usual=True),
    Column(name="who", heading="Who", values=_who, usual=True),
    Column(name="kind", heading="Kind of actor", values=_kind),
    Column(name="role", heading="Role", values=_role),
    Column(name="patient", heading="Patient", values=_patients),
    Column(name="device", heading="Device", values=_device),
    Column(name="resource", heading="Resource", values=_resources),
    Column(
        name="purpose",
        heading="Purpose",
        values=lambda each: _condition("purpose", *each.event.purpose_of_use),
        usual=True,
    ),
    Column(name="reason", heading="Reason", values=lambda each: _plain(each.event.reason), parts=_TEXT),
    Column(
        name="outcome",
        heading="Outcome",
        values=_outcome,
    ),
    Column(
        name="outcome_reason",
        heading="Why it failed",
        values=lambda each: _plain(each.event.outcome_reason),
        parts=_TEXT,
    ),
    Column(name="break_glass", heading="Break-glass", values=_break_glass),
    Column(name="type", heading="Type", values=lambda each: _condition("type", each.event.type), usual=True),
    Column(
        name="category",
        heading="Category",
        values=lambda each: _condition("category", category_of(each.event.type).value),
    ),
    Column(name="action", heading="Action", values=_action),
    Column(name="service", heading="Service", values=_service, usual=True),
    Column(name="address", heading="Address", values=_address, parts=_CLIENT, usual=True),
    Column(name="program", heading="Program", values=_program, parts=_CLIENT),
    Column(
        name="session",
        heading="Session",
        values=lambda each: _searched("session", each.event.session),
        parts=_STAFF,
    ),
    Column(
        name="correlation_id",
        heading="Correlation id",
        values=lambda each: _searched("correlation_id", each.event.correlation_id),
        parts=_STAFF,
    ),
    Column(name="request", heading="Request", values=_request, parts=_CLIENT),
    Column(name="recorded", heading="Recorded at"),
    Column(name="position", heading="Position", values=lambda each: _plain(each.position)),
)
BY_NAME = {column.name: column for column in COLUMNS}


class Chosen(Struct, frozen=True):
    """The columns of a list. `refused` are those that were wanted and that the roles may not see."""

    columns: tuple[Column, ...]
    refused: tuple[Column, ...] = ()


def offered(viewer: Viewer) -> list[Column]:
    """The columns that the roles of a viewer may see in at least one event."""
    hidden = viewer.scope.hides_in_every_row()
    return [column for column in COLUMNS if not column.parts & hidden]


def usual(viewer: Viewer) -> tuple[Column, ...]:
    """The columns of a list for which none were chosen."""
    return tuple(column for column in offered(viewer) if column.usual)


def chosen(names: Iterable[str], viewer: Viewer) -> Chosen:
    """The columns by their names, each once and in the order given; the usual ones without a name.

    Raises `RejectedError` for a name that no column has.
    """
    wanted = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if any(name not in BY_NAME for name in wanted):
        raise RejectedError(
            Reason.INVALID_FIELD, f"no such column; there are {', '.join(BY_NAME)}", field=PARAMETER
        )
    may = offered(viewer)
    columns = tuple(BY_NAME[name] for name in wanted if BY_NAME[name] in may)
    refused = tuple(BY_NAME[name] for name in wanted if BY_NAME[name] not in may)
    return Chosen(columns or usual(viewer), refused)


def page_of(value: Value, viewer: Viewer) -> str | None:
    """The page of the subject that a value names; None where the viewer has none."""
    if value.subject is None:
        return None
    kind, id = value.subject
    if not viewer.has_page(SUMMARIES[kind], id):
        return None
    if kind == "resource":
        (_, type), (_, resource) = value.terms
        return links.resource(type, resource)
    return links.subject(kind, id)
