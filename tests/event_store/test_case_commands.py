"""The queue of commands about cases: who may submit, what nobody may change, and its limits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from msgspec.structs import replace
from psycopg2 import errors, sql

from domain.access.principal import Principal, Role
from domain.cases.commands import (
    AnswerQuestion,
    Comment,
    Decide,
    Verdict,
    check_body,
    decode_body,
    encode_body,
)
from domain.errors import ConflictError, InvalidEventError, RejectedError
from event_store.case_commands import (
    NewCommand,
    Outcome,
    Result,
    complete,
    open_commands,
    outcome_of,
    submit,
)
from event_store.database import INGEST, PROJECTOR, READER
from tests.trail import Trail

TABLE = "audit_trail.case_command"
RITA = Principal(
    id="rita", name="Rita", roles=frozenset({Role.REVIEWER, Role.CLINICIAN}), actors=("r1", "r2"), session="s"
)
COMMENT = Comment(text="The roster says so: 'x' \\ \"ü\"")


def given(trail: Trail, body: Any = COMMENT, by: Principal = RITA, id: UUID | None = None) -> NewCommand:
    new = NewCommand(id or uuid4(), uuid4(), body, by)
    submit(trail.reader, new)
    return new


def refused(url: str, role: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        with pytest.raises((errors.InsufficientPrivilege, errors.RestrictViolation)):
            cursor.execute(statement)


def test_a_command_arrives_as_it_was_given(trail: Trail) -> None:
    new = given(trail)
    [waiting] = open_commands(trail.ingest, 10)
    command = waiting.checked()
    assert (command.id, command.target, command.body) == (new.id, new.target, COMMENT)
    assert command.by == replace(RITA, session=None)
    assert command.session == "s"


def test_commands_wait_in_the_order_in_which_they_were_given(trail: Trail) -> None:
    ids = [given(trail).id for _ in range(3)]
    assert [each.id for each in open_commands(trail.ingest, 10)] == ids
    assert [each.id for each in open_commands(trail.ingest, 2)] == ids[:2]
    complete(trail.ingest, ids[0], Outcome(Result.DONE, position=7))
    assert [each.id for each in open_commands(trail.ingest, 10)] == ids[1:]


def test_the_outcome_is_written_once(trail: Trail) -> None:
    new = given(trail)
    assert outcome_of(trail.reader, new.id) is None
    end = Outcome(Result.REFUSED, "this case is decided", "target")
    complete(trail.ingest, new.id, end)
    complete(trail.ingest, new.id, Outcome(Result.DONE))
    assert outcome_of(trail.reader, new.id) == end
    refused(trail.url, INGEST, f"UPDATE {TABLE} SET outcome = 'done', error = NULL, field = NULL")


def test_the_same_command_is_stored_once_and_its_id_serves_no_other(trail: Trail) -> None:
    new = given(trail)
    submit(trail.reader, new)
    assert len(open_commands(trail.ingest, 10)) == 1
    for other in (
        new._replace(target=uuid4()),
        new._replace(body=Comment(text="another")),
        new._replace(by=replace(RITA, id="else")),
    ):
        with pytest.raises(ConflictError, match="this command id was used for another command"):
            submit(trail.reader, other)


def test_of_several_at_once_one_is_stored(trail: Trail) -> None:
    new = NewCommand(uuid4(), uuid4(), COMMENT, RITA)
    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(submit, trail.reader, new) for _ in range(4)]:
            each.result()
    assert len(open_commands(trail.ingest, 10)) == 1


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE {TABLE} SET outcome = 'done'",
        f"DELETE FROM {TABLE}",
        f"TRUNCATE {TABLE}",
        f"SELECT body FROM {TABLE}",
        (
            f"INSERT INTO {TABLE} (id, target, kind, body, requester_kind, requester_id, requester_roles,"
            " requester_actors) VALUES (gen_random_uuid(), gen_random_uuid(), 'comment', '{}', 'user', 'x', '{}', '{}')"
        ),
    ],
)
def test_the_reader_can_only_submit(trail: Trail, statement: str) -> None:
    given(trail)
    refused(trail.url, READER, statement)


@pytest.mark.parametrize("role", [INGEST, PROJECTOR, "postgres"])
@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE {TABLE} SET requester_id = 'another'",
        f"UPDATE {TABLE} SET body = '{{}}'",
        f"DELETE FROM {TABLE}",
        f"TRUNCATE {TABLE}",
    ],
)
def test_nobody_changes_a_command(trail: Trail, role: str, statement: str) -> None:
    given(trail)
    refused(trail.url, role, statement)


def test_the_projector_can_not_submit(trail: Trail) -> None:
    refused(
        trail.url,
        PROJECTOR,
        "SELECT audit_trail.submit_case_command(gen_random_uuid(), gen_random_uuid(), 'comment', '{}', 'user', 'x',"
        " NULL, '{}', '{}', NULL)",
    )


def test_a_person_and_all_together_have_a_limit(trail: Trail) -> None:
    for _ in range(20):
        given(trail)
    with pytest.raises(ConflictError, match="you have 20 open commands"):
        given(trail)
    for at in range(180):
        given(trail, by=replace(RITA, id=f"person-{at // 20}"))
    with pytest.raises(ConflictError, match="there are 200 open commands"):
        given(trail, by=replace(RITA, id="somebody"))


def test_answers_which_need_no_role_leave_room_for_other_commands(trail: Trail) -> None:
    nobody = Principal(id="nobody", roles=frozenset())

    def answers(by: Principal, count: int) -> None:
        for _ in range(count):
            new = given(trail, AnswerQuestion(answer="x"), by)
            complete(trail.ingest, new.id, Outcome(Result.DENIED, "no"))

    answers(nobody, 30)
    with pytest.raises(ConflictError, match="you gave 30 answers in the last hour"):
        answers(nobody, 1)
    given(trail, by=nobody)
    with closing(psycopg2.connect(trail.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_trail.case_command (id, target, kind, body, requester_kind, requester_id,"
            " requester_roles, requester_actors, outcome, error, completed_at)"
            " SELECT gen_random_uuid(), gen_random_uuid(), 'answer_question', '{}', 'user', 'p' || number, '{}', '{}',"
            " 'denied', 'no', now() FROM generate_series(1, 970) AS number"
        )
    with pytest.raises(ConflictError, match="there were 1,000 answers in the last hour"):
        answers(replace(nobody, id="somebody"), 1)
    given(trail)


def test_an_old_snapshot_does_not_count_past_the_limits(trail: Trail) -> None:
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        connection.set_session(isolation_level="REPEATABLE READ")
        cursor.execute(f"SET ROLE {READER}")
        with pytest.raises(psycopg2.Error, match="READ COMMITTED"):
            cursor.execute(
                "SELECT audit_trail.submit_case_command(gen_random_uuid(), gen_random_uuid(), 'comment', '{}', 'user',"
                " 'x', NULL, '{}', '{}', NULL)"
            )


def test_what_somebody_with_the_login_of_serve_invents_is_checked(trail: Trail) -> None:
    with closing(psycopg2.connect(trail.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {READER}")
        cursor.execute(
            "SELECT audit_trail.submit_case_command(gen_random_uuid(), gen_random_uuid(), 'decide',"
            """ '{"kind": "decide", "verdict": "guilty", "reason": "x"}', 'wizard', 'x', NULL, '{king}', '{}', NULL)"""
        )
    [waiting] = open_commands(trail.ingest, 10)
    with pytest.raises(RejectedError) as refusal:
        waiting.checked()
    assert refusal.value.field == "verdict"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b'{"kind": "comment", "text": " "}', "text"),
        (b'{"kind": "comment", "text": "a\\u0000b"}', "text"),
        (b'{"kind": "comment"}', ""),
        (b'{"kind": "shout", "text": "x"}', "kind"),
        (b'{"kind": "comment", "text": "x", "loud": true}', ""),
        (b'{"kind": "assign", "assignee": {"id": ""}}', "assignee.id"),
        (b'{"kind": "decide", "verdict": "justified", "reason": "x", "seconds": -1}', "seconds"),
        (b'{"kind": "comment", "text": "' + b"x" * 65537 + b'"}', "text"),
        (b"[" * 100, ""),
        (b"not JSON", ""),
        (b" " * 600_000, ""),
    ],
)
def test_a_wrong_body_names_the_field(text: bytes, field: str) -> None:
    with pytest.raises(InvalidEventError) as refusal:
        decode_body(text)
    assert refusal.value.field == field


def test_a_body_is_read_as_it_was_written() -> None:
    body = Decide(verdict=Verdict.FALSE_ALARM, reason="x" * 65536)
    assert decode_body(encode_body(body)) == body
    with pytest.raises(InvalidEventError, match="text: the text must be UTF-8"):
        check_body(Comment(text="\udcff"))
