"""The filter in the address of the explorer: read alike when a page is made, and when a view is saved or shown."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from dashboard.columns import PARAMETER as COLUMNS
from dashboard.explorer.addresses import NO_CONDITIONS, PAGING, Pairs
from domain.errors import Reason, RejectedError
from queries.cursors import decode_cursor
from queries.filters.event_filter import EventFilter, PageRequest
from web.parameters.filter_query import filter_from_address, refuse_repeated_pairs

_MOST_PAIRS = 100


def filter_of_pairs(pairs: Pairs) -> EventFilter:
    """The conditions of an address. Raises `RejectedError` that names the parameter."""
    refuse_repeated_pairs(pairs, COLUMNS)
    refuse_many(pairs)
    return filter_from_address(pair for pair in pairs if pair[0] not in NO_CONDITIONS)


def refuse_many(pairs: Pairs) -> None:
    """Raise `RejectedError` for more parameters than any filter needs."""
    if len(pairs) > _MOST_PAIRS:
        raise RejectedError(Reason.INVALID_FIELD, f"at most {_MOST_PAIRS} parameters", field="filter")


def kept_pairs(pairs: Pairs) -> list[tuple[str, str]]:
    """What a saved view keeps of an address: everything but the place in the list, and empty fields."""
    return [(name, value) for name, value in pairs if name not in PAGING and value]


def filter_of_query(query: str) -> EventFilter:
    """The conditions of a query string. Raises `RejectedError` that names the parameter."""
    return filter_of_pairs(parse_qsl(query))


def page_asked(given: Mapping[str, str], size: int, *, oldest_first: bool = False) -> PageRequest:
    """A page of a list by keyset: of what follows the cursor `after`, or of what is before the cursor `before`.

    Raises `RejectedError` that names the parameter with no cursor.
    """
    after, before = (
        decode_cursor(given[name], name) if given.get(name) else None for name in ("after", "before")
    )
    if before is not None:
        return PageRequest(last=size, before=before, oldest_first=oldest_first)
    return PageRequest(first=size, after=after, oldest_first=oldest_first)
