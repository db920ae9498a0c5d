"""The field `audit_trail.context` of a rule: the rows that it looks up, and the names of their columns as fields."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from detection.context.index import ContextIndex
from detection.context.tables import TABLES, Kind, Table
from detection.rules.event_fields import EventField, event_field, names
from detection.rules.lookups import Lookup, When, frequency_reader, number_reader, row_reader
from domain.errors import ConfigurationError, RejectedError
from event_store.files.file_nodes import Node

MAX_LOOKUPS = 10
MAX_ROWS = 1000
"""Rows of one table in the tests of a rule."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
_LONGEST = 3660 * 86400.0
_TIMES = ("occurred_at", "recorded_at")

FieldOf = Callable[[str], EventField]


class Looked:
    """What a rule looks up. `field`: the field with a name, of the event or of a row."""

    def __init__(self) -> None:
        self.lookups: dict[str, Lookup] = {}
        self._fields: dict[str, EventField] = {}

    def field(self, name: str) -> EventField:
        """The field. Raises `ConfigurationError`."""
        found = self._fields.get(name)
        if found is not None:
            return found
        top = name.partition(".")[0]
        if top in self.lookups:
            known = [each for each in self._fields if each.startswith(top + ".")]
            near = difflib.get_close_matches(name, known, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise ConfigurationError(f"the table {self.lookups[top].table} has no such column: {hint}")
        return event_field(name)

    def add(self, lookup: Lookup, table: Table) -> None:
        """Add the fields of a look-up: its name for the number of rows, and each column."""
        self.lookups[lookup.name] = lookup
        self._fields[lookup.name] = EventField(
            name=lookup.name, read=number_reader(lookup), is_looked_up=True, sources=lookup.sources
        )
        for column in table.columns:
            name = f"{lookup.name}.{column.name}"
            self._fields[name] = EventField(
                name=name,
                read=row_reader(lookup, column.name),
                is_time=column.kind is Kind.TIME,
                is_network=column.kind is Kind.NETWORKS,
                is_looked_up=True,
                sources=lookup.sources,
            )
        if table.counted is not None:
            name = f"{lookup.name}.{table.counted}_count"
            self._fields[name] = EventField(
                name=name,
                read=frequency_reader(lookup, table.counted),
                is_looked_up=True,
                sources=lookup.sources,
            )


def read_lookups(node: Node | None) -> Looked:
    """The look-ups of a rule, each of which may use those before it. Raises `ConfigurationError`."""
    looked = Looked()
    given = node.pairs() if node else {}
    if node is not None and not 1 <= len(given) <= MAX_LOOKUPS:
        node.fail(f"write 1 to {MAX_LOOKUPS} look-ups, each under a name")
    tops = {name.partition(".")[0] for name in names()}
    for name, each in given.items():
        if not _NAME.fullmatch(name) or name in tops:
            each.fail("a name has small letters, digits and _, and is none of an event's field")
        fields = each.fields(("table", "where", "when"), ("table", "where"))
        table = TABLES[fields["table"].word(tuple(TABLES))]
        looked.add(_lookup(name, table, fields, looked), table)
    return looked


def _lookup(name: str, table: Table, fields: Mapping[str, Node], looked: Looked) -> Lookup:
    where = []
    sources = []
    of_patient = False
    given = fields["where"].pairs()
    for column, node in given.items():
        _check_column(node, table, column)
        written = node.text(256)
        field = node.checked(lambda written=written: looked.field(written))  # type: ignore[misc]
        top, _, rest = written.partition(".")
        before = looked.lookups.get(top)
        sources.append(f"{column} {f'({before.key}).{rest}' if before else written}")
        of_patient = of_patient or field.name == "patients.id" or (before is not None and before.of_patient)
        where.append((column, field))
    keys = [column for column in table.keys if column != "other_ids"]
    if not set(keys) & set(given):
        fields["where"].fail(f"{table.name} is searched by {' or '.join(keys)}")
    when = _when(fields["when"], table) if "when" in fields else None
    during = f" {when.at.name} {when[1:]}" if when else ""
    key = f"{table.name} {', '.join(sources)}{during}"
    return Lookup(name, key, table.name, tuple(where), when, of_patient)


def _check_column(node: Node, table: Table, name: str, kind: Kind | None = None) -> None:
    known = [column.name for column in table.columns if kind is None or column.kind is kind]
    if name not in known:
        node.fail(
            f"{table.name} has no such column{' of times' if kind else ''}; there are {', '.join(known)}"
        )


def _when(node: Node, table: Table) -> When:
    fields = node.fields(("at", "from", "until", "before", "after"))
    columns = {name: fields[name].text(100) for name in ("from", "until") if name in fields}
    if not columns:
        node.fail("name a column of times: `from`, `until`, or both")
    for name, column in columns.items():
        _check_column(fields[name], table, column, Kind.TIME)
    widened = {
        name: timedelta(seconds=fields[name].seconds(0, _LONGEST) if name in fields else 0)
        for name in ("before", "after")
    }
    at = event_field(fields["at"].word(_TIMES) if "at" in fields else _TIMES[0])
    return When(at, columns.get("from"), columns.get("until"), **widened)


def read_context(node: Node | None) -> ContextIndex:
    """The context of a rule's tests: rows by table. Raises `ConfigurationError`."""
    tables: dict[str, list[Any]] = {}
    for name, rows in (node.fields(tuple(TABLES)) if node else {}).items():
        tables[name] = [row.json_tree() for row in rows.items(MAX_ROWS)]
        for index, row in enumerate(rows.items(MAX_ROWS)):
            try:
                ContextIndex.of({name: [tables[name][index]]})
            except RejectedError as exc:
                row.fail(str(exc))
            except (AttributeError, TypeError):
                row.fail("write the columns of a row, each as `name: value`")
    return ContextIndex.of(tables)
