"""What a client sends is read in time that grows with its size and no faster, and so is what it is refused for."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx2
import pytest
from fastapi import Request

from domain.access.principal import Role
from domain.errors import AuditTrailError
from interop.decoding import decode
from tests.scaling import Hostile, assert_linear, peak_megabytes
from tests.web.rest.publishing import native
from web.authentication.bearer import IssuedTokens
from web.authentication.claims import ClaimNames, principal_from
from web.authentication.key_sets import parse_key_set
from web.http.content_negotiation import accepted
from web.http.every_route import _is_utf8
from web.http.http1_protocol import MAX_HEADERS
from web.parameters.filter_query import filter_from_json, refuse_repeated
from web.rest import event_intake
from web.rest.publishing import UnreadableError

JSON = [("content-type", "application/json")]


def asked(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


def token(text: str) -> object:
    return asyncio.run(IssuedTokens({}, ["a"]).principal(text))


def part(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def claims(roles: Any) -> object:
    return principal_from({"sub": "a", "exp": 1, "roles": roles}, ClaimNames(role_map={"a": Role.AUDITOR}))


def items(body: bytes) -> object:
    return event_intake._split(body, JSON, 1000)


CASES = [
    Hostile("a parameter that is repeated", refuse_repeated, lambda size: asked("user&" * (size // 5)), 8_000),
    Hostile("parameters", refuse_repeated, lambda size: asked("&".join(f"user{n}" for n in range(size // 9))), 8_000),
    Hostile("filters", filter_from_json, lambda size: '{"or":[' + '{"user":"a"},' * (size // 13) + "{}]}", 1_000),
    Hostile("a filter of numbers", filter_from_json, lambda size: '{"a":[' + "5e-324," * (size // 7) + "0]}"),
    Hostile("a filter of nots", filter_from_json, lambda size: '{"not":' * (size // 7), 1_000),
    Hostile("an Accept of commas", accepted.__wrapped__, lambda size: "," * size),
    Hostile("an Accept of weights", accepted.__wrapped__, lambda size: "a;q=" + "1" * size),
    Hostile("an address that is escaped", _is_utf8, lambda size: b"%41" * (size // 3)),
    Hostile("a token of dots", token, lambda size: "." * size),
    Hostile("a token of nested claims", token, lambda size: part('{"alg":' + "[" * (size // 2)) + ".e30.", 2_000),
    Hostile("a long number", token, lambda size: "e30." + part('{"exp":' + "1" * (size // 2) + "}") + ".", 1_000),
    Hostile("a claim of words", claims, lambda size: "a " * (size // 2)),
    Hostile("a claim of a list", claims, lambda size: ["a"] * (size // 2)),
    Hostile("a key set of numbers", parse_key_set, lambda size: b'{"keys":[' + b"5e-324," * (size // 7) + b"0]}"),
    Hostile("a key set of objects", parse_key_set, lambda size: b'{"keys":[' + b"{}," * (size // 3) + b"0]}"),
    Hostile("a body of numbers", items, lambda size: b"[" + b"0," * (size // 2) + b"0]"),
    Hostile("a body of objects", items, lambda size: b"[" + b"{}," * (size // 3) + b"0]"),
    Hostile("a body of commas", items, lambda size: b"[" + b"," * size),
    Hostile("a body of quotes", items, lambda size: b'["' + b'\\"' * (size // 2)),
    Hostile("a body of strings", items, lambda size: b"[" + b'"",' * (size // 3) + b"0]"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reading_takes_time_in_proportion_to_what_is_sent(case: Hostile) -> None:
    assert_linear(case, AuditTrailError, ValueError, UnreadableError)


TINY = [
    b"0,",
    b"{},",
    b"[],",
    b'"",',
    b'{"a":0},',
    b",",
    b"1234567,",
    b'"abcdefg",',
    b'",",',
    b'"\\"",',
    b"\n",
]


@pytest.mark.parametrize("item", TINY)
def test_a_body_of_tiny_items_needs_some_megabytes(item: bytes) -> None:
    tiny = item * ((5 << 20) // len(item))
    for body in (b"[" + tiny + b"0]", b"[[" + tiny + b"0]]", tiny):
        assert peak_megabytes(items, body, UnreadableError) < 24


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" + b"0," * 500_000 + b"0]", 413),
        (b"[" + b"{}," * 300_000 + b"0]", 413),
        (b"[" + b"[0,0,0],[" + b"0," * 3000 + b"0]]", 422),
        (b"[" + b"," * 5000 + b"]", 400),
    ],
    ids=["numbers", "objects", "items of tiny items", "commas"],
)
def test_a_body_of_tiny_items_is_counted_before_they_are_read(
    lonely_client: httpx2.Client, body: bytes, status: int
) -> None:
    answer = lonely_client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status


def test_items_whose_ids_have_one_hash_are_told_apart() -> None:
    """The hash of a UUID is that of a number: these thousand have the same."""
    modulus = (1 << 61) - 1
    found: dict[bytes, Any] = {}
    for number in range(1000):
        event = native(event_id=f"{1 + number * modulus:032x}")
        event_intake._check_alone(decode(json.dumps(event).encode(), [], max_bytes=10_000), found)
    assert len(found) == 1000


@pytest.mark.parametrize(
    "variables",
    [{"f": {"or": [{"user": "a"}] * 3000}}, {"f": [[]] * 3000}],
    ids=["filters", "arrays"],
)
def test_a_query_has_a_limit_of_arrays_and_objects(
    lonely_client: httpx2.Client, variables: dict[str, Any]
) -> None:
    query = "query q($f: EventFilter) { events(first: 1, filter: $f) { asOfPosition } }"
    answer = lonely_client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.json()["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


def test_a_request_has_a_limit_of_headers(lonely_client: httpx2.Client) -> None:
    def status(number: int) -> int:
        return lonely_client.get("/healthz", headers=[("x", "y")] * number).status_code

    assert status(MAX_HEADERS - 20) == 200
    assert status(MAX_HEADERS + 1) == 431
