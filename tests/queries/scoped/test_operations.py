"""Which roles learn whether the log is published, verified and recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from domain.read_audit.query_log import QueryLog
from event_store.database import READER, Database
from queries.operations import Operations
from queries.scoped.operations import ScopedOperations

_WATCH = {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.ANALYST, Role.OPERATOR, Role.ADMIN}
_LETTERS = {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.OPERATOR, Role.ADMIN}


@pytest.fixture
def operations(migrated_url: str) -> Iterator[Operations]:
    with closing(Database(migrated_url, READER)) as database:
        yield Operations(database)


@pytest.mark.parametrize(
    ("ask", "allowed", "empty"),
    [
        (ScopedOperations.places, _WATCH, []),
        (ScopedOperations.cosignatures, _WATCH, []),
        (ScopedOperations.verification, _WATCH, (None, None)),
        (ScopedOperations.last_recorded, _WATCH, None),
        (ScopedOperations.letter_counts, _LETTERS, (0, 0)),
    ],
)
def test_only_who_watches_the_trail_learns_its_state(
    operations: Operations, ask: Callable[[ScopedOperations], object], allowed: set[Role], empty: object
) -> None:
    for role in Role:
        scope = Scope(Principal(id="somebody", roles=frozenset({role}), patients=("17",)))
        operating = ScopedOperations(operations, scope, QueryLog(), lambda _: [])
        if role in allowed:
            assert ask(operating) == empty
        else:
            with pytest.raises(AccessDeniedError):
                ask(operating)
