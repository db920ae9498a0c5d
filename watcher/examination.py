"""Examines a target: calls the check of its kind, with its time-out."""

from __future__ import annotations

from event_store.outgoing_http import Deadline
from watcher.checks.http import check_http
from watcher.checks.network import check_tcp, check_tls
from watcher.checks.services import ReachKafka, check_kafka, check_postgres
from watcher.observations import Finding
from watcher.targets import HttpCheck, KafkaCheck, TcpCheck, TlsCheck, WatchedTarget


class Examiner:
    """Checks targets, from several threads. `own_url` is the trail's own database."""

    def __init__(self, own_url: str, reach_kafka: ReachKafka) -> None:
        self._own_url = own_url
        self._reach_kafka = reach_kafka

    def __call__(self, target: WatchedTarget) -> Finding:
        """What the check of the target finds, within its time-out."""
        deadline, check = Deadline(target.timeout), target.check
        match check:
            case HttpCheck():
                return check_http(check, deadline)
            case TcpCheck():
                return check_tcp(check, deadline)
            case TlsCheck():
                return check_tls(check, deadline)
            case KafkaCheck():
                return check_kafka(check, self._reach_kafka, deadline)
        return check_postgres(check, self._own_url, deadline)
