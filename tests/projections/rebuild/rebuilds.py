"""Rebuilds for the tests: small ranges, and what they tell and publish kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from domain.event import AuditEvent
from event_store.database import PROJECTOR, Database
from projections.projector import Projector
from projections.rebuild.coordinator import rebuild
from projections.rebuild.plan import Parts, RebuildResult
from projections.registry import Build, built_in, list_builds
from tests.trail import Trail, an_event

ALL = tuple(each.name for each in built_in())


class Told:
    """The progress as it was told."""

    def __init__(self, at_step: Callable[[str], None] = lambda _: None) -> None:
        self.steps: list[tuple[str, int]] = []
        self.done = 0
        self.said: list[str] = []
        self._at_step = at_step

    def begin(self, step: str, total: int, unit: str) -> None:
        assert unit
        self.steps.append((step, total))
        self._at_step(step)

    def advance(self, count: int) -> None:
        self.done += count

    def say(self, message: str) -> None:
        self.said.append(message)


class Rebuilt:
    """What a rebuild did."""

    def __init__(self) -> None:
        self.told = Told()
        self.sent: list[bytes] = []
        self.outcomes: list[RebuildResult] = []

    @property
    def events(self) -> list[AuditEvent]:
        return [msgspec.json.decode(each, type=AuditEvent) for each in self.sent]


class Listed:
    """A source that hands its projectors to worker processes, whose code they find by the module's name."""

    def __init__(self, *projectors: Projector) -> None:
        self._projectors = projectors

    def __call__(self) -> Sequence[Projector]:
        return self._projectors


def parts_of(trail: Trail, rebuilt: Rebuilt, **changed: Any) -> Parts:
    return Parts(
        **{
            "database": trail.projector,
            "open_database": partial(Database, trail.url, PROJECTOR),
            "source": built_in,
            "publish": rebuilt.sent.append,
            "progress": rebuilt.told,
            "jobs": 2,
            "width": 10,
            **changed,
        }
    )


def rebuild_now(trail: Trail, *names: str, **changed: Any) -> Rebuilt:
    """Rebuild, all when no name is given."""
    rebuilt = Rebuilt()
    rebuilt.outcomes = rebuild(parts_of(trail, rebuilt, **changed), names or ALL)
    return rebuilt


def builds(trail: Trail, name: str) -> list[Build]:
    with trail.reader.transaction(read_only=True) as connection:
        return [each for each in list_builds(connection) if each.name == name]


def rows_of(trail: Trail, projector: Projector, build: Build) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables of a build, in the order of their keys."""
    return {
        table.name: trail.rows(
            f"SELECT {', '.join(table.names)} FROM {build.schema}.{table.name} ORDER BY {', '.join(table.key)}"
        )
        for table in projector.tables
    }


def indexes_of(trail: Trail, build: Build) -> list[tuple[Any, ...]]:
    return [
        (name, definition.replace(f"{build.schema}.", ""))
        for name, definition in trail.rows(
            f"SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = '{build.schema}' ORDER BY indexname"
        )
    ]


def assert_same(trail: Trail, *projectors: Projector) -> None:
    """The live build and the one before hold the same rows, and have the same indexes."""
    for projector in projectors or built_in():
        *_, before, live = builds(trail, projector.name)
        assert live.live
        assert not before.live
        assert live.position >= before.position
        old, new = rows_of(trail, projector, before), rows_of(trail, projector, live)
        for name, rows in old.items():
            assert new[name] == rows, name
        assert indexes_of(trail, before) == indexes_of(trail, live)


def some_events(count: int, seed: int = 1) -> list[AuditEvent]:
    chance = random.Random(seed)
    return [
        an_event(
            chance.choice(["record.read", "user.logged_in", "configuration.changed", "service.restarted"]),
            chance.randrange(600),
            actor={"id": f"u{chance.randrange(5)}", "name": f"Name {chance.randrange(3)}"},
            patients=[{"id": f"p{chance.randrange(7)}"}],
            device={"id": f"d{chance.randrange(3)}", "software_version": f"{chance.randrange(3)}"},
            changes=[{"path": "x", "after": chance.random()}],
            purpose_of_use=[f"P{chance.randrange(50)}"],
            session=f"s{chance.randrange(9)}",
        )
        for _ in range(count)
    ]
