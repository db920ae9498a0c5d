"""A table of staff, loaded as an operator does."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from detection.context.rows import encode_row, make_row
from detection.context.storage import Decision, store_version
from detection.context.tables import TABLES, Format
from event_store.database import CONTEXT, Database

_STAFF = TABLES["staff"]
_DECISION = Decision("n.operator", "the nightly load", Format.CSV)


def load_staff(url: str, *rows: dict[str, Any]) -> None:
    """Load these people as the newest version of the table."""
    with closing(Database(url, CONTEXT)) as database:
        store_version(database, _STAFF, sorted(encode_row(make_row(_STAFF, row)) for row in rows), _DECISION)
