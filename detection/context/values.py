"""The values of context tables: read from what files say, and folded where names and addresses are compared."""

from __future__ import annotations

import ipaddress
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, tzinfo

from detection.context.tables import Column, Kind
from domain.errors import Reason, RejectedError
from domain.event_time import is_usable, parse_time

Given = str | Iterable[str] | date | datetime | bool | None
"""What a reader of files gives for a column."""
Value = str | tuple[str, ...] | date | datetime | bool | None
"""What a row has."""

MAX_TEXT = 256
"""Characters of a text: an id of an event has at most as many."""
MAX_FOLDED = 1024
"""Characters of a name or an address before it is folded."""
MAX_ITEMS = 1000
"""Texts in one list."""
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_START = time()
_END = time(23, 59, 59, 999_999)
_ENDING = ("until", "ends_at")
"""Names of times that mean the end of a day when only the day is given."""


def value_of(column: Column, given: Given, zone: tzinfo = UTC) -> Value:
    """The value of a column. `zone`: that of times without an offset. Raises `RejectedError` that names the column."""
    text = given.strip() if isinstance(given, str) else given
    if text is None or text in ("", ()):
        if column.required:
            raise _wrong(column, "a value is required", Reason.MISSING_FIELD)
        return empty_value(column)
    if column.kind is Kind.TIME:
        return _time(column, text, zone)
    return _READERS[column.kind](column, text)


def empty_value(column: Column) -> Value:
    """The value of a column of which a row says nothing."""
    if column.kind in {Kind.TEXTS, Kind.NETWORKS}:
        return ()
    return column.default if column.kind is Kind.FLAG else None


def folded(text: str) -> str:
    """A name or an address as two of them are compared.

    Without accents and other marks (Unicode NFKD), without case, and with one space for whatever is neither letter nor
    digit. `Ringstraße 5, 1010 WIEN` becomes `ringstrasse 5 1010 wien`. Letters that are no others with a mark stay:
    `Müller` is `muller`, and not `mueller`; `ø` and `ł` are letters of their own.
    """
    # Marks go first: to normalise a long run of them takes time in proportion to its square.
    bare = "".join(char for char in text if not unicodedata.category(char).startswith("M"))
    plain = unicodedata.normalize("NFKD", bare).casefold()
    kept = (
        char if char.isalnum() else " " for char in plain if not unicodedata.category(char).startswith("M")
    )
    return " ".join("".join(kept).split())


def _text(column: Column, given: object, most: int = MAX_TEXT) -> str:
    if not isinstance(given, str):
        raise _wrong(column, "write a text")
    text = given.strip()
    if not text or len(text) > most:
        raise _wrong(column, f"write 1 to {most} characters")
    if not text.isprintable():
        raise _wrong(column, "write printable characters alone")
    return text


def _texts(column: Column, given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise _wrong(column, "write a list of texts")
    items = list(given)
    if len(items) > MAX_ITEMS:
        raise _wrong(column, f"a list has at most {MAX_ITEMS} texts")
    return tuple(sorted({_text(column, item) for item in items}))


def _folded(column: Column, given: object) -> str | None:
    # Spreadsheets write the lines of an address into one cell.
    flat = " ".join(given.split()) if isinstance(given, str) else given
    return folded(_text(column, flat, MAX_FOLDED)) or None


def _networks(column: Column, given: object) -> tuple[str, ...]:
    return tuple(_network(column, each) for each in _texts(column, given))


def _network(column: Column, text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as exc:
        raise _wrong(column, "write an address or a network, such as 10.0.0.0/8") from exc


def _date(column: Column, given: object) -> date:
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    try:
        return datetime.strptime(str(given), "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no time zone
    except ValueError as exc:
        raise _wrong(column, "write a date such as 1980-03-01") from exc


def _time(column: Column, given: object, zone: tzinfo) -> datetime:
    """A moment. A day alone is its beginning, or its end where the column ends something."""
    moment: datetime | None
    if isinstance(given, datetime):
        moment = given
    else:
        moment = parse_time(str(given)) or _local(str(given), zone, column.name.endswith(_ENDING))
    if moment is None or moment.tzinfo is None or not is_usable(moment):
        raise _wrong(column, "write a time such as 2026-03-01T08:00:00+01:00, or a date, from 1970 on")
    return moment.astimezone(UTC)


def _local(text: str, zone: tzinfo, ends: bool) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
        if len(text) == 10:
            found = datetime.combine(found.date(), _END if ends else _START)
        return found.replace(tzinfo=zone).astimezone(UTC) if found.tzinfo is None else None
    except (ValueError, OverflowError):
        return None


def _flag(column: Column, given: object) -> bool:
    if isinstance(given, bool):
        return given
    found = _FLAGS.get(str(given).lower())
    if found is None:
        raise _wrong(column, "write true or false")
    return found


def _wrong(column: Column, message: str, reason: Reason = Reason.INVALID_FIELD) -> RejectedError:
    return RejectedError(reason, message, field=column.name)


_READERS: dict[Kind, Callable[[Column, object], Value]] = {
    Kind.TEXT: _text,
    Kind.FOLDED: _folded,
    Kind.TEXTS: _texts,
    Kind.NETWORKS: _networks,
    Kind.DATE: _date,
    Kind.FLAG: _flag,
}
"""How each kind but a time is read."""
