"""The range of times of a view, as its address gives it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from dashboard.explorer.addresses import Pairs
from dashboard.viewer import Viewer
from domain.errors import Reason, RejectedError
from domain.event_time import EARLIEST, LATEST

_LAST = re.compile(r"([1-9][0-9]{0,3})([hd])", re.ASCII)
_DAYS = 7
"""The range when none is given: a first view does not walk the whole trail."""


class Range(Struct, frozen=True):
    """The range of times, from inclusive and until exclusive, and as the form's fields have it."""

    begin: datetime
    end: datetime
    from_text: str
    to_text: str


def range_of(pairs: Pairs, viewer: Viewer) -> Range:
    """The range that the address gives: days, which count as a whole, or moments with an offset.

    Raises `RejectedError` that names the parameter.
    """
    given = dict(pairs)
    end = viewer.end_of(viewer.today())
    begin = viewer.begin_of(viewer.today() - timedelta(days=_DAYS - 1))
    if given.get("last"):
        return _last(given["last"], viewer)
    if given.get("from"):
        begin = moment_of("from", given["from"], viewer, ends=False)
    if given.get("to"):
        end = moment_of("to", given["to"], viewer, ends=True)
    if end <= begin:
        raise RejectedError(Reason.INVALID_FIELD, "the range ends before it begins", field="to")
    return Range(
        begin, end, _field(given.get("from"), begin, viewer), _field(given.get("to"), end, viewer, ends=True)
    )


def _last(text: str, viewer: Viewer) -> Range:
    """A range that ends now: ``24h``, ``7d``."""
    found = _LAST.fullmatch(text)
    if found is None:
        raise RejectedError(Reason.INVALID_FIELD, "write hours or days, as in 24h or 7d", field="last")
    length = timedelta(hours=int(found[1])) if found[2] == "h" else timedelta(days=int(found[1]))
    # To the next minute: the histogram of a page that is open moves with the clock, and not with each second.
    end = viewer.now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return Range(end - length, end, "", "")


def moment_of(name: str, text: str, viewer: Viewer, *, ends: bool) -> datetime:
    """The moment in a parameter: a day begins or ends it. Raises `RejectedError` that names the parameter."""
    day = None
    try:
        if len(text) == len("2026-03-01"):
            day = date.fromisoformat(text)
            found = datetime(day.year, day.month, day.day, tzinfo=UTC)
        else:
            found = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as exc:
        raise RejectedError(
            Reason.INVALID_FIELD, "write a day as 2026-03-31, or a time with its offset", field=name
        ) from exc
    if not EARLIEST <= found.replace(tzinfo=UTC) < LATEST:
        raise RejectedError(Reason.INVALID_FIELD, "a time from 1970 to 2199", field=name)
    if day is not None:
        return viewer.end_of(day) if ends else viewer.begin_of(day)
    if found.tzinfo is None:
        raise RejectedError(
            Reason.INVALID_FIELD, "write the time with its offset, as in 2026-03-31T08:00+02:00", field=name
        )
    return found


def _field(given: str | None, at: datetime, viewer: Viewer, *, ends: bool = False) -> str:
    """What the form's field shows: the day or the moment as it was given, else the day."""
    if given:
        return given
    return viewer.day_of(at - timedelta(seconds=1) if ends else at).isoformat()
