"""One line of a selection: a field, its modifiers, and the values that it is compared with."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from detection.rules.event_fields import EventField, Scalar, event_field, text_of
from detection.rules.patterns import MAX_PATTERN, TextTest, expression_test, wildcard_test
from domain.errors import ConfigurationError
from domain.event import RecordedEvent

Given = str | int | float | bool | None
"""A value as a rule file gives it."""
Predicate = Callable[[Sequence[Scalar]], bool]
"""Whether the values that an event has of a field match."""
_ScalarTest = Callable[[Scalar], bool]

MAX_VALUES = 1000

_PLACES = {"contains": (True, True), "startswith": (False, True), "endswith": (True, False)}
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
}
_PARTS_OF_TIME: dict[str, tuple[Callable[[datetime], int], int, int]] = {
    "minute": (lambda at: at.minute, 0, 59),
    "hour": (lambda at: at.hour, 0, 23),
    "day": (lambda at: at.day, 1, 31),
    "week": (lambda at: at.isocalendar().week, 1, 53),
    "month": (lambda at: at.month, 1, 12),
    "year": (lambda at: at.year, 1970, 2200),
    "weekday": (lambda at: at.isoweekday(), 1, 7),
}
"""The part, its least and its greatest value. `weekday` is ours: Sigma has no day of the week."""
_KINDS = ("exists", "re", "cidr", "fieldref", *_PLACES, *_ORDERS, *_PARTS_OF_TIME)
_WITH = {
    **{name: {"all", "cased", "neq"} for name in _PLACES},
    "re": {"all", "i", "m", "s", "neq"},
    "cidr": {"all", "neq"},
    "fieldref": {"cased", "neq"},
    "": {"all", "cased", "neq"},
    **{name: {"neq"} for name in _PARTS_OF_TIME},
}
"""What may stand beside each; nothing beside those that are not here."""
MODIFIERS = (*_KINDS, "all", "cased", "neq", "i", "m", "s")
_OF_SIGMA = {
    "windash": "write the spellings as a list",
    "base64": "write the encoded text",
    "base64offset": "write the encoded texts",
    "utf16": "write the text",
    "utf16le": "write the text",
    "utf16be": "write the text",
    "wide": "write the text",
    "expand": "write the values: there are no placeholders",
}


class Item(Struct, frozen=True):
    """A field, and whether an event's values of it match. `written`: the line's name, such as ``actor.id|cased``.

    `matches`: the same for values alone; None when another field takes part, which is `other`.
    """

    field: EventField
    written: str
    holds: Callable[[RecordedEvent], bool]
    matches: Predicate | None = None
    other: EventField | None = None

    def values(self, recorded: RecordedEvent) -> list[Scalar]:
        """The values that match, or all that the event has when none does alone."""
        found = list(self.field.read(recorded))
        if self.matches is None:
            return found
        return [value for value in found if self.matches((value,))] or found


class _Modifiers(NamedTuple):
    kind: str
    flags: frozenset[str]


def item(
    written: str, values: Sequence[Given], zone: tzinfo, field_of: Callable[[str], EventField] = event_field
) -> Item:
    """The item of one line of a selection; `zone` is that of hours and days. Raises `ConfigurationError`.

    `field_of`: the field with a name.
    """
    _check_length(written)
    name, *modifiers = written.split("|")
    if not name:
        raise ConfigurationError("a search without a field is not supported: name the field")
    field = field_of(name)
    kind, flags = _modifiers(modifiers)
    if len(values) > MAX_VALUES:
        raise ConfigurationError(f"at most {MAX_VALUES} values")
    if not values:
        raise ConfigurationError("give at least one value")
    if "all" in flags and len(values) == 1:
        raise ConfigurationError("`all` needs several values")
    for value in values:
        _check_length(value)
    if kind == "fieldref":
        if len(values) != 1:
            raise ConfigurationError("fieldref names one field")
        return _reference(field, field_of(_text(values[0])), written, flags)
    matches = _predicate(field, kind, flags, values, zone)
    if "neq" in flags:
        matches = _negated(matches)
    holds = _of_one(field, kind, values) or _of_event(field, matches)
    return Item(field=field, written=written, holds=holds, matches=matches)


def _of_one(field: EventField, kind: str, values: Sequence[Given]) -> Callable[[RecordedEvent], bool] | None:
    """The same for a field with one value at most, without a sequence of it; None for most kinds."""
    one = field.one
    if one is None:
        return None
    if kind == "exists":
        return (lambda event: one(event) is not None) if values[0] else (lambda event: one(event) is None)
    if kind in _ORDERS:
        test = _order(kind, values)
        return lambda event: test(one(event))
    return None


def _of_event(field: EventField, matches: Predicate) -> Callable[[RecordedEvent], bool]:
    """Whether an event matches. What matches of a field with few values is looked up."""
    read, one = field.read, field.one
    if one is not None and field.domain:
        wanted = frozenset(value for value in field.domain if matches(() if value is None else (value,)))
        return lambda event: one(event) in wanted
    return lambda event: matches(read(event))


def _modifiers(names: Sequence[str]) -> _Modifiers:
    for name in names:
        if name in _OF_SIGMA:
            raise ConfigurationError(f"the modifier {name} is not supported: {_OF_SIGMA[name]}")
        if name not in MODIFIERS:
            raise ConfigurationError(f"there is no modifier {name}; there are {', '.join(MODIFIERS)}")
        if names.count(name) > 1:
            raise ConfigurationError(f"the modifier {name} is there twice")
    kinds = [name for name in names if name in _KINDS]
    if len(kinds) > 1:
        raise ConfigurationError(f"the modifiers {' and '.join(kinds)} exclude each other")
    kind = kinds[0] if kinds else ""
    flags = frozenset(names) - {kind}
    wrong = sorted(flags - _WITH.get(kind, set()))
    if wrong:
        raise ConfigurationError(f"the modifier {wrong[0]} has no meaning with {kind or 'a plain value'}")
    if flags & {"i", "m", "s"} and names.index("re") > min(
        names.index(flag) for flag in flags & {"i", "m", "s"}
    ):
        raise ConfigurationError("write i, m and s after `re`")
    return _Modifiers(kind, flags)


def _check_length(value: Given) -> None:
    if isinstance(value, str) and len(value) > MAX_PATTERN:
        raise ConfigurationError(f"a value has at most {MAX_PATTERN} characters")


def _predicate(  # noqa: PLR0911 - one for each kind
    field: EventField, kind: str, flags: frozenset[str], values: Sequence[Given], zone: tzinfo
) -> Predicate:
    if kind == "exists":
        [wanted] = values if len(values) == 1 else [None]
        if not isinstance(wanted, bool):
            raise ConfigurationError("write true or false")
        return (lambda found: len(found) > 0) if wanted else (lambda found: len(found) == 0)
    if None in values:
        return _null(kind, flags, values)
    if kind in _ORDERS:
        return _any_of([_order(kind, values)])
    if kind in _PARTS_OF_TIME:
        return _any_of([_part_of_time(field, kind, values, zone)])
    if kind == "cidr":
        return _all_or_any([_network(value) for value in values], flags)
    if kind == "re":
        texts = [_text(value) for value in values]
        return _all_or_any([_of_text(expression_test(each, "".join(flags))) for each in texts], flags)
    return _texts(field, kind, flags, values)


def _null(kind: str, flags: frozenset[str], values: Sequence[Given]) -> Predicate:
    if len(values) > 1 or kind or flags - {"neq"}:
        raise ConfigurationError("null stands alone: without modifiers, and in no list")
    return lambda found: all(value is None for value in found)


def _texts(field: EventField, kind: str, flags: frozenset[str], values: Sequence[Given]) -> Predicate:
    """Texts with wildcards. All plain ones are looked up at once."""
    before, after = _PLACES.get(kind, (False, False))
    cased = "cased" in flags
    words = {each if cased else each.casefold() for each in field.words or ()}
    plain: set[str] = set()
    tests: list[TextTest] = []
    for value in values:
        if kind and not isinstance(value, str):
            raise ConfigurationError(f"{kind} needs a text; put a number in quotes")
        test = wildcard_test(text_of(value), before=before, after=after, cased=cased)
        if not isinstance(test, str):
            tests.append(test)
            continue
        plain.add(test)
        if words and test not in words:
            _refuse_word(field, test)
    if "all" in flags:
        return _all_or_any(
            [_of_text(lambda text, each=each: text == each, cased) for each in sorted(plain)]  # type: ignore[misc]
            + [_of_text(test, cased) for test in tests],
            flags,
        )
    return _lookup(frozenset(plain), cased) if not tests else _lookup_or(frozenset(plain), tests, cased)


def _refuse_word(field: EventField, value: str) -> None:
    words = sorted(field.words or ())
    near = difflib.get_close_matches(value, words, 1, 0.6)
    hint = f"did you mean {near[0]}?" if near else f"it is one of {', '.join(words[:12])}"
    raise ConfigurationError(f"{field.name} is never {value!r}; {hint}")


def _lookup(plain: frozenset[str], cased: bool) -> Predicate:
    def matches(found: Sequence[Scalar]) -> bool:
        for value in found:
            if value is None:
                continue
            text = value if isinstance(value, str) else text_of(value)
            if (text if cased else text.casefold()) in plain:
                return True
        return False

    return matches


def _lookup_or(plain: frozenset[str], tests: Sequence[TextTest], cased: bool) -> Predicate:
    def matches(found: Sequence[Scalar]) -> bool:
        for value in found:
            if value is None:
                continue
            text = text_of(value) if cased else text_of(value).casefold()
            if text in plain or any(test(text) for test in tests):
                return True
        return False

    return matches


def _of_text(test: TextTest, cased: bool = True) -> _ScalarTest:
    if cased:
        return lambda value: value is not None and test(text_of(value))
    return lambda value: value is not None and test(text_of(value).casefold())


def _all_or_any(tests: Sequence[_ScalarTest], flags: frozenset[str]) -> Predicate:
    """With `all`, each value of the rule matches one of the event's; else one of them does."""
    if "all" in flags:
        return lambda found: all(any(test(value) for value in found) for test in tests)
    return _any_of(tests)


