"""What operators watch and decide: dead letters, requests, sources, published heads.

Nothing is redacted here, and every method blocks. `database` answers from the primary: requests are written there, and
a replica may be behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import Struct

from domain.dead_letter import Resolution
from domain.errors import ConfigurationError, Reason, RejectedError
from domain.operation_request import OperationRequest
from domain.validation import decode_event
from event_store.database import Database
from event_store.dead_letter_pages import Decision, LetterRow, decisions, page_of_letters, rejected_again
from event_store.dead_letters import DeadLetter, get_dead_letter
from event_store.event_reader import find_event
from event_store.operation_requests import (
    NewRequest,
    WorkerState,
    get_request,
    newest_requests,
    request_operation,
    requests_about,
    workers,
)
from event_store.statements import load
from event_store.tlog.notes import VerifierKey
from interop.decoding import decode
from interop.systems import OWN, Systems
from projections.registry import open_snapshot

__all__ = ["Operations", "WorkerState"]

_SQL = load(__package__, "operations.sql")
MAX_SOURCES = 200
"""Services of one list."""
MAX_COUNTED = 10_000
"""Dead letters that are counted for a page."""


class BuildInfo(NamedTuple):
    """When a live build went live. `tables`: rows and SHA-256 by table when it was rebuilt, else empty."""

    switched_at: datetime | None
    tables: dict[str, tuple[int, str]]


class Source(NamedTuple):
    """A service that reports: its newest time by its own clock, and when its last event was recorded."""

    service: str
    occurred_at: datetime
    recorded_at: datetime | None


class FailingService(NamedTuple):
    """A service whose health check failed and did not recover since."""

    service: str
    since: datetime
    instance: str | None


class HeadPlace(NamedTuple):
    """A place for signed heads, and the newest one that it has. `problem`: why it did not take a newer one."""

    place: str
    size: int | None
    published_at: datetime | None
    problem: str
    problem_since: datetime | None
    checked_at: datetime


class Cosignature(NamedTuple):
    """The newest head that a witness has signed."""

    witness: str
    size: int
    received_at: datetime


class LogVerification(NamedTuple):
    """How far the guard has verified the log.

    The newest verification that found nothing ended at `verified_at`; the log had `size` events. `all_size` and
    `all_verified_at` are those of the newest one that read all events. `problem`: why the last one failed.
    """

    size: int | None
    verified_at: datetime | None
    all_size: int | None
    all_verified_at: datetime | None
    problem: str
    problem_since: datetime | None
    checked_at: datetime
    due_at: datetime


class OpenFindings(NamedTuple):
    """The number of the guard's open findings, and the oldest of the gravest. `fact`: it is proved, not claimed."""

    total: int
    what: str
    place: str
    fact: bool
    first_seen: datetime


class LetterCounts(NamedTuple):
    """Dead letters of the last 24 hours and in all, each counted up to `MAX_COUNTED`."""

    last_day: int
    all: int


class LetterPage(NamedTuple):
    """Dead letters with the decisions on each. `more`: older ones follow."""

    rows: list[LetterRow]
    decisions: dict[int, list[Decision]]
    more: bool


class Letter(NamedTuple):
    """One dead letter. `recorded`: the event of its message, if ingest accepted it after a requeue."""

    letter: DeadLetter
    decisions: list[Decision]
    requests: list[OperationRequest]
    recorded: tuple[UUID, int] | None
    rejected_again: int | None


class RequestState(Struct, frozen=True):
    """A request, and the process that would carry it out; None if none was ever seen."""

    request: OperationRequest
    worker: WorkerState | None


