"""Clients of GraphQL with their defaults: what they ask for is answered in a form that they understand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.conftest import KNOWN, Run

ACTORS = ["ada", "reader-3", "reader-2", "reader-1", "reader-0", "bob"]
"""Who accessed patient 17, the newest access first."""


@pytest.fixture(scope="module")
def urql(run: Run) -> Any:
    return run("urql.mjs")


@pytest.fixture(scope="module", params=["@apollo/client-3", "@apollo/client"])
def apollo(run: Run, request: pytest.FixtureRequest) -> Any:
    return run("apollo.mjs", request.param, KNOWN)


@pytest.fixture(scope="module")
def relay(run: Run) -> Any:
    return run("relay.mjs")


def test_urql_is_answered_in_json_though_it_accepts_streams_too(urql: Any) -> None:
    assert [each["actorId"] for each in urql["query"]["patient"]["accesses"]] == ACTORS[:2]
    for request in urql["requests"]:
        assert "text/event-stream" in request["accept"]
        assert request["type"].startswith("application/graphql-response+json")


def test_urql_has_the_codes_of_errors(urql: Any) -> None:
    assert urql["errors"] == [["GRAPHQL_VALIDATION_FAILED"], ["LIMIT_EXCEEDED"]]


@pytest.mark.parametrize("way", ["sse", "ws"])
def test_urql_subscribes(urql: Any, way: str) -> None:
    assert urql[way]["eventRecorded"]["position"] == 4


def test_apollo_keeps_lists_of_two_lengths_apart(apollo: Any) -> None:
    two, five = ACTORS[:2], ACTORS[:5]
    assert apollo["lists"] == {"two": two, "five": five, "cachedTwo": two, "cachedFive": five}
    assert apollo["listRequests"] == 2


def test_apollo_has_the_codes_of_errors(apollo: Any) -> None:
    assert apollo["wrong"] == {"errors": ["GRAPHQL_VALIDATION_FAILED"]}


def test_apollo_sends_the_hash_of_a_trusted_document_alone(apollo: Any) -> None:
    assert apollo["known"]["sent"] == ["hash"]
    assert apollo["known"]["data"]["user"]["name"] == "Bob Example"


def test_apollo_sends_the_text_of_a_document_whose_hash_is_unknown(apollo: Any) -> None:
    assert apollo["unknown"]["sent"] == ["hash", "text"]
    assert apollo["unknown"]["data"]["user"]["userId"] == "bob"


def test_apollo_subscribes(apollo: Any) -> None:
    assert apollo["followed"]["eventRecorded"]["position"] == 4


def test_relay_pages_through_rows_in_both_directions(relay: Any) -> None:
    every = list(range(16))
    assert relay["rowsForward"] == [every[:6], every[:12], every]
    assert relay["rowsBackward"] == [every[-6:], every[-12:], every]


def test_relay_pages_through_a_history(relay: Any) -> None:
    assert relay["history"] == [[2, 1], [2, 1, {"home": ["2"]}]]
