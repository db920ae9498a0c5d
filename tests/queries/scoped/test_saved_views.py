"""Which saved views a person sees: the own ones, and of those of a role what the person could ask too."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import psycopg2.extensions
import pytest
from msgspec.structs import replace

from domain.access.principal import Principal, Role
from domain.access.saved_view import view_deleted, view_saved
from domain.access.scope import Scope
from domain.catalogue import TRAIL_SERVICE
from domain.errors import AccessDeniedError
from domain.event import ActorKind, AuditEvent, Source
from domain.read_audit.query_log import QueryLog
from projections.registry import open_snapshot
from queries.saved_views import find_own_view, find_own_views, find_shared_views
from queries.scoped.read_models import ScopedModels
from tests.domain.access.knowing import somebody
from tests.trail import START, Trail
from web.dashboard.addresses import filter_of_query

CHIEF = somebody(Role.ADMIN)
SHARED = {
    "Break-glass": "emergency=true",
    "By address": "address=10.0.0.99",
    "By patient": "patient=17",
    "By a name": "patient=Doe%2C+Jane",
    "By a value no longer known": "unheard_of=1",
}


def view(
    name: str, filter: str, shared: Role | None = None, by: Principal = CHIEF, number: int = 0
) -> AuditEvent:
    return view_saved(
        name, filter, shared, by=by, owned=number, at=START, source=Source(service=TRAIL_SERVICE)
    )


def names(trail: Trail, principal: Principal) -> list[str]:
    log = QueryLog()
    found = ScopedModels(trail.read, Scope(principal), log).shared_views(filter_of_query)
    assert [(each.operation, each.returned) for each in log.queries] == [("shared_views", len(found.views))]
    return [each.name for each in found.views]


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        (Role.AUDITOR, {"Break-glass", "By address", "By patient", "By a name"}),
        (Role.CLINICIAN, {"Break-glass", "By address", "By patient", "By a name"}),
        (Role.SECURITY_OFFICER, {"Break-glass", "By address", "By patient"}),
        (Role.ANALYST, {"Break-glass", "By address", "By patient"}),
        (Role.DEVICE_MANAGER, {"Break-glass", "By patient"}),
    ],
)
def test_a_view_is_shown_to_those_of_the_role_who_may_ask_by_its_conditions(
    trail: Trail, role: Role, seen: set[str]
) -> None:
    trail.given(*(view(name, filter, role) for name, filter in SHARED.items()))
    assert set(names(trail, somebody(role))) == seen
    for other in set(Role) - {role, Role.OPERATOR, Role.PUBLISHER}:
        assert names(trail, somebody(other)) == []
    # One of several roles is enough.
    both = replace(somebody(Role.AUDITOR), roles=frozenset({Role.AUDITOR, role}))
    assert set(names(trail, both)) == {"Break-glass", "By address", "By patient", "By a name"}


def test_who_reads_no_events_has_no_views(trail: Trail) -> None:
    for role in (Role.OPERATOR, Role.PUBLISHER):
        log = QueryLog()
        models = ScopedModels(trail.read, Scope(somebody(role)), log)
        with pytest.raises(AccessDeniedError):
            models.own_views()
        with pytest.raises(AccessDeniedError):
            models.shared_views(filter_of_query)
        assert log.has_denied


def test_a_program_with_the_id_of_a_person_has_not_the_views_of_the_person(trail: Trail) -> None:
    ada = somebody(Role.AUDITOR)
    trail.given(view("Mine", "emergency=true", by=ada))
    [mine] = ScopedModels(trail.read, Scope(ada), QueryLog()).own_views()
    program = ScopedModels(trail.read, Scope(replace(ada, kind=ActorKind.SERVICE)), QueryLog())
    assert program.own_views() == []
    assert program.own_view(mine.id) is None


def test_the_owner_of_a_view_is_hidden_where_names_are_and_the_id_is_one(trail: Trail) -> None:
    named = Principal(id="Doe, Jane", roles=frozenset({Role.ADMIN}))
    trail.given(view("A", "", Role.ANALYST), view("B", "", Role.ANALYST, by=named))
    models = ScopedModels(trail.read, Scope(somebody(Role.ANALYST)), QueryLog())
    assert [each.owner for each in models.shared_views(filter_of_query).views] == [CHIEF.id, ""]


@pytest.fixture
def many(trail: Trail) -> Trail:
    """Some thousand views of many people, half of them deleted, with statistics."""
    people = [Principal(id=f"u{number}", roles=frozenset({Role.ADMIN})) for number in range(100)]
    roles = (None, Role.AUDITOR, Role.ANALYST)
    trail.given(
        *(
            view(f"v{number:04}", "emergency=true", roles[number % 3], people[number % 100], number % 50)
            for number in range(3000)
        )
    )
    gone = [each for person in people for each in trail.read.own_views(person.id)[::2]]
    by = {person.id: person for person in people}
    trail.given(
        *(
            view_deleted(
                each, each.version, by=by[each.owner], at=START, source=Source(service=TRAIL_SERVICE)
            )
            for each in gone
        )
    )
    with closing(psycopg2.connect(trail.url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("VACUUM ANALYZE")
    return trail


def test_the_views_of_a_role_are_pages_that_an_index_gives_and_that_follow_each_other(many: Trail) -> None:
    reader = "u7"
    found, after = [], ("", "")
    while True:
        page = many.read.shared_views(reader, {Role.AUDITOR, Role.ANALYST}, 100, after)
        found += page.views
        if page.next is None:
            break
        after = page.next
    expected = many.rows(
        "SELECT name FROM user_v3.user_view WHERE NOT deleted AND shared_with <> '' AND owner <> 'u7' ORDER BY name"
    )
    assert [(each.name,) for each in found] == expected
    assert len(found) > 900
    with many.reader.transaction(read_only=True) as connection:
        open_snapshot(connection)
        plans: list[str] = []

        class Explaining(psycopg2.extensions.cursor):
            def execute(self, query: str, vars: object = None) -> None:  # type: ignore[override]
                super().execute(f"EXPLAIN {query}", vars)  # type: ignore[arg-type]
                plans.append("\n".join(row[0] for row in self.fetchall()))
                super().execute(query, vars)  # type: ignore[arg-type]

        connection.cursor_factory = Explaining
        try:
            own = find_own_views(connection, reader)
            find_own_view(connection, reader, own[0].id)
            find_shared_views(connection, reader, [Role.AUDITOR, Role.ANALYST], 20)
        finally:
            connection.cursor_factory = psycopg2.extensions.cursor
    assert len(plans) == 3
    assert [plan for plan in plans if "Seq Scan on user_view" in plan] == []
    assert "user_view_by_shared_with" in plans[2]
