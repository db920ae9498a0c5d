"""The time of an event: one rule for every format, native or foreign.

A usable time is an RFC 3339 time with an offset, from `EARLIEST` up to `LATEST`. Unset dates of other languages
(``0001-01-01``, ``1970-01-01``, ``9999-12-31``) lie outside of that range. Times are cut to the microsecond, never
rounded: a rounded time could fall into the next year.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
"""After the Unix epoch in every time zone: a clock that was never set reports the epoch."""
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt](?P<clock>[0-9]{2}:[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]+))?(?:[Zz]|(?P<offset>[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))"
)
_KEY = b'"occurred_at"'
_LONG_FRACTION = re.compile(rb'"occurred_at"[ \t\r\n]*:[ \t\r\n]*"[^".]{0,40}\.[0-9]{7}')


def parse_time(text: str) -> datetime | None:
    """An RFC 3339 time with its offset; None for any other text.

    Digits after the microsecond are dropped. A leap second becomes the last microsecond before it.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    second, fraction = match["second"], (match["fraction"] or "")[:6].ljust(6, "0")
    if second == "60":
        second, fraction = "59", "999999"
    iso = f"{match['date']}T{match['clock']}:{second}.{fraction}{match['offset'] or '+00:00'}"
    try:
        moment = datetime.fromisoformat(iso)
        moment.astimezone(UTC)  # year 1 with a positive offset is before the first storable instant
    except (ValueError, OverflowError):
        return None
    return moment


def is_usable(moment: datetime) -> bool:
    """Whether an event can have happened at `moment`."""
    return EARLIEST <= moment < LATEST


def to_milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, cut like every time."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def may_be_rounded(message: bytes) -> bool:
    """Whether the decoder rounded the event's time: it has more digits than a microsecond needs."""
    at = message.find(_KEY)
    if at < 0:  # a key that is written with escapes
        return True
    while at >= 0:
        if _LONG_FRACTION.match(message, at):
            return True
        at = message.find(_KEY, at + len(_KEY))
    return False
