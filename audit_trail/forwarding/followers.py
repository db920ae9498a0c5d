"""The followers that the settings name, each with its receiver and its selection of events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from audit_trail.environment import PREFIX
from audit_trail.settings import Settings
from domain.access.grants import Operation, roles_with
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.catalogue import TRAIL_SERVICE
from domain.errors import AccessDeniedError, ConfigurationError, InvalidEventError, RejectedError
from domain.event import ActorKind
from domain.validation import decode_event, encode_event
from event_store.files.folders import read_file
from forwarding.changes import Decision, FollowerChange, change_event
from forwarding.file import Follower, configured, make_receiver, read_followers
from forwarding.receivers.kafka import Publish
from forwarding.receivers.receiver import Receiver
from forwarding.receivers.smtp import AddressOf
from forwarding.registry import Configured
from forwarding.settings import FollowerSettings, Kafka
from queries.filters.event_filter import EventFilter
from queries.scoped.selection import ScopedSelection
from web.parameters.filter_query import filter_from_json, renamed

SETTING = f"{PREFIX}FORWARDING_FILE"
_MOST_BYTES = 1 << 20
_MOST_DECISION_BYTES = 128 << 10
"""Of the event about a follower. The event about a change has the old configuration and the new one."""
_CLAIMS: Mapping[Role, str] = {
    Role.SERVICE_OWNER: "sources",
    Role.CLINICIAN: "actors",
    Role.PATIENT: "patients",
}
"""The roles that see nothing without a claim, and its field. A device manager sees something without devices."""


class Made(NamedTuple):
    """A follower that can run."""

    settings: FollowerSettings
    configured: Configured
    receiver: Receiver
    selection: ScopedSelection


def followers(settings: Settings, publish: Publish, address_of: AddressOf | None = None) -> list[Made]:
    """The followers of the settings' file. Raises `ConfigurationError` that names the file and the field."""
    path = settings.forwarding_file
    if path is None:
        raise ConfigurationError(f"{SETTING} is not set: name the file of the followers")
    try:
        return [_made(each, settings, publish, address_of) for each in read_followers(_text(path))]
    except ConfigurationError as exc:
        raise ConfigurationError(f"{SETTING}: {path}: {exc}") from exc


def _text(path: Path) -> bytes:
    """Raises `ConfigurationError` when it can't be read, or others may write it: they could send the trail anywhere."""
    try:
        return read_file(path, _MOST_BYTES)
    except FileNotFoundError as exc:
        raise ConfigurationError("there is no such file") from exc
    except OSError as exc:
        raise ConfigurationError(f"it can't be read: {exc.strerror}") from exc


def _made(follower: Follower, settings: Settings, publish: Publish, address_of: AddressOf | None) -> Made:
    if isinstance(follower.receiver, Kafka):
        _refuse_own_topic(follower.field, follower.receiver.topic, settings)
    receiver = make_receiver(follower, publish, address_of)
    decided = configured(follower, receiver.where)
    _check_decision(f"followers.{follower.name}", decided, settings.max_message_bytes)
    return Made(
        follower.settings,
        decided,
        receiver,
        _selection(f"followers.{follower.name}", follower.name, follower.settings),
    )


def _check_decision(place: str, decided: Configured, max_message_bytes: int) -> None:
    """Raise unless ingest takes the decision: a dead letter in its place would leave the trail without it."""
    event = change_event(
        FollowerChange(
            id=0,
            follower=decided.name,
            operation=Decision.ADDED,
            decided_by=decided.decided_by,
            reason=decided.reason,
            details=decided.added,
            login="",
            event_id=uuid4(),
            decided_at=datetime.now(UTC),
        )
    )
    message = encode_event(event)
    try:
        decode_event(message)
    except InvalidEventError as exc:
        field = {"actor.id": ".decided_by", "reason": ".reason"}.get(exc.field, "")
        raise ConfigurationError(f"{place}{field}: {exc.message}") from exc
    if len(message) > (most := min(_MOST_DECISION_BYTES, max_message_bytes // 3)):
        raise ConfigurationError(
            f"{place}: the event about it would have {len(message)} bytes, and at most {most} are kept: write a"
            " shorter filter"
        )


def _refuse_own_topic(field: str, topic: str, settings: Settings) -> None:
    """Ingest would read each record as a new message, and forward what comes of it again, for ever."""
    taken: Sequence[str] = (*settings.kafka_topics, settings.heads_topic)
    if topic in taken:
        raise ConfigurationError(f"{field}.topic: the trail itself uses the topic {topic}: name another one")


def _selection(place: str, name: str, settings: FollowerSettings) -> ScopedSelection:
    """What the follower may send. Raises `ConfigurationError` when that is nothing, or the filter is malformed."""
    allowed = roles_with(Operation.FOLLOW_EVENTS)
    for role in settings.roles:
        if role not in allowed:
            raise ConfigurationError(
                f"{place}.roles: {role} sees no events: write some of {', '.join(sorted(allowed))}"
            )
        claim = _CLAIMS.get(role)
        if claim is not None and not getattr(settings, claim):
            raise ConfigurationError(f"{place}.{claim}: {role} sees only the events of these: name some")
    principal = Principal(
        id=f"{TRAIL_SERVICE}-forwarder/{name}",
        kind=ActorKind.SERVICE,
        roles=frozenset(settings.roles),
        sources=settings.sources,
        devices=settings.devices,
        patients=settings.patients,
        actors=settings.actors,
    )
    try:
        filter = _filter(settings.filter)
        return ScopedSelection(filter, Scope(principal))
    except RejectedError as exc:
        shown = renamed(exc)
        path = shown.field.removeprefix("filter").lstrip(".")
        raise ConfigurationError(
            f"{'.'.join(part for part in (place, 'filter', path) if part)}: {shown.message}"
        ) from exc
    except AccessDeniedError as exc:
        raise ConfigurationError(
            f"{place}.filter: a condition is on a part of events that is hidden from these roles"
        ) from exc


def _filter(conditions: Mapping[str, Any]) -> EventFilter:
    """The filter, by the names of the REST API."""
    return filter_from_json(json.dumps(conditions, default=_written)) if conditions else EventFilter()


def _written(value: object) -> str:
    """TOML has times of its own, which JSON lacks."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no value of a filter")
