"""Trails for the pages of the dashboard: rows of the event table and of the read models, made within the database.

It makes ten million events in a fraction of the time that `benchmarks.scale_fill` takes, which appends each event and
projects it. The distribution is that of `benchmarks.scale_corpus`, and the tables and indexes are those of the
projectors. What no list and no count reads is missing: the tree, nearly all event ids, and the summaries of subjects.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from itertools import accumulate
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from audit_trail.embedded.postgres import EmbeddedPostgres
from benchmarks.scale_corpus import GATEWAY, LEGACY, RESOURCES, SERVICES, START, TYPES, YEAR, Population
from event_store.database import Connection
from event_store.migrations import migrate
from event_store.statements import load
from projections.hash_codes import OUTCOMES, hash_code
from projections.models.activity import DEFAULT_ACTIONS, ActivityProjector
from projections.models.device import DeviceProjector
from projections.models.patient import PatientProjector
from projections.projector import Projector, schema_name
from projections.registry import create_build
from projections.tables import adopt_key, bulk_indexes

_SQL = load(__package__, "dashboard_fill.sql")
_PART = 500_000
_MODELS = (ActivityProjector(), PatientProjector(), DeviceProjector())
_OF_EVENTS = ("append", "identify", "activity", "resources", "timelines")
_TUNING = "SET LOCAL maintenance_work_mem = '1GB'; SET LOCAL work_mem = '512MB'"


def database_of(events: int) -> str:
    """The name of the database that holds so many."""
    return f"dashboard_{events}"


def fill(postgres: EmbeddedPostgres, events: int) -> str:
    """The URL of a trail of so many events; it is made unless it is there."""
    url = postgres.url_for(database_of(events))
    with closing(psycopg2.connect(postgres.url_for("postgres"))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (database_of(events),))
        if cursor.fetchone() == (1,):
            return url
        cursor.execute(f"CREATE DATABASE {database_of(events)}")
    migrate(url)
    started = time.perf_counter()
    with closing(psycopg2.connect(url)) as connection:
        with connection:
            _fill(connection, events)
        connection.autocommit = True
        connection.cursor().execute("VACUUM ANALYZE")
    print(f"{events:,} events in {time.perf_counter() - started:.0f} s", flush=True)
    return url


def _fill(connection: Connection, events: int) -> None:
    given = _given(events)
    # All in one transaction that makes the tables: their rows need not be in the server's write-ahead log.
    with connection.cursor() as cursor:
        cursor.execute(_TUNING)
        builds = {each.name: _begin(connection, each) for each in _MODELS}
        schemas = [schema_name(each, builds[each.name]) for each in _MODELS]
        cursor.execute(f"SET LOCAL search_path = {', '.join(schemas)}, pg_temp")
        cursor.execute(_SQL["tables"])
        people = Population.of(events)
        texts = [*TYPES, *SERVICES, GATEWAY, LEGACY, *RESOURCES]
        texts += [*(f"u{n}" for n in range(people.users)), *(f"d{n}" for n in range(people.devices))]
        execute_values(cursor, "INSERT INTO code VALUES %s", [(text, hash_code(text)) for text in texts])
        for first in range(0, events, _PART):
            cursor.execute("TRUNCATE made")
            cursor.execute(_SQL["make"], given | {"first": first, "until": min(first + _PART, events)})
            for name in _OF_EVENTS:
                cursor.execute(_SQL[name], given)
            print(f"{time.strftime('%H:%M:%S')} {first + _PART:,}", flush=True)
        for table in (table for each in _MODELS for table in each.tables):
            if table.merged and table.name in _SQL:
                cursor.execute(_SQL[table.name])
            for statement in bulk_indexes(table).values():
                cursor.execute(statement)
            cursor.execute(adopt_key(table))
            print(f"{time.strftime('%H:%M:%S')} {table.name}", flush=True)
        for name, build in builds.items():
            cursor.execute(_SQL["go_live"], {"total": events, "name": name, "build": build})


def _begin(connection: Connection, projector: Projector) -> int:
    return create_build(connection, projector, indexed=False)


def _given(events: int) -> dict[str, Any]:
    people = Population.of(events)
    return {
        "total": events,
        "types": list(TYPES),
        "type_weights": _thresholds(TYPES),
        "services": list(SERVICES),
        "service_weights": _thresholds(SERVICES),
        "users": people.users,
        "devices": people.devices,
        "patients": people.patients,
        "addresses": people.addresses,
        "resources": list(RESOURCES),
        "start": START,
        "year": YEAR,
        "gateway": GATEWAY,
        "legacy": LEGACY,
        "outcomes": json.dumps({code: outcome.value for code, outcome in OUTCOMES.items() if code}),
        "actions": json.dumps({name: DEFAULT_ACTIONS[name].value for name in TYPES}),
    }


def _thresholds(weights: Mapping[str, float]) -> list[float]:
    """The bounds between the shares of each name, in a hundred."""
    total = sum(weights.values())
    return [100 * part / total for part in accumulate(weights.values())][:-1]
