"""People, commands and a log for the tests of reviews."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from audit_trail.reviews.filters import matcher
from detection.context.rows import encode_row, make_row
from detection.context.storage import Decision, store_version
from detection.context.tables import TABLES, Format
from detection.context.version import loaded_event
from detection.reviews.reading import LogReading
from detection.reviews.review_book import ReviewBook
from domain.access.principal import Principal, Role
from domain.cases.commands import Person
from domain.reviews.commands import BeginReview, ReviewBody, ReviewCommand, ReviewKind
from event_store.database import CONTEXT, Database
from tests.signing import TEXT
from tests.trail import Trail, an_event

NOW = datetime.now(UTC).replace(microsecond=0)
PAUL = Principal(id="paul", roles=frozenset({Role.PRIVACY_OFFICER}), actors=("paul",))
RITA = Principal(id="rita", roles=frozenset({Role.REVIEWER}), actors=("rita",))
ROB = Principal(id="rob", roles=frozenset({Role.REVIEWER}), actors=("rob",))
ADA = Principal(id="ada", roles=frozenset({Role.CLINICIAN}), actors=("ada",))


def begin(**fields: Any) -> BeginReview:
    given: dict[str, Any] = {
        "name": "Accesses of spring",
        "purpose": "The yearly review.",
        "reviewed": ReviewKind.EVENTS,
        "reviewers": (Person(id="rita"), Person(id="rob")),
        "due_at": NOW + timedelta(days=30),
        "sample_size": 10,
    }
    return BeginReview(**given | fields)


def command(target: UUID, body: ReviewBody, by: Principal = PAUL, **fields: Any) -> ReviewCommand:
    given: dict[str, Any] = {"id": uuid4(), "target": target, "body": body, "by": by, "requested_at": NOW}
    return ReviewCommand(**given | fields)


def a_book(trail: Trail) -> ReviewBook:
    return ReviewBook(trail.url, TEXT, LogReading(trail.ingest), matcher)


def accesses(trail: Trail, by: Iterable[str], **fields: Any) -> list[int]:
    """An access by each of these people."""
    return trail.append(*(an_event(actor={"id": each}, **fields) for each in by))


def staff(trail: Trail, *rows: dict[str, Any]) -> None:
    """Load the table of staff, and record that."""
    table = TABLES["staff"]
    canonical = sorted(encode_row(make_row(table, row)) for row in rows)
    database = Database(trail.url, CONTEXT, size=1)
    try:
        stored, _ = store_version(database, table, canonical, Decision("paul", "a test", Format.CSV))
    finally:
        database.close()
    trail.append(loaded_event(stored))


def granted(user: str, *roles: str, before: Iterable[str] = ()) -> Any:
    """`role.changed`."""
    return an_event(
        "role.changed",
        actor={"id": "admin"},
        resources=[{"type": "User", "id": user}],
        changes=[{"path": "roles", "before": list(before), "after": list(roles)}],
    )
