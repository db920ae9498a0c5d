"""The recorders of the `eventsourcing` library, on the same log and the same append as all other events.

`PERSISTENCE_MODULE=event_store.recorder` selects this module for an `Application`; see `LogInfrastructure` for its
settings. The library numbers notifications from 1, the log numbers positions from 0: a notification id is the position
plus one.

Notifications cover the whole log, including audit events; a follower selects topics.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    IntegrityError,
    ListenNotifySubscription,
    Notification,
    OperationalError,
    ProcessRecorder,
    StoredEvent,
    Tracking,
    TrackingRecorder,
)
from eventsourcing.utils import Environment, resolve_topic

from domain.body import BodyFormat
from domain.errors import ConfigurationError, FencedError, UnavailableError
from event_store.append import NewEvent, append
from event_store.database import INGEST, Connection, Cursor, Database, ping, translated
from event_store.event_reader import log_size
from event_store.notification import CHANNEL, Announcer
from event_store.signing import HeadSigner, read_signer
from event_store.statement_errors import StatementError
from event_store.statements import load

_SQL = load(__package__, "recorder.sql")
_POLL_SECONDS = 2.0
"""A subscription polls this often, so that a lost NOTIFY delays an event but never loses it."""
_QUIET_SECONDS = 10.0
"""After this time without a NOTIFY the connection is tested: a listener alone would not detect a silent server."""


@contextmanager
def _library_errors() -> Iterator[None]:
    try:
        yield
    except FencedError as exc:
        raise IntegrityError(str(exc)) from exc
    except UnavailableError as exc:
        raise OperationalError(str(exc)) from exc


class _OnLog:
    """The common part of the recorders: stored events of aggregates are events of the log.

    `originator_id` is the stream, `originator_version` the stream position.
    """

    _name = ""

    def __init__(self, database: Database, signer: HeadSigner | None = None) -> None:
        self._database = database
        self._announcer = Announcer(database)
        self._signer = signer

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The events of one aggregate in order of version."""
        with self._cursor() as cursor:
            cursor.execute(
                _SQL["aggregate_events"],
                {"stream": originator_id, "after": gt, "until": lte, "newest_first": desc, "limit": limit},
            )
            return [
                StoredEvent(stream, version, topic, bytes(state))
                for stream, version, topic, state in cursor.fetchall()
            ]

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        with (
            _library_errors(),
            self._database.transaction(read_only=True) as connection,
            connection.cursor() as cursor,
        ):
            yield cursor

    def _insert(
        self, stored_events: Sequence[StoredEvent], tracking: Tracking | None = None
    ) -> Sequence[int]:
        now = datetime.now(UTC)
        events = [
            NewEvent(
                event_id=uuid4(),
                stream=_uuid(stored.originator_id),
                stream_position=stored.originator_version,
                type=stored.topic,
                occurred_at=now,
                format=BodyFormat.AGGREGATE,
                body=stored.state,
            )
            for stored in stored_events
        ]
        if self._signer is None:
            raise ConfigurationError("LOG_KEY is not set: an append needs it to sign the log's head")
        with _library_errors(), self._database.transaction() as connection:
            appended = append(connection, events, self._signer)
            if tracking is not None:
                self._track(connection, tracking)
        self._announcer.announce(appended.size)
        return [position + 1 for position in range(appended.first, appended.size)]

    def _track(self, connection: Connection, tracking: Tracking) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                _SQL["track"],
                {
                    "recorder": self._name,
                    "application": tracking.application_name,
                    "notification_id": tracking.notification_id,
                },
            )
            if cursor.rowcount != 1:
                raise FencedError(f"{tracking.application_name} is tracked beyond {tracking.notification_id}")


class LogRecorder(_OnLog, AggregateRecorder):
    """A recorder for aggregates, without notifications."""

    def insert_events(  # the signature is the library's
        self,
        stored_events: Sequence[StoredEvent],
        **kwargs: Any,  # noqa: ARG002
    ) -> Sequence[int] | None:
        """Append all events or none. Raises the library's `IntegrityError` when a version is taken."""
        self._insert(stored_events)
        return None


