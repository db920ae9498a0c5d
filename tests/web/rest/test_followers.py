"""The followers that send the log elsewhere, over REST and GraphQL: how far each is, and why it stands still."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import psycopg2

from domain.errors import UnavailableError
from tests.forwarding.running import Shelf, follower, forwarding
from tests.trail import Trail, an_event
from tests.waiting import eventually
from tests.web.conftest import Serve

FIELDS = "name destination state position lag lagSeconds sent sentPosition sentAt problem failedPosition"
BY = ("n.operator", "the receiver is being replaced")


def listed(client: httpx2.Client) -> dict[str, dict[str, Any]]:
    """What REST says, by name; GraphQL says the same."""
    rest = client.get("/v1/followers").json()["followers"]
    graphql = client.post("/graphql", json={"query": f"{{ followers {{ {FIELDS} }} }}"}).json()["data"][
        "followers"
    ]
    for one, other in zip(rest, graphql, strict=True):
        assert (one["name"], one["state"], one["position"], one["sent"]) == (
            other["name"],
            other["state"],
            other["position"],
            other["sent"],
        )
        assert (one["problem"], one["failed_position"]) == (other["problem"], other["failedPosition"])
    return {each["name"]: each for each in rest}


def test_each_follower_says_how_far_it_is_and_why_it_stands_still(
    new_trail: Trail, serve: Serve, tmp_path: Path
) -> None:
    new_trail.append(*(an_event() for _ in range(4)))
    client = serve(new_trail.url)
    assert listed(client) == {}
    well, stopped, paused, failing = Shelf(), Shelf(), Shelf(), Shelf()
    stopped.refuses = {2}
    failing.errors = [UnavailableError("it is away") for _ in range(10_000)]
    shelves = {"well": well, "stopped": stopped, "paused": paused, "failing": failing}
    with forwarding(
        new_trail.url, [follower(tmp_path, each, name) for name, each in shelves.items()]
    ) as running:
        running.arrives("well", 3)
        running.arrives("paused", 3)
        running.registry.pause("paused", *BY)
        new_trail.append(an_event())
        running.arrives("well", 4)
        eventually(lambda: running.follower("stopped").failed_position == 2)
        eventually(lambda: running.follower("failing").problem != "")
        eventually(lambda: not running.registry.unpublished())
        found = listed(client)
    assert {name: each["state"] for name, each in found.items()} == {
        "well": "running", "stopped": "stopped", "paused": "paused", "failing": "failing",
    }  # fmt: skip
    assert (found["well"]["position"], found["well"]["lag"], found["well"]["lag_seconds"]) == (4, 0, 0.0)
    assert (found["well"]["sent"], found["well"]["sent_position"]) == (5, 4)
    assert (found["paused"]["lag"], found["paused"]["problem"]) == (1, None)
    assert (found["stopped"]["position"], found["stopped"]["failed_position"]) == (1, 2)
    assert found["stopped"]["problem"] == "position 2: it refuses the record"
    assert (found["failing"]["lag"], found["failing"]["problem"]) == (5, "it is away")
    assert found["well"]["destination"] == "syslog siem.example:6514"
    with closing(psycopg2.connect(new_trail.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE audit_trail.operation_worker SET seen_at = seen_at - interval '1 minute' WHERE part = 'forward'"
        )
        cursor.execute("UPDATE audit_trail.follower SET removed_at = now() WHERE name = 'failing'")
    found = listed(client)
    assert (found["well"]["state"], found["failing"]["state"]) == ("unattended", "removed")
    assert found["failing"]["lag"] == 0  # nothing waits for a follower that is no more
