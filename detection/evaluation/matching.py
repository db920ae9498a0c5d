"""Conditions as functions, made for events of one type and with the same values of fields that have few.

So what these decide is decided in advance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

from detection.rules.event_fields import Scalar, text_of
from detection.rules.expressions import (
    And,
    Expression,
    Not,
    Or,
    Selection,
    decided_by_type,
    holds_for_type,
    items_of,
)
from detection.rules.items import Item
from domain.event import RecordedEvent

Test = Callable[[RecordedEvent], bool]

_MAX_REASONS = 20
_MAX_SHOWN = 3
"""Values of one field that a reason shows."""
_MAX_TEXT = 200
"""Characters of a value that a reason shows."""


def few_valued(expressions: Iterable[Expression | bool]) -> tuple[str, ...]:
    """The fields of these conditions that have one of few values, and can be read with `attrgetter`."""
    items = (item for each in expressions if not isinstance(each, bool) for item in items_of(each))
    return tuple(
        dict.fromkeys(
            item.field.name
            for item in items
            if item.field.domain and item.matches is not None and isinstance(item.field.one, attrgetter)
        )
    )


def parts_in_context(expression: Expression | bool) -> tuple[And, And] | None:
    """Two conditions that both hold for events that match; None when none does.

    The first one needs neither the context nor a patient alone, and so decides most events at once.
    """
    if isinstance(expression, bool):
        return (And(()), And(())) if expression else None
    parts = list(_conjuncts(expression))
    plain = tuple(part for part in parts if not _sees_more(part))
    rest = tuple(part for part in parts if _sees_more(part))
    return And(plain), And(rest)


def _always(_: RecordedEvent) -> bool:
    return True


def _never(_: RecordedEvent) -> bool:
    return False


def _conjuncts(expression: Expression) -> Iterator[Expression]:
    """The parts that must all hold."""
    match expression:
        case Selection(part=part):
            yield from _conjuncts(part)
        case And(parts=parts):
            for part in parts:
                yield from _conjuncts(part)
        case _:
            yield expression


def _sees_more(expression: Expression) -> bool:
    """Whether it asks for rows of context, or for the patients, of which a rule may see one alone."""
    match expression:
        case Item(field=field, written=written):
            return field.is_looked_up or "patients." in written or "fieldref" in written
        case Selection(part=part) | Not(part=part):
            return _sees_more(part)
        case And(parts=parts) | Or(parts=parts):
            return any(map(_sees_more, parts))


def holds(expression: Expression, recorded: RecordedEvent) -> bool:
    """Whether an event matches."""
    return _test(expression)(recorded)


def test_of(expression: Expression | bool) -> Test:
    """The function that says whether an event matches."""
    if isinstance(expression, bool):
        return _always if expression else _never
    return _test(expression)


def specialised(expression: Expression, type: str) -> Expression | bool:
    """What is left of a condition for events of this type."""
    return _left(expression, lambda item: holds_for_type(item, type) if decided_by_type(item) else None)


def with_values(expression: Expression | bool, values: Mapping[str, Scalar]) -> Expression | bool:
    """What is left of a condition for events whose fields have these values; None for a field without one."""

    def decide(item: Item) -> bool | None:
        if item.matches is None or item.field.name not in values:
            return None
        value = values[item.field.name]
        return item.matches(() if value is None else (value,))

    return expression if isinstance(expression, bool) else _left(expression, decide)


def _left(expression: Expression, decide: Callable[[Item], bool | None]) -> Expression | bool:
    """What is left of a condition when `decide` says of some items whether they hold."""
    match expression:
        case Item():
            decided = decide(expression)
            return expression if decided is None else decided
        case Selection(part=part):
            return _left(part, decide)
        case Not(part=part):
            inner = _left(part, decide)
            return not inner if isinstance(inner, bool) else Not(inner)
        case And(parts=parts):
            return _joined(parts, decide, neutral=True)
        case Or(parts=parts):
            return _joined(parts, decide, neutral=False)


def _joined(
    parts: tuple[Expression, ...], decide: Callable[[Item], bool | None], *, neutral: bool
) -> Expression | bool:
    left: list[Expression] = []
    for part in parts:
        found = _left(part, decide)
        if isinstance(found, bool):
            if found is not neutral:
                return found
            continue
        left.append(found)
    if not left:
        return neutral
    if len(left) == 1:
        return left[0]
    return And(tuple(left)) if neutral else Or(tuple(left))


def _test(expression: Expression) -> Test:
    match expression:
        case Item(holds=holds):
            return holds
        case Selection(part=part):
            return _test(part)
        case Not(part=part):
            inner = _test(part)
            return lambda event: not inner(event)
        case And(parts=parts):
            return _all_of([_test(part) for part in sorted(parts, key=_cost)])
        case Or(parts=parts):
            return _any_of([_test(part) for part in sorted(parts, key=_cost)])


def _all_of(tests: Sequence[Test]) -> Test:
    """All hold, in this order; the usual numbers have functions of their own, which are faster."""
    match tests:
        case []:
            return _always
        case [only]:
            return only
        case [first, second]:
            return lambda event: first(event) and second(event)
        case [first, second, third]:
            return lambda event: first(event) and second(event) and third(event)
    return lambda event: all(test(event) for test in tests)


def _any_of(tests: Sequence[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda event: first(event) or second(event)
    return lambda event: any(test(event) for test in tests)


def _cost(expression: Expression) -> int:
    """0 for one of few values, 1 for another line, 2 for what consists of several, 3 for rows of context."""
    match expression:
        case Item(field=field):
            return 3 if field.is_looked_up else 0 if field.domain else 1
        case Selection(part=part) | Not(part=part):
            return max(2, _cost(part))
        case And(parts=parts) | Or(parts=parts):
            return max((2, *map(_cost, parts)))


def reasons(expression: Expression, recorded: RecordedEvent) -> tuple[str, ...]:
    """Why an event matches, in words: each selection that holds, with the values of the fields that it names."""
    found = dict.fromkeys(_reasons(expression, recorded, "", True))
    return tuple(found)[:_MAX_REASONS]


def _reasons(expression: Expression, recorded: RecordedEvent, name: str, wanted: bool) -> Iterator[str]:
    match expression:
        case Item():
            if expression.holds(recorded) is wanted:
                values = [shown(text_of(each)) for each in expression.values(recorded) if each is not None]
                more = f" and {len(values) - _MAX_SHOWN} more" if len(values) > _MAX_SHOWN else ""
                written = f"{', '.join(values[:_MAX_SHOWN])}{more}" if values else "no value"
                yield f"{'' if wanted else 'not '}{name or 'it'}: {expression.written} has {written}"
        case Selection(name=own, part=part):
            yield from _reasons(part, recorded, own, wanted)
        case Not(part=part):
            yield from _reasons(part, recorded, name, not wanted)
        case And(parts=parts) | Or(parts=parts):
            together = isinstance(expression, And) is wanted
            for part in parts:
                # Of alternatives, those that hold are the reason.
                if together or holds(part, recorded) is wanted:
                    yield from _reasons(part, recorded, name, wanted)


def shown(text: str) -> str:
    """A value as a reason shows it."""
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "..."
