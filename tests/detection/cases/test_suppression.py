"""Suppressions: how long they may last, which alerts they hold back, and that a resumed fold gives the same answers."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from detection.cases.stored_events import CaseEvents
from detection.cases.suppression import Suppression
from detection.cases.suppressions import Suppressions
from domain.cases.commands import EndSuppression, Person, Suppress
from domain.errors import ConflictError, InvalidEventError
from event_store.aggregate_events import AggregateEvent
from tests.detection.cases.given_cases import PAUL, RULE, command, day

ROBOT = (("actor.id", "robot"),)


def suppress(until: float = 30, rule: UUID = RULE, **match: str) -> Suppress:
    pairs = {name.replace("_", "."): value for name, value in match.items()}
    return Suppress(rule_id=rule, owner=Person(id="olga"), reason="known", expires_at=day(until), match=pairs)


def started(body: Suppress, days: float = 0) -> Suppression:
    return Suppression.start(command(uuid4(), body, PAUL, days), body)


def ended(suppression: Suppression, days: float) -> Suppression:
    body = EndSuppression(reason="it is fixed")
    suppression.end(command(suppression.id, body, PAUL, days), body)
    return suppression


def applied(*suppressions: Suppression) -> Suppressions:
    """The fold over the events, in the order of time; its state is taken and resumed after each event."""
    stored = [
        (event.timestamp, CaseEvents().to_stored_event(event))
        for each in suppressions
        for event in each.collect_events()
    ]
    fold = Suppressions()
    for position, (at, each) in enumerate(sorted(stored, key=lambda pair: pair[0])):
        assert isinstance(each.originator_id, UUID)
        fold.apply(
            AggregateEvent(position, at, each.originator_id, each.originator_version, each.topic, each.state)
        )
        fold = Suppressions.resumed(fold.state())
    return fold


def test_a_suppression_holds_back_the_alerts_of_its_rule_until_it_expires() -> None:
    suppression = started(suppress(30))
    fold = applied(suppression)
    assert fold.holding(RULE, ROBOT, day(29)) == suppression.id
    assert fold.holding(RULE, (), day(29)) == suppression.id
    assert fold.holding(RULE, ROBOT, day(30)) is None
    assert fold.holding(uuid4(), ROBOT, day(29)) is None


def test_a_suppression_of_a_group_holds_back_that_group_alone() -> None:
    suppression = started(suppress(actor_id="robot"))
    fold = applied(suppression)
    assert fold.holding(RULE, (*ROBOT, ("source.service", "lab")), day(1)) == suppression.id
    assert fold.holding(RULE, (("actor.id", "ada"),), day(1)) is None
    assert fold.holding(RULE, (), day(1)) is None


def test_an_ended_suppression_holds_back_nothing() -> None:
    fold = applied(ended(started(suppress()), 2))
    assert fold.holding(RULE, ROBOT, day(3)) is None


def test_the_first_of_several_suppressions_is_named() -> None:
    first, second = started(suppress(10), 0), started(suppress(20), 1)
    fold = applied(first, second)
    assert fold.holding(RULE, (), day(5)) == first.id
    assert fold.holding(RULE, (), day(15)) == second.id


def test_an_expired_suppression_is_remembered_for_late_events_and_then_forgotten() -> None:
    old = started(suppress(10))
    fold = applied(old, started(suppress(60, rule=uuid4()), 49))
    assert fold.holding(RULE, (), day(9)) == old.id
    fold = applied(started(suppress(10)), started(suppress(60, rule=uuid4()), 51))
    assert fold.holding(RULE, (), day(9)) is None


@pytest.mark.parametrize("until", [-1, 0, 366.01])
def test_a_suppression_ends_within_366_days(until: float) -> None:
    with pytest.raises(
        InvalidEventError, match="expires_at: a suppression ends in the future, at most 366 days"
    ):
        started(suppress(until))
    assert started(suppress(366)).expires_at - day(0) == timedelta(days=366)


def test_a_suppression_ends_once() -> None:
    suppression = ended(started(suppress()), 2)
    with pytest.raises(ConflictError, match="has ended already"):
        ended(suppression, 3)
    with pytest.raises(ConflictError, match="has ended already"):
        ended(started(suppress(10)), 11)
