"""Databases for the tests: copies of templates, made before a test asks for one and dropped behind its back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg2
from psycopg2 import sql

from audit_trail.embedded.postgres import EmbeddedPostgres


def _migrate(url: str) -> None:
    from event_store.migrations import migrate  # noqa: PLC0415 - tests of what lies below the store run without it

    migrate(url)


def _project(url: str) -> None:
    from tests.hospital import record  # noqa: PLC0415 - as in _migrate

    record(url, [])


def _record_hospital(url: str) -> None:
    from tests.hospital import hospital, record  # noqa: PLC0415 - as in _migrate

    record(url, hospital())


EMPTY, MIGRATED, PROJECTED, HOSPITAL = "template0", "migrated", "projected", "hospital"
_TEMPLATES: dict[str, tuple[str, Callable[[str], None]]] = {
    MIGRATED: (EMPTY, _migrate),
    PROJECTED: (MIGRATED, _project),
    HOSPITAL: (MIGRATED, _record_hospital),
}
"""Each template with what it begins as and what fills it."""


class Databases:
    """The databases of one server.

    One thread copies and drops them. A test that did both itself would wait for checkpoints, and for the end of the
    sessions that it had: up to 0.2 s.
    """

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._connection = psycopg2.connect(server.url_for("postgres"))
        self._connection.autocommit = True
        self._thread = ThreadPoolExecutor(1, "databases")
        self._templates = {EMPTY}
        self._ready: dict[str, Future[str]] = {}
        self._drops: list[Future[None]] = []

    def close(self) -> None:
        """Finish what was begun, and raise what went wrong in the thread. The server's end takes the rest."""
        self._thread.shutdown()
        self._connection.close()
        for each in self._drops:
            each.result()

    def make_template(self, name: str, fill: Callable[[str], None], origin: str = MIGRATED) -> None:
        """Make the template `name`, once: a copy of `origin`, filled by `fill(url)`."""
        if name in self._templates:
            return
        self._require(origin)
        self._thread.submit(self._create, name, origin).result()
        fill(self._server.url_for(name))
        self._templates.add(name)

    @contextmanager
    def copy(self, name: str) -> Iterator[str]:
        """The URL of a copy of the database `name`, a template or any other, dropped at the end."""
        self._require(name)
        coming = self._ready.pop(name, None) or self._begin_copy(name)
        if name in self._templates:
            self._ready[name] = self._begin_copy(name)
        copy = coming.result()
        try:
            yield self._server.url_for(copy)
        finally:
            self._drops.append(self._thread.submit(self._drop, copy))

    def _require(self, name: str) -> None:
        if name in _TEMPLATES:
            origin, fill = _TEMPLATES[name]
            self.make_template(name, fill, origin)

    def _begin_copy(self, name: str) -> Future[str]:
        return self._thread.submit(self._create, f"test_{uuid.uuid4().hex}", name)

    def _create(self, name: str, template: str) -> str:
        names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
        with self._connection.cursor() as cursor:
            # Copying the files takes a fifth of the time that writing them through the log takes.
            cursor.execute(
                sql.SQL("CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy").format(**names)
            )
            # A copy lacks the rights on the database itself.
            cursor.execute(
                "UPDATE pg_database SET datacl = template.datacl FROM pg_database AS template"
                " WHERE pg_database.datname = %s AND template.datname = %s",
                (name, template),
            )
        return name

    def _drop(self, name: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def away(url: str) -> Iterator[None]:
    """Nobody can use the database for the duration of the block."""
    name = url.rpartition("/")[2].partition("?")[0]
    with closing(psycopg2.connect(url.replace(f"/{name}?", "/postgres?"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            try:
                yield
            finally:
                cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
