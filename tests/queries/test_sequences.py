"""Missing and repeated numbers of events: what is missing, since when, and when that is late."""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.access.principal import Role
from domain.access.scope import Scope
from domain.event import AuditEvent
from domain.read_audit.query_log import QueryLog
from event_store.database import Database
from queries.read_models import ReadModels
from queries.scoped.read_models import ScopedModels
from queries.summaries.results import SequenceConflict, SequenceGap, ServiceActivity, ServiceInstance
from tests.domain.access.knowing import somebody
from tests.trail import START, Trail, an_event

NONE = timedelta(0)


def numbered(number: int, instance: str = "a", service: str = "vitals", minute: float = 0) -> AuditEvent:
    return an_event(minute=minute, source={"service": service, "instance": instance, "sequence": number})


def recorded_at(trail: Trail, position: int) -> datetime:
    [(found,)] = trail.rows(f"SELECT recorded_at FROM audit_trail.event WHERE position = {position}")
    assert isinstance(found, datetime)
    return found


def service(trail: Trail, limit: int = 100) -> ServiceActivity:
    found = trail.read.service("vitals", limit)
    assert found is not None
    return found


def numbers(gaps: list[SequenceGap]) -> list[tuple[str | None, int, int]]:
    return [(each.instance, each.from_number, each.to_number) for each in gaps]


def test_a_gap_is_there_until_the_missing_events_arrive(trail: Trail) -> None:
    noticed = trail.given(*map(numbered, (1, 2, 6)))[-1]
    [gap] = service(trail).gaps
    assert gap == SequenceGap("vitals", "a", 3, 5, recorded_at(trail, noticed), late=False)
    assert trail.read.sequence_gaps().gaps == [gap]
    # What closes a part of it does not make the rest younger.
    trail.given(numbered(4))
    assert numbers(service(trail).gaps) == [("a", 5, 5), ("a", 3, 3)]
    assert {each.noticed_at for each in service(trail).gaps} == {gap.noticed_at}
    trail.given(numbered(5), numbered(3))
    assert service(trail).gaps == trail.read.sequence_gaps().gaps == []
    assert trail.read.sequence_counts() == {}


def test_the_first_events_of_an_instance_may_be_missing_too(trail: Trail) -> None:
    trail.given(numbered(2), numbered(1, instance="b"), numbered(1, service="other"))
    assert numbers(service(trail).gaps) == [("a", 1, 1)]
    assert [each.service for each in trail.read.sequence_gaps().gaps] == ["vitals"]


def test_an_event_that_is_sent_twice_is_no_conflict_and_two_events_of_one_number_are(trail: Trail) -> None:
    first = numbered(1)
    trail.given(first, numbered(2), numbered(2), numbered(3), numbered(3, instance="b"))
    trail.given(first)
    assert service(trail).conflicts == [SequenceConflict("vitals", "a", 2, 2)]
    assert (trail.read.sequence_counts()["vitals"].conflicts, len(service(trail).gaps)) == (1, 1)


def test_an_instance_shows_how_many_events_came_and_up_to_which(trail: Trail) -> None:
    trail.given(numbered(1), numbered(4, minute=1), numbered(1, instance="b", minute=-2 * 24 * 60))
    found = [(each.instance, each.events, each.highest, each.last_at) for each in service(trail).instances]
    earlier = START - timedelta(days=2)
    assert found == [("a", 2, 4, START + timedelta(minutes=1)), ("b", 1, 1, earlier)]


def test_a_gap_is_late_after_the_time_that_events_may_be_on_their_way(trail: Trail) -> None:
    trail.given(numbered(2), numbered(3, service="other"))
    assert len(trail.read.sequence_gaps().gaps) == 2
    assert not any(each.late for each in trail.read.sequence_gaps().gaps)
    assert [tuple(each) for each in trail.read.sequence_counts().values()] == [(1, 0, 0), (1, 0, 0)]
    impatient = ReadModels(trail.reader, NONE)
    assert all(each.late for each in impatient.sequence_gaps().gaps)
    assert [tuple(each) for each in impatient.sequence_counts().values()] == [(1, 1, 0), (1, 1, 0)]


def test_lists_hold_the_newest_up_to_the_limit(trail: Trail) -> None:
    trail.given(*(numbered(number, instance) for instance in "abc" for number in (1, 3, 3, 5, 5)))
    found = service(trail, 2)
    assert numbers(found.gaps) == [("c", 4, 4), ("c", 2, 2)]
    assert [len(each) for each in (found.instances, found.conflicts)] == [2, 2]
    assert numbers(trail.read.sequence_gaps(1).gaps) == [("c", 4, 4)]


def test_events_without_a_number_leave_no_row(trail: Trail) -> None:
    trail.given(an_event(source={"service": "vitals", "instance": "a"}), an_event("service.restarted"))
    assert (service(trail).instances, service(trail).gaps) == ([], [])
    [(rows,)] = trail.rows("SELECT count(*) FROM service_v2.service_sequence")
    assert rows == 0


def test_numbers_far_apart_take_one_row_for_each_event(trail: Trail) -> None:
    """A hostile sender fills no more of the table than of the log."""
    given = [numbered(2 * number + 1) for number in range(40)]
    trail.given(*given, numbered(2**53 - 1))
    assert trail.rows("SELECT count(*)::int FROM service_v2.service_sequence") == [(41,)]
    trail.given(*(numbered(2 * number + 2) for number in range(40)))
    assert trail.rows("SELECT first, last FROM service_v2.service_sequence ORDER BY first") == [
        (1, 80),
        (2**53 - 1, 2**53 - 1),
    ]


def test_a_service_is_shown_before_its_tables_are_rebuilt_after_an_upgrade(trail: Trail) -> None:
    trail.given(numbered(2))
    owner = Database(trail.url, None)
    with owner.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE service_v2.service_sequence")
    owner.close()
    assert (service(trail).events, service(trail).gaps) == (1, [])
    assert (trail.read.sequence_gaps().gaps, trail.read.sequence_counts()) == ([], {})


def test_an_instance_that_looks_like_a_name_is_for_those_who_see_names(trail: Trail) -> None:
    trail.given(numbered(2, instance="Nora Nameid"), numbered(2, instance="pc-9"))
    seen = {role: _instances(trail, role) for role in (Role.AUDITOR, Role.ANALYST, Role.OPERATOR)}
    assert seen == {
        Role.AUDITOR: [{"Nora Nameid", "pc-9"}] * 3,
        Role.ANALYST: [{None, "pc-9"}] * 3,
        Role.OPERATOR: [{None}],
    }


def _instances(trail: Trail, role: Role) -> list[set[str | None]]:
    """The names of instances in each list that a role may read."""
    models = ScopedModels(trail.read, Scope(somebody(role)), QueryLog())
    lists: list[list[SequenceGap] | list[ServiceInstance]] = [models.sequence_gaps().gaps]
    if role is not Role.OPERATOR:
        found = models.service("vitals")
        assert found is not None
        lists += [found.gaps, found.instances]
    return [{each.instance for each in rows} for rows in lists]