def _any_of(tests: Sequence[_ScalarTest]) -> Predicate:
    if len(tests) == 1:
        only = tests[0]
        return lambda found: any(map(only, found))
    return lambda found: any(test(value) for value in found for test in tests)


def _negated(matches: Predicate) -> Predicate:
    return lambda found: not matches(found)


def _text(value: Given) -> str:
    if not isinstance(value, str):
        raise ConfigurationError("write a text; put a number in quotes")
    return value


def _order(kind: str, values: Sequence[Given]) -> _ScalarTest:
    [bound] = values if len(values) == 1 else [None]
    if isinstance(bound, bool) or not isinstance(bound, int | float):
        raise ConfigurationError(f"{kind} needs one number")
    holds, number = _ORDERS[kind], bound

    def test(value: Scalar) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and holds(value, number)

    return test


def _part_of_time(field: EventField, kind: str, values: Sequence[Given], zone: tzinfo) -> _ScalarTest:
    if not field.is_time:
        raise ConfigurationError(f"{kind} needs a time: occurred_at or recorded_at")
    part, least, most = _PARTS_OF_TIME[kind]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ConfigurationError(f"{kind} is a whole number from {least} to {most}")
    wanted = frozenset(values)
    return lambda value: isinstance(value, datetime) and part(value.astimezone(zone)) in wanted