class Operations:
    """Queries and requests. `models_database` has the read models, and may be a replica."""

    def __init__(
        self, database: Database, models_database: Database | None = None, systems: Systems = OWN
    ) -> None:
        self._database = database
        self._models = models_database or database
        self._systems = systems

    def live_builds(self) -> dict[str, BuildInfo]:
        """By projection."""
        return {
            name: BuildInfo(switched_at, _tables(attestation))
            for name, switched_at, attestation in self._rows(self._models, "builds")
        }

    def sources(self) -> list[Source]:
        """The services that reported last, the newest first."""
        return [Source(*row) for row in self._read_models("sources", MAX_SOURCES)]

    def failing_services(self, limit: int = MAX_SOURCES) -> list[FailingService]:
        """The services that are down now."""
        return [FailingService(*row) for row in self._read_models("failing", limit)]

    def places(self) -> list[HeadPlace]:
        """Where the guard publishes heads."""
        return [HeadPlace(*row) for row in self._rows(self._database, "places")]

    def cosignatures(self) -> list[Cosignature]:
        """The witnesses."""
        return [
            Cosignature(VerifierKey.parse(vkey).name, size, at)
            for vkey, size, at in self._rows(self._database, "cosignatures")
        ]

    def verification(self) -> LogVerification | None:
        """How far the guard has verified the log; None if it never has."""
        rows = self._rows(self._database, "verification")
        return LogVerification(*rows[0]) if rows else None

    def open_findings(self) -> OpenFindings | None:
        """What the guard has found and is still open."""
        rows = self._rows(self._database, "findings")
        return OpenFindings(*rows[0]) if rows else None

    def last_recorded(self) -> datetime | None:
        """When the newest event was recorded; None when there is none."""
        rows = self._rows(self._database, "last_recorded")
        return rows[0][0] if rows else None

    def letter_counts(self) -> LetterCounts:
        """How many dead letters there are."""
        (row,) = self._rows(self._database, "letter_counts", {"limit": MAX_COUNTED})
        return LetterCounts(*row)

    def letters(
        self, *, before: int | None, limit: int, reason: Reason | None, topic: str | None
    ) -> LetterPage:
        """A page of dead letters, the newest first."""
        with self._database.transaction(read_only=True) as connection:
            rows = page_of_letters(connection, before=before, limit=limit + 1, reason=reason, topic=topic)
            shown = rows[:limit]
            return LetterPage(shown, decisions(connection, [row.letter for row in shown]), len(rows) > limit)

    def letter(self, id: int) -> Letter | None:
        """One dead letter with its message."""
        with self._database.transaction(read_only=True) as connection:
            try:
                letter = get_dead_letter(connection, id)
            except ConfigurationError:  # there is none
                return None
            decided = decisions(connection, [letter])[id]
            requeued = [each.at for each in decided if each.what is Resolution.REQUEUED]
            event_id = self._event_id(letter) if requeued else None
            found = None if event_id is None else find_event(connection, event_id)
            recorded = (
                (found.event.event_id, found.position)
                if found is not None and letter.reason is not Reason.CONFLICT
                else None
            )
            again = rejected_again(connection, letter) if requeued and recorded is None else None
        requests = requests_about(self._database, str(id), 20, rebuild=False)
        return Letter(letter, decided, requests, recorded, again)

    def _event_id(self, letter: DeadLetter) -> UUID | None:
        """The id of the event in a message, if this program can read it."""
        try:
            size = len(letter.value or b"")
            found = decode(letter.value, letter.headers, max_bytes=size, systems=self._systems)
        except RejectedError:
            return None
        return found.event.event_id

    def request(self, new: NewRequest) -> OperationRequest:
        """Ask. Raises `ConflictError` for what the person can correct."""
        return request_operation(self._database, new)

    def requests(self, limit: int, before: int | None = None) -> list[OperationRequest]:
        """The newest requests."""
        return newest_requests(self._database, limit, before)

    def request_state(self, id: int) -> RequestState | None:
        """One request."""
        found = get_request(self._database, id)
        return None if found is None else RequestState(found, self.workers().get(found.kind.part))

    def workers(self) -> dict[str, WorkerState]:
        """The processes that carry out requests, by part."""
        return workers(self._database)

    def _read_models(self, statement: str, limit: int) -> Sequence[Any]:
        with self._models.transaction(read_only=True) as connection, connection.cursor() as cursor:
            if "service" not in open_snapshot(connection):  # before the projector's first start
                return []
            cursor.execute(_SQL[statement], {"limit": limit})
            return cursor.fetchall()

    @staticmethod
    def _rows(database: Database, statement: str, values: dict[str, Any] | None = None) -> Sequence[Any]:
        with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL[statement], values)
            return cursor.fetchall()


def _tables(attestation: memoryview | None) -> dict[str, tuple[int, str]]:
    if attestation is None:
        return {}
    tables = decode_event(bytes(attestation)).attributes.get("tables", {})
    return {name: (table["rows"], table["sha256"]) for name, table in tables.items()}
