"""How an analyst's own projection ends: nothing is left of it, and no query or process is surprised."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from domain.errors import ConfigurationError, UnavailableError
from domain.validation import decode_event
from projections.custom.removal import remove
from projections.errors import CodeError
from projections.runner import Runner
from tests.projections.custom.analyst import (
    HEAD,
    PYTHON,
    bound,
    custom_database,
    project,
    rebuild_custom,
    write,
)
from tests.trail import Trail, an_event
from tests.waiting import eventually


def roles(trail: Trail) -> set[str]:
    return {
        row[0] for row in trail.rows("SELECT rolname FROM pg_roles WHERE rolname LIKE 'audit_trail_own_%'")
    }


def test_a_removed_projection_leaves_nothing_but_the_decision(trail: Trail, tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + PYTHON, name="removed")
    trail.append(an_event(), an_event())
    project(trail, file)
    rebuild_custom(trail, file)
    told: list[bytes] = []
    assert remove(trail.url, "removed", by="ada", reason="done", publish=told.append, wait_seconds=5)
    assert "removed" not in {each.name for each in trail.read.projections()}
    assert trail.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'removed%'") == []
    assert "audit_trail_own_removed" not in roles(trail)
    event = decode_event(told[0])
    assert (event.type, event.actor.id, event.reason) == ("projection.removed", "ada", "done")
    with pytest.raises(ConfigurationError, match="is no custom projection"):
        remove(trail.url, "removed", by="ada", reason="again", publish=told.append, wait_seconds=5)
    project(trail, file)  # the name is free again
    assert remove(trail.url, "removed", by="ada", reason="done", publish=told.append, wait_seconds=5)


def test_a_projection_is_removed_only_when_no_query_can_read_it(trail: Trail, tmp_path: Path) -> None:
    project(trail, write(tmp_path, HEAD + PYTHON, name="removed"))
    told: list[bytes] = []
    with (
        trail.reader.transaction(read_only=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT 1")
        with pytest.raises(UnavailableError, match="still open"):
            remove(trail.url, "removed", by="ada", reason="done", publish=told.append, wait_seconds=0.3)
    assert trail.rows("SELECT count(*) FROM removed_v1.removed") == [(0,)]
    assert told == []
    assert remove(trail.url, "removed", by="ada", reason="done", publish=told.append, wait_seconds=5)


def test_the_process_of_a_removed_projection_does_not_bring_it_back(trail: Trail, tmp_path: Path) -> None:
    projector = bound(trail, write(tmp_path, HEAD + PYTHON, name="removed"))
    failed: list[Exception] = []

    def keep() -> None:
        try:
            runner.run()
        except ConfigurationError as exc:
            failed.append(exc)

    with closing(custom_database(trail, "removed")) as database:
        runner = Runner(database, [projector])
        thread = Thread(target=keep)
        thread.start()
        try:
            eventually(lambda: any(each.name == "removed" for each in trail.read.projections()))
            remove(trail.url, "removed", by="a", reason="b", publish=lambda _: None, wait_seconds=5)
            trail.append(an_event())
            thread.join(10)
            assert not thread.is_alive()
        finally:
            runner.stop()
            thread.join()
    assert len(failed) == 1
    assert "removed" not in {each.name for each in trail.read.projections()}


def test_built_in_projections_are_not_removed(trail: Trail) -> None:
    trail.given(an_event())
    with pytest.raises(ConfigurationError, match="is no custom projection"):
        remove(trail.url, "user", by="ada", reason="done", publish=lambda _: None, wait_seconds=5)


def test_a_file_whose_table_is_anothers_is_refused_with_its_line_and_leaves_no_role(
    trail: Trail, tmp_path: Path
) -> None:
    trail.given(an_event())
    text = HEAD.replace('"{name}_log"', '"user_action"') + PYTHON
    with pytest.raises(CodeError, match=r"^refused.py:\d+: table user_action belongs to another projection"):
        bound(trail, write(tmp_path, text, name="refused"))
    assert "audit_trail_own_refused" not in roles(trail)
