"""The witness over a real socket, in this process and as the program that a second party runs."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest

from event_store.tlog.cosignatures import check
from event_store.tlog.notes import Note, VerifierKey, verified
from event_store.tlog.tree_heads import open_head
from event_store.tlog.witness_protocol import AddCheckpoint, parse_cosignatures, parse_size
from event_store.witness import store
from event_store.witness.cosigner import Witness, read_logs
from event_store.witness.store import WitnessStore
from tests.event_store.witness.honest_and_lying_log import (
    LOG_KEY,
    NEXT_LOG_KEY,
    ORIGIN,
    OTHER_LEAVES,
    WITNESS_KEY,
    note,
    proof,
    request,
)
from tests.web.conftest import serving
from web import witness as web_witness
from web.witness import MAX_BODY, create_witness_app

LATEST = f"/{sha256(ORIGIN.encode()).hexdigest()}/checkpoint"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "witness.db"


@pytest.fixture
def client(file: Path) -> Iterator[httpx2.Client]:
    witness = Witness(WitnessStore(file), [WITNESS_KEY], read_logs([LOG_KEY.verifier.encode()]))
    with serving(create_witness_app(witness)) as client:
        yield client


def add(client: httpx2.Client, body: bytes) -> httpx2.Response:
    return client.post("/add-checkpoint", content=body)


def test_a_log_collects_a_cosignature_for_each_head(client: httpx2.Client) -> None:
    for old, new in ((0, 1), (1, 5), (5, 5), (5, 130)):
        head = note(new)
        answer = add(client, request(old, new, head))
        assert answer.status_code == 200
        (signature,) = parse_cosignatures(answer.content)
        check(WITNESS_KEY.verifier, head.text, signature)
        # The way that the specification proposes: the answer behind the head is a note again.
        together = Note.parse(head.encode() + answer.content)
        assert len(verified(together, [LOG_KEY.verifier, WITNESS_KEY.verifier])) == 2


def test_a_log_that_does_not_know_where_it_was_is_told(client: httpx2.Client) -> None:
    add(client, request(0, 5))
    answer = add(client, request(0, 9))
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "text/x.tlog.size"
    assert answer.content == b"5\n"
    assert add(client, request(parse_size(answer.content), 9)).status_code == 200


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b""),
        (400, b"old 5\n\nnothing\n"),
        (400, AddCheckpoint(9, (), note(5).encode()).encode()),
        (403, request(5, 9, note(9, [NEXT_LOG_KEY]))),
        (404, request(5, 9, note(9, origin="example.com/unknown"))),
        (409, request(6, 9)),
        (422, request(5, 9, leaves=OTHER_LEAVES)),
        (422, request(5, 5, leaves=OTHER_LEAVES)),
        (422, AddCheckpoint(5, proof(5, 9)[1:], note(9).encode()).encode()),
    ],
)
def test_each_refusal_has_the_status_of_the_specification(
    client: httpx2.Client, status: int, body: bytes
) -> None:
    add(client, request(0, 5))
    answer = add(client, body)
    assert answer.status_code == status
    assert "\u2014" not in answer.text
    assert add(client, request(5, 9)).status_code == 200


def test_of_requests_at_once_one_wins(client: httpx2.Client) -> None:
    bodies = [request(0, new) for new in range(1, 17)]
    start = threading.Barrier(len(bodies))

    def ask(body: bytes) -> int:
        start.wait()
        return add(client, body).status_code

    with ThreadPoolExecutor(len(bodies)) as threads:
        statuses = sorted(threads.map(ask, bodies))
    assert statuses == [200] + [409] * (len(bodies) - 1)


def test_monitors_get_the_last_cosigned_head(client: httpx2.Client) -> None:
    assert client.get(LATEST).status_code == 404
    add(client, request(0, 5))
    add(client, request(5, 9))
    answer = client.get(LATEST)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    head, kept = open_head(answer.content, [LOG_KEY.verifier], ORIGIN)
    assert head.size == 9
    assert verified(kept, [WITNESS_KEY.verifier]) == [WITNESS_KEY.verifier]


@pytest.mark.parametrize(
    "path", ["/x/checkpoint", LATEST.upper().replace("CHECKPOINT", "checkpoint"), "/checkpoint", "/"]
)
def test_nothing_is_served_under_another_name(client: httpx2.Client, path: str) -> None:
    add(client, request(0, 5))
    assert client.get(path).status_code == 404


def test_a_witness_tells_its_public_key_and_that_it_lives(client: httpx2.Client) -> None:
    assert VerifierKey.parse(client.get("/vkey").text.strip()) == WITNESS_KEY.verifier
    assert client.get("/healthz").status_code == 200
    assert client.get("/add-checkpoint").status_code == 405


def test_a_body_without_end_is_cut_off(client: httpx2.Client) -> None:
    assert add(client, b"x" * (MAX_BODY + 1)).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 1024

    assert client.post("/add-checkpoint", content=endless()).status_code == 413
    assert add(client, request(0, 5)).status_code == 200


def test_a_body_that_does_not_arrive_is_not_waited_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_witness, "BODY_SECONDS", 0.2)
    witness = Witness(WitnessStore(file), [WITNESS_KEY], read_logs([LOG_KEY.verifier.encode()]))
    with serving(create_witness_app(witness)) as client:
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\nold")
            assert b" 408 " in connection.recv(1000).split(b"\r\n")[0]


def test_a_witness_that_cannot_write_says_try_again_and_cosigns_nothing(
    client: httpx2.Client, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(client, request(0, 5))
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = add(client, request(5, 9))
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
    assert add(client, request(5, 9)).status_code == 200


def test_an_answer_is_json_only_where_a_limit_was_passed(client: httpx2.Client) -> None:
    assert json.loads(add(client, b"x" * (MAX_BODY + 1)).content)["status"] == 413
    assert add(client, b"").headers["content-type"] == "text/plain; charset=utf-8"
