"""The guard's stored findings: open until their cause is gone, or until an operator closes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from domain.errors import ConfigurationError, ConflictError, Reason
from event_store.database import Connection, named, only
from event_store.statements import load

MAX_ENDS = 5
ENDS_SECONDS = 3600.0
"""How often findings of one kind may end without an operator within that time."""
_CHANGING = re.compile(r"\b[0-9a-f]{16,}\b|[0-9]+")
"""Sizes, positions and hashes in a finding. Each event about a finding extends the log and changes these numbers."""


class Check(StrEnum):
    """The check that found it."""

    PUBLISH = "publish"
    VERIFY = "verify"


class Certainty(StrEnum):
    """The certainty of a finding."""

    FACT = "fact"
    """Proved by the log itself, or by a head that its key has signed."""
    CLAIM = "claim"
    """Claimed by a third party without proof."""


class NewFinding(NamedTuple):
    """A new finding. `cause` distinguishes the findings of one check and place.

    `head_size` and `head_root` belong to the signed head that the log does not continue, if there is one.
    """

    check: Check
    place: str
    cause: str
    certainty: Certainty
    what: str
    log_size: int
    position: int | None = None
    head_size: int | None = None
    head_root: bytes | None = None

    @property
    def kind(self) -> str:
        """A key that is equal for findings that differ only in numbers."""
        where = "log" if self.position is None else "position"
        return f"{self.check} {self.place} {self.certainty} {where}: {without_numbers(self.what)}"


class StoredFinding(NamedTuple):
    """A stored finding. `closed_by` is None while it is open, and when its cause went away without an operator."""

    id: int
    check: Check
    place: str
    certainty: Certainty
    what: str
    position: int | None
    log_size: int
    head_size: int | None
    head_root: bytes | None
    first_seen: datetime
    last_seen: datetime
    seen: int
    event_id: UUID
    reported_at: datetime | None
    closed_at: datetime | None
    closed_by: str | None
    close_reason: str | None
    answer_id: UUID
    answered_at: datetime | None


_SQL = load("event_store", "integrity_findings.sql")


def without_numbers(what: str) -> str:
    """`what` with `#` in place of each number and hash."""
    return _CHANGING.sub("#", what)


def see_finding(connection: Connection, finding: NewFinding) -> bool:
    """Open a finding, or count it again if it is open. Returns whether it is new."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["see"], {**finding._asdict(), "found_by": finding.check, "kind": finding.kind})
        return bool(only(cursor))


def open_findings(connection: Connection) -> list[StoredFinding]:
    """All open findings, the oldest first."""
    return _rows(connection, "open")


def page_of_findings(
    connection: Connection, *, after: int = 0, limit: int = 100, closed: bool = False
) -> list[StoredFinding]:
    """Findings in order of id, starting after `after`; with `closed`, including closed ones."""
    return _rows(connection, "page", after=after, limit=limit, closed=closed)


def unreported(connection: Connection, quiet_seconds: float) -> list[StoredFinding]:
    """Findings to publish as events now: one of each kind, none within `quiet_seconds` of the last of its kind."""
    return _rows(connection, "unreported", quiet=quiet_seconds)


def unanswered(connection: Connection) -> list[StoredFinding]:
    """Published findings that have ended and whose end is not published yet."""
    return _rows(connection, "unanswered")


def mark_reported(connection: Connection, id: int) -> None:
    """Record that the trail contains the event about the finding."""
    _change(connection, "reported", id=id)


def mark_answered(connection: Connection, id: int) -> None:
    """Record that the trail contains the event about its end."""
    _change(connection, "answered", id=id)


def end_findings(connection: Connection, ids: Sequence[int]) -> list[StoredFinding]:
    """Close findings whose cause is gone, and return them.

    A finding whose kind has ended `MAX_ENDS` times within `ENDS_SECONDS` stays open until it was not seen for that
    long. So a place that fails and recovers repeatedly adds no row each time; `seen` counts.
    """
    ending = _rows(connection, "steady", ids=list(ids), within=ENDS_SECONDS, most=MAX_ENDS)
    _change(connection, "close", ids=[each.id for each in ending], by=None, reason=None)
    return ending


def close_finding(connection: Connection, id: int, by: str, reason: str) -> StoredFinding:
    """Close a finding by an operator's decision. Repeating the same decision changes nothing.

    Raises `ConfigurationError` when the finding does not exist, and `ConflictError` when it was closed with another
    name or reason, or ended by itself.
    """
    found = _rows(connection, "one_locked", id=id)
    if not found:
        raise ConfigurationError(f"there is no finding {id}: see `audit-trail findings list`")
    (finding,) = found
    if finding.closed_at is None:
        _change(connection, "close", ids=[id], by=by, reason=reason)
        (finding,) = _rows(connection, "one", id=id)
    elif finding.closed_by is None:
        raise ConflictError(Reason.CONFLICT, f"finding {id} has ended already: its cause is gone")
    elif (finding.closed_by, finding.close_reason) != (by, reason):
        raise ConflictError(
            Reason.CONFLICT, f"finding {id} was closed already: see `audit-trail findings list --closed`"
        )
    return finding


def _rows(connection: Connection, name: str, **values: Any) -> list[StoredFinding]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], values)
        return [_from_row(row) for row in named(cursor)]


def _change(connection: Connection, name: str, **values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SQL[name], values)


def _from_row(row: dict[str, Any]) -> StoredFinding:
    found = StoredFinding(*(row[name] for name in StoredFinding._fields))
    return found._replace(
        check=Check(found.check),
        certainty=Certainty(found.certainty),
        head_root=None if found.head_root is None else bytes(found.head_root),
    )
