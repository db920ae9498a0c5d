"""Whether an analyst's file has changed since its tables were filled."""

from __future__ import annotations

import logging

from event_store.database import Database
from event_store.statements import load
from projections.build_state import misfit
from projections.custom.source_file import CustomProjector
from projections.fingerprints import code_digest, on_command_line
from projections.registry import live_builds

_SQL = load(__package__, "custom.sql")
_log = logging.getLogger(__name__)


def check_source(database: Database, projector: CustomProjector, *, same_rows: bool = False) -> None:
    """Raise `CodeError` when the file has changed since its live build was begun, but its version has not.

    `same_rows`: the author states that the file makes the same rows. The build then takes over the new digest.
    """
    with database.transaction(read_only=True) as connection:
        build = live_builds(connection).get(projector.name)
    digest = code_digest(projector)
    # The runner refuses another version and other tables.
    if build is None or build.code_digest in {"", digest} or misfit(projector, build):
        return
    if not same_rows:
        file = on_command_line(projector)
        raise projector.fault(
            "version",
            f"the file has changed since build {build.build} was begun, and its version has not: raise `version` and"
            f" run `audit-trail projections rebuild {file}`; or, when the same rows come out of it, start it with"
            f" `audit-trail projections run {file} --same-rows`",
        )
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            _SQL["take_source"], {"name": projector.name, "build": build.build, "code_digest": digest}
        )
    _log.warning("projection %s: a changed file goes on with build %d", projector.name, build.build)
