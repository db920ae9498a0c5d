"""Whether rights of today include those of an earlier moment. What was made with the earlier ones depends on it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec.structs import fields, replace

from domain.access.grants import Grant, Rows

_CONDITIONS = tuple(field.name for field in fields(Rows) if field.name != "except_types")


def covers(present: Collection[Grant], before: Collection[Grant]) -> bool:
    """Whether `present` allows and shows everything that `before` did. It may show more."""
    return all(
        any(_includes(grant, earlier, rows) for grant in present)
        for earlier in before
        for rows in _by_patient(earlier)
    )


def _by_patient(grant: Grant) -> Iterator[Rows]:
    """The rows of a grant, each patient's apart: a decision about one record splits a grant in two."""
    for rows in grant.rows:
        if rows.patients:
            yield from (replace(rows, patients=(patient,)) for patient in rows.patients)
        else:
            yield rows


def _includes(grant: Grant, earlier: Grant, rows: Rows) -> bool:
    return (
        grant.operations >= earlier.operations
        and grant.hidden <= earlier.hidden
        and any(_contains(each, rows) for each in grant.rows)
    )


def _contains(larger: Rows, smaller: Rows) -> bool:
    """Whether every event of `smaller` is in `larger`. An empty condition admits every event."""
    for name in _CONDITIONS:
        allowed, wanted = getattr(larger, name), getattr(smaller, name)
        if allowed and not (wanted and set(wanted) <= set(allowed)):
            return False
    return set(larger.except_types) <= set(smaller.except_types)
