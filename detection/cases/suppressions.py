"""Which suppression holds an alert back, as a fold over the events of suppressions.

A pure object: the same events in the order of the log give the same answers, so a rebuild holds back the same alerts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import Struct

from detection.cases.alerts import Group
from detection.cases.stored_events import domain_event
from detection.cases.suppression import Suppression
from event_store.aggregate_events import AggregateEvent

_REMEMBERED = timedelta(days=40)
"""For how long an expired suppression is remembered. An alert is dated back by the timespan of its correlation, at most
31 days, and its lateness, at most 7."""


class _Held(Struct, frozen=True, array_like=True):
    """A suppression that began and was not ended."""

    id: UUID
    rule_id: UUID
    match: tuple[tuple[str, str], ...]
    expires_at: datetime


_STATE = msgspec.json.Decoder(list[_Held])


class Suppressions:
    """The suppressions that were not ended, in the order in which they began."""

    def __init__(self) -> None:
        self._held: dict[UUID, _Held] = {}

    @classmethod
    def resumed(cls, state: bytes) -> Suppressions:
        """The suppressions of which `state` returned the state."""
        suppressions = cls()
        suppressions._held = {each.id: each for each in _STATE.decode(state)}
        return suppressions

    def state(self) -> bytes:
        """The state, for `resumed`."""
        return msgspec.json.encode(list(self._held.values()))

    def apply(self, event: AggregateEvent) -> None:
        """Take an event into account. Call it in the order of the log; events of other aggregates change nothing."""
        if event.topic == Suppression.Ended.TOPIC:
            self._held.pop(event.stream, None)
        elif event.topic == Suppression.Started.TOPIC:
            started = domain_event(event.stream, event.version, event.topic, event.state)
            assert isinstance(started, Suppression.Started)
            self._forget_before(event.recorded_at - _REMEMBERED)
            self._held[event.stream] = _Held(
                event.stream,
                started.rule_id,
                tuple(started.match.items()),
                started.expires_at,
            )

    def holding(self, rule_id: UUID, group: Group, at: datetime) -> UUID | None:
        """The suppression that holds back an alert of `at`, or None.

        It is the first one of the rule that has not expired by then, and whose names and values are all in the group.
        Nothing that was raised before the suppression began is held back: ask in the order of the log.
        """
        pairs = set(group)
        for each in self._held.values():
            if each.rule_id == rule_id and at < each.expires_at and pairs.issuperset(each.match):
                return each.id
        return None

    def _forget_before(self, time: datetime) -> None:
        self._held = {id: each for id, each in self._held.items() if each.expires_at >= time}
