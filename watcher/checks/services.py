"""Checks of databases and brokers, whose clients the composition root hands in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from domain.errors import ConfigurationError, UnavailableError
from event_store.outgoing_http import Deadline
from event_store.reachability import reach_server
from watcher.observations import CheckError, ErrorClass, Finding
from watcher.secret_values import SecretValue
from watcher.targets import KafkaCheck, PostgresCheck

ReachKafka = Callable[[Sequence[str], Mapping[str, str], Sequence[str], float], Mapping[str, str]]
"""Ask brokers for topics: servers (none: the trail's own), options of the client, topics, seconds.

Returns what is wrong, by topic: `missing` or `no_leader`. Raises `UnavailableError` and `ConfigurationError`.
"""


def check_postgres(check: PostgresCheck, own_url: str, deadline: Deadline) -> Finding:
    """Log in to a database, and let it answer a statement."""
    try:
        url = check.url.read() if isinstance(check.url, SecretValue) else check.url or own_url
    except ConfigurationError as exc:
        return Finding(error=CheckError.of(ErrorClass.SECRET, str(exc)))
    if not url:
        return Finding(
            error=CheckError(ErrorClass.DENIED, "the trail's own database is not set: write `url`")
        )
    try:
        reach_server(url, deadline)
    except UnavailableError as exc:
        kind = ErrorClass.TIMEOUT if isinstance(exc.__cause__, TimeoutError) else ErrorClass.AWAY
        return Finding(error=CheckError.of(kind, str(exc)))
    except ConfigurationError as exc:
        return Finding(error=CheckError.of(ErrorClass.DENIED, str(exc)))
    return Finding()


def check_kafka(check: KafkaCheck, reach: ReachKafka, deadline: Deadline) -> Finding:
    """Ask the brokers for the state of the topics."""
    options = dict(check.options)
    try:
        if check.password is not None:
            options["sasl_plain_password"] = check.password.read()
    except ConfigurationError as exc:
        return Finding(error=CheckError.of(ErrorClass.SECRET, str(exc)))
    try:
        wrong = reach(check.servers, options, check.topics, deadline.left())
    except UnavailableError as exc:
        return Finding(error=CheckError.of(ErrorClass.AWAY, str(exc)))
    except ConfigurationError as exc:
        return Finding(error=CheckError.of(ErrorClass.DENIED, str(exc)))
    for kind, problem, what in (
        (ErrorClass.TOPIC, "missing", "there is no topic"),
        (ErrorClass.LEADER, "no_leader", "a partition has no leader: topic"),
    ):
        topics = sorted(topic for topic, found in wrong.items() if found == problem)
        if topics:
            return Finding(error=CheckError.of(kind, f"{what} {', '.join(topics)}"))
    return Finding()
