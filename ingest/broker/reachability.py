"""Whether Kafka answers, and whether topics can be read and written: for the watcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from domain.errors import UnavailableError
from ingest.broker.bounded_calls import BoundedCaller, ClientStalledError, abandon
from ingest.broker.clients import connected, translated

_MAX_BYTES = 4 << 20
"""Bytes of one answer: 100 topics of 1,000 partitions need less. The client's own limit is 100 MB."""


def reach_topics(options: Mapping[str, Any], topics: Sequence[str], seconds: float) -> dict[str, str]:
    """Ask the brokers for `topics` over a new connection. `options` are those of the client, with its servers.

    Returns what is wrong, by topic: `missing`, or `no_leader` when a partition can't be used now. Raises
    `UnavailableError` when no broker answers within `seconds`, and `ConfigurationError` when it refuses this client.
    """
    caller = BoundedCaller("kafka-check", seconds)
    milliseconds = max(1, int(seconds * 1000))
    limits = {
        "receive_message_max_bytes": _MAX_BYTES,
        "bootstrap_timeout_ms": milliseconds,
        "request_timeout_ms": milliseconds,
    }
    try:
        return caller(lambda: _ask(limits | dict(options), topics))
    except KafkaError as exc:
        raise translated(exc) from exc
    except ClientStalledError as exc:
        raise UnavailableError(f"Kafka does not answer within {seconds:.1f} s") from exc
    finally:
        caller.close()


def _ask(options: dict[str, Any], topics: Sequence[str]) -> dict[str, str]:
    admin = connected(KafkaAdminClient, options)
    try:
        if not topics:
            admin.describe_cluster()
            return {}
        wrong = {}
        found = {row["name"]: row for row in admin.describe_topics(list(topics))}
        for topic in topics:
            row = found.get(topic)
            if row is None or row["error_code"] or not row["partitions"]:
                wrong[topic] = "missing"
            elif any(each["leader_id"] < 0 for each in row["partitions"]):
                wrong[topic] = "no_leader"
        return wrong
    finally:
        abandon(admin)
