"""The table of filter conditions agrees with the filter and with the tables of the read models."""

from __future__ import annotations

import pytest

from projections.registry import built_in
from queries.filters.conditions import CONDITIONS, INTERNAL, Condition
from queries.filters.event_filter import GROUPS, EventFilter

EVERY = [*CONDITIONS, *INTERNAL]
TABLES = {table.name: table for projector in built_in() for table in projector.tables}


def test_each_field_of_a_filter_belongs_to_one_condition() -> None:
    fields = [field for condition in EVERY for field in condition.fields]
    assert sorted(fields) == sorted(set(EventFilter.__struct_fields__) - set(GROUPS))


@pytest.mark.parametrize("condition", EVERY, ids=lambda each: each.name)
def test_the_columns_of_a_condition_exist(condition: Condition) -> None:
    attribute = condition.attribute
    assert set(attribute.columns) <= set(TABLES[attribute.table].names)


@pytest.mark.parametrize(
    "condition",
    [each for each in EVERY if each.attribute.index is not None],
    ids=lambda each: each.name,
)
def test_the_table_has_the_index_of_a_condition_and_the_index_its_hash_codes(condition: Condition) -> None:
    attribute, index = condition.attribute, condition.attribute.index
    assert index is not None
    table = TABLES[attribute.table]
    first = index.expression.format(attribute.columns[0]) if index.expression else attribute.columns[0]
    held = [each.columns for each in table.indexes if first in each.columns]
    if table.key[: len(attribute.columns)] == attribute.columns:
        held.append(table.key + table.carried)
    assert held
    assert set(index.holds) <= {column for columns in held for column in columns}
