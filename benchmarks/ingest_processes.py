"""Ingest in two processes, each with a topic of its own: what one log takes from several members of a group.

A group join would take seconds of a measurement that takes two, and topics share nothing but the log.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.synchronize import Barrier

import structlog
from prometheus_client import CollectorRegistry

from audit_trail.runtime.garbage_collection import spare_the_collector
from benchmarks.servers import Bench
from event_store.database import INGEST, Database
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from ingest.pipeline import Ingest
from ingest.settings import IngestSettings

_START_SECONDS = 60.0
_ORIGIN = "audit-trail.example/bench"


def publish_halves(bench: Bench) -> tuple[str, str]:
    """Two topics, with half of the events each."""
    messages, keys = bench.corpus.messages, bench.corpus.keys
    return bench.publish(messages[::2], keys[::2]), bench.publish(messages[1::2], keys[1::2])


def ingest_in_processes(bench: Bench, url: str, topics: Sequence[str]) -> None:
    """Move all of `topics` into `url`, with a process for each. They begin at the same moment."""
    spawning = multiprocessing.get_context("spawn")
    barrier = spawning.Barrier(len(topics))
    key = SigningKey.generate(_ORIGIN).encode()
    wanted = [len(bench.corpus.messages[at :: len(topics)]) for at in range(len(topics))]
    processes = [
        spawning.Process(target=_ingest, args=(bench.ingest_settings(topic), url, key, events, barrier))
        for topic, events in zip(topics, wanted, strict=True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise RuntimeError(f"an ingest of the benchmark ended with exit code {process.exitcode}")


def _ingest(settings: IngestSettings, url: str, key: str, events: int, barrier: Barrier) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    spare_the_collector()
    with closing(Database(url, INGEST, application_name="bench-ingest")) as database:
        signer = HeadSigner([SigningKey.parse(key)])
        ingest = Ingest(settings, database, signer, registry=CollectorRegistry())
        barrier.wait(_START_SECONDS)
        with ThreadPoolExecutor(1, thread_name_prefix="ingest") as thread:
            run = thread.submit(ingest.run)
            while ingest.counters.received < events and not run.done():
                time.sleep(0.05)
            ingest.stop()
            run.result()
