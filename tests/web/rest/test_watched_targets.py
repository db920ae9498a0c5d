"""What the watcher checks, over REST and in GraphQL: by name, page by page, for who may read the status."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx2
import pytest

from tests.tokens import bearer
from tests.watcher.known_targets import know
from tests.web.conftest import Serve

AT = datetime(2026, 3, 1, 8, 15, tzinfo=UTC)


@pytest.fixture
def watched(serve: Serve, migrated_url: str) -> httpx2.Client:
    know(migrated_url, AT, {"b": "the status is 503, not 200", "a": "", "c": ""})
    return serve(migrated_url)


def test_the_targets_are_listed_page_by_page(watched: httpx2.Client) -> None:
    first = watched.get("/v1/watched-targets?first=2").json()
    assert [each["name"] for each in first["targets"]] == ["a", "b"]
    assert first["looked_until"] == "2026-03-01T08:15:00Z"
    up, down = first["targets"]
    assert (up["state"], up["error"], up["checked_at"]) == ("up", None, "2026-03-01T08:15:00Z")
    assert (down["state"], down["error"], down["reason"], down["failures"]) == (
        "down",
        "unexpected_status",
        "the status is 503, not 200",
        3,
    )
    second = watched.get(first["next"]).json()
    assert ([each["name"] for each in second["targets"]], second["next"]) == (["c"], None)


def test_graphql_has_the_same(watched: httpx2.Client) -> None:
    query = (
        '{ watchedTargets(first: 1, after: "a") { name service owner check state failures failingSince } }'
    )
    answer = watched.post("/graphql", json={"query": query}).json()
    assert answer["data"]["watchedTargets"] == [
        {
            "name": "b",
            "service": "b",
            "owner": "team b",
            "check": "tcp",
            "state": "down",
            "failures": 3,
            "failingSince": "2026-03-01T08:15:00+00:00",
        }
    ]


@pytest.mark.parametrize(("role", "status"), [("operator", 200), ("auditor", 200), ("publisher", 403)])
def test_only_who_may_read_the_status_sees_them(watched: httpx2.Client, role: str, status: int) -> None:
    assert watched.get("/v1/watched-targets", headers=bearer(role)).status_code == status


def test_a_database_without_a_watcher_has_none(serve: Serve, migrated_url: str) -> None:
    empty: dict[str, object] = {"targets": [], "looked_until": None, "next": None}
    assert serve(migrated_url).get("/v1/watched-targets").json() == empty
