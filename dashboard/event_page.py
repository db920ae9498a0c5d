"""One event: what happened in full, what belongs to it, and the proof that it is in the log unaltered."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

import msgspec
from msgspec import Struct

from dashboard import links
from dashboard.differences import Difference, difference
from dashboard.event_rows import EventRow, rows_of
from dashboard.plain_words import code_with_words
from dashboard.received_message import ReceivedMessage, received_message
from dashboard.render import View
from dashboard.sentences import sentence
from dashboard.texts import as_text, title
from dashboard.viewer import Moment, Viewer
from domain.access.access_question import QUESTIONED
from domain.access.grants import Operation, Part
from domain.catalogue import ALERT_RAISED, CATALOGUE, TRAIL_SERVICE
from domain.event import AuditEvent, RecordedEvent
from queries.filters.event_filter import EventFilter, PageRequest
from queries.scoped.read_models import ScopedModels

_RELATED = 10


class Fact(Struct, frozen=True):
    """A field of the event; `link` leads to the page of what it names."""

    name: str
    value: str
    link: str | None = None


class Related(Struct, frozen=True):
    """The newest other events of the same request or session, and the link to all. `more`: there are others."""

    name: str
    rows: list[EventRow]
    link: str
    more: bool


class ProofLinks(Struct, frozen=True):
    """Where the browser gets the stored bytes, the proof, the log's keys and the received message."""

    stored: str
    proof: str
    keys: str
    message: str


class EventView(View, frozen=True, kw_only=True):
    """The page.

    `whole` is the event as JSON, as the API gives it. `verifiable`: its reader sees all that was sealed.
    `received` is the message that it was read from, for readers who see all of the event.
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
    alert_link: str
    related: list[Related]
    whole: str
    received: ReceivedMessage | None
    verifiable: bool
    proof: ProofLinks
    questionable: bool
    asked: bool
    as_of_position: int


def is_about(viewer: Viewer, event: AuditEvent) -> bool:
    """Whether an event is about the viewer's own record, or says that the viewer acted."""
    principal = viewer.principal
    own = any(each.id in principal.patients for each in event.patients)
    return own or (event.actor.id is not None and event.actor.id in principal.actors)


def is_questionable(viewer: Viewer, event: AuditEvent) -> bool:
    """Whether the viewer can say of an event that it looks wrong. There is no question about a question."""
    return is_about(viewer, event) and event.type != QUESTIONED


def event_view(
    models: ScopedModels,
    viewer: Viewer,
    recorded: RecordedEvent,
    *,
    asked: bool = False,
    alone: ProofLinks | None = None,
) -> EventView:
    """The page of an event that `models` has found; blocks. With `alone` it leads to nothing but its own proof."""
    event = recorded.event
    facts = facts_of(event)
    return EventView(
        viewer=viewer,
        title=title(event.type),
        text=sentence(event),
        event_id=str(event.event_id),
        position=recorded.position,
        occurred=viewer.moment(event.occurred_at),
        recorded=viewer.moment(recorded.recorded_at),
        facts=facts if alone is None else [Fact(each.name, each.value) for each in facts],
        differences=[
            difference(each.path, each.before, each.after, hidden=viewer.hides_values)
            for each in event.changes
        ],
        attributes=[Fact(name, as_text(value)) for name, value in sorted(event.attributes.items())],
        alert_link=_alert_link(event, viewer) if alone is None else "",
        related=_related(models, event, viewer) if alone is None else [],
        whole=msgspec.json.format(msgspec.json.encode(recorded), indent=2).decode(),
        received=_received(models, viewer, event),
        verifiable=viewer.scope.sees_all and viewer.may(Operation.READ_PROOFS),
        proof=alone or _proof(viewer, event),
        questionable=is_questionable(viewer, event),
        asked=asked,
        as_of_position=recorded.position,
    )


def _alert_link(event: AuditEvent, viewer: Viewer) -> str:
    """The page of the alert that the event reports. An alert that another service claims to report has none."""
    is_alert = event.type == ALERT_RAISED and event.source.service == TRAIL_SERVICE
    return links.alert(str(event.event_id)) if is_alert and viewer.may(Operation.READ_CASES) else ""


def _proof(viewer: Viewer, event: AuditEvent) -> ProofLinks:
    id, base = event.event_id, viewer.base
    return ProofLinks(
        f"{base}/events/{id}/stored",
        f"{base}/v1/events/{id}/proof",
        f"{base}/log/vkey",
        f"{base}/events/{id}/message",
    )


def facts_of(event: AuditEvent) -> list[Fact]:
    """What is known of an event, without what its source has named in its own words."""
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
            links.actor(event.actor),
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
        Fact("Purpose", ", ".join(map(code_with_words, event.purpose_of_use))),
        Fact("Reason", event.reason or ""),
        Fact("Break-glass", "yes" if event.emergency else ""),
        Fact("Reported by", source.service, links.subject("service", source.service)),
        Fact("Instance", " ".join(filter(None, (source.instance, source.site)))),
        Fact("Number", "" if source.sequence is None else str(source.sequence)),
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


def _received(models: ScopedModels, viewer: Viewer, event: AuditEvent) -> ReceivedMessage | None:
    found = models.received_message(event.event_id) if viewer.scope.sees_all else None
    return None if found is None else received_message(found)


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
        if not others:
            continue
        oldest = models.events(query, PageRequest(last=1, by_time=True)).events
        newest = models.events(query, PageRequest(first=1, by_time=True)).events
        end = newest[0].event.occurred_at + timedelta(seconds=1)
        link = links.explore_between(oldest[0].event.occurred_at, end, [(field, value)])
        found.append(Related(name, rows_of(others, viewer), link, page.has_next))
    return found
