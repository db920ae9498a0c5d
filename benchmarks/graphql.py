"""GraphQL over HTTP: a page against the same rows by hand, and a long trail against a short one."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median, quantiles
from typing import Any

import msgspec
import psycopg2

from benchmarks.rebuild import append_all
from benchmarks.report import Result
from benchmarks.servers import Bench
from event_store.database import PROJECTOR, Database
from projections.registry import built_in
from projections.runner import Runner

PAGE = """query Page($filter: EventFilter) { events(first: 100, filter: $filter) { nodes {
  eventId position recordedAt occurredAt type action outcome source { service } actor { kind id name }
  session correlationId emergency reason
} } }"""
"""15 fields, three of them inside others."""

_ROWS = """
CREATE TABLE bench_rows AS
SELECT event_id, position, recorded_at, occurred_at, type, said ->> 'action' AS action,
    coalesce(said ->> 'outcome', 'success') AS outcome, said #>> '{source,service}' AS service,
    coalesce(said #>> '{actor,kind}', 'user') AS kind, said #>> '{actor,id}' AS id, said #>> '{actor,name}' AS name,
    said ->> 'session' AS session, said ->> 'correlation_id' AS correlation_id,
    coalesce((said ->> 'emergency')::boolean, false) AS emergency, said ->> 'reason' AS reason
FROM audit_trail.event, LATERAL (SELECT convert_from(body, 'UTF8')::jsonb AS said) AS read
WHERE position >= (SELECT size - 10000 FROM audit_trail.log_state);
ALTER TABLE bench_rows ADD PRIMARY KEY (position);
ANALYZE;
"""
SHORT = 20_000
"""Events of the short trail at least, so that each filter finds a whole page in it too."""
TOKEN = secrets.token_urlsafe(24)
"""What the served application takes, for as long as the benchmark runs."""
HEAD = (
    b"POST /graphql HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
_ROUND = 200
"""Requests of a client in one turn."""


class Client:
    """An HTTP client on a socket: a library's would take as long as what is measured."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket()
        # A new connection has room for two packets of the loopback's size. Linux drops what comes beyond that, and it
        # is sent again after 0.2 s: one answer of some hundred took so long, whatever was asked.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect(("127.0.0.1", port))

    def seconds(self, request: bytes) -> float:
        """From the request's first byte to the answer's last."""
        return self.asked(request)[0]

    def asked(self, request: bytes) -> tuple[float, bytes]:
        """The same, and the answer's body. Raises `RuntimeError` for anything but a whole answer."""
        started = time.perf_counter()
        self._socket.sendall(request)
        head, _, body = self._socket.recv(1 << 20).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
        parts, read = [body], len(body)
        while read < length and (more := self._socket.recv(1 << 20)):
            parts.append(more)
            read += len(more)
        ended = time.perf_counter() - started
        body = b"".join(parts)
        if not head.startswith(b"HTTP/1.1 200") or len(body) < length or b'"errors":[' in body:
            raise RuntimeError(f"not answered: {head.decode()} {body[:300].decode()}")
        return ended, body

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def page_request(filter: dict[str, Any] | None = None) -> bytes:
    """The product's side."""
    body = msgspec.json.encode({"query": PAGE, "variables": {"filter": filter or {}}})
    return HEAD % len(body) + body


def raw_request(path: str) -> bytes:
    """The other side."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def graphql_against(bench: Bench) -> Iterator[Result]:
    """The results of `graphql`: with one client, with four, and by the length of the trail."""
    short = min(bench.events, max(SHORT, bench.events // 100))
    with bench.database() as url, bench.database() as short_url:
        fill(bench, url, bench.events)
        fill(bench, short_url, short)
        record = f"{bench.broker.bootstrap_servers} {bench.publish([b'{}'], [b''])}"
        with served(url) as port, served(short_url) as short_port, served(url, *record.split()) as recorded:
            for clients in (1, 4):
                yield _against_raw(bench, port, recorded, clients)
            for name, filter in FILTERS.items():
                yield _by_length(bench, (port, bench.events), (short_port, short), name, filter)


def _against_raw(bench: Bench, port: int, recorded: int, clients: int) -> Result:
    ours, store, columns, kept = [], [], [], []
    for _ in range(bench.runs):
        store.append(1e6 * median(measured(port, raw_request("/store"), clients)))
        ours.append(1e6 * median(measured(port, page_request(), clients)))
        columns.append(1e6 * median(measured(port, raw_request("/columns"), clients)))
        kept.append(1e6 * median(measured(recorded, page_request(), clients)))
    return Result(
        f"GraphQL page against the rows alone, {clients} at a time",
        "POST /graphql: 100 events, 15 fields",
        "the same rows by psycopg2 and orjson, the same uvicorn",
        tuple(ours),
        tuple(store),
        3,
        unit="us",
        at_most=True,
        notes=(
            f"Against a SELECT of 15 columns that somebody has prepared: {median(ours) / median(columns):.2f}",
            f"With each page in Kafka as a read before it is answered: {median(kept) / median(store):.2f}",
        ),
    )


FILTERS: dict[str, dict[str, Any]] = {
    "type": {"types": ["record.read"]},
    "failed": {"outcomes": ["MAJOR_FAILURE", "SERIOUS_FAILURE", "MINOR_FAILURE"]},
    "service": {"service": "patient-service"},
}


def _by_length(
    bench: Bench, long: tuple[int, int], short: tuple[int, int], name: str, filter: dict[str, Any]
) -> Result:
    ours, theirs = [], []
    for _ in range(bench.runs):
        ours.append(1e6 * _p99(measured(long[0], page_request(filter), 1)))
        theirs.append(1e6 * _p99(measured(short[0], page_request(filter), 1)))
    return Result(
        f"GraphQL page by {name}, p99 by the length of the trail",
        f"{long[1]:,} events",
        f"{short[1]:,} events",
        tuple(ours),
        tuple(theirs),
        1.5,
        unit="us",
        at_most=True,
    )


def _p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100)[98]


def fill(bench: Bench, url: str, events: int) -> None:
    """A trail of that many events with all its read models, and the table of the raw side."""
    append_all(bench, url, events)
    with closing(Database(url, PROJECTOR, size=10)) as database:
        Runner(database, built_in()).catch_up()
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_ROWS)
        connection.commit()
        connection.autocommit = True
        cursor.execute("VACUUM ANALYZE")


@contextmanager
def served(url: str, *record: str) -> Iterator[int]:
    """The port of a process that serves both sides; `record` is the broker and the topic that reads are put on."""
    command = [sys.executable, "-m", "benchmarks.graphql_server", url, TOKEN, *record]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def measured(port: int, request: bytes, clients: int) -> list[float]:
    """The seconds of each request of that many clients at a time."""
    found: list[float] = []

    def ask() -> None:
        with closing(Client(port)) as client:
            for _ in range(20):
                client.seconds(request)
            found.extend([client.seconds(request) for _ in range(_ROUND)])

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
