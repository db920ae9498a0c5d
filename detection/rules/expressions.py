"""The condition of a rule as a tree, its reading, and what it says about the type of an event."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import NamedTuple, NoReturn

from msgspec import Struct

from detection.rules.event_fields import category_of
from detection.rules.items import Item
from domain.catalogue import CATALOGUE
from domain.errors import ConfigurationError

MAX_CONDITION = 2048
"""Characters."""
MAX_IDENTIFIERS = 100
_MAX_DEPTH = 30
_TOKEN = re.compile(r"\s*([()]|[A-Za-z0-9_*-]+|\S)")
_NAME = re.compile(r"[A-Za-z0-9_*-]+")


class And(Struct, frozen=True):
    """All of them."""

    parts: tuple[Expression, ...]


class Or(Struct, frozen=True):
    """One of them."""

    parts: tuple[Expression, ...]


class Not(Struct, frozen=True):
    """Not this."""

    part: Expression


class Selection(Struct, frozen=True):
    """A selection of the rule, by its name."""

    name: str
    part: Expression


Expression = And | Or | Not | Selection | Item


def items_of(expression: Expression) -> Iterator[Item]:
    """All lines of it."""
    match expression:
        case Item():
            yield expression
        case Selection(part=part) | Not(part=part):
            yield from items_of(part)
        case And(parts=parts) | Or(parts=parts):
            for part in parts:
                yield from items_of(part)


class PossibleTypes(NamedTuple):
    """The event types that can match, and those that match whatever else an event holds."""

    may: frozenset[str]
    must: frozenset[str]


_ALL = frozenset(CATALOGUE)
_NONE: frozenset[str] = frozenset()


def possible_types(expression: Expression) -> PossibleTypes:
    """What an expression says about the type of an event."""
    match expression:
        case Item():
            if not decided_by_type(expression):
                return PossibleTypes(_ALL, _NONE)
            found = frozenset(type for type in CATALOGUE if holds_for_type(expression, type))
            return PossibleTypes(found, found)
        case Not(part=part):
            inner = possible_types(part)
            return PossibleTypes(_ALL - inner.must, _ALL - inner.may)
        case Selection(part=part):
            return possible_types(part)
        case And(parts=parts):
            each = [possible_types(part) for part in parts]
            return PossibleTypes(
                frozenset.intersection(*(one.may for one in each)),
                frozenset.intersection(*(one.must for one in each)),
            )
        case Or(parts=parts):
            each = [possible_types(part) for part in parts]
            return PossibleTypes(
                frozenset.union(*(one.may for one in each)), frozenset.union(*(one.must for one in each))
            )


def decided_by_type(item: Item) -> bool:
    """Whether the type of an event decides this item."""
    return item.field.name in {"type", "category"} and item.matches is not None


def holds_for_type(item: Item, type: str) -> bool:
    """Whether such an item holds for events of this type."""
    value = type if item.field.name == "type" else category_of(type).value
    return item.matches is not None and item.matches((value,))


def parse_condition(text: str, selections: Mapping[str, Expression]) -> Expression:
    """The tree of a condition: `or`, `and`, `not`, parentheses, ``1 of x*``, ``all of them``.

    Raises `ConfigurationError`, also for a selection that the condition does not name.
    """
    if len(text) > MAX_CONDITION:
        raise ConfigurationError(f"a condition has at most {MAX_CONDITION} characters")
    if "|" in text:
        raise ConfigurationError("aggregations after | are those of Sigma 1: write a `correlation`")
    parser = _Parser(_TOKEN.findall(text), selections)
    found = parser.alternatives(0)
    if not parser.at_end:
        parser.refuse()
    unused = [name for name in selections if name not in parser.used]
    if unused:
        raise ConfigurationError(f"the condition does not name the selection {unused[0]}")
    return found


class _Parser:
    def __init__(self, tokens: Sequence[str], selections: Mapping[str, Expression]) -> None:
        self._tokens = tokens
        self._selections = selections
        self._at = 0
        self.used: set[str] = set()
        self._named = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._tokens)

    def refuse(self) -> NoReturn:
        found = "its end" if self.at_end else repr(self._tokens[self._at])
        if found == "'near'":
            raise ConfigurationError("`near` is of Sigma 1: write a `correlation` of the type temporal")
        raise ConfigurationError(f"the condition is not understood at {found}")

    def alternatives(self, depth: int) -> Expression:
        if depth > _MAX_DEPTH:
            raise ConfigurationError(f"parentheses and `not` are nested at most {_MAX_DEPTH} deep")
        parts = [self._conjunction(depth)]
        while self._take("or"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self, depth: int) -> Expression:
        parts = [self._negation(depth)]
        while self._take("and"):
            parts.append(self._negation(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _negation(self, depth: int) -> Expression:
        if depth > _MAX_DEPTH:
            raise ConfigurationError(f"parentheses and `not` are nested at most {_MAX_DEPTH} deep")
        if self._take("not"):
            return Not(self._negation(depth + 1))
        if self._take("("):
            found = self.alternatives(depth + 1)
            if not self._take(")"):
                self.refuse()
            return found
        return self._term()

    def _term(self) -> Expression:
        word = self._peek()
        if not _NAME.fullmatch(word) or word in {"and", "or", "not", "of", "near"}:
            self.refuse()
        self._at += 1
        if self._peek() == "of":
            self._at += 1
            return self._quantified(word)
        return self._selection(word)

    def _quantified(self, count: str) -> Expression:
        if count not in {"1", "any", "all"}:
            raise ConfigurationError(f"write `1 of` or `all of`: {count} of is not supported")
        pattern = self._peek()
        if not _NAME.fullmatch(pattern):
            self.refuse()
        self._at += 1
        chosen = [
            name
            for name in self._selections
            if (not name.startswith("_") or pattern.startswith("_"))
            and (pattern == "them" or _glob(pattern).match(name))
        ]
        if not chosen:
            raise ConfigurationError(f"no selection is named {pattern}")
        parts = tuple(self._selection(name) for name in chosen)
        if len(parts) == 1:
            return parts[0]
        return And(parts) if count == "all" else Or(parts)

    def _selection(self, name: str) -> Expression:
        self._named += 1
        if self._named > MAX_IDENTIFIERS:
            raise ConfigurationError(f"a condition names at most {MAX_IDENTIFIERS} selections")
        if name not in self._selections:
            known = ", ".join(self._selections) or "none"
            raise ConfigurationError(f"there is no selection {name}; there are {known}")
        self.used.add(name)
        return Selection(name, self._selections[name])

    def _peek(self) -> str:
        return "" if self.at_end else self._tokens[self._at]

    def _take(self, token: str) -> bool:
        found = self._peek() == token
        self._at += found
        return found


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(re.sub(r"\*+", "*", pattern)))
