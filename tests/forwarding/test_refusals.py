"""Refused records that a follower keeps: the next ones go on, an operator decides, and the trail has the decision."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from domain.errors import ConflictError, UnavailableError
from domain.validation import check, decode_event, encode_event
from event_store.database import FORWARDER, Database
from forwarding import refusals
from forwarding.refusals import Refusals
from tests.forwarding.running import Running, Shelf, follower, forwarding
from tests.trail import Trail, an_event
from tests.waiting import eventually

BY = ("n.operator", "the mailbox exists again")
KEEPS = 'on_refusal = "keep"'


def waiting(running: Running) -> list[int]:
    """The positions that wait for an operator."""
    return [each.position for each in Refusals(running.database).open("siem") if each.requeued_at is None]


def test_a_refused_record_is_kept_and_the_next_ones_go_on(new_trail: Trail, tmp_path: Path) -> None:
    new_trail.append(*(an_event() for _ in range(20)))
    shelf = Shelf()
    shelf.refuses = {0, 11, 12}
    with forwarding(new_trail.url, [follower(tmp_path, shelf, extra=KEEPS)]) as running:
        running.arrives("siem", 19)
        assert waiting(running) == [0, 11, 12]
        says = "follower siem: 3 refused records wait for a decision: see `audit-trail forward refused`"
        eventually(lambda: running.problems == [says])
        eventually(lambda: running.number("audit_trail_forward_kept", follower="siem") == 3)
        assert running.number("audit_trail_forward_stopped", follower="siem") == 0
        kind = {"follower": "siem", "kind": "rejected"}
        assert running.number("audit_trail_forward_failures_total", **kind) == 3
        state = running.follower("siem")
        assert (state.sent, state.problem, state.failed_position) == (17, "", None)
    assert shelf.positions == [*range(1, 11), *range(13, 20)]
    assert shelf.previous == [0, *range(1, 10), 12, *range(13, 19)]  # so the receiver sees the gaps


def test_a_requeued_record_is_sent_again_and_a_dismissed_one_never(new_trail: Trail, tmp_path: Path) -> None:
    new_trail.append(*(an_event() for _ in range(6)))
    shelf = Shelf()
    shelf.refuses = {1, 3}
    with forwarding(new_trail.url, [follower(tmp_path, shelf, extra=KEEPS)]) as running:
        running.arrives("siem", 5)
        kept = Refusals(running.database)
        kept.requeue("siem", 1, *BY)
        eventually(lambda: len(shelf.requests) > 0 and kept.open("siem")[0].attempts == 2)
        assert waiting(running) == [1, 3]  # it is refused again
        shelf.refuses = set()
        shelf.errors = [UnavailableError("it is away")]
        kept.requeue("siem", 1, *BY)
        kept.dismiss("siem", 3, *BY)
        eventually(lambda: kept.open("siem") == [])
        new_trail.append(an_event())
        running.arrives("siem", 6)
        eventually(lambda: running.problems == [])
        for decide in (kept.requeue, kept.dismiss):
            with pytest.raises(ConflictError, match="keeps no refused record at position 1 that waits"):
                decide("siem", 1, *BY)
        assert running.follower("siem").sent == 6
    assert shelf.positions == [0, 2, 4, 5, 1, 6]
    assert [each.requeued for each in shelf.records] == [False] * 4 + [True, False]
    assert shelf.records[4].leaf.previous_position is None
    assert shelf.records[5].leaf.previous_position == 5
    decided = running.events[1:]
    assert sorted(each.attributes["operation"] for each in decided) == ["dismissed", "requeued", "requeued"]
    assert {(each.actor.id, each.reason) for each in decided} == {BY}
    assert {each.attributes["position"] for each in decided} == {1, 3}
    assert [decode_event(encode_event(check(each))) for each in decided] == decided


def test_a_requeued_record_is_sent_only_when_the_trail_has_that_decision(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(an_event(), an_event())
    shelf = Shelf()
    shelf.refuses = {0}
    with forwarding(new_trail.url, [follower(tmp_path, shelf, extra=KEEPS)]) as running:
        running.arrives("siem", 1)
        running.kafka, shelf.refuses = False, set()
        Refusals(running.database).requeue("siem", 0, *BY)
        eventually(lambda: any("waits until the trail has" in each for each in running.problems))
        assert shelf.positions == [1]
        running.kafka = True
        eventually(lambda: shelf.positions == [1, 0])


def test_a_receiver_that_refuses_everything_stops_its_follower_in_the_end(
    new_trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MOST_KEPT", 3)
    new_trail.append(*(an_event() for _ in range(9)))
    shelf = Shelf()
    shelf.refuses = set(range(9))
    with forwarding(new_trail.url, [follower(tmp_path, shelf, extra=KEEPS)]) as running:
        eventually(lambda: running.follower("siem").failed_position == 3)
        assert waiting(running) == [0, 1, 2]
        Refusals(running.database).dismiss("siem", 0, *BY)
        eventually(lambda: running.follower("siem").failed_position == 4)


def test_a_follower_that_keeps_nothing_has_the_configuration_that_it_had(tmp_path: Path) -> None:
    plain = follower(tmp_path, Shelf())
    assert plain.configured == follower(tmp_path, Shelf(), extra='on_refusal = "stop"').configured
    assert "on_refusal" not in plain.configured.configuration
    keeping = follower(tmp_path, Shelf(), extra=KEEPS + '\nleast_level = "high"').configured.configuration
    assert (keeping["on_refusal"], keeping["least_level"]) == ("keep", "high")


def test_the_login_that_forwards_can_neither_forget_a_refusal_nor_change_one_that_has_ended(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(an_event(), an_event())
    shelf = Shelf()
    shelf.refuses = {0}
    with forwarding(new_trail.url, [follower(tmp_path, shelf, extra=KEEPS)]) as running:
        running.arrives("siem", 1)
        Refusals(running.database).dismiss("siem", 0, *BY)
    for statement, says in (
        ("DELETE FROM audit_trail.follower_refusal", "permission denied"),
        ("UPDATE audit_trail.follower_refusal SET position = 1", "permission denied"),
        ("UPDATE audit_trail.follower_refusal SET outcome = 'sent'", "does not change"),
    ):
        with (
            closing(Database(new_trail.url, FORWARDER)) as database,
            pytest.raises(psycopg2.Error, match=says),
            closing(database.connect()) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
