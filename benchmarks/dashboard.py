"""The pages of the dashboard on a short and a long trail: their server time, and that of each read that they make.

`python -m benchmarks dashboard FOLDER` makes the trails that are missing (`benchmarks.dashboard_fill`), and measures.
Pages are built and rendered in this process, as a thread of `serve` does it, for somebody of each role at random times
of the year. Both trails take turns.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

from benchmarks.dashboard_fill import fill
from benchmarks.scale import warm
from benchmarks.scale_corpus import START, YEAR, Population
from benchmarks.scale_fill import server
from dashboard.explorer.page import PAGE, explore
from dashboard.explorer.people import Meant
from dashboard.operations.page import operations
from dashboard.overview import overview
from dashboard.render import View, render
from dashboard.viewer import Viewer
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.read_audit.query_log import QueryLog
from event_store.database import READER, Database
from event_store.log_reader import LogReader
from queries.counts import EventCounts
from queries.filters.event_filter import EventPage, PageRequest
from queries.operations import Operations
from queries.read_models import DEFAULT_LIMIT, ReadModels
from queries.scoped.log import ScopedLog
from queries.scoped.operations import ScopedOperations
from queries.scoped.read_models import ScopedModels
from queries.search.prepared import PreparedQuery
from web.parameters.filter_query import filter_from_address

GOAL_READ, GOAL_FIRST, GOAL_RATIO, GOAL_SIZE = 50.0, 300.0, 1.5, 150_000
"""Milliseconds of a read and of a page's first view, the ratio of the p99s, and bytes of a page."""
_MAX_DAYS = 31
_ZONE = "Europe/Berlin"
_RANGE = {"last", "from", "to"}

ROLES: Mapping[str, Callable[[Population], Principal]] = {
    "auditor": lambda _: _principal(Role.AUDITOR),
    "privacy officer": lambda _: _principal(Role.PRIVACY_OFFICER),
    "security officer": lambda _: _principal(Role.SECURITY_OFFICER),
    "analyst": lambda _: _principal(Role.ANALYST),
    "service owner": lambda _: _principal(Role.SERVICE_OWNER, sources=("patient-service",)),
    "clinician": lambda _: _principal(Role.CLINICIAN, actors=("u0",)),
    "patient": lambda _: _principal(Role.PATIENT, patients=("p0",)),
    "device manager": lambda _: _principal(Role.DEVICE_MANAGER, devices=("d0", "d1")),
    "operator": lambda _: _principal(Role.OPERATOR),
}
CONDITIONS: Mapping[str, Callable[[Population], Sequence[tuple[str, str]]]] = {
    "the busiest actor": lambda _: [("actor", "u0")],
    "the busiest patient": lambda _: [("patient", "p0")],
    "a rare patient": lambda people: [("patient", f"p{people.patients // 2}")],
    "a device": lambda _: [("device", "d0")],
    "an address": lambda _: [("address", "10.0.0.0")],
    "failures": lambda _: [("outcome", "serious_failure"), ("outcome", "major_failure")],
    "a frequent type": lambda _: [("type", "record.read")],
    "a frequent service": lambda _: [("service", "patient-service")],
}
RANGES = {"a day": "24h", "a week": "7d", "a month": "30d", "a year": "365d"}


class Page(NamedTuple):
    """A page of somebody. `pairs` are the parameters of the explorer."""

    role: str
    name: str
    pairs: Callable[[Population], Sequence[tuple[str, str]]] | None = None


def pages() -> Iterator[Page]:
    """Every page: that of each role first, then the explorer with conditions."""
    for role in ROLES:
        if role == "operator":
            yield Page(role, "operations")
            continue
        yield Page(role, "overview")
        for name, last in RANGES.items():
            yield Page(role, f"events, {name}", lambda _, last=last: [("last", last)])  # type: ignore[misc]
    for name, make in CONDITIONS.items():
        for range_name, last in RANGES.items():
            yield Page(
                "auditor",
                f"events, {name}, {range_name}",
                lambda people, make=make, last=last: [*make(people), ("last", last)],  # type: ignore[misc]
            )


def _principal(role: Role, **given: Any) -> Principal:
    return Principal(id="bench", roles=frozenset({role}), **given)


Reads = list[tuple[str, float]]


