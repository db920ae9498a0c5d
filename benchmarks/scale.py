"""A long trail against a short one, over HTTP with concurrent clients: the p99 of every indexed filter.

`python -m benchmarks.scale FOLDER` measures the trails that `benchmarks.scale_fill` made in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import msgspec
import psycopg2

from benchmarks.graphql import HEAD, TOKEN, Client, served
from benchmarks.scale_cases import COUNTS, FILTERS, PAGES, SCOPED, SUBJECTS, SUMMARIES, Trail
from benchmarks.scale_corpus import Population
from benchmarks.scale_fill import database_of, server
from queries.cursors import encode_cursor

_NODES = "nodes { eventId position occurredAt type outcome source { service } actor { id name } }"
_PAGE = (
    "query P($filter: EventFilter, $first: Int, $after: String, $last: Int, $orderBy: EventOrder) {"
    " events(filter: $filter, first: $first, after: $after, last: $last, orderBy: $orderBy)"
    " { " + _NODES + " } }"
)
_COUNT = (
    "query C($filter: EventFilter, $by: CountBy!) {"
    " eventCounts(filter: $filter, by: $by, first: 100) { events buckets { key events } } }"
)
_HISTORY = (
    "query H($id: ID!, $first: Int!) {"
    ' resource(type: "Observation", id: $id) { history(first: $first) { nodes { path before after } } } }'
)
WHOLE = 100
"""Events of a page, rows of a list."""
_BEFORE = 1 << 32
"""The seed of what is asked before anything is measured, unlike that of any turn."""
Request = Callable[[Trail, int], bytes]
"""Makes a request for another value each time, and for so many events."""


def requests() -> dict[str, Request]:
    """Every case by name."""
    made: dict[str, Request] = {name: _page_of(make) for name, make in FILTERS.items()}
    made |= {name: _place_of(make) for name, make in PAGES.items()}
    made |= {f"counts: {name}": _count_of(make) for name, make in COUNTS.items()}
    made |= {name: _subject_of(make) for name, make in SUBJECTS.items()}
    made |= {f"as {name}": _scoped_of(make) for name, make in SCOPED.items()}
    made["resource history"] = lambda trail, size: _post(
        _HISTORY, {"id": trail.resource()["resourceId"], "first": size}
    )
    return made


def _page_of(make: Callable[[Trail], dict[str, Any]]) -> Request:
    return lambda trail, size: _post(_PAGE, {"filter": make(trail), "first": size})


def _place_of(make: Callable[[Trail], tuple[dict[str, Any], dict[str, Any]]]) -> Request:
    def request(trail: Trail, size: int) -> bytes:
        filter, page = make(trail)
        variables: dict[str, Any] = {"filter": filter, "last" if "last" in page else "first": size}
        if "at" in page:
            variables["after"] = encode_cursor(page["at"])
        if "time" in page:
            variables["orderBy"] = {"field": "OCCURRED_AT"}
        return _post(_PAGE, variables)

    return request


def _count_of(make: Callable[[Trail], tuple[str, dict[str, Any]]]) -> Request:
    def request(trail: Trail, size: int) -> bytes:
        del size
        by, filter = make(trail)
        return _post(_COUNT, {"filter": filter, "by": by})

    return request


def _subject_of(subject: tuple[str, Callable[[Trail], str]]) -> Request:
    kind, make = subject
    query = f"query S($id: ID!, $limit: Int!) {{ {kind}(id: $id, limit: $limit) {{ {SUMMARIES[kind]} }} }}"
    return lambda trail, size: _post(query, {"id": make(trail), "limit": size})


def _scoped_of(make: Callable[[Trail], tuple[str, dict[str, Any]]]) -> Request:
    def request(trail: Trail, size: int) -> bytes:
        who, filter = make(trail)
        asked = _post(_PAGE, {"filter": filter, "first": size})
        return asked.replace(TOKEN.encode(), f"{TOKEN}.{who}".encode(), 1)

    return request


def _post(query: str, variables: dict[str, Any]) -> bytes:
    body = msgspec.json.encode({"query": query, "variables": variables})
    return HEAD % len(body) + body


class Measured(NamedTuple):
    """One case, milliseconds: the median and the p99 of each trail. `size`: how many events were asked for."""

    name: str
    size: int
    short: tuple[float, float]
    long: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Of the p99s."""
        return self.long[1] / self.short[1]


class _Side(NamedTuple):
    port: int
    events: int


