"""Alerts follow from the log alone: however it is cut, killed or rebuilt, they are the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from uuid import uuid4

import pytest

from detection.live.installed import installed
from detection.live.projector import DetectionProjector
from detection.live.rule_sets import activation_event, store_activation
from detection.pack import pack_files
from domain.event import AuditEvent, RecordedEvent
from event_store.event_reader import read_events
from projections import stateful
from projections.builds.operations import pause, resume
from projections.builds.switching import build_of, open_track
from projections.rebuild.coordinator import rebuild
from projections.rebuild.verification import verify
from tests.detection.live.logs import DELETION, READS, activate, deletion, detect, read_by, stored
from tests.projections.rebuild.rebuilds import Rebuilt, parts_of
from tests.trail import Trail, an_event


def test_an_event_and_a_group_of_events_raise_alerts_with_reasons_and_evidence(new_trail: Trail) -> None:
    activate(new_trail, READS, DELETION)
    new_trail.append(deletion(), *(read_by("ada", f"p-{n}") for n in range(3)), read_by("bob", "p-1"))
    detect(new_trail)
    rows = new_trail.rows(
        "SELECT position, title, level, actor, events, positions, reasons, final FROM detection_v2.alert ORDER BY 1"
    )
    deleted, mass = rows
    assert deleted == (
        1,
        "A record was deleted",
        "high",
        "eve",
        1,
        [1],
        ["deleted: type has record.deleted"],
        True,
    )
    assert mass[:6] == (4, "Reads of many patients", "medium", "ada", 3, [2, 3, 4])
    assert mass[7] is False


def test_rules_count_from_the_event_of_their_activation_on(new_trail: Trail) -> None:
    new_trail.append(deletion())
    first = activate(new_trail, DELETION)
    new_trail.append(deletion())
    activate(new_trail, READS)
    new_trail.append(deletion())
    detect(new_trail)
    found = stored(new_trail)
    assert [row[0] for row in found["alert"]] == [2]
    assert [(row[0], row[5]) for row in found["active_rule"]] == [
        (1, "A record was deleted"),
        (3, "Reads of many patients"),
    ]
    assert first.resources[0].id == found["active_rule"][0][4]


def test_an_activation_that_nobody_decided_changes_nothing(new_trail: Trail) -> None:
    genuine = activate(new_trail, DELETION)
    empty = store_activation(new_trail.projector, [("other.yaml", READS)], {})
    forged = activation_event(empty)
    new_trail.append(
        an_event(
            "detection_rules.activated",
            event_id=str(uuid4()),
            source={"service": "audit-trail"},
            resources=[{"type": "DetectionRules", "id": forged.resources[0].id}],
        ),
        deletion(),
    )
    detect(new_trail)
    assert [row[0] for row in stored(new_trail)["alert"]] == [2]
    assert genuine.resources[0].id != forged.resources[0].id


def a_log(seed: int, events: int) -> list[AuditEvent]:
    chance = random.Random(seed)
    made: list[Callable[[], AuditEvent]] = [
        lambda: read_by(chance.choice("abc"), f"p-{chance.randrange(6)}"),
        lambda: deletion(chance.choice("abc")),
        lambda: an_event("user.logged_in", actor={"id": chance.choice("abc")}),
    ]
    return [chance.choices(made, (8, 1, 3))[0]() for _ in range(events)]


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_at_any_boundary_of_batches_and_a_rebuild_give_the_same_alerts(
    new_trail: Trail, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    log = a_log(seed, 120)
    activate(new_trail, READS, DELETION)
    at = 0
    while at < len(log):
        size = chance.randrange(1, 9)
        new_trail.append(*log[at : at + size])
        at += size
        if chance.random() < 0.1:
            activate(new_trail, *chance.choice([(READS,), (DELETION,), (READS, DELETION)]))
        monkeypatch.setattr(stateful, "SAVE_SECONDS", chance.choice([0.0, 30.0]))
        detect(new_trail, batch=chance.randrange(1, 6))
    live = stored(new_trail)
    assert len(live["alert"]) > 5
    given = parts_of(new_trail, Rebuilt(), source=installed)
    checked = verify(given, "detection")
    assert checked.position == new_trail.size - 1
    assert checked.different == []
    [outcome] = rebuild(given, ["detection"])
    assert (outcome.failure, outcome.build) == ("", 3)
    assert stored(new_trail) == live


def test_the_state_is_saved_with_the_rows_and_what_came_since_is_read_again(
    new_trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stateful, "SAVE_SECONDS", 0.0)
    activate(new_trail, READS)
    new_trail.append(read_by("ada", "p-0"))
    detect(new_trail)
    monkeypatch.setattr(stateful, "SAVE_SECONDS", 30.0)
    new_trail.append(read_by("ada", "p-1"))
    detect(new_trail)
    with new_trail.projector.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT position FROM audit_trail.projection_state")
        assert cursor.fetchall() == [(1,)]
    new_trail.append(read_by("ada", "p-2"))
    detect(new_trail)
    assert [row[0] for row in stored(new_trail)["alert"]] == [3]


def test_a_batch_that_was_not_committed_is_not_remembered(new_trail: Trail) -> None:
    activate(new_trail, READS)
    new_trail.append(read_by("ada", "p-0"))
    detect(new_trail)
    [position] = new_trail.append(read_by("ada", "p-1"))
    with closing(open_track(new_trail.projector, DetectionProjector(), 1)) as track:
        read = events_after(new_trail, position - 1)
        pause(new_trail.projector, "detection")
        assert track.feed(read, position) == 0, "fenced"
        resume(new_trail.projector, "detection")
        track.update(build_of(new_trail.projector, "detection", 1), frozenset())
        assert track.feed(read, position) == 1
        new_trail.append(read_by("ada", "p-1"), read_by("ada", "p-2"))
        assert track.feed(events_after(new_trail, position), position + 2) == 2
    assert [row[0] for row in stored(new_trail)["alert"]] == [position + 2]


def events_after(trail: Trail, position: int) -> list[RecordedEvent]:
    with trail.projector.transaction(read_only=True) as connection:
        return read_events(connection, position, 100).events


def test_the_shipped_rules_are_active_and_shown(new_trail: Trail) -> None:
    activate(new_trail, *(file.read_text("utf-8") for file in pack_files()))
    detect(new_trail)
    assert len(stored(new_trail)["active_rule"]) >= 17
