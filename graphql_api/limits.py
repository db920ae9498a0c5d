"""Limits on the size of a query, checked before its execution.

strawberry's own depth and alias limiters walk a fragment again for each spread, so a small document with fragments that
double each other keeps them busy for ever. Here each fragment is measured once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
    Visitor,
    parse,
    visit,
)

from graphql_api.errors import QueryError
from queries.error_codes import Code
from queries.limits import QueryLimits

MAX_SAME = 40
"""Selections of one field at one place of the answer. Validation compares each with every other one."""
MAX_SAME_PLAIN = 500
"""The same for a field without a selection in it, whose comparison takes a tenth of the time."""
MAX_TEXT = 32 << 10
"""Characters of a document. Parsing 64 KiB of one string takes up to 35 ms and blocks other requests."""
MAX_FRAGMENTS = 30
"""Fragments of a document. Validation compares each with every fragment that is spread beside it."""
MAX_SPREADS = 60
"""Fragment spreads of a document, including those in fragments."""
MAX_EXPANDED = 5000
"""Fields of an operation, fragments expanded. Fragments that double each other make any number of them."""


class Measure(NamedTuple):
    """The size of a selection, fragments expanded."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0


class Measurement:
    """Measures the operations of one document. A cyclic fragment counts as empty: another rule reports it."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._known: dict[str, Measure] = {}

    def of(self, selections: SelectionSetNode | None) -> Measure:
        """The size of a selection set."""
        depth = aliases = directives = 0
        for selection in selections.selections if selections else ():
            inner = self._selection(selection)
            depth = max(depth, inner.depth)
            aliases += inner.aliases
            directives += inner.directives + len(selection.directives or ())
        return Measure(depth, aliases, directives)

    def _selection(self, selection: SelectionNode) -> Measure:
        if isinstance(selection, FragmentSpreadNode):
            return self._fragment(selection.name.value)
        inner = self.of(getattr(selection, "selection_set", None))
        if not isinstance(selection, FieldNode):
            return inner
        # graphql-core has a rule for introspection fields (MaxIntrospectionDepthRule).
        depth = 0 if selection.name.value.startswith("__") else inner.depth + 1
        return Measure(depth, inner.aliases + (selection.alias is not None), inner.directives)

    def _fragment(self, name: str) -> Measure:
        if name not in self._known:
            self._known[name] = Measure()
            if name in self._fragments:
                self._known[name] = self.of(self._fragments[name].selection_set)
        return self._known[name]


class Expanding:
    """Walks the places of an answer as an executor would, until a limit is exceeded."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._fields = 0

    def error(self, sets: list[SelectionSetNode], path: frozenset[str] = frozenset()) -> GraphQLError | None:
        """The exceeded limit in the selection sets of one place; `path` is the fragments around it."""
        places: dict[str, list[SelectionSetNode]] = {}
        counts: Counter[str] = Counter()
        spread: set[str] = set()
        left: list[SelectionNode] = [each for one in reversed(sets) for each in reversed(one.selections)]
        while left:
            selection = left.pop()
            inner = getattr(selection, "selection_set", None)
            if isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name in spread or name in path or name not in self._fragments:
                    continue
                spread.add(name)
                inner = self._fragments[name].selection_set
            if not isinstance(selection, FieldNode):
                left += inner.selections if inner else ()
                continue
            key = (selection.alias or selection.name).value
            counts[key] += 1
            self._fields += 1
            most = MAX_SAME if inner else MAX_SAME_PLAIN
            if counts[key] > most:
                return _too_much(f"selects a field more than {most} times at one place")
            if self._fields > MAX_EXPANDED:
                return _too_much(f"has more than {MAX_EXPANDED} fields, those of its fragments counted")
            if inner:
                places.setdefault(key, []).append(inner)
        found = (self.error(inside, path | spread) for inside in places.values())
        return next(filter(None, found), None)


class _Spreads(Visitor):
    """Counts the fragment spreads of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def enter_fragment_spread(self, *_: Any) -> None:
        """One spread."""
        self.count += 1


_IGNORED = re.compile(r"(?:[\s,\ufeff]|#[^\r\n]*)*")
"""GraphQL, section 2.1: white space, commas and comments. It matches whatever follows, so it never goes back."""


def read_document(text: str, limits: QueryLimits) -> DocumentNode:
    """The parsed document. Raises `GraphQLError` when it is invalid, too long, or has too many tokens.

    White space around the document and comments before it do not count towards its length.
    """
    if len(text) > MAX_TEXT:
        text = text[_IGNORED.match(text).end() :].rstrip()  # type: ignore[union-attr]  # it always matches
    if len(text) > MAX_TEXT:
        raise _too_much(f"has more than {MAX_TEXT} characters; send values as variables")
    return parse(text, max_tokens=limits.max_tokens)


def _too_much(what: str) -> QueryError:
    return QueryError(Code.LIMIT_EXCEEDED, f"the query {what}")


def size_rule(limits: QueryLimits) -> type[ValidationRule]:
    """A validation rule for `limits`. Make it once: the validation cache is keyed by the rule class."""

    class SizeRule(ValidationRule):
        def __init__(self, context: ValidationContext) -> None:
            super().__init__(context)
            definitions = context.document.definitions
            fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
            spreads = _Spreads()
            visit(context.document, spreads)
            if len(fragments) > MAX_FRAGMENTS or spreads.count > MAX_SPREADS:
                several = f"may have {MAX_FRAGMENTS} fragments, and spread fragments {MAX_SPREADS} times"
                self.report_error(_too_much(several))
                return
            measuring = Measurement(fragments)
            for operation in definitions:
                if isinstance(operation, OperationDefinitionNode):
                    errors = over(measuring.of(operation.selection_set), limits)
                    # The walk of a deep one would take long.
                    repeated = None if errors else Expanding(fragments).error([operation.selection_set])
                    for error in errors or filter(None, [repeated]):
                        self.report_error(error)

    return SizeRule


def over(measure: Measure, limits: QueryLimits) -> list[GraphQLError]:
    """One error for each limit that `measure` exceeds."""
    checks = (
        ("levels deep", measure.depth, limits.max_depth),
        ("aliases", measure.aliases, limits.max_aliases),
        ("directives", measure.directives, limits.max_directives),
    )
    return [
        QueryError(Code.LIMIT_EXCEEDED, f"the query has {value} {what}; at most {limit} are allowed")
        for what, value, limit in checks
        if value > limit
    ]
