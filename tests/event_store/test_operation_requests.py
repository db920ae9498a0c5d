"""Requests of operators: who may ask, who may change what, and that no request runs for ever."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from psycopg2 import errors

from domain.errors import ConflictError, UnavailableError
from domain.event import Actor
from domain.operation_request import Kind, OperationRequest, State
from event_store.database import INGEST, PROJECTOR, READER, Cursor
from event_store.operation_requests import (
    NewRequest,
    RequestQueue,
    get_request,
    newest_requests,
    request_operation,
    workers,
)
from tests.trail import Trail

OLGA = Actor(id="olga", name="Olga Operator", roles=("operator",))
TABLE = "audit_trail.operation_request"


def ask(trail: Trail, target: str = "user", by: Actor = OLGA, kind: Kind = Kind.REBUILD) -> OperationRequest:
    return request_operation(trail.reader, NewRequest(kind, target, "it looks wrong", by, "session-1"))


def refused(url: str, role: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {role}")
        with pytest.raises((errors.InsufficientPrivilege, errors.RestrictViolation)):
            cursor.execute(statement)


@pytest.fixture
def project(trail: Trail) -> Iterator[RequestQueue]:
    with closing(RequestQueue(trail.projector, "project")) as queue:
        assert queue.hold()
        yield queue


def test_a_request_has_the_person_the_time_and_the_login_of_the_database(trail: Trail) -> None:
    request = ask(trail)
    assert (request.requester, request.session, request.state) == (OLGA, "session-1", State.REQUESTED)
    with trail.reader.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT login, requested_at > now() - interval '1 minute' FROM {TABLE}")
        assert cursor.fetchone() == ("postgres", True)


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE {TABLE} SET reason = 'another'",
        f"UPDATE {TABLE} SET state = 'done'",
        f"DELETE FROM {TABLE}",
        f"TRUNCATE {TABLE}",
        (
            f"INSERT INTO {TABLE} (kind, target, reason, requester_kind, requester_id, requester_roles)"
            " VALUES ('rebuild', 'user', 'x', 'user', 'somebody', '{}')"
        ),
    ],
)
def test_the_reader_can_only_ask(trail: Trail, statement: str) -> None:
    ask(trail)
    refused(trail.url, READER, statement)


@pytest.mark.parametrize("role", [PROJECTOR, INGEST, "current_user"])
@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE {TABLE} SET requester_id = 'another'",
        f"UPDATE {TABLE} SET reason = 'another'",
        f"DELETE FROM {TABLE}",
    ],
)
def test_nobody_changes_what_was_asked_for(trail: Trail, role: str, statement: str) -> None:
    ask(trail)
    refused(trail.url, "postgres" if role == "current_user" else role, statement)


def test_the_end_of_a_request_is_written_once(trail: Trail, project: RequestQueue) -> None:
    request = ask(trail)
    started = project.start(request)
    assert started is not None
    project.finish(started, State.FAILED, "no")
    project.finish(started, State.DONE, "yes")
    project.say(started, "half of it")
    found = get_request(trail.reader, request.id)
    assert found is not None
    assert (found.state, found.result, found.progress) == (State.FAILED, "no", "")
    refused(trail.url, PROJECTOR, f"UPDATE {TABLE} SET state = 'done'")


def test_each_part_changes_only_the_requests_that_it_carries_out(trail: Trail) -> None:
    request = ask(trail)
    with closing(RequestQueue(trail.ingest, "ingest")) as ingest:
        assert ingest.hold()
        assert ingest.next() is None
        assert ingest.start(request) is None
        ingest.finish(request, State.DONE, "it says")
    found = get_request(trail.reader, request.id)
    assert found is not None
    assert found.state is State.REQUESTED
    refused(
        trail.url,
        INGEST,
        "INSERT INTO audit_trail.operation_worker (part, host, pid, backend, mark) VALUES ('project', '', 1, 1, 1)",
    )


def asked_with(cursor: Cursor, roles: str = "'{operator}'", target: str = "user") -> None:
    cursor.execute(
        f"SELECT audit_trail.request_operation('rebuild', '{target}', 'x', 'user', 'me', NULL, {roles}, NULL)"
    )


@pytest.mark.parametrize("roles", ["ARRAY[repeat('x', 3000)]", "ARRAY[NULL]::text[]", "'{{a},{b}}'::text[]"])
def test_the_roles_in_a_request_are_a_list_of_short_texts(trail: Trail, roles: str) -> None:
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {READER}")
        with pytest.raises(errors.CheckViolation):
            asked_with(cursor, roles)


def test_who_asks_and_never_ends_the_transaction_keeps_no_part_from_its_work(trail: Trail) -> None:
    request = ask(trail)
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {READER}")
        asked_with(cursor, target="service")
        with trail.projector.transaction() as own, own.cursor() as working:
            working.execute("SET LOCAL lock_timeout = '1s'")
            working.execute(f"UPDATE {TABLE} SET state = 'running' WHERE id = {request.id}")
        with pytest.raises(UnavailableError):
            ask(trail, "patient")


def test_an_old_snapshot_does_not_count_past_the_limits(trail: Trail) -> None:
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        connection.set_session(isolation_level="REPEATABLE READ")
        cursor.execute(f"SET ROLE {READER}")
        with pytest.raises(psycopg2.Error, match="READ COMMITTED"):
            asked_with(cursor)


def test_of_two_that_ask_at_once_one_is_told_to_wait(trail: Trail) -> None:
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, trail, "user", Actor(id=f"operator-{at}")) for at in range(4)]
    refusals = [str(each.exception()) for each in asked if each.exception() is not None]
    assert len(refusals) == 3
    assert all("about the same is still open" in each for each in refusals)
    assert len(newest_requests(trail.reader, 10)) == 1


def test_a_person_and_all_together_have_a_limit_of_open_requests(trail: Trail) -> None:
    with trail.ingest.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            'INSERT INTO audit_trail.dead_letter (stream, topic, partition, "offset", reason, field, message)'
            " SELECT gen_random_uuid(), 't', 0, n, 'invalid_json', '', '' FROM generate_series(1, 30) AS n"
        )
    for at in range(1, 6):
        ask(trail, str(at), kind=Kind.DISMISS)
    with pytest.raises(ConflictError, match="you have 5 open requests"):
        ask(trail, "6", kind=Kind.DISMISS)
    for at in range(6, 21):
        ask(trail, str(at), Actor(id=f"operator-{at}"), Kind.DISMISS)
    with pytest.raises(ConflictError, match="there are 20 open requests"):
        ask(trail, "21", Actor(id="somebody"), Kind.DISMISS)


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (Kind.REBUILD, "nobody"),
        (Kind.REQUEUE, "1"),
        (Kind.DISMISS, "-1"),
        (Kind.DISMISS, "user"),
        (Kind.DISMISS, "9" * 30),
    ],
)
def test_what_does_not_exist_is_not_asked_for(trail: Trail, kind: Kind, target: str) -> None:
    with pytest.raises(ConflictError, match="there is no"):
        ask(trail, target, kind=kind)


def test_one_process_works_for_a_part_and_the_next_takes_up_what_it_left(trail: Trail) -> None:
    first = RequestQueue(trail.projector, "project")
    with closing(RequestQueue(trail.projector, "project")) as second:
        assert first.hold()
        assert first.hold()
        assert not second.hold()
        started = first.start(ask(trail))
        assert started is not None
        assert second.next() is None
        first.close()
        assert second.hold()
        left = second.next()
        assert left is not None
        assert (left.id, left.attempts, left.progress) == (
            started.id,
            1,
            "the process that worked on it has ended",
        )
        assert not first.hold()
    assert list(workers(trail.reader)) == ["project"]


def test_where_there_are_requesters_another_login_of_the_reader_can_not_ask(trail: Trail) -> None:
    """The roles of the server are there for this transaction alone."""
    asks = "SELECT audit_trail.request_operation('rebuild', 'user', 'x', 'user', 'forged', NULL, '{operator}', NULL)"
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE curious LOGIN IN ROLE {READER}")
        cursor.execute("SAVEPOINT before")
        cursor.execute("SET LOCAL SESSION AUTHORIZATION curious")
        cursor.execute(f"SET LOCAL ROLE {READER}")
        cursor.execute(asks)
        cursor.execute(f"SELECT login FROM {TABLE}")
        assert cursor.fetchall() == [("curious",)]  # the trail says who it was
        cursor.execute("ROLLBACK TO before")
        cursor.execute("CREATE ROLE audit_trail_requester")
        cursor.execute("SET LOCAL SESSION AUTHORIZATION curious")
        cursor.execute(f"SET LOCAL ROLE {READER}")
        with pytest.raises(psycopg2.Error, match="the login curious is no member of audit_trail_requester"):
            cursor.execute(asks)
