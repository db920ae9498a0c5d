"""`GET /v1/export`: the same filters as `GET /v1/events`, as a stream that shows when it is cut off."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import psycopg2
import pyarrow.parquet as pq
import pytest

from event_store.database import READER, Database
from event_store.log_reader import LogReader
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from queries.export.pipeline import Exports
from queries.read_models import ReadModels
from tests.hospital import read, record
from tests.tokens import ADMIN, authentication, bearer
from tests.trail import Trail
from tests.web.conftest import NO_BROKER, NO_DATABASE, serving
from web.app import create_app
from web.probes import StoreProbes
from web.settings import WebSettings


@pytest.fixture
def exporting(hospital_url: str) -> Iterator[httpx2.Client]:
    """A client of a server on the hospital's morning, with one place for exports."""
    with (
        closing(Database(hospital_url, READER, size=2)) as database,
        closing(Database(hospital_url, READER, size=1, application_name="exports-of-the-test")) as pool,
        closing(Publisher(IngestSettings(bootstrap_servers=(NO_BROKER,)))) as publisher,
    ):
        settings = WebSettings(max_exports=1, export_stall=2)
        app = create_app(
            ReadModels(database),
            LogReader(database),
            publisher,
            StoreProbes(database),
            settings,
            exports=Exports(pool),
            authentication=authentication(),
        )
        with serving(app) as client:
            yield client


QUERIES: list[dict[str, Any]] = [
    {},
    {"patient": "17", "actor": "ada", "type": ["record.read", "record.updated"]},
    {"action": ["U", "R"], "occurred_from": "2026-03-01T08:05:00Z"},
    {"resource_type": "Observation", "resource_id": "o-18", "emergency": "true"},
    {"outcome": "minor_failure", "category": "user", "session": "s-1"},
    {"correlation_id": "c-1", "purpose": "TREAT"},
    {"device": "pump-1"},
    {"service": "vitals", "source": "vitals"},
    {"user": "bob", "occurred_until": "2026-03-01T08:05:00Z"},
    {"address": "10.0.0.7"},
]


