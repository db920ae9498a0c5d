"""One event: what happened in full, what belongs to it, and the proof that it is in the log unaltered."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import Struct

from dashboard import links
from dashboard.event_rows import EventRow, rows_of
from dashboard.render import View
from dashboard.sentences import sentence
from dashboard.texts import as_text, title
from dashboard.viewer import Moment, Viewer
from domain.access.access_question import QUESTIONED
from domain.access.grants import Operation, Part
from domain.catalogue import CATALOGUE
from domain.event import AuditEvent, RecordedEvent
from queries.filters.event_filter import EventFilter, PageRequest
from queries.scoped.read_models import ScopedModels

_RELATED = 10


class Fact(Struct, frozen=True):
    """A field of the event; `link` leads to the page of what it names."""

    name: str
    value: str
    link: str | None = None


class Difference(Struct, frozen=True):
    """A changed field, with both values."""

    path: str
    before: str
    after: str


class Related(Struct, frozen=True):
    """Other events of the same request or session, and the link to all of them."""

    name: str
    rows: list[EventRow]
    link: str


class EventView(View, frozen=True, kw_only=True):
    """The page.

    `whole` is the event as JSON, as the API gives it. `verifiable`: its reader sees all that was sealed.
    `questionable`: it is about the reader, who can say that it looks wrong; `asked`: that was just said.
    """

    template: ClassVar[str] = "event.html"
    text: str
    event_id: str
    position: int
    occurred: Moment
    recorded: Moment
    facts: list[Fact]
    differences: list[Difference]
    attributes: list[Fact]
    related: list[Related]
    whole: str
    verifiable: bool
    questionable: bool
    asked: bool
    as_of_position: int


def is_about(viewer: Viewer, event: AuditEvent) -> bool:
    """Whether an event is about the viewer's own record, or says that the viewer acted."""
    principal = viewer.principal
    own = any(each.id in principal.patients for each in event.patients)
    return own or (event.actor.id is not None and event.actor.id in principal.actors)


def event_view(
    models: ScopedModels, viewer: Viewer, recorded: RecordedEvent, *, asked: bool = False
) -> EventView:
    """The page of an event that `models` has found; blocks."""
    event = recorded.event
    return EventView(
        viewer=viewer,
        title=title(event.type),
        text=sentence(event),
        event_id=str(event.event_id),
        position=recorded.position,
        occurred=viewer.moment(event.occurred_at),
        recorded=viewer.moment(recorded.recorded_at),
        facts=_facts(event),
        differences=[
            Difference(each.path, as_text(each.before), as_text(each.after)) for each in event.changes
        ],
        attributes=[Fact(name, as_text(value)) for name, value in sorted(event.attributes.items())],
        related=_related(models, event, viewer),
        whole=msgspec.json.format(msgspec.json.encode(recorded), indent=2).decode(),
        verifiable=viewer.scope.sees_all and viewer.may(Operation.READ_PROOFS),
        questionable=is_about(viewer, event) and event.type != QUESTIONED,
        asked=asked,
        as_of_position=recorded.position,
    )


def _facts(event: AuditEvent) -> list[Fact]:
    entry = CATALOGUE.get(event.type)
    actor, client, request, source = event.actor, event.client, event.request, event.source
    found = [
        Fact("What", entry.description if entry is not None else "an event of unknown type"),
        Fact("Type", event.type, links.explore(type=event.type)),
        Fact("Action", title(event.action.name.lower()) if event.action else ""),
        Fact("Outcome", title(event.outcome.value)),
        Fact("Why it failed", event.outcome_reason or ""),
        Fact(
            "Who",
            " ".join(filter(None, (actor.name, f"({actor.id})" if actor.id else None))),
            links.actor(event),
        ),
        Fact("Kind of actor", title(actor.kind.value)),
        Fact("In the role of", ", ".join(actor.roles)),
        Fact("On behalf of", actor.on_behalf_of or ""),
        *(
            Fact("Patient", each.name or each.id, links.subject("patient", each.id))
            for each in event.patients
        ),
        *(
            Fact(
                each.type,
                " ".join(
                    filter(None, (each.id, each.version and f"version {each.version}", each.data_category))
                ),
                links.resource(each.type, each.id),
            )
            for each in event.resources
        ),
        Fact("Purpose", ", ".join(event.purpose_of_use)),
        Fact("Reason", event.reason or ""),
        Fact("Break-glass", "yes" if event.emergency else ""),
        Fact("Reported by", source.service, links.subject("service", source.service)),
        Fact("Instance", " ".join(filter(None, (source.instance, source.site)))),
        Fact("Session", event.session or "", event.session and links.explore(session=event.session)),
        Fact(
            "Request",
            event.correlation_id or "",
            event.correlation_id and links.explore(correlation_id=event.correlation_id),
        ),
    ]
    if event.device is not None:
        device = event.device
        found.append(Fact("Device", device.name or device.id, links.subject("device", device.id)))
        found.append(Fact("Software", device.software_version or ""))
        found.append(Fact("Configuration", device.configuration_version or ""))
    if client is not None:
        found.append(
            Fact("From", client.address or "", client.address and links.explore(address=client.address))
        )
        found.append(Fact("With", client.user_agent or ""))
    if request is not None:
        call = " ".join(filter(None, (request.method, request.path)))
        answer = f" answered {request.status}" if request.status is not None else ""
        time = f" in {request.duration_ms:g} ms" if request.duration_ms is not None else ""
        found.append(Fact("API call", f"{call}{answer}{time}"))
    if event.disclosure is not None:
        said = event.disclosure
        found.append(Fact("Disclosed to", " ".join(filter(None, (said.recipient, said.recipient_address)))))
        found.append(Fact("What was disclosed", said.description or ""))
        found.append(Fact("Purpose of the disclosure", said.purpose or ""))
    return [fact for fact in found if fact.value]


def _related(models: ScopedModels, event: AuditEvent, viewer: Viewer) -> list[Related]:
    found: list[Related] = []
    if not viewer.may_query(Operation.READ_EVENTS, frozenset({Part.STAFF_IDS})):
        return found
    for name, field, value in (
        ("The same request", "correlation_id", event.correlation_id),
        ("The same session", "session", event.session),
    ):
        if value is None:
            continue
        query = models.prepare(EventFilter.of(**{field: [value]}))
        page = models.events(query, PageRequest(first=_RELATED + 1))
        others = [each for each in page.events if each.event.event_id != event.event_id][:_RELATED]
        if others:
            found.append(Related(name, rows_of(others, viewer), links.explore(**{field: value})))
    return found