@lru_cache(maxsize=4096)
def _network(value: Given) -> _ScalarTest:
    try:
        network = ipaddress.ip_network(_text(value))
    except ValueError as exc:
        raise ConfigurationError(f"write a network such as 10.0.0.0/8: {exc}") from exc

    def test(found: Scalar) -> bool:
        address = _address(found) if isinstance(found, str) else None
        return address is not None and address in network

    return test


@lru_cache(maxsize=4096)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a text is; one of IPv4 in IPv6 (::ffff:10.0.0.1) is that of IPv4."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _reference(field: EventField, other: EventField, written: str, flags: frozenset[str]) -> Item:
    cased, wanted = "cased" in flags, "neq" not in flags
    if other.is_network:
        return _within(field, other, written, wanted=wanted)

    read, read_other = field.read, other.read

    def holds(recorded: RecordedEvent) -> bool:
        values, others = read(recorded), read_other(recorded)
        if len(values) == len(others) == 1 and type(values[0]) is type(others[0]) is str:
            same = values[0] == others[0] or (not cased and values[0].casefold() == others[0].casefold())
            return same is wanted
        first = {_comparable(value, cased) for value in values}
        second = {_comparable(value, cased) for value in others}
        return bool((first & second) - {None}) is wanted

    return Item(field=field, written=f"{written} {other.name}", holds=holds, other=other)


def _within(field: EventField, networks: EventField, written: str, *, wanted: bool) -> Item:
    """Whether an address of the field is in a network of the other one."""

    def holds(recorded: RecordedEvent) -> bool:
        tests = [_network(text_of(each)) for each in networks.read(recorded)]
        return any(test(value) for value in field.read(recorded) for test in tests) is wanted

    return Item(field=field, written=f"{written} {networks.name}", holds=holds, other=networks)


def _comparable(value: Scalar, cased: bool) -> str | None:
    if value is None:
        return None
    return text_of(value) if cased else text_of(value).casefold()
