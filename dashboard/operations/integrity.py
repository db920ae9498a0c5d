"""Whether the log is published outside the database and verified, for the overview and the page of operations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from dashboard.texts import duration
from dashboard.viewer import Moment, Viewer
from queries.operations import HeadPlace, LogVerification, OpenFindings

_LATE = timedelta(minutes=5)
"""A place without the newest head is late when its own one is older than this."""
_GUARD_SILENT = timedelta(minutes=15)


class PlaceRow(Struct, frozen=True, kw_only=True):
    """Where signed heads go. `behind` is a number of events; `late` says in words that somebody should look."""

    place: str
    size: int | None
    behind: int
    published_at: Moment | None
    late: str


class Publication(Struct, frozen=True):
    """When a head was last published anywhere, and the places where somebody should look."""

    places: int
    at: Moment | None
    late: list[PlaceRow]


class Verification(Struct, frozen=True, kw_only=True):
    """Up to which size the log was verified, and when.

    `all_size` and `all_at` are about the newest verification from the first event on. `trouble` says in words what is
    wrong. `findings`: how many findings of the guard are open.
    """

    size: int | None
    at: Moment | None
    all_size: int | None
    all_at: Moment | None
    findings: int
    trouble: list[str]


def place_row(place: HeadPlace, size: int, viewer: Viewer) -> PlaceRow:
    """A place, when the newest head covers `size` events."""
    behind = size - (place.size or 0)
    late = place.problem
    if viewer.now - place.checked_at > _GUARD_SILENT:
        late = f"the guard has not reported for {duration(viewer.now - place.checked_at)}" + (
            f"; before: {late}" if late else ""
        )
    elif not late and behind and (place.published_at is None or viewer.now - place.published_at > _LATE):
        late = "late"
    return PlaceRow(
        place=place.place,
        size=place.size,
        behind=max(0, behind),
        published_at=None if place.published_at is None else viewer.moment(place.published_at),
        late=late,
    )


def publication(places: Sequence[HeadPlace], size: int, viewer: Viewer) -> Publication:
    """All places in short."""
    newest = max((each.published_at for each in places if each.published_at is not None), default=None)
    rows = [place_row(each, size, viewer) for each in places]
    at = None if newest is None else viewer.moment(newest)
    return Publication(len(rows), at, [each for each in rows if each.late])


def verification(
    found: LogVerification | None, findings: OpenFindings | None, viewer: Viewer
) -> Verification:
    """How far the guard has verified the log, and what it has found."""
    at = None if found is None or found.verified_at is None else viewer.moment(found.verified_at)
    all_at = None if found is None or found.all_verified_at is None else viewer.moment(found.all_verified_at)
    return Verification(
        size=None if found is None else found.size,
        at=at,
        all_size=None if found is None else found.all_size,
        all_at=all_at,
        findings=0 if findings is None else findings.total,
        trouble=[*_found(findings, viewer), *_unverified(found, viewer)],
    )


def _found(findings: OpenFindings | None, viewer: Viewer) -> list[str]:
    if findings is None:
        return []
    kind = "The first" if findings.fact else "The first, which nobody has proved"
    since = duration(viewer.now - findings.first_seen)
    count = viewer.locale.number(findings.total)
    return [f"Open findings of the guard: {count}. {kind}: {findings.what} ({findings.place}, {since} ago)"]


def _unverified(found: LogVerification | None, viewer: Viewer) -> list[str]:
    if found is None:
        return ["The guard has not verified the log yet"]
    problems = []
    if viewer.now > found.due_at:
        problems.append(f"The guard has not verified the log for {duration(viewer.now - found.checked_at)}")
    if found.problem:
        since = duration(viewer.now - (found.problem_since or found.checked_at))
        problems.append(f"The log could not be verified for {since}: {found.problem}")
    return problems
