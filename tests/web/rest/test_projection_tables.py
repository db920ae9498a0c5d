"""Rows of projections' own tables over REST and GraphQL, without an API written for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import psycopg2
import pytest

from domain.errors import ConfigurationError, RejectedError
from event_store.database import READER, Database
from event_store.log_reader import LogReader
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from queries.export.table_rows import describe
from queries.read_models import ReadModels
from tests.databases import MIGRATED, Databases
from tests.projections.custom.analyst import custom_database
from tests.tokens import authentication
from tests.web.conftest import NO_BROKER, Serve, serving
from tests.web.rest.visits import LOG, ROWS, ask, visits
from web.app import create_app
from web.probes import StoreProbes


@pytest.fixture(scope="module")
def client(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """One server for all: these tests only read."""
    with (
        databases.copy(MIGRATED) as url,
        closing(visits(url, tmp_path_factory.mktemp("visits"))),
        closing(Database(url, READER, size=4)) as database,
        closing(Publisher(IngestSettings(bootstrap_servers=(NO_BROKER,)))) as publisher,
        serving(
            create_app(
                ReadModels(database),
                LogReader(database),
                publisher,
                StoreProbes(database),
                authentication=authentication(),
            )
        ) as client,
    ):
        yield client


def test_a_projection_says_what_it_has(client: httpx2.Client) -> None:
    found = client.get("/v1/projections/visits").json()
    assert (found["name"], found["version"], found["as_of_position"]) == ("visits", 1, 59)
    tables = {table["name"]: table for table in found["tables"]}
    assert tables["visits"]["key"] == ["actor_id", "day"]
    assert {"name": "patients", "type": "text[]", "nullable": False} in tables["visits"]["columns"]
    assert client.get("/v1/projections/nothing").status_code == 404
    assert client.get("/v1/projections/user").json()["tables"][0]["name"] == "user_action"


def test_pages_follow_the_key_to_the_end(client: httpx2.Client) -> None:
    link: str | None = f"{ROWS}?first=7"
    keys = []
    while link:
        page = client.get(link).json()
        assert page["as_of_position"] == 59
        keys += [(row["actor_id"], row["day"]) for row in page["rows"]]
        link = page["next"]
    assert keys == sorted(set(keys))
    assert len(keys) == 30


def test_pages_follow_another_order_both_ways(client: httpx2.Client) -> None:
    for descending in ("true", "false"):
        link: str | None = f"{ROWS}?first=4&order_by=events&descending={descending}&actor_id.ge=a3"
        found = []
        while link:
            page = client.get(link).json()
            found += [(row["events"], row["actor_id"], row["day"]) for row in page["rows"]]
            link = page["next"]
        assert found == sorted(found, reverse=descending == "true")
        assert len(set(found)) == 21


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("actor_id=a1", 3),
        ("actor_id.in=a1&actor_id.in=a2", 6),
        ("actor_id.prefix=a", 30),
        ("actor_id.prefix=%25", 0),
        ("actor_id.gt=a8", 3),
        ("actor_id.le=a0&day.lt=2026-03-03T00:00:00Z", 1),
        ("day=2026-03-02T01:00:00%2B01:00", 10),
        ("events.ge=3", 0),
        ("events=2&patients=p1", 15),
        ("patients.in=p1&patients.in=p0", 30),
        ("actor_id=' OR 1=1 --", 0),
        ("name.prefix=Dr", 15),
    ],
)
def test_conditions_are_combined(client: httpx2.Client, query: str, count: int) -> None:
    answer = client.get(f"{ROWS}?first=100&{query}")
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["rows"]) == count


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        (f"{ROWS}?nothing=1", 400, "nothing"),
        (f"{ROWS}?events=many", 400, "events"),
        (f"{ROWS}?events=99999999999999999999", 400, "events"),
        (f"{ROWS}?day=2026-03-02T00:00:00", 400, "day"),
        (f"{ROWS}?events.prefix=1", 400, "events.prefix"),
        (f"{ROWS}?events.like=1", 400, "events.like"),
        (f"{ROWS}?actor_id=a&actor_id=b", 400, "actor_id"),
        (f"{ROWS}?patients.lt=a", 400, "patients.lt"),
        (f"{ROWS}?actor_id=%00", 400, "actor_id"),
        (f"{ROWS}?{'&'.join(f'actor_id.in={n}' for n in range(101))}", 400, "actor_id.in"),
        (f"{LOG}?about=1", 400, "about"),
        (f"{LOG}?emergency=perhaps", 400, "emergency"),
        (f"{ROWS}?first=0", 400, "first"),
        (f"{ROWS}?first=101", 400, "first"),
        (f"{ROWS}?after=x", 400, "after"),
        (f"{ROWS}?order_by=name", 409, "order_by"),
        (f"{ROWS}?order_by=nothing", 409, "order_by"),
        (f"{ROWS}?min_position=-1", 400, "min_position"),
        (f"{ROWS}?wait_for_position=1&wait_seconds=11", 400, "wait_seconds"),
        (f"{ROWS}?wait_seconds=1", 409, "wait_for_position"),
        ("/v1/events?wait_for_position=1&wait_seconds=nan", 400, "wait_seconds"),
    ],
)
def test_a_wrong_parameter_is_named(client: httpx2.Client, path: str, status: int, field: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_what_is_not_there_is_404(client: httpx2.Client) -> None:
    for path in (
        "/v1/projections/visits/nothing",
        "/v1/projections/nothing/visits",
        "/v1/projections/user/visits",
    ):
        assert client.get(path).status_code == 404, path


def test_a_cursor_of_another_table_or_order_is_refused(client: httpx2.Client) -> None:
    cursor = client.get(f"{ROWS}?first=1").json()["next"].rpartition("after=")[2]
    for path in (
        f"{LOG}?after={cursor}",
        f"{ROWS}?order_by=events&after={cursor}",
        f"{ROWS}?descending=true&after={cursor}",
    ):
        assert client.get(path).status_code == 409, path


QUERY = """query ($filter: [RowCondition!], $after: String, $order: RowOrder, $first: Int! = 4) {
  projection(name: "visits") { name version asOfPosition tables { name key columns { name type } }
    rows(table: "visits", first: $first, filter: $filter, after: $after, orderBy: $order) {
      nodes asOfPosition pageInfo { hasNextPage endCursor } } } }"""


def test_graphql_gives_the_same_rows(client: httpx2.Client) -> None:
    after, found = None, []
    while True:
        page = ask(client, QUERY, after=after)["data"]["projection"]["rows"]
        found += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert found == client.get(f"{ROWS}?first=100").json()["rows"]
    assert found[0] == {
        "actor_id": "a0",
        "day": "2026-03-02T00:00:00Z",
        "events": 2,
        "patients": ["p0", "p2"],
        "name": None,
        "name_position": None,
    }


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ({"column": "actor_id", "value": "a1"}, 3),
        ({"column": "actor_id", "op": "IN", "value": ["a1", "a2"]}, 6),
        ({"column": "events", "op": "GE", "value": 2}, 30),
        ({"column": "name", "value": None}, 15),
        ({"column": "day", "op": "GT", "value": "2026-03-03T00:00:00Z"}, 10),
    ],
)
def test_graphql_takes_typed_values(client: httpx2.Client, condition: dict[str, Any], count: int) -> None:
    answer = ask(client, QUERY, filter=[condition], first=100)
    assert len(answer["data"]["projection"]["rows"]["nodes"]) == count


@pytest.mark.parametrize(
    ("variables", "code", "argument"),
    [
        ({"filter": [{"column": "events", "value": "many"}]}, "BAD_USER_INPUT", "filter.0"),
        ({"filter": [{"column": "actor_id", "value": 7}]}, "BAD_USER_INPUT", "filter.0"),
        ({"filter": [{"column": "actor_id", "op": "IN", "value": []}]}, "BAD_USER_INPUT", "filter.0"),
        ({"filter": [{"column": "actor_id", "op": "IN", "value": "a1"}]}, "BAD_USER_INPUT", "filter.0"),
        ({"filter": [{"column": "events", "value": True}]}, "BAD_USER_INPUT", "filter.0"),
        ({"filter": [{"column": "events", "value": {"a": 1}}]}, "BAD_USER_INPUT", "filter.0"),
        ({"filter": [{"column": "nothing", "value": 1}]}, "BAD_USER_INPUT", "filter.0"),
        ({"filter": [{"column": "events", "op": "LT"}]}, "BAD_USER_INPUT", "filter.0"),
        ({"filter": [{"column": "actor_id", "value": "a1"}] * 21}, "BAD_USER_INPUT", "filter"),
        ({"after": "x"}, "BAD_CURSOR", "after"),
        ({"order": {"column": "patients"}}, "BAD_USER_INPUT", "orderBy"),
        ({"first": 101}, "LIMIT_EXCEEDED", "first"),
        ({"first": 0}, "BAD_USER_INPUT", "first"),
    ],
)
def test_graphql_names_the_argument(
    client: httpx2.Client, variables: dict[str, Any], code: str, argument: str
) -> None:
    [error] = ask(client, QUERY, **variables)["errors"]
    assert (error["extensions"]["code"], error["extensions"]["argument"]) == (code, argument)


def test_a_number_that_json_lacks_is_null(client: httpx2.Client) -> None:
    rows = client.get(f"{LOG}?first=2").json()["rows"]
    assert [row["weight"] for row in rows] == [0.5, None]
    assert rows[0]["about"] == {"type": "record.read"}


def test_a_table_is_needed_when_there_are_several(client: httpx2.Client) -> None:
    [error] = ask(client, '{ projection(name: "visits") { rows(first: 1) { nodes } } }')["errors"]
    assert error["extensions"]["argument"] == "table"
    assert ask(client, '{ projection(name: "nothing") { name } }')["data"] == {"projection": None}


def test_a_table_that_an_analyst_could_put_code_into_is_not_read(
    serve: Serve, projected_url: str, tmp_path: Path
) -> None:
    trail = visits(projected_url, tmp_path)
    client = serve(projected_url)
    with (
        closing(custom_database(trail, "visits")) as own,
        pytest.raises(ConfigurationError, match="permission denied for schema visits_v1"),
        own.transaction() as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("CREATE VIEW visits_v1.more AS SELECT * FROM visits_v1.visits")
    assert client.get(ROWS).status_code == 200
    # As a superuser can do it, or a restore that lost the owners.
    with closing(psycopg2.connect(projected_url)) as admin, admin, admin.cursor() as cursor:
        cursor.execute("ALTER TABLE visits_v1.visits OWNER TO audit_trail_own_visits")
        cursor.execute("ALTER TABLE visits_v1.visit_log OWNER TO audit_trail_own_visits")
    assert client.get(ROWS).status_code == 404
    with (
        trail.reader.transaction(read_only=True) as connection,
        pytest.raises(RejectedError, match="no live projection"),
    ):
        describe(connection, "visit_log")
    trail.close()


def test_a_slow_question_is_refused_as_such(serve: Serve, projected_url: str, tmp_path: Path) -> None:
    trail = visits(projected_url, tmp_path)
    with (
        closing(Database(projected_url, READER, statement_timeout_ms=200)) as impatient,
        closing(psycopg2.connect(projected_url)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("LOCK TABLE visits_v1.visits IN ACCESS EXCLUSIVE MODE")
        answer = serve(projected_url, models=ReadModels(impatient)).get(ROWS)
        assert answer.status_code == 409
        assert answer.json()["errors"][0]["field"] == "filter"
    trail.close()
