"""Two sessions that begin, build or remove one custom projection at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

from domain.errors import ConfigurationError, UnavailableError
from event_store.database import CUSTOM_ROLE_PREFIX
from projections.custom.access import begin_custom, open_custom
from projections.custom.removal import remove
from projections.custom.source_file import load_custom
from projections.errors import CodeError
from projections.registry import register
from tests.projections.custom.analyst import HEAD, PYTHON, execute, project, write
from tests.trail import Trail, an_event


@pytest.fixture
def ben(ada: str, trail: Trail) -> Iterator[str]:
    """The URL with the login of a second analyst."""
    name = f"ben_{uuid4().hex[:8]}"
    execute(trail.url, f"CREATE ROLE {name} LOGIN PASSWORD 'p' IN ROLE audit_trail_analyst")
    yield psycopg2.extensions.make_dsn(ada, user=name)
    execute(trail.url, f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_of_two_who_begin_one_name_one_has_it(
    trail: Trail, ada: str, ben: str, tmp_path: Path, ending: str
) -> None:
    name = f"raced_{uuid4().hex[:8]}"
    projector = load_custom(write(tmp_path, HEAD + PYTHON, name=name))
    errors: list[BaseException] = []

    def begin() -> None:
        try:
            begin_custom(ben, projector)
        except CodeError as exc:
            errors.append(exc)

    with closing(psycopg2.connect(ada)) as first, first.cursor() as cursor:
        cursor.execute("SELECT audit_trail.own_projection(%s)", (name,))
        second = threading.Thread(target=begin)
        second.start()
        second.join(1)
        assert second.is_alive()
        getattr(first, ending)()
        second.join(60)
    assert [type(error) for error in errors] == ([CodeError] if ending == "commit" else [])
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT created_by FROM audit_trail.own_projection WHERE name = %s", (name,))
        [(owner,)] = cursor.fetchall()
    assert owner.startswith("ada" if ending == "commit" else "ben")
    remove(trail.url, name, by="op", reason="a test", publish=lambda _: None, wait_seconds=5)


def test_a_begin_that_is_rolled_back_leaves_nothing(trail: Trail, ada: str) -> None:
    name = f"aborted_{uuid4().hex[:8]}"
    with closing(psycopg2.connect(ada)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT audit_trail.own_projection(%s)", (name,))
        cursor.execute("SELECT audit_trail.make_own_schema(%s, %s)", (name, f"{name}_v1"))
        connection.rollback()
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_regrole(%s), to_regnamespace(%s)", (f"{CUSTOM_ROLE_PREFIX}{name}", f"{name}_v1")
        )
        assert cursor.fetchall() == [(None, None)]


def test_a_projection_that_is_being_built_is_not_removed(trail: Trail, ada: str, tmp_path: Path) -> None:
    name = f"built_{uuid4().hex[:8]}"
    file = write(tmp_path, HEAD + PYTHON, name=name)
    begin_custom(ada, load_custom(file))
    trail.append(an_event())
    project(trail, file)
    with closing(psycopg2.connect(ada)) as builder, builder.cursor() as cursor:
        cursor.execute(f"SET ROLE {CUSTOM_ROLE_PREFIX}{name}")
        cursor.execute("SELECT name FROM audit_trail.projection_lock WHERE name = %s FOR UPDATE", (name,))
        cursor.execute("SELECT audit_trail.make_own_schema(%s, %s)", (name, f"{name}_v7"))
        with pytest.raises(UnavailableError, match=r"another session|transactions that are older"):
            remove(trail.url, name, by="op", reason="a test", publish=lambda _: None, wait_seconds=5)
        builder.commit()
    assert remove(trail.url, name, by="op", reason="a test", publish=lambda _: None, wait_seconds=5)
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname ~ %s", (f"^{name}_",))
        assert cursor.fetchall() == [(0,)]


def test_a_projection_that_was_removed_is_not_built(trail: Trail, ada: str, tmp_path: Path) -> None:
    name = f"gone_{uuid4().hex[:8]}"
    projector = load_custom(write(tmp_path, HEAD + PYTHON, name=name))
    begin_custom(ada, projector)
    with closing(open_custom(trail.url, name, 1)) as database:
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
        assert remove(trail.url, name, by="op", reason="a test", publish=lambda _: None, wait_seconds=5)
        with pytest.raises((ConfigurationError, psycopg2.Error)):
            register(database, projector)
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace(%s)", (f"{name}_v1",))
        assert cursor.fetchall() == [(None,)]
