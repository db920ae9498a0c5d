"""Followers: what they send, in which order, what they remember, and what stops one of them and no other."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from domain.errors import ThrottledError, UnavailableError
from domain.validation import check, decode_event, encode_event
from event_store.database import FORWARDER, Database
from event_store.event_reader import read_sealed
from forwarding.errors import ReceiverRefusesError
from tests.databases import away
from tests.forwarding.running import Running, Shelf, follower, forwarding, registry_of
from tests.trail import Trail, an_event
from tests.waiting import eventually

BY = ("n.operator", "the receiver is being replaced")


def stopped_at(running: Running, position: int) -> bool:
    return running.follower("siem").failed_position == position


def test_a_follower_gets_every_event_once_in_order_and_goes_on_where_it_was(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(*(an_event() for _ in range(30)))
    shelf = Shelf()
    found = follower(tmp_path, shelf, extra="batch = 7")
    with forwarding(new_trail.url, [found]) as running:
        running.arrives("siem", 29)
        new_trail.append(an_event())
        running.arrives("siem", 30)
        assert [event.type for event in running.events] == ["configuration.changed"]
    new_trail.append(an_event(), an_event())
    with forwarding(new_trail.url, [found]) as running:
        running.arrives("siem", 32)
        assert running.problems == []
        assert running.events == []  # nothing was decided anew
        eventually(lambda: running.number("audit_trail_forward_lag_events", follower="siem") == 0)
        assert running.number("audit_trail_forward_records_total", follower="siem") == 2
    assert shelf.positions == list(range(33))
    assert shelf.previous == [None, *range(32)]
    assert max(map(len, shelf.requests)) == 7
    assert {each.leaf.origin for each in shelf.records} == {"audit-trail.test/log"}
    assert all((each.leaf.tree_head_size or 0) > each.leaf.position for each in shelf.records)


def test_a_new_follower_begins_now_or_at_the_beginning_and_keeps_that(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(an_event(), an_event())
    shelf = Shelf()
    with forwarding(new_trail.url, [follower(tmp_path, shelf, start="now")]) as running:
        eventually(lambda: len(running.registry.followers()) == 1)
        new_trail.append(an_event())
        running.arrives("siem", 2)
    with forwarding(new_trail.url, [follower(tmp_path, shelf)]) as running:
        new_trail.append(an_event())
        running.arrives("siem", 3)
    assert shelf.positions == [2, 3]
    assert shelf.previous == [None, 2]


def test_a_filter_leaves_gaps_that_the_previous_position_explains(new_trail: Trail, tmp_path: Path) -> None:
    kinds = ["record.read", "user.login_failed", "record.read", "access.denied", "record.read"]
    new_trail.append(*(an_event(kind) for kind in kinds * 2))
    shelf, extra = Shelf(), 'filter = { or = [{ type = "user.login_failed" }, { type = ["access.denied"] }] }'
    with forwarding(new_trail.url, [follower(tmp_path, shelf, extra=extra)]) as running:
        running.arrives("siem", 9)
        state = running.follower("siem")
    assert shelf.positions == [1, 3, 6, 8]
    assert shelf.previous == [None, 1, 3, 6]
    assert (state.position, state.sent_position, state.sent) == (9, 8, 4)


def test_a_follower_sends_what_its_role_sees(new_trail: Trail, tmp_path: Path) -> None:
    change = {"path": "weight", "before": 80, "after": 81}
    new_trail.append(
        an_event("record.updated", patients=[{"id": "17", "name": "P. Example"}], changes=[change],
                 resources=[{"type": "Observation", "id": "o-1"}]),
        an_event("user.logged_in", source={"service": "login"}),
    )  # fmt: skip
    all_of_it, analyst, owner = Shelf("a"), Shelf("b"), Shelf("c")
    found = [
        follower(tmp_path, all_of_it, "a"),
        follower(tmp_path, analyst, "b", roles="analyst"),
        follower(tmp_path, owner, "c", roles="service_owner", extra='sources = ["login"]'),
    ]
    with forwarding(new_trail.url, found) as running:
        for name in "abc":
            running.arrives(name, 1)
    whole, shown = all_of_it.records[0].recorded.event, analyst.records[0].recorded.event
    assert (whole.patients[0].name, whole.changes[0].after) == ("P. Example", 81)
    assert (shown.patients[0].name, shown.changes[0].after, shown.actor.name) == (None, None, None)
    assert [each.redacted for each in all_of_it.records] == [False, False]
    assert [each.redacted for each in analyst.records] == [True, True]  # each names a member of staff
    assert analyst.records[0].leaf == all_of_it.records[0].leaf  # sealed is the whole event
    assert owner.positions == [1]


def test_a_receiver_that_is_away_or_slow_delays_no_other_and_misses_nothing(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(*(an_event() for _ in range(5)))
    slow, broken, well = Shelf("slow"), Shelf("broken"), Shelf("well")
    slow.open.clear()
    broken.errors = [
        UnavailableError("it is away"),
        ThrottledError("it is busy", 0.01),
        ReceiverRefusesError("its token is wrong"),
        ZeroDivisionError("4 / 0"),
    ]
    shelves = {"slow": slow, "broken": broken, "well": well}
    found = [follower(tmp_path, shelf, name, extra="batch = 2") for name, shelf in shelves.items()]
    with forwarding(new_trail.url, found) as running:
        running.arrives("well", 4)
        running.arrives("broken", 4)
        assert running.follower("slow").position == -1
        for kind in ("away", "throttled", "refused", "defect"):
            assert running.number("audit_trail_forward_failures_total", follower="broken", kind=kind) == 1
        slow.open.set()
        running.arrives("slow", 4)
        eventually(lambda: running.problems == [])
        assert running.follower("broken").problem == ""
    for shelf in shelves.values():
        assert shelf.positions == list(range(5))


def test_a_record_that_is_refused_for_good_stops_its_follower_until_an_operator_skips_it(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(*(an_event() for _ in range(20)))
    shelf, other = Shelf(), Shelf("other")
    shelf.refuses = {11}
    found = [follower(tmp_path, shelf), follower(tmp_path, other, "other")]
    with forwarding(new_trail.url, found) as running:
        eventually(lambda: stopped_at(running, 11))
        running.arrives("other", 19)
        assert shelf.positions == list(range(11))  # nothing before it waits, nothing after it passes
        assert running.problems == ["follower siem: position 11: it refuses the record"]
        assert running.number("audit_trail_forward_stopped", follower="siem") == 1
        with pytest.raises(Exception, match="the record at position 11 stops it; nothing was skipped"):
            running.registry.skip("siem", 10, *BY)
        running.registry.skip("siem", 11, *BY)
        running.arrives("siem", 19)
        eventually(lambda: running.problems == [])
        with pytest.raises(Exception, match="no record stops it"):
            running.registry.skip("siem", 11, *BY)
    assert shelf.positions == [*range(11), *range(12, 20)]
    assert shelf.records[11].leaf.previous_position == 11  # so the receiver sees that one is missing
    skipped = running.events[-1]
    assert (skipped.actor.id, skipped.reason) == BY
    assert skipped.resources[0].id == "siem"
    assert (skipped.attributes["operation"], skipped.attributes["position"]) == ("skipped", 11)


def test_a_stopped_follower_goes_on_by_itself_when_the_receiver_takes_the_record(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(*(an_event() for _ in range(4)))
    shelf = Shelf()
    shelf.refuses = {0}
    with forwarding(new_trail.url, [follower(tmp_path, shelf)]) as running:
        eventually(lambda: stopped_at(running, 0))
        shelf.refuses = set()
        running.arrives("siem", 3)
        state = running.follower("siem")
    assert (state.problem, state.failed_position) == ("", None)
    assert shelf.positions == [0, 1, 2, 3]


def test_a_paused_follower_sends_nothing_and_then_goes_on_where_it_was(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(an_event())
    shelf = Shelf()
    with forwarding(new_trail.url, [follower(tmp_path, shelf)]) as running:
        running.arrives("siem", 0)
        running.registry.pause("siem", *BY)
        with pytest.raises(Exception, match="is paused already"):
            running.registry.pause("siem", *BY)
        eventually(lambda: any("is paused by an operator" in each for each in running.problems))
        new_trail.append(an_event())
        eventually(lambda: running.number("audit_trail_forward_lag_events", follower="siem") == 1)
        eventually(lambda: running.number("audit_trail_forward_paused", follower="siem") == 1)
        assert shelf.positions == [0]
        running.registry.resume("siem", *BY)
        running.arrives("siem", 1)
        eventually(lambda: len(running.events) == 3)
    assert [each.attributes["operation"] for each in running.events] == ["added", "paused", "resumed"]
    assert [decode_event(encode_event(check(each))) for each in running.events] == running.events


def test_a_pause_takes_effect_after_the_request_in_hand(new_trail: Trail, tmp_path: Path) -> None:
    new_trail.append(*(an_event() for _ in range(10)))
    shelf = Shelf()
    shelf.open.clear()
    with forwarding(new_trail.url, [follower(tmp_path, shelf, extra="batch = 3")]) as running:
        eventually(lambda: bool(running.events))
        running.registry.pause("siem", *BY)
        shelf.open.set()
        eventually(lambda: any("is paused" in each for each in running.problems))
        assert running.follower("siem").position == len(shelf.positions) - 1
        assert len(shelf.positions) in {0, 3}


def test_nothing_goes_to_a_new_place_before_the_trail_has_that_decision(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(an_event())
    first, second = Shelf("first"), Shelf("second")
    with forwarding(new_trail.url, [follower(tmp_path, first)]) as running:
        running.arrives("siem", 0)
    new_trail.append(an_event())
    elsewhere = follower(tmp_path, second, host="elsewhere.example")
    with forwarding(new_trail.url, [elsewhere], kafka=False) as running:
        eventually(lambda: any("are not in the trail: Kafka is away" in each for each in running.problems))
        assert second.requests == []
        running.kafka = True
        running.arrives("siem", 1)
    assert (first.positions, second.positions) == ([0], [1])
    assert second.previous == [0]
    [redirected] = running.events
    assert redirected.type == "configuration.changed"
    assert redirected.attributes["operation"] == "redirected"
    [change] = redirected.changes
    assert (change.path, change.before, change.after) == (
        "destination.host",
        "siem.example",
        "elsewhere.example",
    )
    assert redirected.reason == "the office of security wants it"


def test_a_follower_that_leaves_the_file_and_comes_back_continues_from_its_checkpoint(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(an_event())
    shelf, other = Shelf(), Shelf("other")
    with forwarding(new_trail.url, [follower(tmp_path, shelf)]) as running:
        running.arrives("siem", 0)
    with forwarding(new_trail.url, [follower(tmp_path, other, "other")]) as running:
        running.arrives("other", 0)
        new_trail.append(an_event())
        running.arrives("other", 1)
        assert running.follower("siem").removed_at is not None
        removed = next(each for each in running.events if each.attributes["operation"] == "removed")
        assert (removed.actor.id, removed.reason) == ("audit-trail-forwarder", None)
    with forwarding(
        new_trail.url, [follower(tmp_path, shelf), follower(tmp_path, other, "other")]
    ) as running:
        running.arrives("siem", 1)
    assert shelf.positions == [0, 1]


def test_records_whose_checkpoint_was_not_stored_come_again_and_none_is_missing(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(*(an_event() for _ in range(3)))
    shelf = Shelf()
    shelf.open.clear()
    with forwarding(new_trail.url, [follower(tmp_path, shelf)]) as running:
        eventually(lambda: bool(shelf.requests))
        with away(new_trail.url):
            eventually(lambda: bool(running.problems))
            shelf.open.set()
            eventually(lambda: shelf.positions == [0, 1, 2])
            kind = {"follower": "siem", "kind": "away"}
            eventually(lambda: bool(running.number("audit_trail_forward_failures_total", **kind)))
        running.arrives("siem", 2)
        eventually(lambda: running.problems == [])
    assert shelf.positions == [0, 1, 2, 0, 1, 2]
    assert shelf.previous == [None, 0, 1] * 2  # the receiver sees that they are the same


def test_a_second_process_waits_until_the_first_has_ended(new_trail: Trail, tmp_path: Path) -> None:
    shelf, later = Shelf(), Shelf("later")
    first = Running(new_trail.url, [follower(tmp_path, shelf)])
    try:
        eventually(lambda: bool(first.events) and first.state == "ready")
        with forwarding(new_trail.url, [follower(tmp_path, later)]) as second:
            eventually(lambda: second.problems == [] and second.state == "standby")
            new_trail.append(an_event())
            first.arrives("siem", 0)
            assert second.number("audit_trail_forward_active") == 0
            first.stop()
            new_trail.append(an_event())
            second.arrives("siem", 1)
            assert second.state == "ready"
    finally:
        first.stop()
    assert (shelf.positions, later.positions) == ([0], [1])


def test_a_process_sends_by_its_file_alone_and_never_by_one_that_another_has_replaced(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(an_event())
    shelf = Shelf()
    elsewhere = follower(tmp_path, Shelf(), host="elsewhere.example").configured
    with forwarding(new_trail.url, [follower(tmp_path, shelf)]) as running:
        running.arrives("siem", 0)
        running.registry.configure([elsewhere])  # as the process does that has taken over unnoticed
        eventually(lambda: any("another configuration" in each for each in running.problems))
        new_trail.append(an_event())
        eventually(lambda: len(running.events) == 2)
        assert running.follower("siem").position == 0
        with closing(psycopg2.connect(new_trail.url)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(backend) FROM audit_trail.operation_worker WHERE part = 'forward'"
            )
        running.arrives("siem", 1)  # it has the lock anew, and stores its own file again
        eventually(lambda: running.problems == [])
    assert shelf.positions == [0, 1]
    assert [each.changes[0].after for each in running.events[1:]] == ["elsewhere.example", "siem.example"]


def test_an_event_that_was_altered_in_the_database_is_not_sent_as_genuine(
    new_trail: Trail, tmp_path: Path
) -> None:
    new_trail.append(an_event(), an_event("record.read"), an_event())
    with closing(psycopg2.connect(new_trail.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE audit_trail.event SET body = convert_to(replace(convert_from(body, 'UTF8'), 'dr-smith',"
            " 'dr-jones'), 'UTF8') WHERE position = 1"
        )
        connection.commit()
    shelf = Shelf()
    with forwarding(new_trail.url, [follower(tmp_path, shelf)]) as running:
        eventually(lambda: any("the event at position 1 is not the one" in each for each in running.problems))
        assert (
            running.number("audit_trail_forward_failures_total", follower="siem", kind="inconsistent") or 0
        ) > 0
    assert shelf.positions == [0]  # nothing before it waits, nothing after it passes


def test_large_events_are_read_in_parts_that_fit_into_memory(new_trail: Trail) -> None:
    new_trail.append(*(an_event(reason="x" * 5000) for _ in range(6)), an_event())
    parts, after = [], -1
    while after < 6:
        with (
            closing(Database(new_trail.url, FORWARDER)) as database,
            database.transaction(read_only=True) as connection,
        ):
            batch = read_sealed(connection, after, 100, 12_000)
        parts.append([each.recorded.position for each in batch.events])
        after = batch.last
    assert parts == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_trail.follower SET position = position - 1",
        "UPDATE audit_trail.follower SET first_position = 1",
        "DELETE FROM audit_trail.follower",
        "TRUNCATE audit_trail.follower_change",
        "UPDATE audit_trail.follower_change SET reason = 'another'",
        "UPDATE audit_trail.follower_change SET published_at = NULL",
        "DELETE FROM audit_trail.follower_change",
        "DELETE FROM audit_trail.event",
        "INSERT INTO audit_trail.event_identity VALUES (gen_random_uuid(), 1)",
        "SELECT * FROM audit_trail.dead_letter",
        "INSERT INTO audit_trail.operation_worker (part, host, pid, backend, mark) VALUES ('watch', '', 1, 1, 1)",
    ],
)
def test_the_forwarders_login_moves_checkpoints_forward_and_nothing_else(
    new_trail: Trail, tmp_path: Path, statement: str
) -> None:
    new_trail.append(an_event())
    with forwarding(new_trail.url, [follower(tmp_path, Shelf())]) as running:
        running.arrives("siem", 0)
    with closing(psycopg2.connect(new_trail.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE audit_trail_forwarder")
        with pytest.raises(psycopg2.Error):
            cursor.execute(statement)


def test_there_is_nothing_to_decide_about_a_follower_that_never_was(new_trail: Trail) -> None:
    with registry_of(new_trail.url) as registry:
        for decide in (registry.pause, registry.resume):
            with pytest.raises(Exception, match="there is no follower siem"):
                decide("siem", *BY)