class LogApplicationRecorder(_OnLog, ApplicationRecorder):
    """The whole log as the library's application sequence."""

    def insert_events(  # the signature is the library's
        self,
        stored_events: Sequence[StoredEvent],
        **kwargs: Any,  # noqa: ARG002
    ) -> Sequence[int] | None:
        """Append all events or none, and return their notification ids."""
        return self._insert(stored_events)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Notifications in order; `start` and `stop` are notification ids."""
        first = 0 if start is None else start - 1 if inclusive_of_start else start
        with self._cursor() as cursor:
            cursor.execute(
                _SQL["notifications"],
                {"begin": first, "stop": stop, "topics": list(topics), "limit": limit},
            )
            return [
                Notification(
                    id=position + 1,
                    originator_id=stream,
                    originator_version=version,
                    topic=topic,
                    state=bytes(body),
                )
                for position, stream, version, topic, body in cursor.fetchall()
            ]

    def max_notification_id(self) -> int | None:
        """The id of the last notification; None while the log is empty."""
        with _library_errors(), self._database.transaction(read_only=True) as connection:
            return log_size(connection) or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> LogSubscription:
        """Follow the log after notification `gt`."""
        return LogSubscription(self, gt, topics)

    def listen(self) -> Connection:
        """A dedicated connection that listens for appends."""
        connection = self._database.connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        return connection


class LogSubscription(ListenNotifySubscription[LogApplicationRecorder]):
    """A subscription that NOTIFY wakes, that polls every few seconds, and that reconnects after an outage."""

    def __init__(self, recorder: LogApplicationRecorder, gt: int | None, topics: Sequence[str]) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        try:
            super().__exit__(*args, **kwargs)
        finally:
            self._listener.join()

    def _listen(self) -> None:
        connection: Connection | None = None
        heard = 0.0
        while not self._has_been_stopped:
            try:
                with translated():
                    if connection is None:
                        connection, heard = self._recorder.listen(), time.monotonic()
                    # Poll once after LISTEN took effect: an event between the first poll and LISTEN is not announced.
                    self._has_been_notified.set()
                    if select.select([connection], [], [], _POLL_SECONDS / 10)[0]:
                        connection.poll()
                        connection.notifies.clear()
                        heard = time.monotonic()
                    elif time.monotonic() - heard > _QUIET_SECONDS:
                        ping(connection)
                        heard = time.monotonic()
            except (UnavailableError, StatementError, OSError, ValueError):
                connection = None
                self._has_been_notified.wait(_POLL_SECONDS)
        if connection is not None:
            connection.close()


class LogTrackingRecorder(_OnLog, TrackingRecorder):
    """Tracking records of the library, one row for each upstream application."""

    def __init__(self, database: Database, name: str = "tracking", signer: HeadSigner | None = None) -> None:
        super().__init__(database, signer)
        self._name = name

    def insert_tracking(self, tracking: Tracking) -> None:
        """Advance the tracking record. Raises the library's `IntegrityError` when it is already there or beyond."""
        with _library_errors(), self._database.transaction() as connection:
            self._track(connection, tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        """The last tracked notification id of the application."""
        with self._cursor() as cursor:
            cursor.execute(_SQL["tracked"], {"recorder": self._name, "application": application_name})
            row = cursor.fetchone()
            return None if row is None else int(row[0])


class LogProcessRecorder(LogTrackingRecorder, LogApplicationRecorder, ProcessRecorder):
    """New events and the tracking record in one transaction."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append events (possibly none) together with the `tracking` record."""
        return self._insert(stored_events, kwargs.get("tracking"))


class LogInfrastructure(InfrastructureFactory[LogTrackingRecorder]):
    """The library's factory for this module.

    Settings: `DATABASE_URL`, `DATABASE_POOL_SIZE` (default 4), and `LOG_KEY`, the text of a key file, required for
    appends.
    """

    def __init__(self, env: Environment | dict[str, str] | None) -> None:
        super().__init__(env)
        url = self.env.get("DATABASE_URL")
        if not url:
            raise ConfigurationError("DATABASE_URL is not set")
        size = int(self.env.get("DATABASE_POOL_SIZE") or 4)
        self._database = Database(url, INGEST, size=size, application_name="audit-trail-application")
        key = self.env.get("LOG_KEY")
        self._signer = read_signer(key) if key else None

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """A recorder without notifications. Snapshots are not supported: the trail's aggregates have few events."""
        if purpose != "events":
            raise ConfigurationError(f"the log stores no {purpose}: turn snapshotting off")
        return LogRecorder(self._database, self._signer)

    def application_recorder(self) -> ApplicationRecorder:
        """A recorder for the whole log."""
        return LogApplicationRecorder(self._database, self._signer)

    def tracking_recorder(
        self, tracking_recorder_class: type[LogTrackingRecorder] | None = None
    ) -> LogTrackingRecorder:
        """A recorder of tracking records under the application's name, or ``tracking``."""
        topic = self.env.get(self.TRACKING_RECORDER_TOPIC)
        recorder = tracking_recorder_class or (resolve_topic(topic) if topic else LogTrackingRecorder)
        made: LogTrackingRecorder = recorder(self._database, self.env.name or "tracking", self._signer)
        return made

    def process_recorder(self) -> ProcessRecorder:
        """A recorder of events and tracking records in one transaction."""
        return LogProcessRecorder(self._database, self.env.name or "tracking", self._signer)

    def close(self) -> None:
        """Close the idle connections."""
        self._database.close()


def _uuid(originator_id: UUID | str) -> UUID:
    return originator_id if isinstance(originator_id, UUID) else UUID(originator_id)
