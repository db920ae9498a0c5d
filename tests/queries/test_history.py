"""What changed in a resource, field by field."""

from __future__ import annotations

from typing import Any

from queries import history
from queries.history import HistoryPlace
from tests.trail import Trail, an_event

RECORD = {"type": "Patient", "id": "17"}
OTHER = {"type": "Patient", "id": "18"}


def changed(*fields: tuple[str, Any, Any], resource: dict[str, str] = RECORD) -> Any:
    changes = [{"path": path, "before": before, "after": after} for path, before, after in fields]
    return an_event("record.updated", resources=[resource], changes=changes)


def shown(
    trail: Trail, limit: int, path: str | None = None, size: int = 100
) -> list[tuple[int, str, Any, Any]]:
    """All pages, each of `limit` changes."""
    found = []
    place: HistoryPlace | None = None
    for _ in range(size):
        page = trail.read.resource_changes("Patient", "17", path, limit, place)
        assert len(page.changes) <= limit
        found += [(each.position, each.path, each.before, each.after) for each in page.changes]
        place = page.end
        if place is None:
            return found
    raise AssertionError("the pages do not end")


def test_every_change_is_shown_once_with_both_values_whatever_the_size_of_a_page(trail: Trail) -> None:
    trail.given(
        changed(("phone", None, "1"), ("name", "A", "B")),
        changed(("phone", "x", "y"), resource=OTHER),
        an_event(resources=[RECORD]),
        changed(("phone", "1", {"home": ["2"]}), ("email", 1, None), ("phone", 3, 4)),
    )
    expected = [
        (3, "phone", "1", {"home": ["2"]}),
        (3, "email", 1, None),
        (3, "phone", 3, 4),
        (0, "phone", None, "1"),
        (0, "name", "A", "B"),
    ]
    for limit in (1, 2, 3, 5, 100):
        assert shown(trail, limit) == expected
        assert shown(trail, limit, "phone") == [each for each in expected if each[1] == "phone"]
    assert shown(trail, 5, "nothing") == []
    assert trail.read.resource_changes("Patient", "99", None, 5).changes == []


def test_a_page_reads_so_many_events_and_the_next_one_goes_on(trail: Trail) -> None:
    reads = history.MAX_WALKED + 50
    trail.given(changed(("phone", 1, 2)), *(an_event(resources=[RECORD]) for _ in range(reads)))
    first = trail.read.resource_changes("Patient", "17", None, 5)
    assert (first.changes, first.end) == ([], HistoryPlace(50, 0))
    second = trail.read.resource_changes("Patient", "17", None, 5, first.end)
    assert ([each.position for each in second.changes], second.end) == ([0], None)
