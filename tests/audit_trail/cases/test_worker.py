"""The worker of cases: commands get outcomes, alerts get cases, and a kill anywhere changes nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from msgspec.structs import replace

from audit_trail.cases.worker import CaseWorker
from detection.cases.case_book import CaseBook
from domain.access.principal import Principal, Role
from domain.cases.commands import Body, Comment, EndSuppression
from domain.cases.employee_asked import employee_of
from domain.errors import AccessDeniedError, ConflictError, InvalidEventError, UnavailableError
from domain.event import AuditEvent
from domain.validation import encode_event
from event_store.case_commands import Outcome, Result, open_commands
from event_store.database import INGEST, Database
from queries.case_commands import CaseCommands, require_done
from tests.detection.cases.given_cases import ADA, PAUL, RITA, RULE
from tests.detection.cases.live_detection import LiveDetection
from tests.detection.cases.test_case import ANSWER, ASK, COMMENT, DECIDE, REOPEN
from tests.detection.cases.test_case_book import OPEN, SUPPRESS
from tests.detection.context.staff_table import load_staff
from tests.detection.live.logs import READS, activate
from tests.signing import TEXT
from tests.trail import Trail, an_event
from tests.waiting import eventually

CASES = ("case_id", "state", "alerts", "actor", "earlier_case")


@pytest.fixture
def detection(trail: Trail) -> LiveDetection:
    return LiveDetection(trail)


@pytest.fixture
def worker(trail: Trail) -> Iterator[CaseWorker]:
    with closing(CaseBook(trail.url, TEXT)) as book, closing(CaseWorker(trail.ingest, book)) as worker:
        yield worker


class Desk:
    """What `serve` does for people."""

    def __init__(self, trail: Trail, worker: CaseWorker) -> None:
        self.commands = CaseCommands(trail.reader)
        self._worker = worker

    def outcome(self, target: UUID, body: Body, by: Principal = RITA, id: UUID | None = None) -> Outcome:
        command = id or uuid4()
        self.commands.give(by, command, target, body)
        self._worker.step()
        found = self.commands.wait(command, 0)
        assert found is not None
        return found


@pytest.fixture
def desk(trail: Trail, worker: CaseWorker) -> Desk:
    return Desk(trail, worker)


def cases(detection: LiveDetection) -> list[tuple[Any, ...]]:
    detection.catch_up()
    return detection.table("detection_case", ", ".join(CASES))


def topics(detection: LiveDetection) -> list[str]:
    return [each.topic for each in detection.events()]


def test_new_alerts_get_cases_and_the_read_model_shows_them(
    detection: LiveDetection, worker: CaseWorker
) -> None:
    first, second = detection.raised(), detection.raised(position=1)
    bobs = detection.raised(position=2, group_key="[]", actor="bob")
    assert worker.step()
    found = cases(detection)
    assert sorted((state, alerts, actor) for _, state, alerts, actor, _ in found) == [
        ("open", 1, "bob"),
        ("open", 2, "ada"),
    ]
    joined = dict(detection.table("case_alert", "alert_id, case_id"))
    assert joined[str(first)] == joined[str(second)] != joined[str(bobs)]
    assert not worker.step()


def test_an_alert_waits_for_no_other_and_is_taken_once(detection: LiveDetection, trail: Trail) -> None:
    """A new process sees all alerts that the read model, which is behind, shows in no case."""
    detection.raised()
    for _ in range(2):
        with closing(CaseBook(trail.url, TEXT)) as book, closing(CaseWorker(trail.ingest, book)) as worker:
            worker.step()
    assert topics(detection) == ["actor_cases.begun", "actor_cases.alert_received", "case.opened"]


@pytest.mark.parametrize("values", [{"suppressed_by": str(uuid4())}, {"kind": "overflow"}])
def test_what_is_suppressed_or_no_match_opens_no_case(
    detection: LiveDetection, worker: CaseWorker, values: dict[str, str]
) -> None:
    detection.raised(**values)
    assert not worker.step()
    assert cases(detection) == []


def test_an_alert_after_the_decision_opens_a_case_that_names_the_decided_one(
    detection: LiveDetection, worker: CaseWorker, desk: Desk
) -> None:
    detection.raised()
    worker.step()
    [(decided, *_)] = cases(detection)
    assert desk.outcome(UUID(decided), DECIDE).result is Result.DONE
    detection.catch_up()
    detection.raised(position=9)
    worker.step()
    found = {row[0]: row[1:] for row in cases(detection)}
    assert found.pop(decided)[0] == "decided"
    [(state, _, _, earlier)] = found.values()
    assert (state, earlier) == ("open", decided)


def test_without_detection_there_is_nothing_to_take(trail: Trail, worker: CaseWorker) -> None:
    trail.append(an_event())
    assert not worker.step()


def test_that_an_employee_was_asked_is_published_once_more_after_a_kill_and_says_nothing_else(
    detection: LiveDetection, trail: Trail
) -> None:
    """The first publish fails, as a kill: the event is in the case, and the command has no outcome."""
    published: list[AuditEvent] = []
    faults = [UnavailableError("Kafka is away")] * 2

    def publish(event: AuditEvent) -> None:
        published.append(event)
        if faults:
            raise faults.pop()

    with (
        closing(CaseBook(trail.url, TEXT)) as book,
        closing(CaseWorker(trail.ingest, book, publish)) as worker,
    ):
        detection.raised()
        worker.step()
        [(case, *_)] = cases(detection)
        desk = Desk(trail, worker)
        command = uuid4()
        with pytest.raises(UnavailableError):
            desk.outcome(UUID(case), ASK, id=command)
        comment = uuid4()
        with pytest.raises(UnavailableError):
            desk.outcome(UUID(case), COMMENT, id=comment)
        # Only the question waits.
        done = desk.commands.wait(comment, 0.05)
        assert done is not None
        assert done.result is Result.DONE
        assert desk.outcome(UUID(case), ASK, id=command).result is Result.DONE
        assert desk.outcome(UUID(case), COMMENT).result is Result.DONE
    first, *again = published
    assert again == [first, first]
    assert employee_of(first) == "ada"
    assert b"Why did you" not in encode_event(first)
    assert [topic for topic in topics(detection) if topic == "case.employee_asked"] == ["case.employee_asked"]


def test_a_command_is_carried_out_and_its_outcome_names_the_position(
    detection: LiveDetection, desk: Desk
) -> None:
    case = uuid4()
    assert desk.outcome(case, OPEN) == Outcome(Result.DONE, position=2)
    assert require_done(desk.outcome(case, COMMENT)) == 3
    assert [each.position for each in detection.events() if each.stream == case] == [2, 3]


def test_an_employee_is_asked_and_answers(desk: Desk) -> None:
    case = uuid4()
    for body, by in ((OPEN, RITA), (ASK, RITA), (ANSWER, ADA), (DECIDE, RITA), (REOPEN, PAUL)):
        assert desk.outcome(case, body, by).result is Result.DONE


def test_nobody_decides_about_themselves_under_another_id_that_staff_has(trail: Trail, desk: Desk) -> None:
    case = uuid4()
    assert desk.outcome(case, OPEN).result is Result.DONE
    load_staff(trail.url, {"id": "a.example", "other_ids": ["ada"]}, {"id": "paul"})
    officer = Principal(id="a.example", roles=frozenset({Role.PRIVACY_OFFICER}))
    for body in (COMMENT, DECIDE):
        assert desk.outcome(case, body, officer).result is Result.DENIED
    assert desk.outcome(case, ASK, PAUL).result is Result.DONE
    assert desk.outcome(case, ANSWER, officer).result is Result.DONE
    load_staff(trail.url, {"id": "a.example"}, {"id": "paul"})
    assert desk.outcome(case, DECIDE, officer).result is Result.DONE


@pytest.mark.parametrize(
    ("body", "by", "outcome"),
    [
        (REOPEN, RITA, Outcome(Result.REFUSED, "this case is open: there is nothing to open again")),
        (ANSWER, ADA, Outcome(Result.DENIED, "not allowed with these credentials")),
        (
            EndSuppression(reason="x"),
            PAUL,
            Outcome(Result.REFUSED, "there is no such suppression", "target"),
        ),
    ],
)
def test_what_is_refused_says_why(desk: Desk, body: Body, by: Principal, outcome: Outcome) -> None:
    case = uuid4()
    desk.outcome(case, OPEN)
    assert desk.outcome(case, body, by) == outcome
    expected = AccessDeniedError if outcome.result is Result.DENIED else ConflictError
    with pytest.raises(expected):
        require_done(outcome)


def test_who_has_no_role_and_a_wrong_text_are_refused_before_anything_is_stored(
    trail: Trail, desk: Desk
) -> None:
    with pytest.raises(AccessDeniedError, match="needs one of the roles"):
        desk.commands.give(ADA, uuid4(), uuid4(), COMMENT)
    with pytest.raises(InvalidEventError, match="text: write at least one word"):
        desk.commands.give(RITA, uuid4(), uuid4(), Comment(text=" "))
    assert open_commands(trail.ingest, 10) == []


def test_without_a_worker_the_command_waits(trail: Trail) -> None:
    commands, id = CaseCommands(trail.reader), uuid4()
    commands.give(RITA, id, uuid4(), OPEN)
    assert commands.wait(id, 0.05) is None
    with pytest.raises(UnavailableError, match="waits for `ingest`"):
        require_done(None)


def activate_rule(trail: Trail) -> None:
    """The rule of the suppressions below counts, and groups by the actor."""
    activate(trail, READS.replace("6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c12", str(RULE)))


def test_a_suppression_is_in_the_read_model(trail: Trail, detection: LiveDetection, desk: Desk) -> None:
    activate_rule(trail)
    suppression = uuid4()
    assert desk.outcome(suppression, SUPPRESS, PAUL).result is Result.REFUSED  # it ended in the past
    soon = datetime.now(UTC) + timedelta(days=1)
    body = replace(SUPPRESS, expires_at=soon, match={"actor.id": "robot"})
    assert desk.outcome(suppression, body, PAUL).result is Result.DONE
    assert desk.outcome(suppression, EndSuppression(reason="fixed"), PAUL).result is Result.DONE
    detection.catch_up()
    [row] = detection.table("suppression", "suppression_id, rule_id, match, owner, end_reason, ended_by")
    assert row == (str(suppression), str(RULE), {"actor.id": "robot"}, "ada", "fixed", "paul")


def test_a_suppression_that_can_never_match_is_refused(trail: Trail, desk: Desk) -> None:
    body = replace(SUPPRESS, expires_at=datetime.now(UTC) + timedelta(days=1), match={"actor.id": "robot"})
    unknown = desk.outcome(uuid4(), body, PAUL)
    assert (unknown.result, unknown.field) == (Result.REFUSED, "rule_id")
    activate_rule(trail)
    wrong = desk.outcome(uuid4(), replace(body, match={"actor.name": "Robot"}), PAUL)
    assert (wrong.result, wrong.field) == (Result.REFUSED, "match")
    assert "actor.id" in (wrong.error or "")
    assert desk.outcome(uuid4(), body, PAUL).result is Result.DONE


def test_the_thread_is_woken_by_a_command(trail: Trail, worker: CaseWorker) -> None:
    worker.start()
    try:
        commands = CaseCommands(trail.reader)
        eventually(lambda: not open_commands(trail.ingest, 1))
        case = uuid4()
        for body in (OPEN, COMMENT, DECIDE):
            id = uuid4()
            commands.give(RITA, id, case, body)
            outcome = commands.wait(id, 10)
            assert outcome is not None
            assert outcome.result is Result.DONE
    finally:
        worker.stop()


def test_one_process_works_at_a_time(trail: Trail, worker: CaseWorker, desk: Desk) -> None:
    assert desk.outcome(uuid4(), OPEN).result is Result.DONE
    with closing(CaseBook(trail.url, TEXT)) as book, closing(CaseWorker(trail.ingest, book)) as second:
        id = uuid4()
        desk.commands.give(RITA, id, uuid4(), OPEN)
        assert not second.step()
        worker.close()
        assert second.step()
        assert desk.commands.wait(id, 0) is not None


def test_a_command_that_another_login_invents_fails_alone(
    trail: Trail, worker: CaseWorker, desk: Desk
) -> None:
    with closing(psycopg2.connect(trail.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT audit_trail.submit_case_command(gen_random_uuid(), gen_random_uuid(), 'comment', '{}', 'user', 'x',"
            " NULL, '{}', '{}', NULL)"
        )
    assert worker.step()
    assert open_commands(trail.ingest, 10) == []
    assert desk.outcome(uuid4(), OPEN).result is Result.DONE


def _work_until_killed(url: str) -> None:
    database = Database(url, INGEST)
    CaseWorker(database, CaseBook(url, TEXT)).step()


def test_a_kill_between_the_append_and_the_outcome_changes_nothing(
    trail: Trail, detection: LiveDetection
) -> None:
    commands, case, ids = CaseCommands(trail.reader), uuid4(), [uuid4(), uuid4()]
    bodies: tuple[Body, ...] = (OPEN, COMMENT)
    for id, body in zip(ids, bodies, strict=True):
        commands.give(RITA, id, case, body)
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        # The outcome of the second command can't be written while this lock lasts.
        cursor.execute("SELECT FROM audit_trail.case_command WHERE id = %s FOR UPDATE", (str(ids[1]),))
        child = multiprocessing.get_context("spawn").Process(target=_work_until_killed, args=(trail.url,))
        child.start()
        eventually(lambda: "case.commented" in topics(detection))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        connection.rollback()
    before = topics(detection)
    with closing(CaseBook(trail.url, TEXT)) as book, closing(CaseWorker(trail.ingest, book)) as next_worker:
        eventually(lambda: next_worker.step() or not open_commands(trail.ingest, 1))
    assert (
        topics(detection)
        == before
        == ["actor_cases.begun", "actor_cases.case_opened", "case.opened", "case.commented"]
    )
    assert [commands.wait(id, 0) for id in ids] == [
        Outcome(Result.DONE, position=2),
        Outcome(Result.DONE, position=3),
    ]


def test_the_database_away_is_tried_again(trail: Trail, worker: CaseWorker, desk: Desk) -> None:
    """An outcome that can't be written is written in the next round, and the event is not doubled."""
    id, case = uuid4(), uuid4()
    desk.commands.give(RITA, id, case, OPEN)
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(
            "CREATE FUNCTION public.lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'gone' USING ERRCODE = 'admin_shutdown'; END $$;"
            "CREATE TRIGGER lose BEFORE UPDATE ON audit_trail.case_command"
            " FOR EACH ROW EXECUTE FUNCTION public.lose()"
        )
        with pytest.raises(UnavailableError):
            worker.step()
        cursor.execute("DROP TRIGGER lose ON audit_trail.case_command")
    assert worker.step()
    assert desk.commands.wait(id, 0) == Outcome(Result.DONE, position=2)