class Timed(ReadModels):
    """The read models, which keep how long each read took, in seconds."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.reads: Reads = []

    def events(self, query: PreparedQuery, page: PageRequest) -> EventPage:
        started = time.perf_counter()
        found = super().events(query, page)
        self.reads.append(("list", time.perf_counter() - started))
        return found

    def event_counts(self, query: PreparedQuery, limit: int = DEFAULT_LIMIT) -> EventCounts:
        started = time.perf_counter()
        found = super().event_counts(query, limit)
        given = {name for each in query.filter.every() for name in each.given()} & {"emergency", "categories"}
        name = " ".join(["by", str(query.by), *sorted(given)])
        self.reads.append((name, time.perf_counter() - started))
        return found


class Side:
    """One trail."""

    def __init__(self, url: str, events: int) -> None:
        self._url = url
        self.events = events
        self.people = Population.of(events)
        self.database = Database(url, READER, size=1)
        self.models = Timed(self.database)

    def fresh(self) -> None:
        """Connect again: the next page is a first one."""
        self.database.close()
        self.database = Database(self._url, READER, size=1)
        self.models = Timed(self.database)

    def build(self, page: Page, now: datetime) -> tuple[float, Reads, int]:
        """A page built and rendered: its seconds, its reads, and the bytes of its HTML."""
        principal = ROLES[page.role](self.people)
        self.models.reads = []
        started = time.perf_counter()
        scope = Scope(principal)
        models = ScopedModels(self.models, scope, QueryLog())
        viewer = Viewer(principal=principal, scope=scope, zone=_ZONE, now=now)
        html = render(self._view(page, models, viewer, scope))
        return time.perf_counter() - started, self.models.reads, len(html)

    def _view(self, page: Page, models: ScopedModels, viewer: Viewer, scope: Scope) -> View:
        log = ScopedLog(LogReader(self.database), scope)
        operating = ScopedOperations(Operations(self.database), scope, QueryLog(), lambda _: [])
        if page.name == "overview":
            return overview(models, log, operating, viewer)
        if page.name == "operations":
            return operations(models, operating, log, viewer, None)
        assert page.pairs is not None
        pairs = page.pairs(self.people)
        filter = filter_from_address(pair for pair in pairs if pair[0] not in _RANGE)
        who = Meant(
            list(pairs), [], []
        )  # ids alone: the trail has no summaries of users that could be searched
        view = explore(models, log, viewer, filter, pairs, who, PageRequest(first=PAGE), _MAX_DAYS)
        if view.problem:
            self.models.reads.append((f"refused: {view.problem[:40]}", 0.0))
        return view


class Measured(NamedTuple):
    """A page or one of its reads, milliseconds: the median and the p99 of each trail."""

    role: str
    page: str
    read: str
    short: tuple[float, float]
    long: tuple[float, float]
    first: float
    size: int

    @property
    def ratio(self) -> float:
        """Of the p99s."""
        return self.long[1] / self.short[1] if self.short[1] else 1.0

    @property
    def misses(self) -> str:
        """The goals that are not reached."""
        found = {
            "read": bool(self.read) and self.long[1] > GOAL_READ,
            "ratio": bool(self.read) and self.ratio > GOAL_RATIO,
            "first": self.first > GOAL_FIRST,
            "size": self.size > GOAL_SIZE,
        }
        return " ".join(name for name, missed in found.items() if missed)


def measure(sides: tuple[Side, Side], page: Page, count: int) -> Iterator[Measured]:
    """The page itself, and then each of its reads."""
    chance = random.Random(page.name)
    took: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    largest = 0
    firsts = []
    for side in sides:
        side.fresh()
        firsts.append(1e3 * side.build(page, START + YEAR * 0.9)[0])
    for turn in range(count + 2):
        now = START + YEAR * chance.uniform(0.1, 0.99) + timedelta(seconds=chance.random())
        if "year" in page.name:
            now = START + YEAR
        for at, side in enumerate(sides):
            seconds, reads, size = side.build(page, now)
            largest = max(largest, size)
            if turn >= 2:  # the first are to warm up
                for name, each in [("", seconds), *reads]:
                    took[name][at].append(1e3 * each)
    for name, (short, long) in took.items():
        if short and long:
            first, size = (firsts[1], largest) if not name else (0.0, 0)
            yield Measured(page.role, page.name, name, _of(short), _of(long), first, size)


def _of(times: Sequence[float]) -> tuple[float, float]:
    return median(times), quantiles(times, n=100, method="inclusive")[98]


def _line(each: Measured) -> str:
    times = " | ".join(f"{time:.1f}" for time in (*each.short, *each.long))
    first, size = (f"{each.first:.0f}", f"{each.size / 1e3:.0f}") if not each.read else ("", "")
    name = each.read or f"**{each.page}**"
    return f"| {each.role} | {name} | {times} | {each.ratio:.2f} | {first} | {size} | {each.misses} |"


def main(words: Sequence[str] | None = None) -> None:
    """Make what is missing, measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks dashboard")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--short", type=int, default=100_000)
    parser.add_argument("--long", type=int, default=10_000_000)
    parser.add_argument("--views", type=int, default=40, help="of each page")
    parser.add_argument("--only", type=re.compile, default=re.compile(""), help="role and page")
    parser.add_argument("--missed", action="store_true", help="print what misses a goal alone")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args(words)
    results: list[Measured] = []
    with server(arguments.folder) as postgres:
        numbers = (arguments.short, arguments.long)
        urls = [fill(postgres, events) for events in numbers]
        for url in reversed(urls):  # the short trail last, so that it stays whole
            warm(url)
        sides = (Side(urls[0], numbers[0]), Side(urls[1], numbers[1]))
        print(
            "| role | page, and its reads | short p50 ms | p99 | long p50 ms | p99 | ratio of p99 | first ms | kB |"
            " misses |\n|---|---|---|---|---|---|---|---|---|---|"
        )
        for page in pages():
            if not arguments.only.search(f"{page.role}: {page.name}"):
                continue
            for each in measure(sides, page, arguments.views):
                results.append(each)
                if each.misses or not arguments.missed:
                    print(_line(each), flush=True)
        for side in sides:
            side.database.close()
    if arguments.json:
        arguments.json.write_text(json.dumps([each._asdict() for each in results], indent=1))


if __name__ == "__main__":
    main()
