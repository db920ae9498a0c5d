"""A filter condition finds the same events in SQL, in memory, by REST, by GraphQL and by the options of a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any, NamedTuple

import httpx2
import pytest
import typer
from strawberry.utils.str_converters import to_camel_case
from typer.testing import CliRunner

from audit_trail.commands.filter_options import takes_filter
from domain.event import RecordedEvent
from event_store.event_reader import read_events
from projections.registry import open_snapshot
from queries.filters.conditions import BY_FIELD, CONDITIONS, Condition, Operator, ValueKind
from queries.filters.event_filter import EventFilter, PageRequest
from queries.filters.match import matches
from queries.limits import QueryLimits
from queries.search.event_pages import find_events
from queries.search.prepared import plan
from tests.databases import PROJECTED, Databases
from tests.queries.varied_events import EVENTS
from tests.trail import Trail, an_event
from tests.web.conftest import servers

QUERY = "query($filter: EventFilter) { events(first: 100, filter: $filter) { nodes { position } } }"


class Varied(NamedTuple):
    """A trail in which every condition finds something, its events, and a client of its server."""

    trail: Trail
    events: list[RecordedEvent]
    client: httpx2.Client


@pytest.fixture(scope="module")
def varied(databases: Databases) -> Iterator[Varied]:
    """No test changes it."""
    with databases.copy(PROJECTED) as url, closing(Trail(url)) as trail, servers() as serve:
        trail.given(*(an_event(minute=300 * number, **fields) for number, fields in enumerate(EVENTS)))
        with trail.reader.transaction(read_only=True) as connection:
            events = read_events(connection, -1, len(EVENTS)).events
        yield Varied(trail, events, serve(url, limits=QueryLimits(max_unindexed_days=0)))


def examples(condition: Condition, events: list[RecordedEvent]) -> list[Any]:
    """Values of the condition that find some of the events and not all."""
    middle = events[len(events) // 2]
    said = sorted({value for each in events for value in condition.attribute.of(each) if value is not None})
    values: list[Any]
    match condition.kind:
        case ValueKind.TIME:
            values = [middle.event.occurred_at]
        case ValueKind.POSITION:
            values = [middle.position]
        case ValueKind.DAY_TIME:
            values = [f"{middle.event.occurred_at:%H:%M}", "14:00:30"]
        case ValueKind.ZONE:
            values = ["Europe/Berlin", "Pacific/Auckland"]
        case ValueKind.FLAG:
            values = [True, False]
        case ValueKind.WORD | ValueKind.LETTER:
            values = list(condition.words)
        case ValueKind.TEXT if condition.operator is Operator.PREFIX:
            values = [value[:2] for value in said]
        case ValueKind.TEXT:
            values = said
    numbers = [
        sum(matches(EventFilter.of(**given(condition, [each])), event) for event in events) for each in values
    ]
    return [value for value, number in zip(values, numbers, strict=True) if 0 < number < len(events)]


def given(condition: Condition, values: list[Any]) -> dict[str, Any]:
    """The values by the names of conditions."""
    if condition.needs:
        [(needed, value)] = values
        return {condition.needs: needed, condition.name: value}
    # A time zone says something of other conditions alone.
    others = {"weekday": ["monday"]} if condition.kind is ValueKind.ZONE else {}
    return others | {condition.name: values if condition.many else values[0]}


def written(value: Any) -> Any:
    """A value in a query string or on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, datetime) else str(value)


def graphql_input(filter: EventFilter) -> dict[str, Any]:
    """The filter as a variable of GraphQL."""

    def plain(name: str, value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(name, each) for each in value]
        enum = BY_FIELD[name].enum
        if enum is not None:
            return enum(value).name
        return value.isoformat() if isinstance(value, datetime) else value

    if filter.not_ is not None:
        return {"not": graphql_input(filter.not_)}
    return {to_camel_case(name): plain(name, getattr(filter, name)) for name in filter.given()}


def by_sql(varied: Varied, filter: EventFilter) -> list[int]:
    with varied.trail.reader.transaction(read_only=True) as connection:
        open_snapshot(connection)
        page = find_events(connection, plan(filter), PageRequest(first=100))
    return [each.position for each in page.events]


def by_rest(varied: Varied, parameters: dict[str, Any]) -> list[int]:
    query = [
        (name, written(each))
        for name, values in parameters.items()
        for each in (values if isinstance(values, list) else [values])
    ]
    answer = varied.client.get("/v1/events", params=[*query, ("first", "100")])
    assert answer.status_code == 200, answer.text
    return [each["position"] for each in answer.json()["events"]]


def by_graphql(varied: Varied, filter: EventFilter) -> list[int]:
    body = {"query": QUERY, "variables": {"filter": graphql_input(filter)}}
    answer = varied.client.post("/graphql", json=body).json()
    assert "errors" not in answer, answer
    return [each["position"] for each in answer["data"]["events"]["nodes"]]


def read_from_options(values: dict[str, Any]) -> EventFilter:
    """The filter that a command gets."""
    app = typer.Typer()
    found: list[EventFilter] = []

    @app.command()
    @takes_filter()
    def command(*, filter: EventFilter) -> None:
        found.append(filter)

    arguments: list[str] = []
    for name, value in values.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{option}" if value else f"--no-{option}")
        else:
            for each in value if isinstance(value, list) else [value]:
                arguments += [f"--{option}", written(each)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return found[0]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda each: each.name)
def test_a_condition_finds_the_same_events_whoever_reads_it(varied: Varied, condition: Condition) -> None:
    values = examples(condition, varied.events)
    assert values
    for some in [[each] for each in values] + ([values[:2]] if condition.many else []):
        parameters = given(condition, some)
        filter = EventFilter.of(**parameters)
        expected = [each.position for each in varied.events[::-1] if matches(filter, each)]
        assert by_sql(varied, filter) == expected
        assert by_rest(varied, parameters) == expected
        assert by_graphql(varied, filter) == expected
        assert read_from_options(parameters) == filter


@pytest.mark.parametrize(
    "condition", [each for each in CONDITIONS if each.negatable], ids=lambda each: each.name
)
def test_an_excluded_value_finds_the_other_events_whoever_reads_it(
    varied: Varied, condition: Condition
) -> None:
    for value in examples(condition, varied.events):
        excluding = EventFilter(not_=EventFilter.of(**given(condition, [value])))
        expected = [each.position for each in varied.events[::-1] if matches(excluding, each)]
        assert by_sql(varied, excluding) == expected
        assert by_rest(varied, {f"not_{condition.name}": [value]}) == expected
        assert by_graphql(varied, excluding) == expected
