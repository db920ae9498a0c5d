"""An analyst's file in a test: written, loaded, run and rebuilt in the role of its projection."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg2
from psycopg2 import sql

from event_store.database import Database
from projections.custom.access import begin_custom, bind_custom, open_custom, source_of
from projections.custom.source_file import CustomProjector, load_custom
from projections.rebuild.coordinator import rebuild
from projections.rebuild.plan import Parts, RebuildResult
from projections.runner import Runner
from tests.trail import Trail

HEAD = """
from projections.authoring import *

name = "{name}"
version = {version}
tables = (
    Table("{name}", ("actor_id",), (
        Column("actor_id", Kind.TEXT),
        Column("events", Kind.BIGINT, SUM),
        Column("last_at", Kind.TIMESTAMP, MAX),
        Column("patients", Kind.TEXTS, UNION),
    ), (Index(("events",)),)),
    Table("{name}_log", ("position",), (
        Column("position", Kind.BIGINT),
        Column("type", Kind.TEXT),
        Column("place", Kind.JSON, nullable=True),
    )),
)
"""
PYTHON = """
def rows(events):
    mine, log = [], []
    for each in events:
        event = each.event
        if event.actor.id == "poison":
            raise KeyError(event.actor.id)
        if event.actor.id is not None:
            patients = [patient.id for patient in event.patients]
            mine.append((event.actor.id, 1, event.occurred_at, patients))
        log.append({{"position": each.position, "type": event.type, "place": {{"service": event.source.service}}}})
    return {{"{name}": mine, "{name}_log": log}}
"""
SQL = '''
sql = {{
    "{name}": """
        SELECT actor_id, count(DISTINCT position) AS events, max(occurred_at) AS last_at,
               coalesce(array_agg(DISTINCT patient) FILTER (WHERE patient IS NOT NULL), '{{}}') AS patients
        FROM batch LEFT JOIN unnest(patient_ids) AS patient ON true
        WHERE actor_id IS NOT NULL
        GROUP BY actor_id;
    """,
    "{name}_log": """
        SELECT position, type, jsonb_build_object('service', event -> 'source' ->> 'service') AS place
        FROM batch -- in any order
    """,
}}
'''


def write(folder: Path, text: str, *, name: str = "mine", version: int = 1) -> Path:
    """A file of these declarations."""
    file = folder / f"{name}.py"
    file.write_text(text.format(name=name, version=version), encoding="utf-8")
    return file


def bound(trail: Trail, file: Path) -> CustomProjector:
    """The file's projector, with a role, ready to make rows."""
    projector = load_custom(file)
    begin_custom(trail.url, projector)
    bind_custom(trail.url, projector)
    return projector


def execute(url: str, statement: str | sql.Composable) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def custom_database(trail: Trail, name: str = "mine") -> Database:
    return open_custom(trail.url, name, 2)


def project(trail: Trail, file: Path) -> CustomProjector:
    """Apply all that the log has."""
    projector = bound(trail, file)
    with closing(open_custom(trail.url, projector.name, 4)) as database:
        Runner(database, [projector]).catch_up()
    return projector


class Silent:
    """Nobody is told."""

    def begin(self, step: str, total: int, unit: str) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def say(self, message: str) -> None:
        pass


def rebuild_custom(trail: Trail, file: Path, *, jobs: int = 2, in_process: int = 20_000) -> RebuildResult:
    """As `audit-trail projections rebuild FILE` does."""
    projector = bound(trail, file)
    with closing(open_custom(trail.url, projector.name, 4)) as database:
        parts = Parts(
            database=database,
            open_database=partial(open_custom, trail.url, projector.name, 2),
            source=partial(source_of, file, trail.url),
            publish=lambda _: None,
            progress=Silent(),
            jobs=jobs,
            in_process=in_process,
            width=100,
        )
        [outcome] = rebuild(parts, [projector.name])
    return outcome
