"""The logins of the documented deployment: an owner who is no superuser, an analyst, and an operator."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from domain.errors import ConfigurationError
from event_store.database import PROJECTOR, Database
from event_store.migrations import migrate
from projections.builds.operations import pause, reset, resume
from projections.builds.switching import drop
from projections.custom.access import begin_custom, bind_custom, open_custom
from projections.custom.removal import remove
from projections.custom.source_file import load_custom
from projections.errors import CodeError
from projections.runner import Runner
from tests.projections.custom.analyst import HEAD, SQL, write
from tests.servers import postgres_server
from tests.trail import Trail, an_event


def as_login(url: str, login: str) -> str:
    return psycopg2.extensions.make_dsn(url, user=login, password="p")


def test_an_analyst_runs_and_an_operator_operates_with_logins_of_their_own(
    server_folder: Path, tmp_path: Path
) -> None:
    with postgres_server(server_folder / "postgres") as server:
        url = server.url_for("trail")
        with closing(psycopg2.connect(server.url_for("postgres"))) as admin, admin.cursor() as cursor:
            admin.autocommit = True
            cursor.execute("CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'p'")
            cursor.execute("CREATE DATABASE trail OWNER owner")
            migrate(as_login(url, "owner"))
            for login, role in (("ada", "analyst"), ("ben", "analyst"), ("op", "projector")):
                cursor.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'p' IN ROLE audit_trail_{role}")
        ada, ben, operator = (as_login(url, login) for login in ("ada", "ben", "op"))
        projector = load_custom(write(tmp_path, HEAD + SQL))
        begin_custom(ada, projector)
        bind_custom(ada, projector)
        with closing(Trail(url)) as trail, closing(open_custom(ada, "mine", 4)) as database:
            trail.append(an_event())
            Runner(database, [projector]).catch_up()
            assert trail.rows("SELECT actor_id, events FROM mine_v1.mine") == [("dr-smith", 1)]
            with pytest.raises(CodeError, match="belongs to another login: its role is audit_trail_own_mine"):
                begin_custom(ben, projector)
            # An operator may do to it what an operator does to every projection.
            with closing(Database(operator, PROJECTOR)) as operating:
                pause(operating, "mine")
                resume(operating, "mine")
                begin_custom(operator, projector)
                with closing(open_custom(operator, "mine", 2)) as own:
                    assert reset(own, projector) == 2
                assert drop(operating, "mine") == [1]
            Runner(database, [projector]).catch_up()
            assert trail.rows("SELECT actor_id, events FROM mine_v1_b2.mine") == [("dr-smith", 1)]
            with pytest.raises(ConfigurationError, match="belongs to another login"):
                remove(ben, "mine", by="ben", reason="a test", publish=lambda _: None, wait_seconds=5)
            assert remove(ada, "mine", by="ada", reason="a test", publish=lambda _: None, wait_seconds=5)
            assert trail.rows("SELECT rolname FROM pg_roles WHERE rolname = 'audit_trail_own_mine'") == []
