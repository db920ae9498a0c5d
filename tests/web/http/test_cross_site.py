"""What pages of other sites can't make a browser do here, and the pages that are served."""

from __future__ import annotations

from contextlib import ExitStack

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from tests.web.conftest import Serve
from tests.web.graphql.subscribers import EVENTS, Served, received, subscribe

QUERY = {"query": "{ __typename }"}


def test_what_a_browser_sends_by_itself_for_a_page_of_another_site_is_refused(
    lonely_client: httpx2.Client,
) -> None:
    del lonely_client.headers["Authorization"]
    for site in ("cross-site", "same-site", "same-origin", "none"):
        headers = {"Sec-Fetch-Site": site, "Cookie": "token=anything"}
        assert lonely_client.get("/graphql", params=QUERY, headers=headers).status_code == 401
        plain = headers | {"Content-Type": "text/plain"}
        assert lonely_client.post("/graphql", content="{}", headers=plain).status_code == 401


def test_no_other_site_is_granted_a_preflight(lonely_client: httpx2.Client) -> None:
    headers = {
        "Origin": "https://elsewhere.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = lonely_client.request("OPTIONS", "/graphql", headers=headers)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_websocket_is_for_pages_of_this_host_and_of_those_that_a_setting_names(trail_url: str) -> None:
    with ExitStack() as stack:
        served = Served(trail_url, stack, allowed_origins=("https://portal.example",))
        with (
            served.open(origin=f"http://127.0.0.1:{served.port}"),
            served.open(),
            served.open("https://portal.example"),
        ):
            pass
        for origin in (
            "https://elsewhere.example",
            "https://portal.example:8443",
            "http://portal.example",
            "null",
        ):
            with pytest.raises(InvalidStatus) as refused, served.open(origin=origin):
                pass
            assert refused.value.response.status_code == 403


def test_one_client_has_so_many_subscriptions_and_gets_places_back(trail_url: str) -> None:
    with ExitStack() as stack:
        served = Served(trail_url, stack, max_client_subscriptions=2)
        with served.socket() as one, served.socket() as other:
            subscribe(one)
            subscribe(other)
            assert served.subscribers(2)
            subscribe(other, id="2")
            refused = received(other)
            (error,) = refused["payload"]["errors"]
            assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
            assert "2 subscriptions" in error["message"]
            assert received(other) == {"type": "complete", "id": "2"}
            one.send('{"type": "complete", "id": "1"}')
            assert served.subscribers(1)
            subscribe(other, EVENTS, id="3", after=8)
            assert received(other)["payload"]["data"]["eventRecorded"]["position"] == 9


def test_operations_on_one_websocket_are_limited(trail_url: str) -> None:
    with ExitStack() as stack, Served(trail_url, stack, max_connection_subscriptions=1).socket() as socket:
        subscribe(socket)
        subscribe(socket, id="2")
        refused = received(socket)
        assert (refused["type"], refused["id"]) == ("error", "2")
        assert refused["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


def test_pages_are_served_where_they_are_switched_on_and_introspection_is_another_switch(
    serve: Serve, trail_url: str
) -> None:
    html = {"Accept": "text/html"}
    without = serve(trail_url)
    assert without.get("/docs").status_code == 404
    assert without.get("/static/graphiql/page.js").status_code == 404
    assert not without.get("/graphql", headers=html).headers["content-type"].startswith("text/html")
    within = serve(trail_url, pages=True)
    for path in ("/graphql", "/docs"):
        assert within.get(path, headers=html).headers["content-type"].startswith("text/html")
    assert without.post("/graphql", json={"query": "{ __schema { queryType { name } } }"}).json()["data"]


def test_the_pages_send_a_token_of_their_address_and_keep_it_nowhere(serve: Serve, trail_url: str) -> None:
    client = serve(trail_url, pages=True)
    for page in ("graphiql", "swagger-ui"):
        script = client.get(f"/static/{page}/page.js").text
        assert "location.hash" in script
        assert "history.replaceState" in script
        assert "Storage" not in script
