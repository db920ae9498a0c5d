"""What the guard keeps of findings: which are told, which end, and what an operator closes."""

from __future__ import annotations

from domain.errors import UnavailableError
from domain.event import AuditEvent
from domain.validation import check, decode_event, encode_event
from event_store.integrity_findings import (
    MAX_ENDS,
    Certainty,
    Check,
    NewFinding,
    close_finding,
    open_findings,
    page_of_findings,
)
from tests.audit_trail.guard.guards import Running, book_of, claims, database_of, findings, guarding
from tests.event_store.verify.tampered_log import Log


def test_a_place_that_fails_and_recovers_again_and_again_adds_few_findings(log: Log) -> None:
    with book_of(log) as book, database_of(log) as database:
        for size in range(40):
            what = f"the witness says that it has cosigned a head of size {size}"
            book.found(NewFinding(Check.PUBLISH, "w", "claim", Certainty.CLAIM, what, size))
            book.took("w")
        with database.transaction() as connection:
            found = page_of_findings(connection, closed=True)
            assert [each.closed_at is None for each in found] == [False] * MAX_ENDS + [True]
            assert sum(each.seen for each in found) == 40
        log.attack(
            "UPDATE audit_trail.integrity_finding SET last_seen = last_seen - interval '2 hours'"
            " WHERE closed_at IS NULL"
        )
        book.took("w")
        with database.transaction() as connection:
            assert not open_findings(connection)


def test_a_verification_of_the_new_part_does_not_end_a_finding_about_an_old_part(log: Log) -> None:
    def verified(position: int | None) -> NewFinding:
        return NewFinding(
            Check.VERIFY, "log", str(position), Certainty.FACT, "altered", 263, position=position
        )

    def positions() -> list[int | None]:
        with database_of(log) as database, database.transaction() as connection:
            return [each.position for each in open_findings(connection) if each.check is Check.VERIFY]

    with book_of(log) as book:
        for position in (None, 0, 100, 70_000):
            book.found(verified(position))
        book.took("log")
        assert positions() == [None, 0, 100, 70_000]
        book.passed(65_536)
        assert positions() == [None, 0, 100]
        book.passed(0)
        assert positions() == []


def test_a_finding_of_verification_ends_when_the_same_range_is_well_again(log: Log) -> None:
    with guarding(log.url, verify=0.1) as guard:
        guard.until(lambda: findings(guard, "log", "verify") == 0)
        log.attack("CREATE TABLE public.kept AS SELECT * FROM audit_trail.event WHERE position = 100")
        log.attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position = 100")
        guard.until(lambda: findings(guard, "log", "verify") == 1)
        log.attack(
            "UPDATE audit_trail.event SET recorded_at = kept.recorded_at FROM public.kept"
            " WHERE event.position = 100",
            "DROP TABLE public.kept",
        )
        guard.until(lambda: findings(guard, "log", "verify") == 0)
        guard.until(lambda: len(guard.events) == 2)
    assert [event.type for event in guard.events] == ["integrity_check.failed", "integrity_check.recovered"]


def test_a_finding_that_can_not_be_told_yet_is_told_once_under_one_id(log: Log) -> None:
    tries: list[AuditEvent] = []

    def report(event: AuditEvent) -> None:
        tries.append(event)
        if len(tries) < 3:
            raise UnavailableError("Kafka is away")

    log.attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position = 100")
    for _ in range(2):
        running = Running(log.url, verify=0.1, report=report)
        running.until(lambda: len(tries) >= 3)
        running.until(lambda running=running: findings(running, "log", "verify") == 1)  # type: ignore[misc]
        running.stop()
    assert len({encode_event(event) for event in tries}) == 1
    assert len(tries) == 3


def test_what_an_operator_has_closed_is_gone_from_the_metrics_and_answered_in_the_trail(log: Log) -> None:
    with book_of(log) as book:
        book.found(NewFinding(Check.PUBLISH, "old witness", "claim", Certainty.CLAIM, "it says so", 263))
    with guarding(log.url) as guard:
        guard.until(lambda: claims(guard, "old witness") == 1 and guard.events)
        with database_of(log) as database, database.transaction() as connection:
            close_finding(connection, 1, "n.operator", "The witness was restored from a backup")
        guard.until(lambda: claims(guard, "old witness") == 0)
        guard.until(lambda: len(guard.events) == 2)
    told, answered = guard.events
    assert answered.type == "integrity_check.answered"
    assert (answered.actor.id, answered.reason) == ("n.operator", "The witness was restored from a backup")
    assert answered.attributes["answers"] == str(told.event_id)
    assert [decode_event(encode_event(check(event))) for event in guard.events] == guard.events
