"""The access record of a command that shows data of the trail, and the operator that it names."""

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

from audit_trail.read_audit import recording_publisher
from audit_trail.settings import Settings
from domain.access.principal import Principal
from domain.errors import ConfigurationError, UnavailableError
from domain.read_audit.events import AccessDetails, Stage, Via, read_events
from domain.read_audit.query_log import LoggedQuery
from domain.validation import encode_event
from ingest.own_source import own_source
from ingest.publisher import Message, Publisher


def operator() -> Principal:
    """The account that runs this command, as the system knows it: no variable can change it."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid:{uid}"
    return Principal(
        id=name, roles=frozenset(), issuer=f"os:{socket.gethostname()}", session=str(os.getsid(0))
    )


class CommandRecord:
    """The access record of one command, published before the command shows anything.

    `query`: the query of the command. `unrecorded`: the operator's reason to continue when the record can't be
    published. Without a reason, unless the setting `reads_unrecorded` is `flag`, each method then raises
    `UnavailableError` or `ConfigurationError`. Use it with `with`, before anything is read.
    """

    def __init__(
        self, settings: Settings, command: str, query: Mapping[str, Any], unrecorded: str | None = None
    ) -> None:
        self._settings = settings
        self._command = command
        self._query = query
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
        """Record that a long command starts."""
        self._publish(0, (), Stage.STARTED)

    def delivered(self, rows: int, patients: Sequence[str]) -> None:
        """Record, before the next `rows` rows are shown, the patients that they disclose for the first time."""
        self._publish(rows, patients, Stage.DELIVERED)

    def ended(self, rows: int, reason: str | None) -> None:
        """Record that a long command ended after `rows` rows; `reason`: why it was cut off."""
        self._publish(rows, (), Stage.ENDED, reason)

    def showing(self, returned: int, patients: Sequence[str] = ()) -> None:
        """Record a command that shows everything at once."""
        self._publish(returned, patients, None)

    def _publish(
        self, returned: int, patients: Sequence[str], stage: Stage | None, reason: str | None = None
    ) -> None:
        if self._warned:
            return  # each further attempt would wait for a time-out
        settings = self._settings
        details = AccessDetails(
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
            [LoggedQuery(self._command, self._query, returned)],
            patients,
            details,
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
            self._continue_unrecorded(exc)

    def _continue_unrecorded(self, exc: UnavailableError | ConfigurationError) -> None:
        if self._unrecorded is None and self._settings.reads_unrecorded == "refuse":
            raise type(exc)(
                f"this can't be put on record, so it is not done: {exc}."
                " --unrecorded REASON does it all the same"
            ) from exc
        self._warned = True
        typer.echo(f"audit-trail: this is not on record: {exc}", err=True)
