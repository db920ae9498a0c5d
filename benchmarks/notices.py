"""How long an alert takes: from the append of the event that completes it until a webhook has the notice.

Everything that works in production works here too: Kafka, `ingest`, the projections with the shipped rules, the desk
that publishes alerts, and a follower, each in a process of its own.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple, Self
from uuid import uuid4

import psycopg2
from prometheus_client import CollectorRegistry

from audit_trail.detection.desk import DetectionDesk
from audit_trail.forwarding.followers import followers
from audit_trail.forwarding.process import make_forwarder
from audit_trail.requests.workers import publishing_all_to
from audit_trail.settings import load
from benchmarks.report import Result
from benchmarks.servers import Bench
from detection.live.installed import installed
from domain.event import Actor, ActorKind, AuditEvent, Resource, Source
from domain.validation import encode_event
from event_store.database import FORWARDER, INGEST, PROJECTOR, Database
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from ingest.pipeline import Ingest
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from projections.runner import Runner

BOUND_SECONDS = 5.0
EVENTS_A_SECOND = 1000
_BATCHES_A_SECOND = 10
_ALERTS_A_SECOND = 5
_MOST_SECONDS = 60
_WAIT_SECONDS = 120.0
_FOLLOWER = """
[followers.bench]
decided_by = "benchmark"
reason = "how long a notice takes"
start = "beginning"
roles = ["auditor"]
filter = {{ type = "alert.raised" }}
[followers.bench.webhook]
url = "http://127.0.0.1:{port}/"
secret_file = "{secret}"
"""


class _Place(NamedTuple):
    """What a process needs, and can be sent to one."""

    url: str
    settings: IngestSettings
    topic: str
    followers: Path


def notices_in_time(bench: Bench) -> Iterator[Result]:
    """The result of `notices`."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(bench.database())
        arrived: dict[int, _Arrival] = {}
        port = stack.enter_context(_webhook(arrived))
        topic = bench.publish([], [])
        place = _Place(url, bench.ingest_settings(topic), topic, _followers(folder, port))
        for work in (_ingest, _project, _forward):
            stack.enter_context(_process(work, place))
        rows = stack.enter_context(_Rows(url))
        _until(lambda: rows.number("SELECT count(*) FROM audit_trail.event WHERE type = %s", _ACTIVATED) > 0)
        _until(rows.has_caught_up)
        began = rows.number("SELECT size FROM audit_trail.log_state")
        seconds = min(_MOST_SECONDS, max(5, bench.events // EVENTS_A_SECOND))
        made = _produce(bench, place, seconds)
        _until(lambda: rows.number(_TRIGGERS, began) >= made and rows.has_caught_up())
        _until(lambda: rows.number(_UNPUBLISHED) == 0)
        _until(lambda: len(arrived) >= rows.number("SELECT count(*) FROM audit_trail.alert_publication"))
        recorded = rows.recorded(list(arrived))
    measured = {position: each for position, each in arrived.items() if position >= began}
    taken = [each.at - recorded[position] for position, each in measured.items()]
    raised = [each.raised_at - recorded[position] for position, each in measured.items()]
    sent = [each.at - each.raised_at for each in measured.values()]
    yield Result(
        "Notices of alerts",
        f"p99 from the append of the completing event to the webhook, at {EVENTS_A_SECOND:,} events/s",
        "the bound",
        (_at(taken, 99),),
        (BOUND_SECONDS,),
        1,
        unit="s",
        at_most=True,
        notes=(
            f"median {_at(taken, 50):.2f} s, p95 {_at(taken, 95):.2f} s, most {max(taken):.2f} s",
            f"until the log has the alert: median {_at(raised, 50):.2f} s, p99 {_at(raised, 99):.2f} s",
            f"from there to the webhook: median {_at(sent, 50):.2f} s, p99 {_at(sent, 99):.2f} s",
            f"{len(taken)} alerts in {seconds} s, none missing",
        ),
    )


_ACTIVATED = "detection_rules.activated"
_TRIGGER = "emergency_access.started"
_TRIGGERS = (
    "SELECT count(*) FROM audit_trail.event WHERE position >= %s AND type = 'emergency_access.started'"
    " AND occurred_at > now() - interval '1 hour'"
)
_UNPUBLISHED = """
    SELECT (SELECT count(*) FROM {schema}.alert) - (SELECT count(*) FROM audit_trail.alert_publication)
"""


def _at(seconds: Sequence[float], percent: int) -> float:
    return quantiles(seconds, n=100)[percent - 1]


class _Arrival(NamedTuple):
    """When the log recorded the alert, and when its notice came, in seconds since 1970."""

    raised_at: float
    at: float


class _Rows:
    """Looks into the database."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def number(self, statement: str, *values: object) -> int:
        with self._connection.cursor() as cursor:
            if "{schema}" in statement:
                cursor.execute(
                    "SELECT schema_name FROM audit_trail.projection WHERE name = 'detection' AND live"
                )
                row = cursor.fetchone()
                statement = statement.format(schema=row[0] if row else "")
            cursor.execute(statement, values)
            found = cursor.fetchone()
        return 0 if found is None else int(found[0])

    def has_caught_up(self) -> bool:
        """Whether detection has read the log, but for the events of its own alerts."""
        return (
            self.number(
                "SELECT state.size - 1 - projection.position"
                " FROM audit_trail.projection, audit_trail.log_state AS state"
                " WHERE projection.name = 'detection' AND projection.live"
            )
            <= 0
        )

    def recorded(self, positions: list[int]) -> dict[int, float]:
        """When each event was recorded, in seconds since 1970."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT position, extract(epoch FROM recorded_at)::float FROM audit_trail.event"
                " WHERE position = ANY(%s)",
                (positions,),
            )
            return dict(cursor.fetchall())


def _produce(bench: Bench, place: _Place, seconds: int) -> int:
    """Publish at a steady rate; returns how many events complete an alert by themselves."""
    size = EVENTS_A_SECOND // _BATCHES_A_SECOND
    every = max(1, _BATCHES_A_SECOND // _ALERTS_A_SECOND)
    made, due = 0, time.monotonic()
    with closing(Publisher(place.settings)) as publisher:
        for number in range(seconds * _BATCHES_A_SECOND):
            first = number * size % max(1, bench.events - size)
            pairs = zip(
                bench.corpus.keys[first : first + size],
                bench.corpus.messages[first : first + size],
                strict=True,
            )
            messages = [Message(place.topic, key, value) for key, value in pairs]
            if number % every == 0:
                actor = f"bench-{made}"
                messages[size // 2] = Message(place.topic, actor.encode(), encode_event(_break_glass(actor)))
                made += 1
            publisher.publish(messages)
            due += 1 / _BATCHES_A_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
    return made


def _break_glass(actor: str) -> AuditEvent:
    """A shipped rule finds each of these: a break-glass access without a reason."""
    return AuditEvent(
        event_id=uuid4(),
        type=_TRIGGER,
        occurred_at=datetime.now(UTC),
        source=Source(service="benchmark"),
        actor=Actor(kind=ActorKind.USER, id=actor),
        resources=(Resource(type="Patient", id="p-1"),),
        reason="-",
    )


@contextmanager
def _webhook(arrived: dict[int, _Arrival]) -> Iterator[int]:
    """A receiver: `arrived` gets, by the position of the completing event, when its notice came first."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            now = time.time()
            for record in body["data"]:
                raised_at = datetime.fromisoformat(record["recorded_at"]).timestamp()
                position = record["event"]["attributes"]["known_at_position"]
                arrived.setdefault(position, _Arrival(raised_at, now))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _followers(folder: Path, port: int) -> Path:
    secret, file = folder / "secret", folder / "forwarding.toml"
    secret.write_text("whsec_" + "A" * 44, encoding="utf-8")
    secret.chmod(0o600)
    file.write_text(_FOLLOWER.format(port=port, secret=secret), encoding="utf-8")
    return file


@contextmanager
def _process(target: Callable[[_Place], None], place: _Place) -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=target, args=(place,))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _ingest(place: _Place) -> None:
    signer = HeadSigner([SigningKey.generate("audit-trail.example/bench")])
    with closing(Database(place.url, INGEST)) as database:
        Ingest(place.settings, database, signer, registry=CollectorRegistry()).run()


def _project(place: _Place) -> None:
    with (
        closing(Database(place.url, PROJECTOR, size=8)) as database,
        closing(Publisher(place.settings)) as publisher,
    ):
        DetectionDesk(
            database, publishing_all_to(place.topic, publisher.publish), None, lambda _: None
        ).start()
        Runner(database, installed()).run()


def _forward(place: _Place) -> None:
    with (
        closing(Database(place.url, FORWARDER)) as database,
        closing(Publisher(place.settings)) as publisher,
    ):
        send = publishing_all_to(place.topic, publisher.publish)
        found = followers(load(forwarding_file=place.followers), lambda *_: None)
        make_forwarder(found, database, lambda event: send([event]), registry=CollectorRegistry()).run()


def _until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError("the parts do not catch up")
        time.sleep(0.05)
