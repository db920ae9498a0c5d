"""Where the guard publishes signed heads, for pages. Verification reads the places themselves, never this."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from domain.errors import UnavailableError
from event_store.database import Database
from event_store.statements import load

_SQL = load(__package__, "head_places.sql")
_MAX_PLACE, _MAX_PROBLEM = 1000, 2000


def note_place(database: Database, place: str, size: int | None, problem: str) -> None:
    """Note that `place` has the head of `size` events (None: not known yet), and why it takes no newer one, if so."""
    values = {"place": place[:_MAX_PLACE], "size": size, "problem": problem[:_MAX_PROBLEM]}
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["note"], values)


def forget_other_places(database: Database, places: Sequence[str]) -> None:
    """Forget the places that the settings no longer name. A database that is away keeps them until the next start."""
    with suppress(UnavailableError), database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["forget"], {"places": [place[:_MAX_PLACE] for place in places]})
