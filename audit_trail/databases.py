"""The pools of connections, each declared once: who uses it, in which role, and how large it is."""

from __future__ import annotations

import logging
from contextlib import closing, suppress
from enum import Enum
from typing import NamedTuple

from audit_trail.runtime.garbage_collection import spare_the_collector
from audit_trail.settings import Settings
from domain.errors import UnavailableError
from event_store import database
from event_store.database import Database
from event_store.server_log import logged_values

_log = logging.getLogger(__name__)


class _Declaration(NamedTuple):
    """`size`: how many connections, or the setting that says it. `limited`: by the setting `statement_timeout_ms`.

    `replica`: on the read replica when there is one. `long_statements`: a statement may run longer than the setting
    `database_silence_seconds`.
    """

    role: str
    application: str
    size: int | str
    long_statements: bool = False
    replica: bool = False
    limited: bool = False


class Pool(Enum):
    """Every pool. Add a pool by adding an entry."""

    INGEST = _Declaration(database.INGEST, "audit-trail-ingest", 4)
    GUARD = _Declaration(database.GUARD, "audit-trail-guard", 4)
    WATCHER = _Declaration(database.WATCHER, "audit-trail-watch", 3)
    FORWARDER = _Declaration(database.FORWARDER, "audit-trail-forward", 4)
    CONTEXT = _Declaration(database.CONTEXT, "audit-trail-context", 2, long_statements=True)
    PROJECTOR = _Declaration(database.PROJECTOR, "audit-trail-project", "database_pool_size")
    REBUILD = _Declaration(
        database.PROJECTOR, "audit-trail-project", "database_pool_size", long_statements=True
    )
    READER = _Declaration(
        database.READER, "audit-trail-serve", "database_pool_size", replica=True, limited=True
    )
    # Never the replica: a standby can't be listened to.
    LISTENER = _Declaration(database.READER, "audit-trail-serve-listen", 1)
    # What people ask for on pages. Never the replica: it is written.
    REQUESTS = _Declaration(database.READER, "audit-trail-serve-requests", 2, limited=True)
    # The requests that `project` carries out.
    PROJECT_REQUESTS = _Declaration(database.PROJECTOR, "audit-trail-project-requests", 1)
    # Activations of rules, and alerts to publish.
    DETECTION = _Declaration(database.PROJECTOR, "audit-trail-project-detect", 1)
    # A separate pool: an export may take hours.
    EXPORTS = _Declaration(
        database.READER, "audit-trail-export", "max_exports", long_statements=True, replica=True
    )
    # One for each job that runs: see `queries.export_jobs.runner.MOST_RUNNING`.
    EXPORT_JOBS = _Declaration(
        database.READER, "audit-trail-export-jobs", 2, long_statements=True, replica=True
    )


def open_database(settings: Settings, pool: Pool) -> Database:
    """The pool, without a connection yet; the caller closes it. Raises `ConfigurationError` when no URL is set."""
    declared = pool.value
    replica = settings.read_database_url if declared.replica else None
    timeout = settings.statement_timeout_ms if declared.limited else 0
    return Database(
        replica.get_secret_value() if replica else settings.require_database_url(),
        declared.role,
        size=declared.size if isinstance(declared.size, int) else getattr(settings, declared.size),
        application_name=declared.application,
        statement_timeout_ms=timeout,
        silence_seconds=settings.database_silence_seconds,
        long_statements=declared.long_statements or (declared.limited and not timeout),
    )


def worker_database(settings: Settings) -> Database:
    """The database of a worker process of a rebuild, whose garbage collector runs less often."""
    spare_the_collector()
    return open_database(settings, Pool.REBUILD)


def refuse_wrong_settings(pool: Database) -> None:
    """Connect once, for parts that would otherwise report a wrong setting again and again.

    Raises `ConfigurationError`. A database that is away is waited for later. The log gets a warning for each setting of
    PostgreSQL with which the server's own log can hold personal data.
    """
    with suppress(UnavailableError), closing(pool.connect()) as connection:
        for each in logged_values(connection):
            _log.warning("server_logs_values: %s", each)
