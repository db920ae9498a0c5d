"""Pages of other origins: those that a setting names may ask, and no others."""

from __future__ import annotations

import httpx2
import pytest

from tests.web.conftest import NO_DATABASE, Serve

PORTAL = "https://portal.example"


def preflight(client: httpx2.Client, origin: str, path: str = "/graphql") -> httpx2.Response:
    asking = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    del client.headers["Authorization"]
    return client.options(path, headers={"Origin": origin, **asking})


@pytest.fixture
def portal(serve: Serve, trail_url: str) -> httpx2.Client:
    return serve(trail_url, allowed_origins=(PORTAL,))


@pytest.mark.parametrize("path", ["/graphql", "/v1/events", "/v1/patients/17"])
def test_a_preflight_needs_no_token(portal: httpx2.Client, path: str) -> None:
    answer = preflight(portal, PORTAL, path)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PORTAL)
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()


def test_an_answer_may_be_read_by_a_named_origin(portal: httpx2.Client) -> None:
    answer = portal.get("/v1/events?first=1", headers={"Origin": PORTAL})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PORTAL)
    assert "Link" in answer.headers["access-control-expose-headers"]
    assert "Origin" in answer.headers["vary"]


def test_no_other_origin_is_allowed(portal: httpx2.Client) -> None:
    assert (
        "access-control-allow-origin"
        not in portal.get("/v1/events?first=1", headers={"Origin": "https://x"}).headers
    )
    refused = preflight(portal, "https://x")
    assert (refused.status_code, refused.headers.get("access-control-allow-origin")) == (400, None)


def test_without_the_setting_a_preflight_is_as_any_request(serve: Serve) -> None:
    answer = preflight(serve(NO_DATABASE), PORTAL)
    assert "access-control-allow-origin" not in answer.headers
