"""The watcher on a real database: each transition is reported once, whatever is killed, slow or away meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from audit_trail.embedded.postgres import EmbeddedPostgres
from domain.errors import UnavailableError
from domain.event import AuditEvent
from tests.waiting import eventually
from tests.watcher.watching import QUICK, Service, file_of, service, watching
from watcher.blindness import Clocks
from watcher.store import Undelivered
from watcher.target_file import parse_targets


@pytest.fixture
def health() -> Iterator[Service]:
    with service() as found:
        yield found


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def state_of(url: str, name: str) -> str:
    found = rows(url, f"SELECT state FROM audit_trail.watch_target WHERE name = '{name}'")
    return str(found[0][0]) if found else ""


def test_a_failure_and_its_end_are_each_one_event_and_a_restart_reports_nothing_twice(
    migrated_url: str, health: Service
) -> None:
    file = file_of(patient=health.url)
    with watching(migrated_url, file) as first:
        eventually(lambda: state_of(migrated_url, "patient") == "up")
        assert first.number("target_up", target="patient") == 1
        health.status = 503
        eventually(lambda: first.types == ["health_check.failed"])
    with watching(migrated_url, file) as second:
        eventually(
            lambda: (second.number("checks_total", target="patient", result="unexpected_status") or 0) > 2
        )
        assert second.messages == []
        assert second.number("target_up", target="patient") == 0
        health.status = 200
        eventually(lambda: second.types == ["health_check.recovered"])
    [failed], [recovered] = first.events, second.events
    assert failed.source.service == "audit-trail"
    assert [(each.type, each.id) for each in failed.resources] == [("Service", "patient")]
    assert failed.outcome_reason == "the status is 503, not 200"
    assert failed.attributes["error"] == "unexpected_status"
    assert failed.attributes["failures"] == 2
    begin = datetime.fromisoformat(failed.attributes["first_failure_at"])
    for event, seconds in ((failed, "duration_seconds"), (recovered, "outage_seconds")):
        length = (event.occurred_at - begin).total_seconds()
        assert event.attributes[seconds] == pytest.approx(length, abs=0.01)
    assert failed.correlation_id == recovered.correlation_id == str(failed.event_id)


def test_events_that_kafka_did_not_take_are_published_again_byte_for_byte_also_by_the_next_process(
    migrated_url: str, health: Service
) -> None:
    tries: list[bytes] = []

    def refuse_later(events: Sequence[Undelivered]) -> None:
        """Kafka has the event, and its answer is lost."""
        tries.extend(each.body for each in events)
        raise UnavailableError("Kafka is away")

    health.status = 500
    with watching(migrated_url, file_of(patient=health.url), publish=refuse_later) as first:
        eventually(lambda: len(tries) >= 1)
        eventually(lambda: any("events wait for Kafka" in each for each in first.watcher.problems()))
    with watching(migrated_url, file_of(patient=health.url)) as second:
        eventually(lambda: len(second.messages) == 1)
    assert {*tries, *second.messages} == {tries[0]}
    assert rows(migrated_url, "SELECT count(*) FROM audit_trail.watch_event") == [(0,)]


def test_a_target_that_tells_another_boot_id_was_restarted(migrated_url: str, health: Service) -> None:
    health.headers = ("Boot-Id: one",)
    text = f"{QUICK}targets: [{{name: p, http: {{url: '{health.url}', restart: {{header: boot-id}}}}}}]"
    file = parse_targets(text, "watch.yaml")
    with watching(migrated_url, file):
        eventually(
            lambda: rows(migrated_url, "SELECT incarnation FROM audit_trail.watch_target") == [("one",)]
        )
    health.headers = ("Boot-Id: two",)  # while nobody looks
    with watching(migrated_url, file) as running:
        eventually(lambda: running.types == ["service.restarted"])
        [event] = running.events
    assert (event.attributes["before"], event.attributes["after"]) == ("one", "two")


def test_one_slow_target_delays_no_other(migrated_url: str, health: Service) -> None:
    with service() as slow:
        slow.hangs = True
        file = file_of(slow=slow.url, quick=health.url)
        with watching(migrated_url, file, threads=2) as running:
            eventually(lambda: "health_check.failed" in running.types)
            before = len(health.requests)
            eventually(lambda: len(health.requests) > before + 2)
            assert running.watcher.problems() == []
            [event] = running.events
            assert (event.resources[0].id, event.attributes["error"]) == ("slow", "timeout")
            assert running.number("target_up", target="quick") == 1


def test_a_second_watcher_waits_and_takes_over_without_a_word(migrated_url: str, health: Service) -> None:
    file = file_of(patient=health.url)
    with watching(migrated_url, file) as first:
        first.looks()
        with watching(migrated_url, file) as second:
            eventually(lambda: second.watcher.problems() == [])
            assert (second.watcher.state(), second.number("active")) == ("standby", 0)
            health.status = 500
            eventually(lambda: first.types == ["health_check.failed"])
            first.watcher.stop()
            second.looks()
            health.status = 200
            eventually(lambda: second.types == ["health_check.recovered"])


def test_of_two_watchers_one_is_fenced_when_the_other_has_its_lock(
    migrated_url: str, health: Service
) -> None:
    file = file_of(patient=health.url)
    with watching(migrated_url, file) as first:
        first.looks()
        with watching(migrated_url, file) as second:
            eventually(lambda: second.watcher.problems() == [])
            while second.number("active") != 1:  # the first one may be quicker to take its lock again
                rows(
                    migrated_url,
                    "SELECT pg_terminate_backend(backend) FROM audit_trail.operation_worker WHERE part = 'watch'",
                )
                threading.Event().wait(0.3)
            eventually(lambda: first.number("active") == 0)
            # What it knew gets old.
            eventually(lambda: first.number("target_up", target="patient") is None)
            assert first.number("late_seconds") == 0
            health.status = 500
            eventually(lambda: state_of(migrated_url, "patient") == "down")
            eventually(lambda: len(first.types + second.types) == 1)
            assert first.error is second.error is None


def gaps(events: Sequence[AuditEvent]) -> list[AuditEvent]:
    return [each for each in events if each.type == "observation.gap"]


@pytest.mark.parametrize(
    ("stopped", "cause"), [(True, "watcher_stopped"), (False, "watcher_ended_unexpectedly")]
)
def test_the_time_in_which_no_watcher_ran_is_a_gap(
    migrated_url: str, health: Service, stopped: bool, cause: str
) -> None:
    file = file_of(patient=health.url)
    with watching(migrated_url, file):
        eventually(lambda: state_of(migrated_url, "patient") == "up")
    rows(
        migrated_url,
        f"UPDATE audit_trail.watch_state SET looked_until = looked_until - interval '1 hour', stopped = {stopped}",
    )
    [(until,)] = rows(migrated_url, "SELECT looked_until FROM audit_trail.watch_state")
    with watching(migrated_url, file) as running:
        eventually(lambda: len(running.messages) == 1)
        [event] = gaps(running.events)
    assert event.attributes["cause"] == cause
    assert datetime.fromisoformat(event.attributes["from"]) == until
    assert 3590 < event.attributes["seconds"] < 3700
    with watching(migrated_url, file) as again:
        again.looks()
        eventually(lambda: state_of(migrated_url, "patient") == "up")
        assert again.messages == []


def test_the_sleep_of_the_machine_is_a_gap_and_checks_that_waited_through_it_do_not_count(
    migrated_url: str, health: Service
) -> None:
    slept = [0.0]

    def clocks() -> Clocks:
        now = Clocks.read()
        return Clocks(now.now + timedelta(seconds=slept[0]), now.ran, now.ran_or_slept + slept[0])

    with watching(migrated_url, file_of(patient=health.url), read_clocks=clocks) as running:
        running.looks()
        slept[0] = 7200
        eventually(lambda: len(running.messages) == 1)
        [event] = gaps(running.events)
        assert event.attributes["cause"] == "machine_slept"
        assert 7200 <= event.attributes["seconds"] < 7210


def test_a_clock_that_jumps_forward_and_is_set_back_hides_no_failure(
    migrated_url: str, health: Service
) -> None:
    ahead = [0.0]

    def clocks() -> Clocks:
        now = Clocks.read()
        return now._replace(now=now.now + timedelta(seconds=ahead[0]))

    with watching(migrated_url, file_of(patient=health.url), read_clocks=clocks) as running:
        running.looks()
        ahead[0] = 7200
        eventually(lambda: len(running.messages) == 1)
        assert running.events[0].attributes["cause"] == "clock_jumped_forward"
        ahead[0] = 0
        health.status = 500
        eventually(lambda: running.types[1:] == ["health_check.failed"])


def test_a_defect_of_what_publishes_ends_the_watcher(migrated_url: str, health: Service) -> None:
    def fail(events: Sequence[Undelivered]) -> None:
        raise LookupError(f"{len(events)} events")

    health.status = 500
    with watching(migrated_url, file_of(patient=health.url), publish=fail) as running:
        eventually(lambda: running.error is not None)
        assert isinstance(running.error, LookupError)


def test_a_target_that_comes_back_into_the_file_was_not_looked_at_meanwhile(
    migrated_url: str, health: Service
) -> None:
    with service() as other:
        both, one = file_of(a=health.url, b=other.url), file_of(a=health.url)
        with watching(migrated_url, both):
            eventually(lambda: state_of(migrated_url, "b") == "up")
        with watching(migrated_url, one) as running:
            running.looks()
            eventually(
                lambda: (
                    rows(migrated_url, "SELECT name FROM audit_trail.watch_target WHERE watched") == [("a",)]
                )
            )
        rows(
            migrated_url,
            "UPDATE audit_trail.watch_target SET checked_at = checked_at - interval '1 day' WHERE name = 'b'",
        )
        with watching(migrated_url, both) as running:
            eventually(lambda: len(running.messages) == 1)
            [event] = gaps(running.events)
    assert event.attributes["cause"] == "target_not_in_file"
    assert event.attributes["targets"] == ["b"]


def test_checks_that_begin_late_for_want_of_threads_are_a_gap(migrated_url: str, health: Service) -> None:
    with service() as slow:
        slow.hangs = True
        text = (
            "gap_after: 1s\ndefaults: {interval: 500ms, timeout: 500ms, down_after: 100}\ntargets:\n"
            + "".join(f"  - {{name: slow-{n}, http: {{url: '{slow.url}'}}}}\n" for n in range(6))
            + f"  - {{name: quick, http: {{url: '{health.url}'}}}}\n"
        )
        with watching(migrated_url, parse_targets(text, "watch.yaml"), threads=1) as running:
            eventually(lambda: (running.number("late_seconds") or 0) > 1)
            eventually(lambda: any("late" in each for each in running.watcher.problems()))
            threading.Event().wait(1.5)
        [event] = gaps(running.events)
    assert event.attributes["cause"] == "checks_late"
    assert event.attributes["target_count"] >= 1


def test_what_happens_while_the_database_is_away_is_reported_when_it_is_back_its_own_outage_too(
    migrated_url: str, postgres: EmbeddedPostgres, health: Service
) -> None:
    name = parse_dsn(migrated_url)["dbname"]
    with closing(psycopg2.connect(postgres.url_for("postgres"))) as administrator:
        administrator.autocommit = True

        def let_in(allowed: bool) -> None:
            with administrator.cursor() as cursor:
                cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {allowed}')
                if not allowed:
                    cursor.execute(
                        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                    )

        text = (
            f"{QUICK}targets:\n  - {{name: patient, http: {{url: '{health.url}'}}}}\n"
            "  - {name: database, postgresql: {}}\n"
        )
        with watching(migrated_url, parse_targets(text, "watch.yaml")) as running:
            running.looks()
            eventually(lambda: running.number("target_up", target="database") == 1)
            let_in(False)
            try:
                health.status = 500
                eventually(lambda: running.number("target_up", target="database") == 0)
                eventually(lambda: running.number("target_up", target="patient") == 0)
                assert any("database" in each for each in running.watcher.problems())
            finally:
                let_in(True)
            health.status = 200
            eventually(lambda: len(running.messages) == 4)
            assert running.watcher.problems() == []
    told = [(each.type, each.resources[0].id) for each in running.events]
    for name in ("patient", "database"):
        assert [each for each in told if each[1] == name] == [
            ("health_check.failed", name),
            ("health_check.recovered", name),
        ]


def test_the_watchers_login_reads_no_event_and_numbers_never_go_back(migrated_url: str) -> None:
    for statement in (
        "SELECT count(*) FROM audit_trail.event",
        "DELETE FROM audit_trail.watch_target",
        "UPDATE audit_trail.watch_event SET body = ''",
        "INSERT INTO audit_trail.operation_worker (part, host, pid, backend, mark) VALUES ('ingest', '', 1, 1, 1)",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            rows(migrated_url, f"SET ROLE audit_trail_watcher; {statement}")
    rows(migrated_url, "UPDATE audit_trail.watch_state SET revision = 3, gaps = 1")
    for statement in ("gaps = 0", "revision = 2", "id = gen_random_uuid()"):
        with pytest.raises(psycopg2.errors.RestrictViolation):
            rows(
                migrated_url, f"SET ROLE audit_trail_watcher; UPDATE audit_trail.watch_state SET {statement}"
            )
