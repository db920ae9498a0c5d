"""Build an event from a call, the context and the clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec.structs import replace

from audit_trail_publisher import event_text
from audit_trail_publisher.context import Context, current_context
from audit_trail_publisher.counters import Counters
from audit_trail_publisher.errors import InvalidEventError, MissingActorError
from audit_trail_publisher.fields import a_device, an_actor, some_patients, some_resources
from audit_trail_publisher.generated.catalogue import CATALOGUE
from audit_trail_publisher.generated.event import (
    Actor,
    ActorKind,
    AuditEvent,
    Client,
    Outcome,
    Request,
    Source,
)
from audit_trail_publisher.identifiers import uuid7
from audit_trail_publisher.messages import Message, message_of
from audit_trail_publisher.options import require_choice, several
from audit_trail_publisher.values import field_changes, masked_change

OnMissingActor = Literal["raise", "unknown"]

UNKNOWN_ACTOR = Actor(kind=ActorKind.UNKNOWN)
"""Declares that nobody knows who acted, as in a failed log-in without a name."""

_FROM_CONTEXT = ("session", "client", "correlation_id", "request", "purpose_of_use")


class EventBuilder:
    """Builds the events of `service`. `source` is called for the first event, and later."""

    def __init__(
        self,
        service: str,
        source: Callable[[], Source],
        *,
        on_missing_actor: OnMissingActor = "raise",
        mask: Collection[str] = (),
        counters: Counters | None = None,
    ) -> None:
        require_choice("on_missing_actor", on_missing_actor, OnMissingActor)
        self.itself = Actor(kind=ActorKind.SERVICE, id=service)
        """The service as an actor."""
        self.source = source
        self._on_missing_actor = on_missing_actor
        self._mask = several(mask)
        self._counters = counters or Counters()

    def __call__(self, type: str, fields: Mapping[str, Any], **given: Any) -> AuditEvent:
        """The event. Raises `MissingActorError`, and `InvalidEventError` for an unknown type."""
        context = current_context()
        said = {name: value for name, value in {**fields, **given}.items() if value is not None}
        entry = CATALOGUE.get(type)
        return AuditEvent(
            event_id=said.pop("event_id", None) or uuid7(),
            type=type,
            occurred_at=said.pop("occurred_at", None) or datetime.now(UTC),
            source=self.source(),
            actor=self._actor(type, said, context),
            outcome=said.pop("outcome", None) or Outcome(entry.outcome if entry else "success"),
            patients=some_patients(said.pop("patient", None)),
            resources=some_resources(said.pop("resource", None)),
            device=a_device(said.pop("device")) if "device" in said else None,
            changes=self._changes(said),
            attributes={**context.attributes, **said.pop("attributes", {})},
            codes=tuple(said.pop("codes", ())),
            **_surroundings(said, context),
            **said,
        )

    def message(self, event: AuditEvent, *, numbered: bool = False) -> Message:
        """See `message_of`. An event that is not valid is counted."""
        try:
            return message_of(event, numbered=numbered)
        except InvalidEventError:
            self._counters.add("invalid")
            raise

    def _actor(self, type: str, said: dict[str, Any], context: Context) -> Actor:
        if "actor" in said:
            return an_actor(said.pop("actor"))
        if context.actor is not None:
            return context.actor
        entry = CATALOGUE.get(type)
        if entry is not None and entry.by_itself:
            return self.itself
        if self._on_missing_actor == "raise":
            self._counters.add("invalid")
            raise MissingActorError(type)
        self._counters.add("missing_actors")
        return UNKNOWN_ACTOR

    def _changes(self, said: dict[str, Any]) -> tuple[Any, ...]:
        before, after = said.pop("before", None), said.pop("after", None)
        computed = () if before is after is None else field_changes(before, after, mask=self._mask)
        given = (masked_change(each, self._mask) for each in said.pop("changes", ()))
        return (*computed, *given)


def _surroundings(said: dict[str, Any], context: Context) -> dict[str, Any]:
    """The fields that the call or else the context gives, cut to what an event may hold.

    A client chooses its user agent and the path that it asks for: they must not make an event invalid.
    """
    found = {name: said.pop(name, None) or getattr(context, name) for name in _FROM_CONTEXT}
    client, request = found["client"], found["request"]
    if isinstance(client, Client):
        found["client"] = replace(client, user_agent=event_text.name(client.user_agent))
    if isinstance(request, Request):
        found["request"] = replace(
            request, method=event_text.method(request.method), path=event_text.path(request.path)
        )
    found["purpose_of_use"] = tuple(found["purpose_of_use"])
    return found
