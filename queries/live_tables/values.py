"""Converts the values of a client, JSON or text from a URL, to the type of a column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from domain.errors import ConflictError, Reason, RejectedError
from projections.tables import Kind

_LIMITS = {Kind.BIGINT: 2**63, Kind.INTEGER: 2**31, Kind.SMALLINT: 2**15}
_MAX_DIGITS = 20
_MAX_TEXT = 2704
"""Characters: the longest key of an index."""


def column_value(kind: Kind, value: Any, argument: str) -> Any:
    """`value` converted for a column of this kind, or for an element of its array. Raises `RejectedError`."""
    wanted, convert = _CONVERSIONS[kind]
    try:
        return convert(value)
    except (TypeError, ValueError, OverflowError) as exc:
        raise RejectedError(Reason.INVALID_FIELD, f"give {wanted}", field=argument) from exc


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    if len(value) > _MAX_TEXT or "\0" in value:
        raise ValueError
    value.encode()  # a lone surrogate is no text
    return value


def _whole(kind: Kind) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if isinstance(value, str):
            if len(value) > _MAX_DIGITS or not value.removeprefix("-").isascii():
                raise ValueError
            value = int(value)
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not -_LIMITS[kind] <= value < _LIMITS[kind]
        ):
            raise ValueError
        return value

    return convert


def _boolean(value: Any) -> bool:
    found = {"true": True, "false": False}.get(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise TypeError
    return found


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    found = float(value)
    if not math.isfinite(found):
        raise ValueError
    return found


def _timestamp(value: Any) -> datetime:
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(found, datetime) or found.utcoffset() is None:
        raise ValueError
    return found


def _nothing(value: Any) -> Any:
    raise TypeError(type(value))


_CONVERSIONS: dict[Kind, tuple[str, Callable[[Any], Any]]] = {
    Kind.TEXT: ("a text", _text),
    Kind.TEXTS: ("a text", _text),
    Kind.BIGINT: ("a whole number", _whole(Kind.BIGINT)),
    Kind.INTEGER: ("a whole number of 32 bits", _whole(Kind.INTEGER)),
    Kind.SMALLINT: ("a whole number of 16 bits", _whole(Kind.SMALLINT)),
    Kind.BOOLEAN: ("true or false", _boolean),
    Kind.DOUBLE: ("a number", _double),
    Kind.TIMESTAMP: ("a time with its offset, such as 2026-03-01T08:00:00Z", _timestamp),
    Kind.JSON: ("another column: JSON is not compared", _nothing),
}


@contextmanager
def representable_values(table: str) -> Iterator[None]:
    """Translate errors of values that PostgreSQL can store and Python can't represent.

    Custom projections can store such values. Raises `ConflictError` that names the table.
    """
    try:
        yield
    except (ValueError, OverflowError, RecursionError) as exc:
        raise ConflictError(
            Reason.INVALID_FIELD,
            f"table {table} has a value that can't be shown: a time before the year 1 or after 9999, a number of more"
            " than 4,300 digits, or JSON that is nested too deeply; its projection has to write another one",
            field="table",
        ) from exc
