"""Opaque cursors and ids: they hold a position or a name, and clients must not read them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from domain.errors import ConflictError, Reason, RejectedError
from domain.json_parsing import decoder_of
from domain.reviews.commands import MAX_ITEMS
from queries.detection.results import Place
from queries.filters.event_filter import MAX_POSITION

_decode_row = decoder_of(tuple[str, str, bool, list[Any]])
_decode_view = decoder_of(tuple[str, str])
_PLACE = re.compile(r"([aksw])1:([0-9]{1,19}):([0-9a-f-]{1,64})")
_CHANGE = re.compile(r"([hc]1):([0-9]{1,19}):([0-9]{1,9})")


NOT_A_CURSOR = "not a cursor of this API; follow the links or pageInfo"


class CursorError(ConflictError):
    """Reject: the text is not a cursor of this list. Its message fits REST and GraphQL."""

    def __init__(self, message: str, argument: str) -> None:
        super().__init__(Reason.INVALID_FIELD, message, field=argument)


def encode_cursor(position: int) -> str:
    """The cursor of the event at `position`."""
    return _encode(f"p1:{position}")


def decode_cursor(cursor: str, argument: str) -> int:
    """The position in `cursor`. Raises `CursorError` that names the argument."""
    version, _, digits = _decode(cursor).partition(":")
    if version == "p1" and digits.isascii() and digits.isdigit() and len(digits) < 20:
        position = int(digits)
        if position <= MAX_POSITION and encode_cursor(position) == cursor:
            return position
    raise CursorError(NOT_A_CURSOR, argument)


def encode_history_cursor(position: int, done: int) -> str:
    """The cursor of a place in a resource's history: an event, and how many of its changes come before."""
    return _encode_change("h1", position, done)


def decode_history_cursor(cursor: str) -> tuple[int, int]:
    """Position and number of changes in `cursor`. Raises `CursorError`."""
    return _decode_change("h1", cursor, "a history")


def encode_configuration_cursor(position: int, number: int) -> str:
    """The cursor of a value in a device's configuration: an event, and the number of the change in it."""
    return _encode_change("c1", position, number)


def decode_configuration_cursor(cursor: str) -> tuple[int, int]:
    """Position and number of the change in `cursor`. Raises `CursorError`."""
    return _decode_change("c1", cursor, "a configuration")


def _encode_change(version: str, position: int, number: int) -> str:
    return _encode(f"{version}:{position}:{number}")


def _decode_change(version: str, cursor: str, of: str) -> tuple[int, int]:
    found = _CHANGE.fullmatch(_decode(cursor))
    if found is not None and found[1] == version:
        position, number = int(found[2]), int(found[3])
        if position < MAX_POSITION and _encode_change(version, position, number) == cursor:
            return position, number
    raise CursorError(f"not a cursor of {of}; follow the links or pageInfo", "after")


def encode_row_cursor(table: str, order: str, values: Sequence[Any], *, descending: bool) -> str:
    """The cursor of a row of a projection's table: its values in the page's order."""
    return _encode("r1:" + msgspec.json.encode([table, order, descending, list(values)]).decode())


def decode_row_cursor(
    cursor: str, table: str, order: str, *, descending: bool, argument: str = "after"
) -> tuple[Any, ...]:
    """The values in `cursor`. Raises `CursorError` when it is invalid, or of another table or order."""
    version, _, text = _decode(cursor).partition(":")
    try:
        found = _decode_row(text.encode()) if version == "r1" else None
    except (msgspec.DecodeError, RecursionError):
        found = None
    if found is None or found[:3] != (table, order, descending):
        raise CursorError("not a cursor of this table in this order; follow the links or pageInfo", argument)
    return tuple(found[3])


def encode_view_cursor(name: str, id: str) -> str:
    """The cursor of a saved view in a list by name."""
    return _encode("v1:" + msgspec.json.encode((name, id)).decode())


def decode_view_cursor(cursor: str) -> tuple[str, str]:
    """Name and id in `cursor`. Raises `CursorError`."""
    version, _, text = _decode(cursor).partition(":")
    try:
        name, id = _decode_view(text.encode()) if version == "v1" else ("\0", "")
    except (msgspec.DecodeError, RecursionError):
        name, id = "\0", ""
    if "\0" in name or "\0" in id or encode_view_cursor(name, id) != cursor:
        raise CursorError("not a cursor of saved views; follow the links", "after")
    return name, id


def encode_place_cursor(list: str, place: Place) -> str:
    """The cursor of a row in a list of alerts (``a``), cases (``k``), suppressions (``s``) or reviews (``w``)."""
    return _encode(f"{list}1:{place.position}:{place.id}")


def decode_place_cursor(cursor: str, list: str) -> Place:
    """The place in `cursor`. Raises `CursorError` when it is invalid, or of another list."""
    found = _PLACE.fullmatch(_decode(cursor))
    if found is not None and found[1] == list and int(found[2]) <= MAX_POSITION:
        place = Place(int(found[2]), found[3])
        if encode_place_cursor(list, place) == cursor:
            return place
    raise CursorError(NOT_A_CURSOR, "after")


def encode_item_cursor(review: str, item: int) -> str:
    """The cursor of an item in the list of a review."""
    return _encode(f"i1:{item}:{review}")


def decode_item_cursor(cursor: str, review: str) -> int:
    """The number in `cursor`. Raises `CursorError` when it is invalid, or of another review."""
    version, _, rest = _decode(cursor).partition(":")
    digits = rest.partition(":")[0]
    if version == "i1" and digits.isascii() and digits.isdigit() and len(digits) < 6:
        item = int(digits)
        if 1 <= item <= MAX_ITEMS and encode_item_cursor(review, item) == cursor:
            return item
    raise CursorError("not a cursor of the items of this review; follow the links or pageInfo", "after")


def encode_id(kind: str, name: str) -> str:
    """The Relay id of a node."""
    return _encode(f"{kind}:{name}")


def decode_id(value: str, argument: str = "id") -> tuple[str, str]:
    """Kind and name of a Relay id. Raises `RejectedError` that names the argument of an invalid one."""
    kind, colon, name = _decode(value).partition(":")
    if not colon or encode_id(kind, name) != value:
        raise RejectedError(Reason.INVALID_FIELD, "this is not the id of a node of this API", field=argument)
    return kind, name


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decode(value: str) -> str:
    """The text in `value`; empty if it is not a valid encoding."""
    try:
        return base64.b64decode(
            value.encode("ascii") + b"=" * (-len(value) % 4), altchars=b"-_", validate=True
        ).decode()
    except (UnicodeError, binascii.Error):
        return ""
