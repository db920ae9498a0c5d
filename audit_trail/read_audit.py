"""The record of reads, put together from the settings: for the API and for commands that show what is in the trail."""

from __future__ import annotations

import os
import pwd
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import typer
from msgspec.structs import replace

from audit_trail import components
from audit_trail.settings import Settings
from domain.access.principal import Principal
from domain.errors import ConfigurationError, UnavailableError
from domain.event import Source
from domain.read_audit.events import Look, Stage, Via, read_events
from domain.read_audit.query_log import Read
from domain.validation import encode_event
from ingest.publisher import Message, Publisher
from web.read_audit.publication import Otherwise, RecordingSettings, When


def recording_publisher(settings: Settings) -> Publisher:
    """A connection of its own, that gathers nothing by itself and gives up sooner."""
    seconds = min(settings.publish_timeout_seconds, settings.reads_record_seconds)
    ingest = components.ingest_settings(settings)
    return Publisher(replace(ingest, publish_timeout_seconds=seconds), linger_ms=0)


def recording_settings(settings: Settings) -> RecordingSettings:
    """What the API's record of reads is told."""
    return RecordingSettings(
        topic=settings.kafka_topics[0],
        when=When(settings.reads_recorded),
        otherwise=Otherwise(settings.reads_unrecorded),
        seconds=settings.reads_record_seconds,
        max_waiting=settings.reads_waiting,
        max_bytes=settings.max_message_bytes,
    )


def own_source() -> Source:
    """Who reports what the trail itself records."""
    return Source(service="audit-trail", instance=socket.gethostname() or None)


def operator() -> Principal:
    """Whoever runs this command, by the account that the system knows and no variable can change."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid:{uid}"
    return Principal(
        id=name, roles=frozenset(), issuer=f"os:{socket.gethostname()}", session=str(os.getsid(0))
    )


class CommandRecord:
    """Puts on record what a command shows, before it does. `unrecorded`: why it may go on when that can't be done.

    Enter it before anything is read. Raises `UnavailableError` or `ConfigurationError` when the record can't be kept,
    and there is no reason to go on, and the setting does not say `flag` either.
    """

    def __init__(
        self, settings: Settings, command: str, asked: Mapping[str, Any], unrecorded: str | None = None
    ) -> None:
        self._settings = settings
        self._command = command
        self._asked = asked
        self._unrecorded = unrecorded
        self._publisher: Publisher | None = None
        self._principal = operator()
        self._correlation = str(uuid4())
        self._began = time.monotonic()
        self._warned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._publisher is not None:
            self._publisher.close()

    def started(self) -> None:
        """See `ExportRecord`, also of the methods below."""
        self._keep(0, (), Stage.STARTED)

    def delivered(self, rows: int, patients: Sequence[str]) -> None:
        """The next rows disclose these patients."""
        self._keep(rows, patients, Stage.DELIVERED)

    def ended(self, rows: int, reason: str | None) -> None:
        """The export is over."""
        self._keep(rows, (), Stage.ENDED, reason)

    def shown(self, returned: int, patients: Sequence[str] = ()) -> None:
        """What is shown at once."""
        self._keep(returned, patients, None)

    def _keep(
        self, returned: int, patients: Sequence[str], stage: Stage | None, reason: str | None = None
    ) -> None:
        if self._warned:
            return  # each further try would wait for a time-out
        settings = self._settings
        look = Look(
            via=Via.COMMAND_LINE,
            address=f"command:{self._command}",
            correlation_id=self._correlation,
            at=datetime.now(UTC),
            duration_ms=(time.monotonic() - self._began) * 1000,
            operation=self._command,
            stage=stage,
            reason=reason,
            why=self._unrecorded,
        )
        events = read_events(
            self._principal,
            [Read(self._command, self._asked, returned)],
            patients,
            look,
            own_source(),
            max_bytes=settings.max_message_bytes,
        )
        try:
            if self._publisher is None:
                self._publisher = recording_publisher(settings)
            self._publisher.publish(
                Message(settings.kafka_topics[0], self._principal.id.encode(), encode_event(event))
                for event in events
            )
        except (UnavailableError, ConfigurationError) as exc:
            self._go_on(exc)

    def _go_on(self, exc: UnavailableError | ConfigurationError) -> None:
        if self._unrecorded is None and self._settings.reads_unrecorded == "refuse":
            raise type(exc)(
                f"this can't be put on record, so it is not done: {exc}."
                " --unrecorded REASON does it all the same"
            ) from exc
        self._warned = True
        typer.echo(f"audit-trail: this is not on record: {exc}", err=True)
