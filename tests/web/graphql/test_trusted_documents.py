"""Trusted documents: asked for by hash in every way that queries are sent, and alone where only they are executed."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from domain.errors import ConfigurationError
from graphql_api.execution.trusted_documents import TrustedDocuments, hash_of, load
from tests.audit_trail.programs import run
from tests.web.conftest import Serve
from tests.web.graphql.subscribers import Served, received

QUERY = "query ($n: Int = 1) { events(first: $n) { nodes { position } } }"
FOLLOW = "subscription { eventRecorded(after: 8) { position } }"
KNOWN = (QUERY, FOLLOW)
DATA = {"events": {"nodes": [{"position": 9}]}}
OTHER = "{ __typename }"
JSON = {"Accept": "application/json"}


def by_id(document: str) -> dict[str, Any]:
    return {"documentId": f"sha256:{hash_of(document)}"}


def apollo(document: str) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of(document)}}}


def refusals(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 400, answer.text
    assert "data" not in answer.json()
    return [error["extensions"]["code"] for error in answer.json()["errors"]]


@pytest.fixture
def only(serve: Serve, trail_url: str) -> httpx2.Client:
    """A client of a server that executes trusted documents alone."""
    return serve(trail_url, trusted=TrustedDocuments(KNOWN, only=True))


def test_a_document_is_executed_by_its_hash(only: httpx2.Client) -> None:
    for request in (by_id(QUERY), apollo(QUERY), {"query": QUERY}, by_id(QUERY) | {"query": QUERY}):
        assert only.post("/graphql", json=request).json()["data"] == DATA, request
        parameters = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in request.items()
        }
        assert only.get("/graphql", params=parameters, headers=JSON).json()["data"] == DATA, request
    answers = only.post("/graphql", json=[by_id(QUERY), apollo(QUERY) | {"variables": {"n": 2}}]).json()
    assert [len(answer["data"]["events"]["nodes"]) for answer in answers] == [1, 2]
    stream = {"Accept": "text/event-stream"}
    with only.stream("POST", "/graphql", json=by_id(FOLLOW), headers=stream) as events:
        first = next(line for line in events.iter_lines() if line.startswith("data: {"))
    assert json.loads(first.removeprefix("data: "))["data"] == {"eventRecorded": {"position": 9}}


def test_nothing_else_is_executed_where_only_they_are(only: httpx2.Client) -> None:
    for request in ({"query": OTHER}, by_id(OTHER), apollo(OTHER), apollo(OTHER) | {"query": OTHER}):
        assert refusals(only.post("/graphql", json=request)) == ["DOCUMENT_NOT_TRUSTED"], request
        assert refusals(only.post("/graphql", json=[by_id(QUERY), request])) == ["DOCUMENT_NOT_TRUSTED"]
    assert refusals(only.get("/graphql", params={"query": OTHER}, headers=JSON)) == ["DOCUMENT_NOT_TRUSTED"]
    stream = {"Accept": "text/event-stream"}
    assert refusals(only.post("/graphql", json={"query": OTHER}, headers=stream)) == ["DOCUMENT_NOT_TRUSTED"]
    assert refusals(only.post("/graphql", json=apollo(QUERY) | {"query": OTHER})) == ["BAD_USER_INPUT"]


@pytest.mark.parametrize(
    "request_",
    [
        {"documentId": 1},
        {"documentId": ""},
        {"documentId": "sha256:x"},
        {"documentId": f"sha256:{'A' * 64}"},
        {"extensions": {"persistedQuery": 1}},
        {"extensions": {"persistedQuery": {"version": 1}}},
        {"extensions": {"persistedQuery": {"sha256Hash": f"sha256:{hash_of(QUERY)}"}}},
        apollo(OTHER) | {"query": "{ __typename } "},
    ],
)
def test_what_is_no_hash_of_a_document_is_refused(
    lonely_client: httpx2.Client, request_: dict[str, Any]
) -> None:
    assert refusals(lonely_client.post("/graphql", json=request_)) == ["BAD_USER_INPUT"]


def test_where_others_are_executed_too_an_apollo_client_is_told_to_send_the_text(
    lonely_client: httpx2.Client,
) -> None:
    answer = lonely_client.post("/graphql", json=apollo(OTHER))
    assert refusals(answer) == ["PERSISTED_QUERY_NOT_FOUND"]
    assert answer.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    sent = lonely_client.post("/graphql", json=apollo(OTHER) | {"query": OTHER})
    assert sent.json()["data"] == {"__typename": "Query"}
    assert refusals(lonely_client.post("/graphql", json=apollo(OTHER))) == ["PERSISTED_QUERY_NOT_FOUND"], (
        "no request registers a document"
    )
    assert refusals(lonely_client.post("/graphql", json=by_id(OTHER))) == ["DOCUMENT_NOT_TRUSTED"]


def test_a_websocket_knows_them_too(trail_url: str) -> None:
    with (
        ExitStack() as stack,
        Served(trail_url, stack, trusted=TrustedDocuments(KNOWN, only=True)).socket() as socket,
    ):
        for number, payload in enumerate((by_id(FOLLOW), apollo(QUERY), {"query": OTHER}, by_id(OTHER), {})):
            socket.send(json.dumps({"type": "subscribe", "id": str(number), "payload": payload}))
        told: dict[str, Any] = {}
        while len(told) < 5:
            message = received(socket)
            told.setdefault(message["id"], message)
    assert told["0"]["payload"]["data"] == {"eventRecorded": {"position": 9}}
    assert told["1"]["payload"]["data"] == DATA
    for id, code in (("2", "DOCUMENT_NOT_TRUSTED"), ("3", "DOCUMENT_NOT_TRUSTED"), ("4", "BAD_USER_INPUT")):
        assert told[id]["type"] == "error"
        assert told[id]["payload"][0]["extensions"]["code"] == code


def test_the_command_makes_the_file_that_the_server_reads(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for number, text in enumerate(KNOWN):
        (folder / f"{number}.graphql").write_text(text)
    made = run("graphql", "documents", str(folder))
    assert made.returncode == 0, made.stderr
    file = tmp_path / "trusted.json"
    file.write_text(made.stdout)
    assert sorted(load(file)) == sorted(load(folder)) == sorted(KNOWN)
    (folder / "wrong.graphql").write_text("{ nothing }")
    refused = run("graphql", "documents", str(folder))
    assert refused.returncode == 1
    assert "wrong.graphql: Cannot query field 'nothing'" in refused.stderr


def test_a_file_whose_hashes_are_not_those_of_its_documents_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "trusted.json"
    for text in (json.dumps({hash_of(QUERY): OTHER}), "[]", "{", json.dumps({"a": 1})):
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=r"trusted\.json"):
            load(file)
    with pytest.raises(ConfigurationError, match="none"):
        load(tmp_path / "none")
