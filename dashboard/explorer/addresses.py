"""The parameters of the explorer's address, and how its buttons and links change them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct

from dashboard import links
from dashboard.columns import PARAMETER as COLUMNS
from dashboard.columns import Term
from domain.errors import Reason, RejectedError
from queries.cursors import encode_cursor
from queries.filters.conditions import BY_NAME, ValueKind
from queries.filters.event_filter import EventFilter

RANGE = ("from", "to", "zone", "last")
PAGING = ("after", "before", "order")
ONLY, WITHOUT, DROP = "only", "without", "drop"
"""What a button of the list sends beside the address: a value to keep, a value to leave out, the number of a chip."""
NO_CONDITIONS = (*RANGE, *PAGING, COLUMNS)
MAX_LENGTH = 4000
"""Characters of an address. A page repeats it in some links and forms, and proxies limit it too."""
_FILTER = "filter"
"""The parameter with conditions as JSON."""
_ESCAPED = re.compile(r"[\x00-\x20\x7f-\x9f%&+;=#]")
Pairs = Sequence[tuple[str, str]]


class Chip(Struct, frozen=True):
    """A condition in words. `drop` is the number that its button sends."""

    name: str
    value: str
    drop: int


def conditions(pairs: Pairs) -> list[tuple[str, str]]:
    """The conditions that are given."""
    return [(name, value) for name, value in pairs if name not in NO_CONDITIONS and value]


def filter_of(terms: Iterable[Term]) -> EventFilter:
    """The filter for conditions by their names; those of one name are alternatives."""
    values: dict[str, Any] = {}
    for name, text in terms:
        if BY_NAME[name].many:
            values.setdefault(name, []).append(text)
        else:
            values[name] = _typed(name, text)
    return EventFilter.of(**values)


def choices(pairs: Pairs) -> list[tuple[str, str]]:
    """What a change of conditions keeps: the range of times and the columns."""
    return [(name, value) for name, value in pairs if name in (*RANGE, COLUMNS) and value]


def sent(terms: Iterable[Term]) -> str:
    """Conditions as a button sends them: percent-encoded only where `parse_qsl` needs it, since lists have many."""
    return "&".join(f"{name}={_ESCAPED.sub(_encoded, value)}" for name, value in terms)


def _encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


def changed(pairs: Pairs) -> list[tuple[str, str]] | None:
    """The parameters as the button changes them that was pressed; None if the address is as links write it.

    Raises `RejectedError` when the button sends no conditions.
    """
    plain = [(name, value) for name, value in pairs if name not in (ONLY, WITHOUT, DROP) and value]
    given = dict(pairs)
    columns = [value for name, value in plain if name == COLUMNS]
    tidy = [pair for pair in plain if pair[0] != COLUMNS]
    if columns:
        tidy.append((COLUMNS, ",".join(columns)))
    if ONLY in given:
        terms = _terms(given[ONLY])
        names = {name for name, _ in terms}
        kept = [pair for pair in conditions(tidy) if pair[0] not in names]
        return [*kept, *terms, *choices(tidy)]
    if WITHOUT in given:
        return [*_without(conditions(tidy), _terms(given[WITHOUT])), *choices(tidy)]
    if DROP in given:
        return [*_dropped(conditions(tidy), given[DROP]), *choices(tidy)]
    return tidy if tidy != list(pairs) else None


def _terms(text: str) -> list[Term]:
    found = parse_qsl(text, keep_blank_values=True)
    if not found or any(name not in BY_NAME or not value for name, value in found):
        raise RejectedError(Reason.INVALID_FIELD, "no such filter", field=ONLY)
    return found


def _without(pairs: Pairs, terms: list[Term]) -> list[tuple[str, str]]:
    """The conditions and the refusal of a value: a parameter where the condition has one, else a part of `filter`."""
    [name, value], *others = terms
    if not others and BY_NAME[name].negatable:
        return [*pairs, (f"not_{name}", value)]
    refused = {"not": {each: _typed(each, text) for each, text in terms}}
    parts = [*_parts(dict(pairs).get(_FILTER)), refused]
    kept = [pair for pair in pairs if pair[0] != _FILTER]
    return [*kept, (_FILTER, _written(parts))]


def _typed(name: str, text: str) -> str | bool:
    return text == "true" if BY_NAME[name].kind is ValueKind.FLAG else text


def _parts(text: str | None) -> list[Any]:
    """The filters that must all hold; a text that is no JSON is one, which the list then refuses."""
    if not text:
        return []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    if isinstance(found, dict) and set(found) == {"and"} and isinstance(found["and"], list):
        return found["and"]
    return [found]


def _written(parts: list[Any]) -> str:
    return json.dumps(parts[0] if len(parts) == 1 else {"and": parts}, ensure_ascii=False)


def chips(pairs: Pairs) -> list[Chip]:
    """The conditions in words; those within `filter` one by one."""
    return [
        Chip(*_in_words(name, value, part), drop=at)
        for at, (name, value, part) in enumerate(_each(conditions(pairs)))
    ]


def _each(pairs: Pairs) -> list[tuple[str, str, Any]]:
    found: list[tuple[str, str, Any]] = []
    for name, value in pairs:
        parts = _parts(value) if name == _FILTER else [None]
        found += [(name, value, part) for part in parts]
    return found


def _in_words(name: str, value: str, part: Any) -> tuple[str, str]:
    if name == "emergency":
        return "break-glass", {"true": "yes", "false": "no"}.get(value, value)
    if name != _FILTER:
        return name.replace("_", " "), value
    refused = part.get("not") if isinstance(part, dict) and set(part) == {"not"} else None
    if isinstance(refused, dict) and all(isinstance(each, str | bool) for each in refused.values()):
        texts = {each: str(given).lower() if given is True else given for each, given in refused.items()}
        return "not", ", ".join(f"{each.replace('_', ' ')}: {given}" for each, given in texts.items())
    return name, json.dumps(part, ensure_ascii=False)


def _dropped(pairs: Pairs, number: str) -> list[tuple[str, str]]:
    every = _each(pairs)
    at = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else -1
    kept = [each for place, each in enumerate(every) if place != at]
    parts = [part for name, _, part in kept if name == _FILTER]
    found = [(name, value) for name, value, _ in kept if name != _FILTER]
    return [*found, (_FILTER, _written(parts))] if parts else found


def narrowed(pairs: Pairs, begin: datetime, end: datetime) -> str:
    """The same view of a shorter range."""
    kept = [(name, value) for name, value in choices(pairs) if name in ("zone", COLUMNS)]
    return links.explore([*conditions(pairs), *kept], **{"from": begin.isoformat(), "to": end.isoformat()})


def turned(pairs: Pairs, name: str, position: int | None) -> str | None:
    """Another page of the list, `after` or `before` a position; None without one."""
    if position is None:
        return None
    order = [(key, value) for key, value in pairs if key == "order"]
    return links.explore([*conditions(pairs), *choices(pairs), *order], **{name: encode_cursor(position)})


def searched(pairs: Pairs, terms: Sequence[Term]) -> str:
    """All events of a value, in the same range."""
    return links.explore([*terms, *choices(pairs)])
