"""Fetching from the served log as a stranger does."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import Any

import httpx2

from event_store.tlog.notes import VerifierKey
from event_store.tlog.tree_heads import TreeHead, open_head
from tests.signing import KEY
from tests.tokens import ADMIN

ORIGIN = "audit-trail.test/log"


def get(client: httpx2.Client, path: str) -> bytes:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.text)
    return answer.content


def head(client: httpx2.Client) -> TreeHead:
    """The newest signed head, verified with the key that the server names."""
    keys = [VerifierKey.parse(line) for line in get(client, "/log/vkey").decode().splitlines()]
    assert keys == [KEY.verifier]
    return open_head(get(client, "/log/checkpoint"), keys, ORIGIN)[0]


def raw(client: httpx2.Client, path: str, method: str = "GET") -> int:
    """The status of a path that is sent as it is written."""
    with closing(http.client.HTTPConnection(client.base_url.host, client.base_url.port or 0)) as connection:
        connection.request(method, path, headers=ADMIN)
        return connection.getresponse().status


def graphql(client: httpx2.Client, query: str, **variables: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/graphql", json={"query": query, "variables": variables}).json()
    return answer


def ask(client: httpx2.Client, query: str, **variables: Any) -> dict[str, Any]:
    answer = graphql(client, query, **variables)
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data
