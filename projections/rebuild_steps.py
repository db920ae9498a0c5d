"""One attempt at a rebuild: load, make whole, catch up, attest, switch. Each step finds done what was done before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime

from domain.errors import AuditTrailError
from event_store.nodes import StoredTree
from event_store.statements import load
from event_store.tlog.proofs import root_at
from projections.bulk import create_index, finish_table, first_duplicate, merge_table, missing_indexes
from projections.digests import TableDigest, digest_table
from projections.holding import Hold
from projections.jobs import Transactions, running_jobs
from projections.made_rows import DuplicateKeyError
from projections.projector import Projector
from projections.rebuild_load import begin_build, load_builds
from projections.rebuild_parts import Outcome, Parts
from projections.registry import INDEXING, LOADING, Build
from projections.switching import build_of, catch_up, open_track, switch_over
from projections.tables import Table
from projections.track import Track
from projections.trail_events import rebuilt_event

_SQL = load(__package__, "rebuild.sql")


class Unpublished(Exception):  # noqa: N818 - carries the error past the retries
    """The attestation could not be published."""

    def __init__(self, error: AuditTrailError) -> None:
        super().__init__(str(error))
        self.error = error


class Attempt:
    """From the builds as they are to the switch."""

    def __init__(self, parts: Parts, projectors: Sequence[Projector], hold: Hold) -> None:
        self._parts = parts
        self._database = parts.database
        self._projectors = {each.name: each for each in projectors}
        self._hold = hold

    def run(self) -> list[Outcome]:
        """Do all that is left."""
        builds = {name: begin_build(self._database, each) for name, each in self._projectors.items()}
        loading = {name: build for name, build in builds.items() if build.state == LOADING}
        failures = load_builds(self._parts, list(self._projectors.values()), loading, self._hold.check)
        unfinished = {
            name: build
            for name, build in builds.items()
            if build.state in {LOADING, INDEXING} and name not in failures
        }
        outcomes = [
            Outcome(name, builds[name].build, -1, failure, skippable=True)
            for name, failure in sorted(failures.items())
        ]
        broken = finish_builds(self._parts, self._projectors, unfinished, self._hold.check)
        for name, failure in sorted(broken.items()):
            self._run("fail_finish", builds[name], failure=failure)
            outcomes.append(Outcome(name, builds[name].build, -1, failure))
        failures |= broken
        ready = {name: builds[name].build for name in builds if name not in failures}
        tracks = [
            open_track(self._database, self._projectors[name], number) for name, number in ready.items()
        ]
        try:
            return outcomes + self._serve(tracks, ready)
        finally:
            for track in tracks:
                track.close()

    def _serve(self, tracks: Sequence[Track], numbers: Mapping[str, int]) -> list[Outcome]:
        """From finished tables to live ones."""
        if tracks:
            lag = sum(build_of(self._database, name, number).lag for name, number in numbers.items())
            self._parts.progress.begin("catching up", lag, "events")
            catch_up(self._database, tracks, self._parts.progress.advance, self._hold.check)
        going = [track for track in tracks if not track.stopped()]
        if going:
            self._parts.progress.begin("attesting", len(going), "projections")
        for track in going:
            self._attest(
                track.projector, build_of(self._database, track.projector.name, numbers[track.projector.name])
            )
            self._parts.progress.advance(1)
        return [self._switch(track, numbers[track.projector.name]) for track in tracks]

    def _switch(self, track: Track, number: int) -> Outcome:
        name = track.projector.name
        self._hold.check()
        if track.stopped() or not switch_over(self._database, track, number):
            position, failure = track.failure or (track.position, "stopped")
            return Outcome(
                name, number, track.position, f"stopped at position {position}: {failure}", skippable=True
            )
        return Outcome(name, number, track.position)

    def _attest(self, projector: Projector, build: Build) -> None:
        """Publish what was made; it is kept before, so that the event is the same however often it is sent."""
        if build.attested_at is not None:
            return
        kept = self._kept_attestation(build)
        if kept is None:
            tables = digest_tables(self._parts, projector, build, self._hold.check)
            with self._database.transaction(read_only=True) as connection:
                root = root_at(build.position + 1, StoredTree(connection).nodes)
            made = rebuilt_event(build, build.position, root, tables, datetime.now(UTC))
            self._run("keep_attestation", build, attestation=made)
            kept = self._kept_attestation(build) or made
        try:
            self._parts.publish(kept)
        except AuditTrailError as exc:
            raise Unpublished(exc) from exc
        self._run("attested", build)

    def _kept_attestation(self, build: Build) -> bytes | None:
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["find_attestation"], {"name": build.name, "build": build.build})
            row = cursor.fetchone()
        return bytes(row[0]) if row and row[0] is not None else None

    def _run(self, statement: str, build: Build, **parameters: object) -> None:
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL[statement], {"name": build.name, "build": build.build} | parameters)


def finish_builds(
    parts: Parts,
    projectors: Mapping[str, Projector],
    builds: Mapping[str, Build],
    check: Callable[[], None],
) -> dict[str, str]:
    """Merge partial rows, make the indexes, `parts.jobs` at a time, and count; then the builds are ready.

    Returns why not, of those whose rows do not fit their keys.
    """
    failures: dict[str, str] = {}
    tables = [(table, build.schema) for name, build in builds.items() for table in projectors[name].tables]
    if not tables:
        return failures
    names = {build.schema: name for name, build in builds.items()}
    database = parts.database
    parts.progress.begin(
        "merging and indexing", sum(1 + len(table.indexes) for table, _ in tables), "indexes"
    )
    with running_jobs(database, parts.jobs, check) as jobs:
        indexes: list[tuple[Future[None], Table, str]] = []

        def index(table: Table, schema: str) -> None:
            missing = missing_indexes(database, table, schema)
            parts.progress.advance(1 + len(table.indexes) - len(missing))
            indexes.extend(
                (jobs.start(create_index, statement, table, schema), table, schema) for statement in missing
            )

        merges = [(jobs.start(merge_table, *each), each) for each in tables if each[0].merged]
        for each in tables:
            if not each[0].merged:
                index(*each)
        for merge, each in merges:  # what is merged is indexed while others merge
            jobs.finish([merge])
            index(*each)
        for future, table, schema in indexes:
            try:
                jobs.finish([future])
            except DuplicateKeyError as exc:
                at = first_duplicate(database, table, schema)
                failures[names[schema]] = f"stopped{'' if at is None else f' at position {at}'}: {exc}"
            parts.progress.advance(1)
        jobs.finish(
            jobs.start(finish_table, table, schema)
            for table, schema in tables
            if names[schema] not in failures
        )
    with database.transaction() as connection, connection.cursor() as cursor:
        for name, build in builds.items():
            if name in failures:
                continue
            asked = {"name": build.name, "build": build.build}
            cursor.execute(_SQL["indexed"], asked)
            cursor.execute(_SQL["forget_ranges"], asked)
    return failures


def digest_tables(
    parts: Parts, projector: Projector, build: Build, check: Callable[[], None]
) -> dict[str, TableDigest]:
    """The digest of every table of a build that nobody writes to meanwhile."""
    with running_jobs(parts.database, parts.jobs, check) as jobs:
        futures = {table.name: jobs.start(_digest, table, build.schema) for table in projector.tables}
        jobs.finish(futures.values())
        return {name: future.result() for name, future in futures.items()}


def _digest(database: Transactions, table: Table, schema: str) -> TableDigest:
    with database.transaction(read_only=True) as connection:
        return digest_table(connection, table, schema)
