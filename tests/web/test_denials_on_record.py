"""What is refused within an answer, or before there is one, is on record as every 401 and 403 is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from audit_trail.embedded.broker import Broker
from domain.validation import encode_event
from tests.graphql_api.trail import hospital, read, record
from tests.tokens import bearer
from tests.web.reading_on_record import AUDITOR, OnRecord, on_record


@pytest.fixture
def url(migrated_url: str) -> str:
    record(migrated_url, hospital())
    return migrated_url


@pytest.fixture
def served(url: str, broker: Broker, topic: str) -> Iterator[OnRecord]:
    with on_record(url, broker.bootstrap_servers, topic) as served:
        yield served


def test_a_report_in_the_name_of_another_is_on_record_also_among_others(served: OnRecord) -> None:
    forged = json.loads(encode_event(read(0)))
    headers = bearer("publisher", subject="a-service", sources=["another-service"])
    answer = served.client.post("/v1/events", json=[{"x": 1}, forged], headers=headers)
    assert answer.status_code == 422
    [denied] = served.events(1)
    assert (denied.type, denied.actor.id, denied.request and denied.request.status) == (
        "access.denied",
        "a-service",
        403,
    )


def test_nor_is_it_lost_when_the_others_are_accepted(url: str, broker: Broker, topic: str) -> None:
    forged = json.loads(encode_event(read(0)))
    good = {**forged, "event_id": str(uuid4()), "source": {**forged["source"], "service": "another-service"}}
    headers = bearer("publisher", subject="a-service", sources=["another-service"])
    with on_record(url, broker.bootstrap_servers, topic, web={"topic": topic}) as served:
        answer = served.client.post("/v1/events", json=[forged, good, forged], headers=headers)
        assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 1, 2)
        served.events(2)
    denied = [event for event in served.events(2) if event.type == "access.denied"]
    assert [event.actor.id for event in denied] == ["a-service"]


def test_a_page_of_another_site_that_would_connect_is_on_record_with_whose_token(served: OnRecord) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(
            f"ws://127.0.0.1:{served.port}/graphql",
            subprotocols=[Subprotocol("graphql-transport-ws")],
            additional_headers=AUDITOR,
            origin=Origin("https://elsewhere.example"),
        ),
    ):
        pass
    assert refused.value.response.status_code == 403
    [denied] = served.events(1)
    assert (denied.type, denied.actor.id, denied.request and denied.request.status) == (
        "access.denied",
        "p.paragraph",
        403,
    )
