"""Persons by name: whose words begin so, for which roles, and by an index however large the trail is."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from domain.access.grants import Part
from domain.access.principal import Role
from domain.access.scope import Scope
from domain.errors import AccessDeniedError, ConflictError
from domain.read_audit.query_log import QueryLog
from event_store.statements import load
from projections.name_words import name_words
from queries.scoped.read_models import ScopedModels
from queries.summaries.people import Person
from tests.domain.access.knowing import somebody
from tests.trail import Trail, an_event

NORA = {"id": "n.nightshift", "name": "Nora Nightshift"}
ZOE = {"id": "z", "name": "Dr. Zoë Müller-Lang"}
PATIENT = {"id": "p-9", "name": "Nora Patient", "kind": "patient"}


@pytest.fixture
def named(trail: Trail) -> Trail:
    trail.given(
        an_event(actor=NORA, patients=[{"id": "17"}]),
        an_event(actor=ZOE),
        an_event(actor=PATIENT),
        an_event(actor={"id": "pump-1", "name": "Nora's pump", "kind": "device"}),
    )
    return trail


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Dr. Zoë Müller-Lang", ("dr", "zoe", "muller", "lang")),
        ("N. Nightshift", ("nightshift",)),
        ("DOE^JANE", ("doe", "jane")),
        ("Straße", ("strasse",)),
        ("山田 太郎", ("山田", "太郎")),
        ("o o Nora nora", ("nora",)),
        ("", ()),
        ("x" * 2000, ("x" * 64,)),
        (" ".join(f"w{number}" for number in range(50)), tuple(f"w{number}" for number in range(8))),
    ],
)
def test_the_words_of_a_name(name: str, words: tuple[str, ...]) -> None:
    assert name_words(name) == words


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        ("nora", ["n.nightshift", "p-9"]),
        ("Nora Night", ["n.nightshift"]),
        ("night nora", ["n.nightshift"]),
        ("muller", ["z"]),
        ("MÜLL", ["z"]),
        ("shift", []),  # the beginning of a word, not its middle
        ("nobody", []),
        ("%", None),
        ("n", None),
    ],
)
def test_a_name_is_found_by_the_beginning_of_its_words(
    named: Trail, written: str, ids: list[str] | None
) -> None:
    if ids is None:
        with pytest.raises(ConflictError, match="two letters"):
            named.read.named(written)
        return
    assert [each.id for each in named.read.named(written)] == ids


def test_a_former_name_is_found_and_the_latest_is_shown(named: Trail) -> None:
    named.given(an_event(actor=NORA | {"name": "Nora Daylight"}))
    assert named.read.named("nora") == [
        Person("n.nightshift", "Nora Daylight", False),
        Person("p-9", "Nora Patient", True),
    ]
    assert named.read.named("nightshift") == [Person("n.nightshift", "Nora Nightshift", False)]


def test_a_name_of_too_many_people_is_refused(trail: Trail) -> None:
    trail.given(
        *(an_event(actor={"id": f"u{number}", "name": f"Sam Smith {number}"}) for number in range(21))
    )
    with pytest.raises(ConflictError, match="too many people have such a name"):
        trail.read.named("sam")
    assert [each.id for each in trail.read.named("smith 17")] == ["u17"]


def test_ids_are_known_exactly(named: Trail) -> None:
    assert named.read.known("actor", ["z", "pump-1", "nora", "17", "Z"]) == {"z", "pump-1"}
    assert named.read.known("patient", ["17", "z"]) == {"17"}


@pytest.mark.parametrize("role", list(Role))
def test_only_roles_that_see_all_names_of_staff_find_people(named: Trail, role: Role) -> None:
    log = QueryLog()
    scope = Scope(somebody(role))
    models = ScopedModels(named.read, scope, log)
    officers = {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER}
    if role not in officers | {Role.REVIEWER, Role.ADMIN}:
        assert not models.finds_names
        for ask in (lambda: models.named("nora"), lambda: models.known("actor", ["z"])):
            with pytest.raises(AccessDeniedError):
                ask()
        return
    patients = Part.PATIENT_NAMES not in scope.hides_in_every_row()
    assert [each.id for each in models.named("nora")] == ["n.nightshift", *(["p-9"] if patients else [])]
    assert models.known("patient", ["17", "Nora"]) == {"17"}
    assert "Nora" not in str(log.queries)
    assert log.patients == ("17",)


def test_a_name_is_found_by_an_index(named: Trail) -> None:
    sql = load("queries.summaries", "people.sql")
    with closing(psycopg2.connect(named.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET search_path = user_v3")
        cursor.execute(
            "INSERT INTO user_name (position, by_patient, word, user_id, name)"
            " SELECT n, 0, substr(md5(n::text), 1, 8), 'u' || n, 'name' FROM generate_series(1, 30000) AS n"
        )
        cursor.execute("ANALYZE user_name")
        cursor.execute(f"EXPLAIN {sql['find_named']}", {"word": "nor", "beyond": "nos", "most": 1000})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Seq Scan" not in plan
    assert "user_name_pkey" in plan


def test_who_sees_no_names_of_patients_can_not_confirm_one_that_is_an_id(trail: Trail) -> None:
    name = "Doe,Jane"
    trail.given(
        an_event(actor={"id": name, "kind": "patient"}, patients=[{"id": name}]),
        an_event(actor={"id": "jane"}, patients=[{"id": "17"}]),
    )
    models = ScopedModels(trail.read, Scope(somebody(Role.SECURITY_OFFICER)), log := QueryLog())
    assert models.known("actor", [name, "jane", "nobody"]) == {"jane"}
    assert models.known("patient", [name, "17"]) == {"17"}
    assert name not in str(log.queries)
    models = ScopedModels(trail.read, Scope(somebody(Role.AUDITOR)), QueryLog())
    assert models.known("patient", [name]) == {name}