def measure(
    sides: Sequence[_Side], cases: dict[str, Request], clients: int, count: int, turns: int, *, whole: bool
) -> Iterator[Measured]:
    """Each case in turns: some requests to the short trail, some to the long one.

    Both are asked for as many events as both mostly have, unless `whole`: a longer answer takes longer, however it was
    found.
    """
    for name, request in cases.items():
        size = WHOLE if whole else max(1, min(_found(side, request, clients) for side in sides))
        found: tuple[list[float], list[float]] = ([], [])
        for turn in range(turns + 1):
            for side, seconds in zip(sides, found, strict=True):
                asked = _asked(side, request, size, turn, clients * (count if turn else count // 4 + 1))
                times = _timed(side.port, asked, clients)
                if turn:  # the first is to warm up
                    seconds.extend(times)
        short, long = (_milliseconds(each) for each in found)
        yield Measured(name, size, short, long)


def _asked(side: _Side, request: Request, size: int, seed: int, count: int) -> list[bytes]:
    trail = Trail(side.events, Population.of(side.events), random.Random(seed))
    return [request(trail, size) for _ in range(count)]


def _found(side: _Side, request: Request, clients: int) -> int:
    """How many events, or rows of its longest list, an answer of this side mostly has."""
    with closing(Client(side.port)) as client:
        answers = [client.asked(each)[1] for each in _asked(side, request, WHOLE, _BEFORE, 10 * clients)]
    return int(median(_longest(msgspec.json.decode(each)["data"]) for each in answers))


def _longest(said: Any) -> int:
    """The length of the longest list in an answer."""
    if isinstance(said, dict):
        return max(map(_longest, said.values()), default=0)
    return max([len(said), *map(_longest, said)]) if isinstance(said, list) else 0


def _timed(port: int, asked: Sequence[bytes], clients: int) -> list[float]:
    found: list[float] = []

    def ask(mine: Sequence[bytes]) -> None:
        with closing(Client(port)) as client:
            found.extend([client.seconds(request) for request in mine])

    threads = [threading.Thread(target=ask, args=(asked[at::clients],)) for at in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) != len(asked):
        raise RuntimeError("a request was not answered")
    return found


def _milliseconds(seconds: Sequence[float]) -> tuple[float, float]:
    return 1e3 * median(seconds), 1e3 * quantiles(seconds, n=100, method="inclusive")[98]


_WARM = """
SELECT sum(pg_prewarm(oid, CASE WHEN is_log THEN 'read' ELSE 'buffer' END)) FROM (
    SELECT oid, relkind = 'r' AND relnamespace = 'audit_trail'::regnamespace AS is_log FROM pg_class
    WHERE relkind IN ('r', 'i') AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
    ORDER BY is_log
) AS ours
"""


def warm(url: str) -> None:
    """Have the read models and all indexes in the server's own memory, and the log's bodies in the machine's.

    So it is where a server has run for a while: neither trail waits for the disk.
    """
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        cursor.execute(_WARM)
        connection.commit()


def _settle(sides: Sequence[_Side], clients: int) -> None:
    """Ask for what lies everywhere: to map its memory takes each of the server's processes a while."""
    made = requests()
    for side in sides:
        for name in ("user", "device", "address", "deep page", "deep page, user", "user activity"):
            _timed(side.port, _asked(side, made[name], WHOLE, _BEFORE, 100 * clients), clients)


def _line(each: Measured) -> str:
    times = " | ".join(f"{time:.1f}" for time in (*each.short, *each.long))
    return f"| {each.name} | {each.size} | {times} | {each.ratio:.2f}{'' if each.ratio <= 1.5 else ' **'} |"


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--short", type=int, default=100_000)
    parser.add_argument("--long", type=int, default=10_000_000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--requests", type=int, default=40, help="of each client in a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", type=re.compile, default=re.compile(""), help="cases whose name has this")
    parser.add_argument(
        "--whole", action="store_true", help="ask for 100 events, whatever the short trail has"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args(words)
    cases = {name: each for name, each in requests().items() if arguments.only.search(name)}
    results: list[Measured] = []
    with ExitStack() as stack:
        postgres = stack.enter_context(server(arguments.folder))
        urls = {events: postgres.url_for(database_of(events)) for events in (arguments.short, arguments.long)}
        for url in reversed(urls.values()):  # the short trail last, so that it stays whole
            warm(url)
        sides = [_Side(stack.enter_context(served(url)), events) for events, url in urls.items()]
        print(
            "| asked for | events | short p50 ms | p99 | long p50 ms | p99 | ratio of p99 |\n"
            "|---|---|---|---|---|---|---|"
        )
        _settle(sides, arguments.clients)
        given = (arguments.clients, arguments.requests, arguments.turns)
        for each in measure(sides, cases, *given, whole=arguments.whole):
            results.append(each)
            print(_line(each), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([each._asdict() for each in results], indent=1))


if __name__ == "__main__":
    main()
