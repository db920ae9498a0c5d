"""Saved views, from the read model that the user projection keeps: see `domain.access.saved_view`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from msgspec import Struct

from domain.access.principal import Role
from domain.access.saved_view import MAX_VIEWS, SavedView
from event_store.database import Connection
from event_store.statements import load

_SQL = load(__package__, "saved_views.sql")
_MOST_OWN = 2 * MAX_VIEWS
"""A burst of requests may save more views than one person may have."""

Place = tuple[str, str]
"""(name, id) of a view: where a list continues."""
BEGIN: Place = ("", "")


class SharedViews(Struct, frozen=True):
    """Views of others, by name. `next` is where the list continues; None at its end.

    A page may be short, even empty, and not be the last.
    """

    views: list[SavedView]
    next: Place | None


def find_own_views(connection: Connection, owner: str) -> list[SavedView]:
    """The views of a person, by name."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["list_own"], {"owner": owner, "limit": _MOST_OWN})
        return [_view(*row) for row in cursor.fetchall()]


def find_own_view(connection: Connection, owner: str, id: UUID) -> SavedView | None:
    """One view of a person, None when there is none, or it was deleted."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["find_own"], {"owner": owner, "view": str(id)})
        row = cursor.fetchone()
    return None if row is None else _view(*row)


def find_shared_views(
    connection: Connection, owner: str, roles: Iterable[Role], limit: int, after: Place = BEGIN
) -> SharedViews:
    """At most `limit` views that others than `owner` share with one of `roles`."""
    name, view = after
    parameters = {
        "owner": owner,
        "roles": [role.value for role in roles],
        "after_name": name,
        "after_view": view,
        "limit": limit + 1,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SQL["list_shared"], parameters)
        found = [_view(*row) for row in cursor.fetchall()]
    views = found[:limit]
    return SharedViews(views, (views[-1].name, str(views[-1].id)) if len(found) > limit else None)


def _view(owner: str, view: str, name: str, filter: str, shared_with: str, position: Any) -> SavedView:
    return SavedView(
        id=UUID(view),
        owner=owner,
        name=name,
        filter=filter,
        shared_with=Role(shared_with) if shared_with else None,
        version=position,
    )
