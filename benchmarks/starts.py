"""Starts and stops a group member again and again on a busy machine, and counts the starts that never get partitions.

`python -m benchmarks.starts [STARTS] [BURNERS] [--bare]`. `--bare` leaves out our work-round for kafka-python: it shows
the library's fault, described in docs/adr/0017-kafka-clients-that-stall.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections import deque
from contextlib import closing
from pathlib import Path

from kafka import KafkaAdminClient, KafkaConsumer

from audit_trail.embedded.kafka import ApacheKafka
from ingest.broker.assignment import Listener, consumer_options, finish_rejoin
from ingest.broker.bounded_calls import abandon
from ingest.settings import IngestSettings

_PARTITIONS = 4
_SECONDS = 20.0
"""A start takes below a second, on a busy machine a few. One that has nothing after this time stays so."""


def main() -> None:
    """Print how many of the starts stalled, and the longest of the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("starts", type=int, nargs="?", default=300)
    parser.add_argument("burners", type=int, nargs="?", default=4)
    parser.add_argument("--bare", action="store_true")
    asked = parser.parse_args()
    burners = [multiprocessing.Process(target=_burn, daemon=True) for _ in range(asked.burners)]
    with tempfile.TemporaryDirectory(prefix="audit-trail-starts-") as name:
        Path(name).chmod(0o711)
        with ApacheKafka(Path(name) / "kafka") as kafka:
            for burner in burners:
                burner.start()
            took = [_start(kafka, number, bare=asked.bare) for number in range(asked.starts)]
            for burner in burners:
                burner.kill()
    good = [seconds for seconds in took if seconds is not None]
    print(f"{len(took)} starts, {len(took) - len(good)} stalled, the longest of the others {max(good):.2f} s")


def _start(kafka: ApacheKafka, number: int, *, bare: bool) -> float | None:
    """The seconds until all partitions were assigned, or None. Each start has a topic and a group of its own."""
    topic = f"starts-{number}"
    settings = IngestSettings(bootstrap_servers=(kafka.bootstrap_servers,), topics=(topic,), group_id=topic)
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)) as admin:
        admin.create_topics(
            {topic: {"num_partitions": _PARTITIONS, "replication_factor": 1}}, wait_for_metadata=True
        )
    consumer = KafkaConsumer(**consumer_options(settings))
    began = time.monotonic()
    try:
        consumer.subscribe(topics=[topic], listener=Listener(consumer, deque()))
        while time.monotonic() - began < _SECONDS:
            if not bare:
                finish_rejoin(consumer)
            consumer.poll(timeout_ms=200)
            if len(consumer.assignment()) == _PARTITIONS:
                return time.monotonic() - began
        print(f"start {number}: assigned {consumer.assignment()}, {consumer.group_metadata().state}")
        return None
    finally:
        abandon(consumer, autocommit=False, timeout_ms=5000)


def _burn() -> None:
    while True:
        sum(range(10_000))


if __name__ == "__main__":
    main()
