"""The second half of a rebuild: makes finished tables of the loaded rows, with keys, indexes and digests.

Several jobs work side by side. A table's next step begins when its last one is done, and does not wait for other
tables: one table is indexed while another is merged or analysed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from event_store.statements import load
from projections.builds.digests import TableDigest, digest_table
from projections.custom_tables import forget_ranges
from projections.projector import Projector
from projections.projector_output import DuplicateKeyError
from projections.rebuild.bulk_load import (
    create_index,
    finish_table,
    first_duplicate,
    merge_table,
    missing_indexes,
)
from projections.rebuild.parallel_statements import Jobs, Transactions, running_jobs
from projections.rebuild.plan import Parts
from projections.registry import Build
from projections.tables import Table

_SQL = load(__package__, "rebuild.sql")


class _Place(NamedTuple):
    """A table of one build."""

    name: str
    table: Table
    schema: str


def finish_builds(
    parts: Parts,
    projectors: Mapping[str, Projector],
    builds: Mapping[str, Build],
    check: Callable[[], None],
) -> dict[str, str]:
    """Merge partial rows, make the indexes, `parts.jobs` at a time, and analyse. Then the builds are ready.

    Returns the failures by projection: two rows with the same key.
    """
    if not builds:
        return {}
    places = _places(projectors, builds)
    parts.progress.begin(
        "merging and indexing", sum(1 + len(place.table.indexes) for place in places), "indexes"
    )
    with running_jobs(parts.database, parts.jobs, check) as jobs:
        failures = _Finishing(parts, jobs).run(places)
    with parts.database.transaction() as connection, connection.cursor() as cursor:
        for name, build in builds.items():
            if name in failures:
                continue
            asked = {"name": build.name, "build": build.build}
            cursor.execute(_SQL["indexed"], asked)
            if build.custom:
                forget_ranges(cursor, build.name, build.build)
            else:
                cursor.execute(_SQL["forget_ranges"], asked)
    return failures


class _Finishing:
    """Starts each step as soon as it can run, until all are done."""

    def __init__(self, parts: Parts, jobs: Jobs) -> None:
        self._parts = parts
        self._jobs = jobs
        self._running: dict[Future[Any], tuple[_Place, Callable[[_Place], None]]] = {}
        self._indexes_left: dict[_Place, int] = {}
        self._failures: dict[str, str] = {}

    def run(self, places: list[_Place]) -> dict[str, str]:
        """Run all jobs. Returns the failures by projection."""
        for place in places:
            if not place.table.merged:
                self._index(place)
        for place in places:
            if place.table.merged:
                self._start(self._index, place, merge_table, place.table, place.schema)
        while self._running:
            for future in self._jobs.some(self._running):
                place, then = self._running.pop(future)
                self._result(future, place)
                then(place)
        return self._failures

    def _start(
        self, then: Callable[[_Place], None], place: _Place, job: Callable[..., Any], *arguments: object
    ) -> None:
        self._running[self._jobs.start(job, *arguments)] = (place, then)

    def _result(self, future: Future[Any], place: _Place) -> None:
        """Raise what the job raised. Two rows with the same key are no error here: they stop only their projection."""
        try:
            future.result()
        except DuplicateKeyError as exc:
            at = first_duplicate(self._parts.database, place.table, place.schema)
            self._failures[place.name] = f"stopped{'' if at is None else f' at position {at}'}: {exc}"

    def _index(self, place: _Place) -> None:
        missing = missing_indexes(self._parts.database, place.table, place.schema)
        self._parts.progress.advance(1 + len(place.table.indexes) - len(missing))
        self._indexes_left[place] = len(missing)
        for index in missing:
            self._start(self._indexed, place, create_index, index, place.table, place.schema)
        if not missing:
            self._count(place)

    def _indexed(self, place: _Place) -> None:
        self._parts.progress.advance(1)
        self._indexes_left[place] -= 1
        if not self._indexes_left[place] and place.name not in self._failures:
            self._count(place)

    def _count(self, place: _Place) -> None:
        self._start(lambda _: None, place, finish_table, place.table, place.schema)


def digest_builds(
    parts: Parts,
    projectors: Mapping[str, Projector],
    builds: Mapping[str, Build],
    check: Callable[[], None],
) -> dict[str, dict[str, TableDigest]]:
    """By projection, the digest of every table. Nobody may write to these builds meanwhile."""
    if not builds:
        return {}
    places = _places(projectors, builds)
    parts.progress.begin("attesting", len(places), "tables")
    digests: dict[str, dict[str, TableDigest]] = {name: {} for name in builds}
    with running_jobs(parts.database, parts.jobs, check) as jobs:
        running = {jobs.start(_digest, place.table, place.schema): place for place in places}
        while running:
            for future in jobs.some(running):
                place = running.pop(future)
                digests[place.name][place.table.name] = future.result()
                parts.progress.advance(1)
    return digests


def _places(projectors: Mapping[str, Projector], builds: Mapping[str, Build]) -> list[_Place]:
    """All tables, those with the most indexes first: they take longest."""
    places = [
        _Place(name, table, build.schema)
        for name, build in builds.items()
        for table in projectors[name].tables
    ]
    return sorted(places, key=lambda place: -len(place.table.indexes))


def _digest(database: Transactions, table: Table, schema: str) -> TableDigest:
    with database.transaction(read_only=True) as connection:
        return digest_table(connection, table, schema)