def test_it_has_the_events_of_the_api_oldest_first(exporting: httpx2.Client) -> None:
    for query in QUERIES:
        events = exporting.get("/v1/events", params=query).json()["events"]
        answer = exporting.get("/v1/export", params=query)
        assert [json.loads(line) for line in answer.text.split("\n")[:-1]] == events[::-1], query
    answer = exporting.get("/v1/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers
    assert (answer.headers["x-log-size"], answer.headers["x-as-of-position"]) == ("10", "9")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"] == 'attachment; filename="events.ndjson"'


def test_csv_parquet_and_read_models(exporting: httpx2.Client) -> None:
    text = exporting.get("/v1/export", params={"format": "csv", "patient": "17"})
    assert text.headers["content-type"].startswith("text/csv")
    assert text.text.count("\r\n") == 5
    data = exporting.get("/v1/export", params={"format": "parquet", "table": "patient_access"}).content
    assert set(pq.read_table(io.BytesIO(data))["patient_id"].to_pylist()) == {"17", "18"}
    rows = exporting.get("/v1/export", params={"table": "patient_access", "where": ["patient_id=18"]})
    assert json.loads(rows.text)["actor_id"] == "bob"


def test_the_last_line_proves_that_nothing_is_missing(exporting: httpx2.Client) -> None:
    lines = exporting.get("/v1/export", params={"manifest": "true", "patient": "17"}).content.splitlines(True)
    manifest = json.loads(lines.pop())["manifest"]
    assert (manifest["rows"], manifest["filter"]) == (len(lines), {"patient": "17"})
    assert manifest["files"][0]["sha256"] == hashlib.sha256(b"".join(lines)).hexdigest()


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({"patinet": "17"}, 400, "patinet"),
        ({"first": 1}, 400, "first"),
        ({"type": "record.raed"}, 400, "type"),
        ({"source": ["1", "2"]}, 400, "source"),
        ({"format": "xls"}, 400, "format"),
        ({"table": "activity", "where": "position"}, 400, "where"),
        ({"emergency": "perhaps"}, 400, "emergency"),
        ({"patient": "\0"}, 400, "patient"),
        # Each right by itself.
        ({"resource_id": "1"}, 409, "resource_type"),
        ({"format": "csv", "manifest": "true"}, 409, "manifest"),
        ({"table": "nothing"}, 409, "table"),
        ({"table": "activity", "patient": "17"}, 409, "table"),
        ({"table": "activity", "where": "position=x"}, 409, "where"),
        ({"where": "a=b"}, 409, "table"),
    ],
)
def test_a_wrong_parameter_is_a_problem_that_names_it(
    exporting: httpx2.Client, query: dict[str, Any], status: int, field: str
) -> None:
    answer = exporting.get("/v1/export", params=query)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_openapi_describes_the_export(exporting: httpx2.Client) -> None:
    document = exporting.get("/openapi.json").json()
    operation = document["paths"]["/v1/export"]["get"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    events = {parameter["name"] for parameter in document["paths"]["/v1/events"]["get"]["parameters"]}
    assert names - events == {"format", "table", "where", "manifest"}
    waiting = {"min_position", "wait_for_position", "wait_seconds"}
    assert events - names == {"first", "last", "after", "before", "order_by", "descending"} | waiting
    assert {"200", "400", "401", "403", "409", "429", "501", "503"} <= set(operation["responses"])


def test_without_pyarrow_parquet_is_not_implemented(
    exporting: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = exporting.get("/v1/export", params={"format": "parquet"})
    assert (answer.status_code, "audit-trail[export]" in answer.json()["detail"]) == (501, True)


def queries_of_exports(trail: Trail, state: str) -> int:
    """As the server's administrator sees them: a reader is not told what others do."""
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'exports-of-the-test'"
            " AND state LIKE %s",
            (state,),
        )
        [(count,)] = cursor.fetchall()
        return int(count)


def eventually(trail: Trail, state: str, count: int) -> bool:
    until = time.monotonic() + 10
    while queries_of_exports(trail, state) != count:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def has_a_place_again(client: httpx2.Client) -> bool:
    """A moment after its query the place of an export that was cut off is free."""
    until = time.monotonic() + 10
    while client.get("/v1/export", params={"patient": "18"}).status_code != 200:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def asked(client: httpx2.Client, query: str) -> socket.socket:
    """A client that has sent a request and reads nothing."""
    connection = socket.create_connection((client.base_url.host, client.base_url.port or 0))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    given = "".join(f"{name}: {value}\r\n" for name, value in ADMIN.items())
    connection.sendall(f"GET /v1/export{query} HTTP/1.1\r\nHost: x\r\n{given}\r\n".encode())
    return connection


@pytest.fixture
def large(exporting: httpx2.Client, hospital_url: str) -> Iterator[Trail]:
    """The trail, with more events than any buffer between here and there takes."""
    assert exporting.get("/healthz").status_code == 200
    record(hospital_url, [read(20, reason="x" * 20_000) for _ in range(1500)])
    trail = Trail(hospital_url)
    yield trail
    trail.close()


def test_one_too_many_is_told_to_come_back_and_others_are_answered(
    exporting: httpx2.Client, large: Trail
) -> None:
    with closing(asked(exporting, "")):
        assert eventually(large, "idle in transaction%", 1)
        refused = exporting.get("/v1/export")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.headers["content-type"] == "application/problem+json"
        assert exporting.get("/v1/events", params={"first": 1}).status_code == 200
        assert exporting.get("/healthz").status_code == 200
    assert eventually(large, "idle in transaction%", 0)
    assert has_a_place_again(exporting)


def test_a_client_that_stalls_is_let_go(exporting: httpx2.Client, large: Trail) -> None:
    with closing(asked(exporting, "")):
        assert eventually(large, "idle in transaction%", 1)
        assert eventually(large, "idle in transaction%", 0)
        assert has_a_place_again(exporting)


def test_a_client_that_goes_away_ends_its_query(exporting: httpx2.Client, hospital_url: str) -> None:
    with closing(Trail(hospital_url)) as trail, closing(psycopg2.connect(hospital_url)) as blocker:
        with blocker.cursor() as cursor:
            cursor.execute("LOCK TABLE activity_v5.activity IN ACCESS EXCLUSIVE MODE")
        connection = asked(exporting, "")
        assert eventually(trail, "active", 1)
        connection.close()
        assert eventually(trail, "active", 0)
        blocker.rollback()
    assert has_a_place_again(exporting)


@pytest.mark.usefixtures("large")
def test_an_export_ends_when_its_token_expires(exporting: httpx2.Client) -> None:
    ends = int(time.time()) + 3
    with exporting.stream("GET", "/v1/export", headers=bearer("auditor", exp=ends)) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx2.RemoteProtocolError, match="incomplete chunked read"):
            read_slowly(answer)
    assert ends <= time.time()
    assert has_a_place_again(exporting)


def read_slowly(answer: httpx2.Response) -> None:
    for _ in answer.iter_bytes(100_000):
        time.sleep(0.2)


def test_an_export_that_finds_nothing_yet_ends_when_its_token_expires(
    exporting: httpx2.Client, hospital_url: str
) -> None:
    with closing(Trail(hospital_url)) as trail, closing(psycopg2.connect(hospital_url)) as blocker:
        with blocker.cursor() as cursor:
            cursor.execute("LOCK TABLE activity_v5.activity IN ACCESS EXCLUSIVE MODE")
        ends = int(time.time()) + 2
        answer = exporting.get("/v1/export", headers=bearer("auditor", exp=ends))
        assert (answer.status_code, answer.json()["detail"]) == (401, "the token has expired")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert eventually(trail, "active", 0)
        blocker.rollback()
    assert has_a_place_again(exporting)


def test_an_export_that_breaks_off_is_seen_by_the_client(exporting: httpx2.Client, large: Trail) -> None:
    with exporting.stream("GET", "/v1/export", params={"manifest": "true"}) as answer:
        assert answer.status_code == 200
        assert eventually(large, "idle in transaction%", 1)
        with closing(psycopg2.connect(large.url)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'exports-of-the-test'"
            )
        with pytest.raises(httpx2.RemoteProtocolError):
            answer.read()
    assert has_a_place_again(exporting)


def test_a_database_that_is_away_is_a_problem_before_the_first_byte() -> None:
    with (
        closing(Database(NO_DATABASE, READER)) as database,
        closing(Publisher(IngestSettings(bootstrap_servers=(NO_BROKER,)))) as publisher,
    ):
        app = create_app(
            ReadModels(database),
            LogReader(database),
            publisher,
            StoreProbes(database),
            exports=Exports(database),
            authentication=authentication(),
        )
        with serving(app) as client:
            answer = client.get("/v1/export")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
