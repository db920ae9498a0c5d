"""The first half of a rebuild: finds or makes the build, and loads the whole log into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from domain.errors import ConfigurationError
from event_store.database import Connection, Database
from event_store.event_reader import log_size
from event_store.statements import load
from projections.builds.switching import build_of, drop_build
from projections.fingerprints import code_digest, definition_digest
from projections.projector import Projector
from projections.rebuild.bulk_load import create_partials
from projections.rebuild.plan import Parts
from projections.rebuild.worker import LoadTask
from projections.rebuild.worker_pool import load_here, load_in_processes
from projections.registry import INDEXING, LOADING, READY, SCRATCH, Build, create_build, list_builds
from projections.stateful import is_stateful

_SQL = load(__package__, "rebuild.sql")
_ROUNDS = 5
"""Times that new events are loaded in ranges too. Catching up does the rest."""
_NARROWEST = 1000
"""The fewest events of a range: fewer are not worth a transaction."""


def begin_build(database: Database, projector: Projector) -> Build:
    """The unfinished build of an interrupted rebuild by the same code, or a new one. The caller has the advisory lock.

    Drops unfinished builds of other code, and of verify.
    """
    with database.transaction(read_only=True) as connection:
        builds = [each for each in list_builds(connection) if each.name == projector.name]
    live = next((each for each in builds if each.live), None)
    if live is not None and live.version > projector.version:
        raise ConfigurationError(
            f"the tables of {live.name} are version {live.version}, this program has {projector.version}:"
            " use the newer program"
        )
    ours = (projector.version, definition_digest(projector.tables), code_digest(projector))
    going_on: Build | None = None
    for build in builds:
        unfinished = build.state in {LOADING, INDEXING}
        waiting = build.state == READY and not build.live and build.switched_at is None
        if (unfinished or waiting) and (build.version, build.definition, build.code_digest) == ours:
            going_on = build
        elif unfinished or build.state == SCRATCH:
            drop_build(database, build)
    if going_on is not None:
        _run(database, "forget_failure", going_on)
        return build_of(database, going_on.name, going_on.build)
    return new_build(database, projector)


def new_build(database: Database, projector: Projector) -> Build:
    """Create an empty build for loading. That of a stateful projector is ready: it catches up with the whole log."""
    stateful = is_stateful(projector)
    with database.transaction() as connection:
        number = create_build(connection, projector, indexed=stateful)
        if stateful:
            return _build_in(connection, projector.name, number)
        create_partials(connection, projector, _build_in(connection, projector.name, number).schema)
    return build_of(database, projector.name, number)


def _build_in(connection: Connection, name: str, number: int) -> Build:
    return next(each for each in list_builds(connection) if (each.name, each.build) == (name, number))


def load_builds(
    parts: Parts,
    projectors: Sequence[Projector],
    builds: Mapping[str, Build],
    check: Callable[[], None],
    until: int | None = None,
) -> dict[str, str]:
    """Load the whole log, or its first `until` events. Returns the failures of the builds that an event stops."""
    failures: dict[str, str] = {}

    def advance(task: LoadTask) -> None:
        parts.progress.advance(task.last + 1 - task.first)

    for _ in range(_ROUNDS):
        left = {name: build for name, build in builds.items() if name not in failures}
        with parts.database.transaction() as connection:
            size = log_size(connection) if until is None else until
            tasks = _plan(connection, left, size, _width(parts, size))
        events = sum(task.last + 1 - task.first for task in tasks)
        if not events:
            break
        parts.progress.begin("loading", events, "events")
        if events <= parts.in_process or parts.jobs < 2:
            poisons = load_here(parts.database, projectors, left, tasks, advance, check)
        else:
            jobs = min(parts.jobs, len(tasks))
            poisons = load_in_processes(jobs, parts.open_database, parts.source, left, tasks, advance, check)
        for poison in poisons:
            build = builds[poison.name]
            failures[poison.name] = f"stopped at position {poison.position}: {poison.failure}"
            _run(
                parts.database,
                "fail_load",
                build,
                failed_position=poison.position,
                event_id=poison.event_id,
                failure=poison.failure,
            )
        if len(failures) == len(builds) or until is not None:
            break
        with parts.database.transaction(read_only=True) as connection:
            if log_size(connection) - size <= parts.in_process:
                break  # catching up is faster for the rest
    for name, build in builds.items():
        if name not in failures:
            _run(parts.database, "loaded", build)
    return failures


def _width(parts: Parts, size: int) -> int:
    """The width of a range: every worker gets several, so that all end at about the same time."""
    even = -(-size // (4 * parts.jobs))
    return max(1, min(parts.width, max(_NARROWEST, even)))


def _plan(connection: Connection, builds: Mapping[str, Build], size: int, width: int) -> list[LoadTask]:
    """Plan ranges for new events, and return the unfinished ones. Equal ranges of several builds are one task."""
    found: dict[tuple[int, int], list[str]] = {}
    with connection.cursor() as cursor:
        for build in builds.values():
            asked = {"name": build.name, "build": build.build, "size": size, "width": width}
            cursor.execute(_SQL["plan"], asked)
            cursor.execute(_SQL["ranges"], asked)
            for _, _, first, last, done in cursor.fetchall():
                if not done:
                    found.setdefault((first, last), []).append(build.name)
    # Names in one order: workers that a killed rebuild left behind lock their rows in the same order.
    return [LoadTask(first, last, tuple(sorted(names))) for (first, last), names in sorted(found.items())]


def _run(database: Database, statement: str, build: Build, **parameters: object) -> None:
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL[statement], {"name": build.name, "build": build.build} | parameters)
