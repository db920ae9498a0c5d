"""A deployment with the documented logins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from event_store.migrations import migrate
from tests.projections.custom.analyst import HEAD, PYTHON, write
from tests.projections.custom.deployment import (
    LOGINS,
    as_login,
    project_custom,
    run,
)
from tests.servers import postgres_server
from tests.trail import Trail, an_event


@pytest.fixture(scope="session")
def urls(tmp_path_factory: pytest.TempPathFactory, session_folder: Path) -> Iterator[dict[str, str]]:
    """By login, a URL to a trail that has an owner who is no superuser, and projections of two analysts."""
    with postgres_server(session_folder / "rights") as server:
        admin = server.url_for("postgres")
        run(admin, "CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'p'")
        run(admin, "CREATE DATABASE trail OWNER owner")
        url = server.url_for("trail")
        migrate(as_login(url, "owner"))
        migrate(url)  # takes away what only a superuser can
        for login, role in LOGINS.items():
            run(admin, f"CREATE ROLE {login} LOGIN PASSWORD 'p' IN ROLE audit_trail_{role}")
        urls = {login: as_login(url, login) for login in (*LOGINS, "owner")} | {"admin": url}
        folder = tmp_path_factory.mktemp("files")
        with closing(Trail(url)) as trail:
            trail.given(an_event())
            for login, name in (("ada", "mine"), ("ben", "bens")):
                project_custom(urls[login], write(folder, HEAD + PYTHON, name=name))
        yield urls
