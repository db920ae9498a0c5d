"""`audit-trail verify` against hashing the same bytes alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from hashlib import sha256

from benchmarks.ingest import ingested, query
from benchmarks.report import Result
from benchmarks.servers import Bench
from event_store.database import READER, Database
from event_store.log_reader import LogReader, read_entries
from event_store.tlog.notes import VerifierKey
from event_store.verify.run import verify

_READ = 5000


def verify_against(bench: Bench) -> Iterator[Result]:
    """The result of `verify`."""
    topic = bench.publish(bench.corpus.messages, bench.corpus.keys)
    jobs = os.cpu_count() or 1
    ours, alone, single = [], [], []
    with bench.database() as url:
        with ingested(bench, url, topic):
            pass
        bodies, entries, keys = _bytes(url)
        for _ in range(bench.runs):
            bench.settle()
            ours.append(_verified(bench, url, keys, jobs))
            single.append(_verified(bench, url, keys, 1))
            alone.append(_hashed(bodies, entries))
    yield Result(
        "verify against hashing the same bytes",
        f"audit-trail verify, {jobs} processes beside the database",
        "hashlib alone, one process: each body, each leaf entry, each node of the tree",
        tuple(ours),
        tuple(alone),
        0.3,
        notes=(f"With one process: {sorted(single)[len(single) // 2] / sorted(alone)[len(alone) // 2]:.2f}",),
    )


def _bytes(url: str) -> tuple[list[bytes], list[bytes], list[VerifierKey]]:
    bodies = [bytes(body) for (body,) in query(url, "SELECT body FROM audit_trail.event ORDER BY position")]
    entries: list[bytes] = []
    database = Database(url, READER)
    keys = LogReader(database).keys()
    with database.transaction(read_only=True) as connection:
        for first in range(0, len(bodies), _READ):
            entries += read_entries(connection, first, min(first + _READ, len(bodies)))
    database.close()
    return bodies, entries, keys


def _verified(bench: Bench, url: str, keys: list[VerifierKey], jobs: int) -> float:
    started = time.perf_counter()
    report = verify(url, READER, keys, jobs=jobs)
    seconds = time.perf_counter() - started
    if report.findings or report.hashed != bench.events:
        raise RuntimeError(f"verify found {report.findings[:1]} in {report.hashed} events")
    return bench.events / seconds


def _hashed(bodies: list[bytes], entries: list[bytes]) -> float:
    started = time.perf_counter()
    for body in bodies:
        sha256(body).hexdigest()
    hashes = [sha256(b"\0" + entry).digest() for entry in entries]
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=False)
        odd = hashes[-1:] if len(hashes) % 2 else []
        hashes = [sha256(b"\1" + left + right).digest() for left, right in pairs] + odd
    return len(bodies) / (time.perf_counter() - started)
