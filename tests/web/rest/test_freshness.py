"""Reading one's writes: answers that are complete up to a position, or say how far they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.projections.custom.analyst import project
from tests.trail import Trail, an_event
from tests.web.conftest import Serve
from tests.web.rest.visits import FILE, ROWS, ask, visits


@pytest.fixture
def trail(projected_url: str, tmp_path: Path) -> Iterator[Trail]:
    trail = visits(projected_url, tmp_path)
    yield trail
    trail.close()


@pytest.fixture
def client(serve: Serve, trail: Trail) -> httpx2.Client:
    return serve(trail.url)


def test_an_answer_waits_until_the_projection_has_the_position(client: httpx2.Client, trail: Trail) -> None:
    [position] = trail.append(an_event(actor={"id": "late"}))
    assert client.get("/v1/events", params={"min_position": position}).status_code == 409
    timer = threading.Timer(0.4, trail.project)
    timer.start()
    events = client.get("/v1/events", params={"wait_for_position": position, "first": 1}).json()
    assert events["events"][0]["position"] == position
    timer.join()
    assert client.get("/v1/events", params={"min_position": position}).status_code == 200


def test_what_is_not_reached_in_time_is_refused_with_how_far_it_is(client: httpx2.Client) -> None:
    began = time.monotonic()
    answer = client.get("/v1/events", params={"wait_for_position": 1000, "wait_seconds": 0.3})
    assert time.monotonic() - began > 0.25
    assert answer.status_code == 409
    [error] = answer.json()["errors"]
    assert (error["field"], error["as_of_position"]) == ("wait_for_position", 59)
    for field in (
        "events(first: 1, %s) { asOfPosition }",
        'user(id: "a1", %s) { events }',
        'projection(name: "visits", %s) { name }',
        'patient(id: "p1", %s) { events }',
        'device(id: "d", %s) { events }',
        'service(name: "s", %s) { events }',
        'resource(type: "t", id: "i", %s) { firstSeen }',
    ):
        [error] = ask(client, "{ " + field % "waitForPosition: 1000, waitSeconds: 0.1" + " }")["errors"]
        assert error["extensions"] == {
            "code": "POSITION_NOT_REACHED",
            "argument": "waitForPosition",
            "asOfPosition": 59,
        }
        assert "errors" not in ask(client, "{ " + field % "minPosition: 59" + " }")


def test_an_own_projection_that_stands_still_is_waited_for_alone(client: httpx2.Client, trail: Trail) -> None:
    trail.given(an_event())
    assert client.get("/v1/events", params={"min_position": 60}).status_code == 200
    assert client.get(ROWS, params={"min_position": 60}).status_code == 409
    assert client.get(ROWS, params={"min_position": 59}).status_code == 200


def test_many_who_wait_hold_neither_threads_nor_connections(serve: Serve, trail: Trail) -> None:
    client = serve(trail.url, reading_threads=2)
    [position] = trail.append(an_event(actor={"id": "late"}))
    params = {"wait_for_position": position, "wait_seconds": 10, "first": 1}
    limits = httpx2.Limits(max_connections=60)
    with (
        httpx2.Client(base_url=client.base_url, timeout=60, limits=limits, headers=client.headers) as many,
        ThreadPoolExecutor(50) as asking,
    ):
        waiting = [asking.submit(many.get, "/v1/events", params=params) for _ in range(50)]
        time.sleep(0.5)  # until they are there; with too few of them there is nothing to fail
        assert client.get("/v1/events", params={"first": 1}).status_code == 200
        assert not any(each.done() for each in waiting)
        trail.project()
        assert {each.result().status_code for each in waiting} == {200}


def test_readiness_tells_of_an_analysts_stopped_projection_and_stays_ready(
    client: httpx2.Client, trail: Trail, tmp_path: Path
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(
        FILE.format(version=1)
        .replace("visits", "broken")
        .replace("visit_log", "broken_log")
        .replace("    log = [", "    log = [1 // 0 for e in events] + ["),
        encoding="utf-8",
    )
    project(trail, file)
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"]["own_projections"] == "broken stopped at position 0"
    assert ready.json()["checks"]["projections"] == "ok"


def test_all_operations_of_a_request_wait_together_no_longer_than_one(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphql_api.context.MAX_SECONDS", 1)
    operation = {"query": "{ events(first: 1, waitForPosition: 1000, waitSeconds: 5) { asOfPosition } }"}
    began = time.monotonic()
    answers = client.post("/graphql", json=[operation] * 5).json()
    assert 0.95 < time.monotonic() - began < 4  # it would be 5 one after the other
    assert {answer["errors"][0]["extensions"]["code"] for answer in answers} == {"POSITION_NOT_REACHED"}
